"""cronsim, another evaluator, agrees around the changes of clocks; where it does not, it is shown to be wrong."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from wakeful.core.civil import Dst
from wakeful.core.cron import Dialect
from wakeful.core.cron_text import parse_cron

TEXTS = [
    *("*/15 * * * *", "30 * * * *", "0 */2 * * *", "30 1 * * *", "30 2 * * *", "0 0 * * *", "15,45 0-3 * * *"),
    *("* 2 * * *", "0 2 L * *", "30 2 * * SUN#2,0L", "0 3 LW * *", "5 2 * * 7", "0 0 1 * *"),
]
ZONES = [
    *("America/New_York", "America/Havana", "America/Santiago", "America/Nuuk", "Africa/Cairo", "Africa/Casablanca"),
    *("Asia/Beirut", "Asia/Gaza", "Antarctica/Troll", "Europe/Dublin", "Europe/London", "Atlantic/Azores"),
]


def ours(text: str, zone: ZoneInfo, since: datetime, through: datetime) -> list[datetime]:
    cron = parse_cron(text, dialect=Dialect.CRONTAB, zone=zone, dst=Dst.ONCE)
    found, due = [], cron.next_after(since)
    while due is not None and due <= through:
        found.append(due)
        due = cron.next_after(due)
    return found


def theirs(text: str, zone: ZoneInfo, since: datetime, through: datetime) -> list[datetime]:
    found = []
    for due in CronSim(text, since.astimezone(zone)):
        if due.astimezone(UTC) > through:
            break
        found.append(due.astimezone(UTC))
    return found


def days_of_change(zone: ZoneInfo) -> list[datetime]:
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(365)]
    offsets = [day.astimezone(zone).utcoffset() for day in [*days, days[-1] + timedelta(days=1)]]
    return [day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after]


@pytest.mark.parametrize(
    "text",
    [
        *("30 4 1,15 * 5", "*/13 2-5 * 2 *", "0 0 29 2 *", "7 7 */9 */5 3", "0 12 31 * 1-5"),
        *("0 0 L * *", "15 10 LW * *", "0 0 * * 5L", "30 9 * * MON#1", "0 12 * * FRI#5", "0 0 L 2 *", "7 7 L * 1#3"),
    ],
)
def test_cronsim_agrees_in_utc(text: str) -> None:
    due = datetime(2027, 2, 27, 13, 14, 15, tzinfo=UTC)
    second_opinion, cron = CronSim(text, due), parse_cron(text, dialect=Dialect.CRONTAB, zone=UTC, dst=Dst.RAW)
    for _ in range(60):
        found = cron.next_after(due)
        assert found == next(second_opinion)
        assert found is not None
        due = found


@pytest.mark.parametrize("name", ZONES)
def test_cronsim_agrees_around_every_change_of_whole_hours(name: str) -> None:
    zone = ZoneInfo(name)
    assert days_of_change(zone)
    for day in days_of_change(zone):
        since, through = day - timedelta(days=2), day + timedelta(days=3)
        for text in TEXTS:
            assert theirs(text, zone, since, through) == ours(text, zone, since, through), f"{text} in {name}, {day}"


@pytest.mark.parametrize(
    ("text", "name", "since", "lost"),
    [
        ("30 * * * *", "Australia/Lord_Howe", "2026-10-03T12:00+00:00", "2026-10-03T15:30+00:00"),
        ("30 * * * *", "Australia/Lord_Howe", "2026-04-04T12:00+00:00", "2026-04-04T15:00+00:00"),
        ("0 */2 * * *", "Australia/Lord_Howe", "2026-04-04T12:00+00:00", "2026-04-04T15:30+00:00"),
        ("5,35 */6 * * *", "Australia/Lord_Howe", "2026-04-04T12:00+00:00", "2026-04-04T19:35+00:00"),
        ("* 2 * * *", "Australia/Lord_Howe", "2026-04-04T12:00+00:00", "2026-04-04T15:59+00:00"),
        ("* 2 * * *", "Pacific/Chatham", "2026-04-04T12:00+00:00", "2026-04-04T14:14+00:00"),
    ],
)
def test_cronsim_loses_matching_minutes_where_clocks_shift_by_less_or_at_odd_minutes(
    text: str, name: str, since: str, lost: str
) -> None:
    zone, begin, instant = ZoneInfo(name), datetime.fromisoformat(since), datetime.fromisoformat(lost)
    minute, hour = text.split()[:2]
    local = instant.astimezone(zone)
    assert minute == "*" or str(local.minute) in minute.split(",")
    assert hour in ("*", str(local.hour)) or (hour.startswith("*/") and local.hour % int(hour[2:]) == 0)
    through = begin + timedelta(hours=9)
    assert instant in ours(text, zone, begin, through)
    assert instant not in theirs(text, zone, begin, through)
