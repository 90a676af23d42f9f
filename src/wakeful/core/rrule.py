"""Recurrence rules of RFC 5545, on local time: ``FREQ=MONTHLY;BYDAY=2TU;BYHOUR=9``. ``rrule_text`` reads them.

dateutil says which days of one month or year a rule names; this module goes from one to the next. dateutil's own
iteration begins at DTSTART each time, and never ends for a rule that names no day. What comes round every so many days,
or parts of days, is ``rrule_cycles``'s.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from enum import IntEnum
from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple

from dateutil.rrule import MONTHLY as BY_MONTH
from dateutil.rrule import YEARLY as BY_YEAR
from dateutil.rrule import rrule, weekday

from wakeful.core.civil import DAY_S, END_S, LOCAL_EPOCH, CivilTimes, Dst, local_seconds
from wakeful.core.rrule_cycles import Cycle

_ORDINAL_1970 = LOCAL_EPOCH.toordinal()
_SECOND = timedelta(seconds=1)
_BEYOND = END_S + 3 * DAY_S
_LAST_YEAR = 2299
# A rule that names no time for so long is over: every date and weekday comes again within 40 years.
_PATIENCE_YEARS = 40


class Freq(IntEnum):
    """The unit of a rule's interval."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


_UNIT_S = {Freq.DAILY: DAY_S, Freq.HOURLY: 3600, Freq.MINUTELY: 60, Freq.SECONDLY: 1}


class Days(NamedTuple):
    """The parts of a rule that choose days, empty where not given; a weekday is 0 (Monday) to 6 and a number or 0."""

    months: tuple[int, ...] = ()
    monthdays: tuple[int, ...] = ()
    yeardays: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    week_start: int = 0


class Times(NamedTuple):
    """The parts of a rule that choose times of day, each empty where it isn't given."""

    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()


class Parts(NamedTuple):
    """A rule as it was written. ``number`` is its ``COUNT``; ``until`` is a local time, the last one possible."""

    freq: Freq
    interval: int = 1
    number: int | None = None
    until: datetime | None = None
    days: Days = Days()
    times: Times = Times()
    positions: tuple[int, ...] = ()


class _Window(NamedTuple):
    """The days of a month or year on which something is due; ``times`` where they differ from day to day."""

    days: tuple[int, ...]
    times: Mapping[int, Sequence[int]] | None = None


@dataclass(frozen=True, slots=True)
class Rule(CivilTimes):
    """A rule that is counted from ``anchor``, a local time: from there come its phase and the parts that it leaves out.

    Its first time is the first one that matches, not the anchor as such; its number of times is counted from there.
    ``runs`` is the number of repeats that the text gives where it names no anchor.
    """

    parts: Parts
    zone: tzinfo
    dst: Dst
    anchor: datetime | None = None
    runs: int | None = None

    @property
    def elapsed(self) -> bool:
        """It follows elapsed time, as a cron expression whose hour begins with a star."""
        return self.parts.freq >= Freq.HOURLY

    def anchored_at(self, instant: datetime) -> "Rule":
        """The same, counted from what clocks show at ``instant``, if it is counted from nothing yet."""
        if self.anchor is not None:
            return self
        return replace(self, anchor=LOCAL_EPOCH + _SECOND * local_seconds(self.zone, instant))

    def _next_local(self, local: int) -> int:
        series = _series(self.parts, self.anchor or LOCAL_EPOCH)
        found = series.next_at(max(local, series.start))
        return _BEYOND if found is None or found > self._end(series) else found

    def _last_local(self, low: int, high: int) -> int | None:
        series = _series(self.parts, self.anchor or LOCAL_EPOCH)
        return series.last_before(max(low, series.start), min(high, self._end(series) + 1))

    def _count_local(self, low: int, high: int) -> int:
        series = _series(self.parts, self.anchor or LOCAL_EPOCH)
        return series.count_in(max(low, series.start), min(high, self._end(series) + 1))

    def _end(self, series: "_Series | Cycle") -> int:
        """The last local time that is possible."""
        if self.parts.number is not None:
            return _nth(series, self.parts.number)
        return END_S if self.parts.until is None else _local(self.parts.until)


class _Series(NamedTuple):
    """A rule of weeks, months or years with all its parts filled in, without an end.

    Windows are years or months, counted from 1970.
    """

    freq: Freq
    interval: int
    days: Days
    times: Times
    positions: tuple[int, ...]
    start: int

    def next_at(self, local: int) -> int | None:
        day, second = divmod(local, DAY_S)
        for window in self._windows(self._index(day), self._index(day) + self._patience):
            for at in range(bisect_left(window.days, day), len(window.days)):
                here = window.days[at]
                times = self._times_of(window, here)
                rank = bisect_left(times, second) if here == day else 0
                if rank < len(times):
                    return here * DAY_S + times[rank]
        return None

    def last_before(self, low: int, high: int) -> int | None:
        if low >= high:
            return None
        first, (day, second) = low // DAY_S, divmod(high, DAY_S)
        for window in self._windows(self._index(day), self._index(first), backwards=True):
            for at in reversed(range(bisect_left(window.days, first), bisect_left(window.days, day + 1))):
                here = window.days[at]
                times = self._times_of(window, here)
                rank = bisect_left(times, second) if here == day else len(times)
                if rank:
                    local = here * DAY_S + times[rank - 1]
                    return local if local >= low else None
        return None

    def count_in(self, low: int, high: int) -> int:
        if low >= high:
            return 0
        windows = self._windows(self._index(low // DAY_S), self._index(high // DAY_S))
        return sum(self._below(window, high) - self._below(window, low) for window in windows)

    def _below(self, window: _Window, local: int) -> int:
        """How many times of a window lie before ``local``."""
        day, second = divmod(local, DAY_S)
        at = bisect_left(window.days, day)
        if window.times is None:
            total = at * len(_times(self.times))
        else:
            total = sum(len(self._times_of(window, each)) for each in window.days[:at])
        if at < len(window.days) and window.days[at] == day:
            total += bisect_left(self._times_of(window, day), second)
        return total

    def _times_of(self, window: _Window, day: int) -> Sequence[int]:
        return _times(self.times) if window.times is None else window.times[day]

    @property
    def _patience(self) -> int:
        """After how many windows without any time the rule is over."""
        if self.freq is Freq.YEARLY:
            return _PATIENCE_YEARS * self.interval
        return _PATIENCE_YEARS * 12 * (self.interval if self.freq is Freq.MONTHLY else 1)

    def _index(self, day: int) -> int:
        civil = date.fromordinal(day + _ORDINAL_1970)
        year = civil.year - 1970
        return year if self.freq is Freq.YEARLY else year * 12 + civil.month - 1

    def _windows(self, first: int, last: int, *, backwards: bool = False) -> Iterator[_Window]:
        """The windows from one to another, in which the interval comes round."""
        step, phase = 1, 0
        if self.freq <= Freq.MONTHLY:
            step, phase = self.interval, self._index(self.start // DAY_S) % self.interval
        end = (_LAST_YEAR + 1 - 1970) * (1 if self.freq is Freq.YEARLY else 12)
        if backwards:
            indices = range(first - (first - phase) % step, last - 1, -step)
        else:
            indices = range(first + (phase - first) % step, min(last + 1, end), step)
        for index in indices:
            yield _window(self, index)


@lru_cache(maxsize=1024)
def _series(parts: Parts, anchor: datetime) -> _Series | Cycle:
    """Fills in what the rule leaves out, as RFC 5545 does, from the anchor."""
    days, times = parts.days, parts.times
    if not (days.weeks or days.yeardays or days.monthdays or days.weekdays):
        if parts.freq is Freq.YEARLY:
            days = days._replace(months=days.months or (anchor.month,), monthdays=(anchor.day,))
        elif parts.freq is Freq.MONTHLY:
            days = days._replace(monthdays=(anchor.day,))
        elif parts.freq is Freq.WEEKLY:
            days = days._replace(weekdays=((anchor.weekday(), 0),))
    times = Times(
        times.hours or ((anchor.hour,) if parts.freq < Freq.HOURLY else ()),
        times.minutes or ((anchor.minute,) if parts.freq < Freq.MINUTELY else ()),
        times.seconds or ((anchor.second,) if parts.freq < Freq.SECONDLY else ()),
    )
    if parts.freq >= Freq.DAILY:
        dates = (days.months, days.monthdays, tuple(day for day, _ in days.weekdays))
        return Cycle(_UNIT_S[parts.freq], parts.interval, _local(anchor), *dates, times)
    return _Series(parts.freq, parts.interval, days, times, parts.positions, _local(anchor))


@lru_cache(maxsize=1024)
def _nth(series: _Series | Cycle, number: int) -> int:
    """The ``number``-th time of a series, or its last."""
    low, missing = series.start, number
    while low < END_S:
        high = min(END_S, low + 366 * DAY_S)
        found = series.count_in(low, high)
        if found >= missing:
            return bisect_left(range(high), missing, low, key=partial(_through, series, low))
        low, missing = high, missing - found
    return END_S


def _through(series: _Series | Cycle, low: int, local: int) -> int:
    return series.count_in(low, local + 1)


@lru_cache(maxsize=8192)
def _window(series: _Series, index: int) -> _Window:
    yearly = series.freq is Freq.YEARLY
    year, month = (1970 + index, 1) if yearly else (1970 + index // 12, index % 12 + 1)
    days = _days(series.days, year, month, yearly)
    first = series.start // DAY_S
    if series.freq is Freq.WEEKLY:
        # 1970-01-01 was a Thursday, 3 counted from Monday.
        shift = 3 - series.days.week_start
        days = tuple(day for day in days if ((day + shift) // 7 - (first + shift) // 7) % series.interval == 0)
    if not series.positions:
        return _Window(days)
    times = _times(series.times)
    ranks = {at if at >= 0 else len(days) * len(times) + at for at in (p - (p > 0) for p in series.positions)}
    chosen: dict[int, list[int]] = {}
    for rank in sorted(rank for rank in ranks if 0 <= rank < len(days) * len(times)):
        chosen.setdefault(days[rank // len(times)], []).append(times[rank % len(times)])
    return _Window(tuple(chosen), chosen)


@lru_cache(maxsize=8192)
def _days(days: Days, year: int, month: int, yearly: bool) -> tuple[int, ...]:
    """The days of a year or a month that match, by dateutil; the interval makes it stop after the first of them."""
    monthdays = days.monthdays
    if not yearly and days.months and month not in days.months:
        # Many months are asked, one after the other, where a rule's parts rarely agree.
        return ()
    if not (days.weeks or days.yeardays or monthdays or days.weekdays):
        monthdays = tuple(range(1, 32))
    found = rrule(
        BY_YEAR if yearly else BY_MONTH,
        dtstart=datetime.combine(date(year, month, 1), time()),
        interval=9_999 if yearly else 120_000,
        wkst=days.week_start,
        bymonth=days.months or None,
        bymonthday=monthdays or None,
        byyearday=days.yeardays or None,
        byweekno=days.weeks or None,
        byweekday=[weekday(day, number or None) for day, number in days.weekdays] or None,
    )
    return tuple(each.toordinal() - _ORDINAL_1970 for each in found)


@lru_cache(maxsize=256)
def _times(times: Times) -> tuple[int, ...]:
    return tuple(sorted({h * 3600 + m * 60 + s for h, m, s in product(*times)}))


def _local(local: datetime) -> int:
    return (local - LOCAL_EPOCH) // _SECOND
