"""The stretches of days on which a job's calendars let it run, or not; found without going from day to day."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from wakeful.core.job import Calendar

_DAY = timedelta(days=1)
BEGINNING, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Stretch(NamedTuple):
    """Instants from ``start`` through ``end`` that are all allowed, or all excluded: ``closed_by`` that calendar."""

    closed_by: str | None
    start: datetime
    end: datetime


class _Days(NamedTuple):
    """Days in a row on which a calendar lets everything run, or nothing."""

    closed: bool
    first: date
    last: date


def stretch_around(calendars: Sequence[Calendar], zone: tzinfo, instant: datetime) -> Stretch:
    """The stretch that an instant lies in. Of several calendars that exclude it, that counts which does so longest."""
    if not calendars:
        return Stretch(None, BEGINNING, END)
    day = instant.astimezone(zone).date()
    each = [_days_around(calendar, day) for calendar in calendars]
    closed = [days for days in each if days.closed]
    if not closed:
        first, last = max(days.first for days in each), min(days.last for days in each)
        return _stretch(None, first, last, instant, zone)
    last = max(days.last for days in closed)
    by = next(
        calendar.name for calendar, days in zip(calendars, each, strict=True) if days.closed and days.last == last
    )
    return _stretch(by, min(days.first for days in closed), last, instant, zone)


def _stretch(closed_by: str | None, first: date, last: date, instant: datetime, zone: tzinfo) -> Stretch:
    start = BEGINNING if first == date.min else _midnight(first, zone)
    end = END if last == date.max else _midnight(last + _DAY, zone) - timedelta.resolution
    # Where a clock was turned at midnight, an instant may lie outside its day.
    return Stretch(closed_by, min(start, instant), max(end, instant))


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _days_around(calendar: Calendar, day: date) -> _Days:
    firsts, lasts = _in_a_row(calendar.dates)
    place = bisect_right(firsts, day) - 1
    if place >= 0 and day <= lasts[place]:
        return _Days(not calendar.keep, firsts[place], lasts[place])
    first = date.min if place < 0 else lasts[place] + _DAY
    last = date.max if place + 1 == len(firsts) else firsts[place + 1] - _DAY
    return _Days(calendar.keep, first, last)


@lru_cache(maxsize=256)
def _in_a_row(dates: frozenset[date]) -> tuple[Sequence[date], Sequence[date]]:
    """The first and the last dates of those that follow each other without a gap."""
    firsts: list[date] = []
    lasts: list[date] = []
    for day in sorted(dates):
        if lasts and day - lasts[-1] == _DAY:
            lasts[-1] = day
        else:
            firsts.append(day)
            lasts.append(day)
    return firsts, lasts
