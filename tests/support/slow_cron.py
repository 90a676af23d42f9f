"""Cron said a second time, slowly: every local minute is looked at, every month's days are listed, nothing is clever.

It shares no code with wakeful. A field is a set of numbers, a month is a list of dates, and a zone is what zoneinfo
says about each minute of UTC.
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from itertools import compress

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOCAL_EPOCH = datetime(1970, 1, 1)
NAMES = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
NAMES |= {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6}
NAMES |= {"jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12}


def minute_of(instant: datetime) -> int:
    """Minutes since 1970."""
    return (instant - EPOCH) // MINUTE


def instant_of(minute: int) -> datetime:
    return EPOCH + minute * MINUTE


# --- One expression ---------------------------------------------------------------------------------------------------


def number(text: str) -> int:
    return int(text) if text.isdigit() else NAMES[text.lower()]


def values(text: str, low: int, high: int) -> set[int]:
    """The numbers of a plain field; ranges may wrap around, and then count on from ``low`` after ``high``."""
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if first in ("*", "?"):
            circle = list(range(low, high + 1))
        else:
            begin = number(first)
            end = number(last) if last else (high if step else begin)
            begin = low if begin > high else begin  # 7 for Sunday, where the week has six others
            circle = [begin]
            while circle[-1] != end:
                circle.append(circle[-1] + 1 if circle[-1] < high else low)
        found |= set(circle[:: int(step or 1)])
    return found


@cache
def days_of_month(year: int, month: int) -> list[date]:
    day, found = date(year, month, 1), []
    while day.month == month:
        found.append(day)
        day += DAY
    return found


def in_day_field(text: str, day: date) -> bool:
    month = days_of_month(day.year, day.month)
    workdays = [each for each in month if each.isoweekday() <= 5]
    for item in text.upper().split(","):
        if item == "LW":
            due = day == workdays[-1]
        elif match := re.fullmatch(r"L(?:-(\d+))?", item):
            back = int(match[1] or 0)
            due = back < len(month) and day == month[-1 - back]
        elif match := re.fullmatch(r"(\d+)W", item):
            there = int(match[1]) <= len(month)
            due = there and day == min(workdays, key=lambda each: abs(each.day - int(match[1])))
        else:
            due = day.day in values(item, 1, 31)
        if due:
            return True
    return False


def in_weekday_field(text: str, day: date) -> bool:
    same = [each for each in days_of_month(day.year, day.month) if each.weekday() == day.weekday()]
    weekday = day.isoweekday() % 7
    for item in text.split(","):
        if match := re.fullmatch(r"(\w+)#(\d)", item):
            due = number(match[1]) % 7 == weekday and same.index(day) + 1 == int(match[2])
        elif match := re.fullmatch(r"(\d|[a-zA-Z]{3})[lL]", item):
            due = number(match[1]) % 7 == weekday and same[-1] == day
        else:
            # Sunday has two numbers, and so a range that wraps around goes from 6 to 0 or from 7 to 1.
            due = weekday in {each % 7 for each in values(item, 0, 6 if wraps(item) else 7)}
        if due:
            return True
    return False


def wraps(item: str) -> bool:
    first, _, last = item.partition("/")[0].partition("-")
    return bool(last) and number(first) > number(last)


@dataclass(frozen=True)
class SlowCron:
    """Five fields, read as Vixie cron does, with ``L``, ``W`` and ``#``."""

    text: str
    fields: list[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", self.text.split())

    @property
    def elapsed(self) -> bool:
        return any(each.startswith(("*", "?")) for each in self.fields[:2])

    def due_on(self, day: date) -> bool:
        if day.month not in values(self.fields[3], 1, 12):
            return False
        by_day, by_weekday = in_day_field(self.fields[2], day), in_weekday_field(self.fields[4], day)
        star = any(each.startswith(("*", "?")) for each in (self.fields[2], self.fields[4]))
        return (by_day and by_weekday) if star else (by_day or by_weekday)

    def minutes(self) -> list[int]:
        """The minutes of a day at which it is due."""
        hours = sorted(values(self.fields[1], 0, 23))
        return [hour * 60 + minute for hour in hours for minute in sorted(values(self.fields[0], 0, 59))]


# --- One zone ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SlowZone:
    """What the clocks of a zone show, minute by minute of UTC from ``first`` on.

    ``local`` is the minute shown, counted from ``low``, and ``new`` whether it is shown for the first time; ``gaps``
    are the minutes that are never shown, each with the first minute of UTC after it.
    """

    first: int
    local: "array[int]"
    new: bytearray
    gaps: list[tuple[int, int]]

    def shown(self, flags: bytearray) -> list[int]:
        """The minutes of UTC at which a local minute that is flagged is shown."""
        return list(compress(range(self.first, self.first + len(self.local)), map(flags.__getitem__, self.local)))

    def due(self, shown: list[int], flags: bytearray, policy: str) -> list[int]:
        """Those of them at which it is due, and what is due after a gap."""
        if policy == "raw":
            return shown
        found = {utc for utc in shown if self.new[utc - self.first]}
        if policy == "once":
            found |= {after for missing, after in self.gaps if flags[missing]}
        return sorted(found)


def look_at(zone: tzinfo, since: datetime, through: datetime, low: int) -> SlowZone:
    """Asks zoneinfo about every minute in [``since``, ``through``]; no local one lies before ``low``."""
    first, count = minute_of(since), minute_of(through) - minute_of(since) + 1
    local = array("l", (minute - low for minute in shown_by(zone, since, count)))
    seen, new = bytearray(max(local) + 1), bytearray(count)
    for index, minute in enumerate(local):
        new[index] = not seen[minute]
        seen[minute] = 1
    return SlowZone(first, local, new, list(gaps_of(local, first)))


def shown_by(zone: tzinfo, since: datetime, count: int) -> Iterator[int]:
    here = since.astimezone(UTC)
    for _ in range(count):
        yield (here.astimezone(zone).replace(tzinfo=None) - LOCAL_EPOCH) // MINUTE
        here += MINUTE


def gaps_of(local: Iterable[int], first: int) -> Iterator[tuple[int, int]]:
    reached: int | None = None
    for utc, minute in enumerate(local, first):
        if reached is not None:
            yield from ((missing, utc) for missing in range(reached + 1, minute))
        reached = minute if reached is None else max(reached, minute)


def flags_of(cron: SlowCron, low: int, high: int) -> bytearray:
    """For each local minute in [``low``, ``high``), both at midnight, whether it matches."""
    flags, minutes = bytearray(high - low), cron.minutes()
    for start in range(low, high, 1440):
        if cron.due_on((LOCAL_EPOCH + start * MINUTE).date()):
            for minute in minutes:
                flags[start - low + minute] = 1
    return flags
