"""Cron and the change of clocks, against a slow reference that asks zoneinfo about every minute."""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from importlib import resources
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest

from support.schedules import at
from wakeful.core import civil
from wakeful.core.civil import CivilTimes, Dst
from wakeful.core.cron import Cron, Dialect
from wakeful.core.cron_text import parse_cron
from wakeful.core.schedule import compile_recurrence

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)


def crontab(text: str, zone: tzinfo, dst: Dst) -> Cron:
    return parse_cron(text, dialect=Dialect.CRONTAB, zone=zone, dst=dst)


def walk(cron: CivilTimes, since: datetime, through: datetime) -> Iterator[datetime]:
    due = cron.next_after(since - TICK)
    while due is not None and due <= through:
        yield due
        due = cron.next_after(due)


# What each expression means, said a second time and without the parser.
MEANING: dict[str, Callable[[datetime], bool]] = {
    "*/7 * * * *": lambda t: t.minute % 7 == 0,
    "*/15 * * * *": lambda t: t.minute % 15 == 0,
    "30 * * * *": lambda t: t.minute == 30,
    "0 */2 * * *": lambda t: t.minute == 0 and t.hour % 2 == 0,
    "30 1 * * *": lambda t: (t.hour, t.minute) == (1, 30),
    "30 2 * * *": lambda t: (t.hour, t.minute) == (2, 30),
    "0 0 * * *": lambda t: (t.hour, t.minute) == (0, 0),
    "0 3 * * *": lambda t: (t.hour, t.minute) == (3, 0),
    "15,45 0-3 * * *": lambda t: t.hour <= 3 and t.minute in (15, 45),
    "59 23 * * 1-5": lambda t: (t.hour, t.minute) == (23, 59) and t.isoweekday() <= 5,
    "5 2 * * 7": lambda t: (t.hour, t.minute) == (2, 5) and t.isoweekday() == 7,
    "0,20 2 8-14 * sun": lambda t: t.hour == 2 and t.minute in (0, 20) and (8 <= t.day <= 14 or t.isoweekday() == 7),
    "40 0-2 */2 * 0,6": lambda t: t.hour <= 2 and t.minute == 40 and t.day % 2 == 1 and t.isoweekday() >= 6,
    "0 9 30 * *": lambda t: (t.day, t.hour, t.minute) == (30, 9, 0),
    "30 22-2/2 * * *": lambda t: t.hour in (22, 0, 2) and t.minute == 30,
    "0,30 0-3 * * SUN#1,SUN#2,SUNL": lambda t: (
        t.hour <= 3 and t.minute in (0, 30) and t.isoweekday() == 7 and (t.day <= 14 or (t + 7 * DAY).month != t.month)
    ),
    "45 1 LW * *": lambda t: (t.hour, t.minute) == (1, 45) and t.date() == last_workday(t),
}


def last_workday(local: datetime) -> date:
    last = (local.replace(day=1) + 31 * DAY).replace(day=1) - DAY
    return (last - max(0, last.isoweekday() - 5) * DAY).date()


# Forms that are no crontab lines; all begin before what is looked at.
FORMS = {
    "FREQ=DAILY;BYHOUR=0,1,2;BYMINUTE=0,30": lambda t: t.hour <= 2 and t.minute in (0, 30),
    "FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR=2;BYMINUTE=5": lambda t: (t.hour, t.minute) == (2, 5) and t.isoweekday() >= 6,
    "FREQ=HOURLY;BYMINUTE=30": lambda t: t.minute == 30,
    "FREQ=MINUTELY;INTERVAL=15": lambda t: t.minute % 15 == 0,
    "P1D": lambda t: (t.hour, t.minute) == (2, 30),
    "P1DT12H": lambda t: (t - datetime(2020, 1, 1, 2, 30)) % timedelta(hours=36) == timedelta(),
}
MEANING |= FORMS
RECENT = [
    "UTC",
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "America/Nuuk",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Europe/Dublin",
    "Europe/London",
    "Atlantic/Azores",
    "Pacific/Chatham",
    "Asia/Kolkata",
]
# By an hour at two o'clock, and by half an hour on the other side of the world.
QUICK = {"America/New_York", "Australia/Lord_Howe"}
PAST = [
    ("Pacific/Apia", "2011-12-30T00:00Z"),  # a whole day left out
    ("Pacific/Kwajalein", "1993-08-21T00:00Z"),  # the same, from -12 to +12
    ("Pacific/Kwajalein", "1969-10-01T00:00Z"),  # a whole day repeated, before 1970
    ("America/St_Johns", "2006-04-02T03:31Z"),  # changed at one minute past midnight
    ("America/St_Johns", "2006-10-29T02:31Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00Z"),  # no midnight
    ("America/Caracas", "2016-05-01T07:00Z"),  # half an hour, never to come back
    ("Asia/Pyongyang", "2015-08-14T15:00Z"),
]


def changes(name: str) -> list[datetime]:
    """The days of 2024 to 2027 within which the zone's offset changes."""
    zone = ZoneInfo(name)
    days = [datetime(2024, 1, 1, tzinfo=UTC) + day * DAY for day in range(4 * 365 + 2)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [day for day, (before, after) in zip(days, pairwise(offsets), strict=False) if before != after]


def compiled(text: str, zone: tzinfo, dst: Dst) -> CivilTimes:
    if text not in FORMS:
        return crontab(text, zone, dst)
    form = f"DTSTART:20200101T000000 {text}" if "FREQ" in text else f"R/2020-01-01T02:30:00/{text}"
    name = str(zone)
    recurrence = compile_recurrence(form, "crontab", lambda _: ZoneInfo(name), name, dst.value)
    assert isinstance(recurrence, CivilTimes)
    return recurrence


def follows_elapsed_time(text: str) -> bool:
    if text in FORMS:
        return "HOURLY" in text or "MINUTELY" in text
    return any(field.startswith("*") for field in text.split()[:2])


def reference(text: str, zone: tzinfo, dst: Dst, minutes: list[tuple[datetime, datetime]]) -> list[datetime]:
    """Due instants among ``minutes``, pairs of UTC and local time; by round trips of wall times, after PEP 495."""
    matches = MEANING[text]
    if dst is Dst.RAW or follows_elapsed_time(text):
        return [utc for utc, local in minutes if matches(local)]
    due = set()
    wall, end = minutes[0][1] - 3 * HOUR, max(local for _, local in minutes)
    while wall <= end:
        if matches(wall):
            utc = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
            if utc.astimezone(zone).replace(tzinfo=None) == wall:
                due.add(utc)
            elif dst is Dst.ONCE:
                due.add(next(later for later, local in minutes if local > wall))
        wall += MINUTE
    return sorted(utc for utc in due if minutes[0][0] <= utc <= minutes[-1][0])


def check(zone: tzinfo, since: datetime, minutes: int, *, forms: bool = False) -> None:
    """Compares every method with the reference. A change of clocks should be well away from both ends."""
    utcs = [since + minute * MINUTE for minute in range(minutes)]
    both = [(utc, utc.astimezone(zone).replace(tzinfo=None, fold=0)) for utc in utcs]
    through = utcs[-1]
    for text, dst in product(MEANING if forms else MEANING.keys() - FORMS.keys(), Dst):
        if dst is Dst.SKIP and follows_elapsed_time(text):
            continue  # the same as raw and once
        expected = reference(text, zone, dst, both)
        cron, where = compiled(text, zone, dst), f"{text} in {zone} from {since}, {dst}"
        assert list(walk(cron, since, through)) == expected, where
        assert cron.count(since, through) == len(expected), where
        assert cron.last_through(through, since) == (expected[-1] if expected else None), where
        for utc in utcs[::197]:
            here = bisect_right(expected, utc)
            if here < len(expected):
                assert cron.next_after(utc) == expected[here], where
            assert cron.count(since, utc) == here, where
            assert cron.last_through(utc, since) == (expected[here - 1] if here else None), where


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RECENT]
)
def test_every_change_of_clocks_agrees_with_the_reference(name: str) -> None:
    for day in changes(name) or [at("2024-02-28T12:00Z")]:
        check(ZoneInfo(name), day - 6 * HOUR, 34 * 60, forms=True)


@pytest.mark.parametrize(("name", "when"), PAST)
def test_odd_changes_of_the_past_agree_with_the_reference(name: str, when: str) -> None:
    check(ZoneInfo(name), at(when) - 28 * HOUR, 56 * 60)


class OneChange(tzinfo):
    """A zone that changes its offset once, at ``change``."""

    def __init__(self, change: datetime, before: timedelta, after: timedelta) -> None:
        self.change, self.before, self.after = change.replace(tzinfo=None), before, after

    def utcoffset(self, dt: datetime | None) -> timedelta:
        assert dt is not None
        local = dt.replace(tzinfo=None)
        could_be_before, could_be_after = local - self.before < self.change, local - self.after >= self.change
        if could_be_before == could_be_after:
            return self.after if dt.fold else self.before
        return self.before if could_be_before else self.after

    def fromutc(self, dt: datetime) -> datetime:
        is_after = dt.replace(tzinfo=None) >= self.change
        local = dt + (self.after if is_after else self.before)
        return local.replace(fold=int(is_after and local.replace(tzinfo=None) - self.before < self.change))

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> str:
        return "one change"


@pytest.mark.parametrize("minutes", [-30, 0, 1])
@pytest.mark.parametrize(
    "shift", [-HOUR, HOUR, *(pytest.param(shift, marks=pytest.mark.slow) for shift in (13 * HOUR, -13 * HOUR))]
)
def test_it_does_not_matter_where_a_zone_is_cut_into_blocks(minutes: int, shift: timedelta) -> None:
    edge = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=civil._BLOCK) * 214
    zone = OneChange(edge + minutes * MINUTE, -8 * HOUR, -8 * HOUR + shift)
    check(zone, edge - 16 * HOUR, 32 * 60)


def changes_of_offset(data: bytes) -> list[int]:
    """When, in seconds since 1970, a TZif file changes the offset (RFC 9636: the second block is the 64-bit one)."""
    at = 0
    for width in (4, 8):
        isut, isstd, leap, times, types, chars = struct.unpack_from(">6l", data, at + 20)
        at, start = at + 44 + times * (width + 1) + types * 6 + chars + leap * (width + 4) + isstd + isut, at + 44
    instants = struct.unpack_from(f">{times}q", data, start)
    kinds = data[start + 8 * times :][:times]
    offsets = [struct.unpack_from(">l", data, start + 9 * times + 6 * kind)[0] for kind in kinds]
    return [when for when, (before, after) in zip(instants[1:], pairwise(offsets), strict=True) if before != after]


def test_no_zone_changes_twice_between_two_looks_of_the_evaluator() -> None:
    names = resources.files("tzdata").joinpath("zones").read_text().split()
    assert len(names) > 500
    for name in names:
        found = changes_of_offset(resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes())
        assert all(later - earlier > 3 * 86_400 for earlier, later in pairwise(found) if earlier > -2_208_988_800), name


def test_an_offset_with_seconds_is_kept_to_the_second() -> None:
    # Liberia was 0:44:30 behind until 1972-01-07.
    zone, since = ZoneInfo("Africa/Monrovia"), at("1972-01-06T23:00Z")
    seconds = [since + timedelta(seconds=second) for second in range(3 * 3600)]
    expected = [utc for utc in seconds if utc.astimezone(zone).second == 7 and utc.astimezone(zone).minute % 10 == 0]
    cron = parse_cron("7 */10 * * * *", dialect=Dialect.DAPR, zone=zone, dst=Dst.RAW)
    assert list(walk(cron, since, seconds[-1])) == expected
    assert cron.count(since, seconds[-1]) == len(expected)


@pytest.mark.parametrize(
    ("zone", "counts"),
    [
        ("UTC", "365/365/365 365/365/365 364/364/364 4379/4379/4379"),
        ("America/New_York", "366/365/365 364/365/364 365/365/365 4379/4379/4379"),
        ("Europe/London", "365/365/364 365/365/365 364/364/364 4379/4379/4379"),
        ("America/Santiago", "365/365/365 365/365/365 364/365/364 4379/4379/4379"),
        ("Africa/Cairo", "365/365/365 365/365/365 364/365/364 4378/4378/4378"),
        ("Australia/Lord_Howe", "366/365/365 365/365/365 365/365/365 4379/4379/4379"),
        ("Antarctica/Troll", "365/365/364 365/365/364 364/364/364 4379/4379/4379"),
    ],
)
def test_the_year_2026_has_as_many_runs_as_each_policy_promises(zone: str, counts: str) -> None:
    since, through = at("2026-01-01T00:00Z") + TICK, at("2027-01-01T00:00Z") - TICK
    texts = ("30 1 * * *", "30 2 * * *", "0 0 * * *", "0 */2 * * *")
    crons = [[crontab(text, ZoneInfo(zone), dst) for dst in (Dst.RAW, Dst.ONCE, Dst.SKIP)] for text in texts]
    assert " ".join("/".join(str(cron.count(since, through)) for cron in row) for row in crons) == counts
