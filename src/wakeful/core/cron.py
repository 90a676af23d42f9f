"""Cron expressions, compiled: the local times that they name. ``cron_text`` reads them."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from wakeful.core.civil import DAY_S, END_S, CivilTimes, Dst

LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LAST_WORKDAY = 0
LAST = -1
_END_DAY = END_S // DAY_S
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# In these 28 years (2000 to 2027) each month begins on every weekday, and so does the February of leap years.
_CYCLE = range(10_957, 21_184)
_SIX_WEEKS = sum(1 << 7 * week for week in range(6))


class Dialect(StrEnum):
    """Whose rules the text follows.

    ``dapr``: six fields, seconds first; a day field is a star if it holds ``*``, ``?`` or ``*/1``; weekdays 0-6.
    ``crontab``: five fields, second 0, or six with the seconds first; a day field is a star if it begins with one, as
    in Vixie cron; weekdays 0-7; ranges may wrap around; ``L``, ``W`` and ``#``.
    Where a day field is a star both must match; otherwise one of them is enough.
    """

    DAPR = "dapr"
    CRONTAB = "crontab"


class Special(NamedTuple):
    """Days that depend on the month: ``L``, ``W`` and ``#``.

    ``last``: how many days before the last one. ``nearest``: the working day nearest to a day of the month, in the
    same month (``LAST_WORKDAY``: the last of them). ``nth``: a weekday (0 is Sunday) and which one of the month
    (``LAST``: the last one).
    """

    last: tuple[int, ...] = ()
    nearest: tuple[int, ...] = ()
    nth: tuple[tuple[int, int], ...] = ()

    def days(self, length: int, first: int) -> int:
        """The mask of the month's days that the day-of-month field means; ``first`` is the weekday of the first."""
        bits = sum(1 << length - 1 - back for back in set(self.last) if back < length)
        for day in self.nearest:
            if day <= length:
                bits |= 1 << _workday(day or length, length, first)
        return bits

    def weekdays(self, length: int, first: int) -> int:
        """The mask of the month's days that the day-of-week field means."""
        bits = 0
        for weekday, number in self.nth:
            day = (weekday - first) % 7 + 7 * (number - 1)
            if number == LAST:
                day = length - 1 - (first + length - 1 - weekday) % 7
            if day < length:
                bits |= 1 << day
        return bits


@dataclass(frozen=True, slots=True)
class Cron(CivilTimes):
    """A compiled cron expression; make it with ``parse_cron``.

    Times of day are sorted tuples; dates are bit masks whose lowest bit is the first day, January and Sunday.
    ``elapsed``: the minute or the hour begins with a star; ``dst`` is then ``raw``, whatever was asked for.
    """

    text: str
    zone: tzinfo
    dst: Dst
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: int
    months: int
    weekdays: int
    either_day: bool
    elapsed: bool
    special: Special | None = None

    @property
    def runs(self) -> int | None:
        """A cron expression gives no number of repeats."""
        return None

    @property
    def months_named(self) -> tuple[int, ...]:
        """The months in which it is due, from 1."""
        return tuple(month + 1 for month in range(12) if self.months >> month & 1)

    def has_days(self) -> bool:
        """Whether any date matches."""
        return self._next_day(_CYCLE.start, _CYCLE.stop) in _CYCLE

    def _next_local(self, local: int) -> int:
        day, second = divmod(local, DAY_S)
        rank = self._rank(second) if self._matching_days(day, day + 1) else self._per_day
        if rank < self._per_day:
            return day * DAY_S + self._time(rank)
        return self._next_day(day + 1) * DAY_S + self._time(0)

    def _last_local(self, low: int, high: int) -> int | None:
        day, second = divmod(high - 1, DAY_S)
        rank = self._rank(second + 1) if self._matching_days(day, day + 1) else 0
        if not rank:
            day, rank = self._last_day(day - 1, low // DAY_S), self._per_day
        local = day * DAY_S + self._time(rank - 1)
        return local if local >= low else None

    def _count_local(self, low: int, high: int) -> int:
        if low >= high:
            return 0
        (first, begin), (last, end) = divmod(low, DAY_S), divmod(high, DAY_S)
        total = self._matching_days(first, last) * self._per_day
        if begin and self._matching_days(first, first + 1):
            total -= self._rank(begin)
        if end and self._matching_days(last, last + 1):
            total += self._rank(end)
        return total

    @property
    def _per_day(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def _rank(self, second: int) -> int:
        """How many due times of a day lie before its ``second``."""
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        i = bisect_left(self.hours, hour)
        j = k = 0
        if i < len(self.hours) and self.hours[i] == hour:
            j = bisect_left(self.minutes, minute)
            if j < len(self.minutes) and self.minutes[j] == minute:
                k = bisect_left(self.seconds, second)
        return (i * len(self.minutes) + j) * len(self.seconds) + k

    def _time(self, rank: int) -> int:
        """The due time of a day, in seconds, before which there are ``rank`` others."""
        rest, k = divmod(rank, len(self.seconds))
        i, j = divmod(rest, len(self.minutes))
        return self.hours[i] * 3600 + self.minutes[j] * 60 + self.seconds[k]

    def _next_day(self, day: int, end: int = _END_DAY) -> int:
        while day < end:
            dom, length, bits = self._month(day)
            if bits >> dom:
                return day + lowest(bits >> dom)
            day += length - dom
        return _END_DAY + 2  # beyond the end in any zone

    def _last_day(self, day: int, floor: int) -> int:
        while day >= floor:
            dom, _, bits = self._month(day)
            bits &= (2 << dom) - 1
            if bits:
                return day - dom + bits.bit_length() - 1
            day -= dom + 1
        return day

    def _matching_days(self, day: int, end: int) -> int:
        total = 0
        while day < end:
            dom, length, bits = self._month(day)
            size = min(end - day, length - dom)
            total += (bits >> dom & (1 << size) - 1).bit_count()
            day += size
        return total

    def _month(self, day: int) -> tuple[int, int, int]:
        """The day's place in its month (from 0), the month's length, and the mask of its matching days."""
        civil = date.fromordinal(day + _EPOCH_ORDINAL)
        year, month, dom = civil.year, civil.month, civil.day - 1
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        length = 28 if month == 2 and not leap else LENGTHS[month - 1]
        if not self.months >> month - 1 & 1:
            return dom, length, 0
        # 1970-01-01 was a Thursday, 4 counted from Sunday.
        by_weekday = self.weekdays * _SIX_WEEKS >> (day - dom + 4) % 7
        by_day = self.days
        if self.special is not None:
            special_days, special_weekdays = _special(self.special, length, (day - dom + 4) % 7)
            by_day, by_weekday = by_day | special_days, by_weekday | special_weekdays
        bits = by_day | by_weekday if self.either_day else by_day & by_weekday
        return dom, length, bits & (1 << length) - 1


@lru_cache(maxsize=4096)
def _special(special: Special, length: int, first: int) -> tuple[int, int]:
    return special.days(length, first), special.weekdays(length, first)


def _workday(day: int, length: int, first: int) -> int:
    """The working day nearest to ``day`` (from 1), without leaving the month; from 0."""
    weekday = (first + day - 1) % 7
    if weekday == 6:
        return day - 2 if day > 1 else day + 1
    if weekday == 0:
        return day if day < length else day - 3
    return day - 1


def lowest(bits: int) -> int:
    """The place of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
