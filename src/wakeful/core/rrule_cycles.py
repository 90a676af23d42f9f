"""Rules that come round every so many days, hours, minutes or seconds: their times are found by arithmetic.

Which days and which parts of a day a rule names lies in bytes, one for each, with a 1 where it does. To look for the
next of them, to count them and to combine them takes no loop of ours, however rarely all parts of a rule agree.
"""

from bisect import bisect_left
from calendar import isleap, monthrange
from functools import lru_cache
from itertools import product
from math import gcd
from typing import NamedTuple

from wakeful.core.civil import DAY_S, END_S

Numbers = tuple[int, ...]
Times = tuple[Numbers, Numbers, Numbers]

_DAYS = END_S // DAY_S
_FIRST_YEAR, _YEARS = 1970, 330
# 1970-01-01 was a Thursday, 3 counted from Monday.
_FIRST_WEEKDAY = 3


class Cycle(NamedTuple):
    """Every ``interval`` units of ``unit_s`` seconds from ``start`` on, where the numbers, if there are any, allow it.

    ``times`` are hours, minutes and seconds: of those smaller than the unit, each is due within a unit.
    """

    unit_s: int
    interval: int
    start: int
    months: Numbers
    monthdays: Numbers
    weekdays: Numbers
    times: Times

    def next_at(self, local: int) -> int | None:
        """The first time at or after ``local``."""
        days = _days(self)
        day, second = divmod(local, DAY_S)
        if day < _DAYS and days[day] and (at := self._first(day, second)) is not None:
            return day * DAY_S + at
        day = days.find(1, day + 1)
        at = None if day < 0 else self._first(day, 0)
        return None if at is None else day * DAY_S + at

    def last_before(self, low: int, high: int) -> int | None:
        """The last time in [``low``, ``high``)."""
        days = _days(self)
        day, second = divmod(high, DAY_S)
        at = self._last(day, second) if day < _DAYS and days[day] else None
        if at is None:
            day = days.rfind(1, 0, max(day, 0))
            at = None if day < 0 else self._last(day, DAY_S)
        return None if at is None or day * DAY_S + at < low else day * DAY_S + at

    def count_in(self, low: int, high: int) -> int:
        """How many times lie in [``low``, ``high``)."""
        if low >= high:
            return 0
        days = _days(self)
        first, last = low // DAY_S, high // DAY_S
        whole = self._whole(days, first, min(last, _DAYS))
        if last < _DAYS and days[last]:
            whole += self._below(last, high % DAY_S)
        return whole - (self._below(first, low % DAY_S) if first < _DAYS and days[first] else 0)

    def _whole(self, days: bytes, first: int, last: int) -> int:
        """How many times the days from ``first`` up to ``last`` have."""
        period = _period(self.unit_s, self.interval)
        total = 0
        if period < last - first:
            # What comes round has as many times as before.
            for day in range(first, first + period):
                if same := days[day:last:period].count(1):
                    total += same * _in_day(self.unit_s, self.interval, self._phase(day), self.times)
            return total
        day = days.find(1, first, last)
        while day >= 0:
            total += _in_day(self.unit_s, self.interval, self._phase(day), self.times)
            day = days.find(1, day + 1, last)
        return total

    def _phase(self, day: int) -> int:
        """Which unit of a day is the first in which the interval comes round."""
        return (self.start // self.unit_s - day * (DAY_S // self.unit_s)) % self.interval

    def _first(self, day: int, second: int) -> int | None:
        """The first time of a day at or after ``second``."""
        offsets, (named, rank, past) = _offsets(self.unit_s, self.times), self._place(day, second)
        found = named.find(1, rank + (past == len(offsets)))
        return None if found < 0 else self._at(day, found) + offsets[past if found == rank else 0]

    def _last(self, day: int, second: int) -> int | None:
        """The last time of a day before ``second``."""
        offsets, (named, rank, past) = _offsets(self.unit_s, self.times), self._place(day, second)
        found = rank if past else named.rfind(1, 0, rank)
        return None if found < 0 else self._at(day, found) + offsets[past - 1]

    def _below(self, day: int, second: int) -> int:
        """How many times of a day lie before ``second``."""
        named, rank, past = self._place(day, second)
        return named.count(1, 0, rank) * len(_offsets(self.unit_s, self.times)) + past

    def _at(self, day: int, rank: int) -> int:
        """The second of a day at which the interval comes round so many times after the first."""
        return (self._phase(day) + rank * self.interval) * self.unit_s

    def _place(self, day: int, second: int) -> tuple[bytes, int, int]:
        """The units of a day in which the interval comes round, with a 1 for each that is named.

        Then how many of them lie before the unit of ``second``, and how many times of that unit before ``second``.
        """
        phase = self._phase(day)
        named = _units(self.unit_s, self.times)[phase :: self.interval]
        unit, within = divmod(second, self.unit_s)
        rank = max(0, -((phase - unit) // self.interval))
        if rank < len(named) and named[rank] and phase + rank * self.interval == unit:
            return named, rank, bisect_left(_offsets(self.unit_s, self.times), within)
        return named, rank, 0


def _period(unit_s: int, interval: int) -> int:
    """After how many days the interval comes round at the same times again."""
    return interval // gcd(DAY_S // unit_s, interval)


@lru_cache(maxsize=64)
def _days(cycle: Cycle) -> bytes:
    """The days from 1970 to 2299 that have a time."""
    wheel = _wheel(cycle.unit_s, cycle.interval, cycle.start // cycle.unit_s, cycle.times)
    found = (wheel * (_DAYS // len(wheel) + 1))[:_DAYS]
    if cycle.months or cycle.monthdays:
        years = [_year(cycle.months, cycle.monthdays, leap) for leap in (False, True)]
        dates = b"".join(years[isleap(year)] for year in range(_FIRST_YEAR, _FIRST_YEAR + _YEARS))
        found = _both(found, dates)
    if cycle.weekdays:
        week = bytes((_FIRST_WEEKDAY + day) % 7 in cycle.weekdays for day in range(7))
        found = _both(found, (week * (_DAYS // 7 + 1))[:_DAYS])
    return found


def _both(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) & int.from_bytes(right)).to_bytes(len(left))


def _year(months: Numbers, monthdays: Numbers, leap: bool) -> bytes:
    """The days of a year that the numbers of months, and those of their days, allow."""
    found = bytearray()
    for month in range(1, 13):
        length = monthrange(2024 if leap else 2023, month)[1]
        named = not months or month in months
        found += bytes(
            named and (not monthdays or day in monthdays or day - length - 1 in monthdays)
            for day in range(1, length + 1)
        )
    return bytes(found)


@lru_cache(maxsize=256)
def _wheel(unit_s: int, interval: int, first: int, times: Times) -> bytes:
    """The days of one period that have a time, from 1970-01-01 on."""
    phases, units = _phases(unit_s, interval, times), DAY_S // unit_s
    return bytes([phases[(first - day * units) % interval] for day in range(_period(unit_s, interval))])


@lru_cache(maxsize=256)
def _phases(unit_s: int, interval: int, times: Times) -> bytes:
    """With which phases a day has a time."""
    units = _units(unit_s, times)
    if interval * interval <= len(units):
        return bytes(1 in units[phase::interval] for phase in range(interval))
    folded = 0
    for at in range(0, len(units), interval):
        folded |= int.from_bytes(units[at : at + interval].ljust(interval, b"\0"))
    return folded.to_bytes(interval)


@lru_cache(maxsize=4096)
def _in_day(unit_s: int, interval: int, phase: int, times: Times) -> int:
    """How many times a day has."""
    return _units(unit_s, times)[phase::interval].count(1) * len(_offsets(unit_s, times))


@lru_cache(maxsize=256)
def _units(unit_s: int, times: Times) -> bytes:
    """The units of a day that are named."""
    found = b"\1"
    for size, count, numbers in reversed(list(zip((3600, 60, 1), (24, 60, 60), times, strict=True))):
        if size >= unit_s:
            empty = bytes(len(found))
            found = b"".join(found if not numbers or number in numbers else empty for number in range(count))
    return found


@lru_cache(maxsize=256)
def _offsets(unit_s: int, times: Times) -> Numbers:
    """The seconds after the beginning of a unit at which something is due."""
    inner = [numbers if size < unit_s else (0,) for size, numbers in zip((3600, 60, 1), times, strict=True)]
    return tuple(sorted({hour * 3600 + minute * 60 + second for hour, minute, second in product(*inner)}))
