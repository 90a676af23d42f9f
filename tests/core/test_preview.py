"""What a person is told of a schedule: one line of what was understood, the next instants, and what may surprise."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from support.schedules import at
from wakeful.core.preview import MOST_INSTANTS, Preview, describe, preview, warnings
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
NEW_YORK, TROLL = "America/New_York", "Antarctica/Troll"
ONCE = "a time that daylight saving skips runs at the first moment after, a repeated one once"
SKIP = "a time that daylight saving skips does not run, a repeated one runs once"
RAW = "a time that daylight saving skips does not run, a repeated one runs twice"
ELAPSED = "it follows elapsed time through daylight saving"


def parse(schedule: str | None, syntax: str = "crontab", **given: Any) -> Schedule:
    return parse_schedule(ScheduleText(schedule, **given), syntax, NOW, ZoneInfo)


# --- One line ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "given", "line"),
    [
        ("30 2 * * *", {"zone": NEW_YORK}, f"at 02:30 every day, America/New_York; {ONCE}"),
        ("30 2 * * *", {"zone": NEW_YORK, "dst": "skip"}, f"at 02:30 every day, America/New_York; {SKIP}"),
        ("30 2 * * *", {"zone": NEW_YORK, "dst": "raw"}, f"at 02:30 every day, America/New_York; {RAW}"),
        ("*/15 * * * *", {"zone": NEW_YORK}, f"every 15 minutes, America/New_York; {ELAPSED}"),
        ("*/20 2 * * *", {"zone": NEW_YORK}, f"at 02:00, 02:20, 02:40 every day, America/New_York; {RAW}"),
        ("* * * * *", {}, "every minute, UTC"),
        ("*/10 * * * * *", {}, "every 10 seconds, UTC"),
        ("5 * * * *", {}, "at minute 5 of every hour, UTC"),
        ("*/5 9-17 * * 1-5", {}, "every 5 minutes of the hours 9 to 17 on Monday to Friday, UTC"),
        ("0 */2 * * *", {}, "at minute 0 of the hours 0 to 22 in steps of 2 every day, UTC"),
        ("15 30 9,18 * * *", {}, "at 09:30:15, 18:30:15 every day, UTC"),
        ("0 0 13 * FRI", {}, "at 00:00 on day 13 of the month, and also on Friday, UTC"),
        ("0 0 */10 * FRI", {}, "at 00:00 on day 1, 11, 21, 31 of the month if it is Friday, UTC"),
        ("0 0 1 1,7 *", {}, "at 00:00 on day 1 of the month in January, July, UTC"),
        ("0 0 LW * *", {}, "at 00:00 on the last working day of the month, UTC"),
        ("0 0 L-1,15W * *", {}, "at 00:00 on the day 1 day before the last of the month or the working day nearest to"),
        ("0 0 * * FRI#2,MONL", {}, "at 00:00 on the 2nd Friday of the month or the last Monday of the month, UTC"),
        ("@every 90s", {}, "every 1 minute 30 seconds"),
        ("@every 1h", {}, "every hour"),
        ("@every 100ms", {}, "every 0.1 seconds"),
        ("R5/PT10S", {}, "every 10 seconds, 5 runs at most"),
        ("R/2026-01-31T09:00:00Z/P1M", {}, "every month, counted from 2026-01-31 09:00:00 local time, UTC"),
        ("R3/2026-05-01T00:00:00Z/PT1H", {}, "every hour, counted from 2026-05-01 00:00:00 UTC, 3 occurrences in all"),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0",
            {"zone": NEW_YORK, "repeats": 3},
            "every 2 weeks on Monday, Wednesday at 09:00, counted from 2026-03-05 07:00:00 local time, "
            f"America/New_York, 3 runs at most; {ONCE}",
        ),
        (
            "DTSTART:20260101T090000 FREQ=MONTHLY;BYDAY=-1FR;COUNT=9",
            {},
            "every month on the last Friday 9 times, counted from 2026-01-01 09:00:00 local time, UTC",
        ),
        ("2026-04-01T10:00", {"zone": "Europe/Rome"}, "once, at 2026-04-01 08:00:00 UTC"),
        (None, {"due_time": "1h"}, "once, at 2026-03-05 13:00:00 UTC"),
        ("@daily", {"due_time": "1h"}, "first at 2026-03-05 13:00:00 UTC, then at 00:00 every day, UTC"),
        (
            "@daily",
            {"start_at": "P1D", "until_at": "P1Y", "repeats": 1},
            "at 00:00 every day, UTC, from 2026-03-06 12:00:00 UTC on, until 2027-03-05 12:00:00 UTC, 1 run at most",
        ),
    ],
)
def test_a_schedule_is_told_in_one_line(text: str | None, given: dict[str, Any], line: str) -> None:
    told = describe(parse(text, **given))
    assert told.startswith(line)
    assert "\n" not in told


def test_a_schedule_of_daprs_is_told_too() -> None:
    assert describe(parse("0 30 9 * * *", "dapr")) == "at 09:30 every day, UTC"
    assert describe(parse("TZ=America/New_York @daily", "dapr")) == f"at 00:00 every day, America/New_York; {RAW}"
    assert describe(parse("@every 5s", "dapr", repeats=2, due_time="1m")).startswith("first at 2026-03-05 12:01:00 UTC")


# --- The next instants ------------------------------------------------------------------------------------------------


def test_a_preview_shows_what_is_due_after_an_instant() -> None:
    assert preview(parse("0 9 * * *"), NOW, 2).instants == (at("2026-03-06T09:00Z"), at("2026-03-07T09:00Z"))
    assert preview(parse("0 9 * * *"), at("2027-01-01T09:00Z"), 1).instants == (at("2027-01-02T09:00Z"),)
    assert preview(parse("@every 1h"), at("2026-03-06T00:30Z"), 1).instants == (at("2026-03-06T01:00Z"),)
    assert preview(parse("@every 1h"), NOW, 0) == Preview((), ())
    assert preview(parse("@every 1h"), NOW, -1) == Preview((), ())
    assert len(preview(parse("@every 1h"), NOW, 10**9).instants) == MOST_INSTANTS


def test_a_preview_takes_what_was_due_before_as_run() -> None:
    schedule = parse("@every 1h", repeats=5)
    assert preview(schedule, at("2026-03-05T15:30Z"), 10).instants == (at("2026-03-05T16:00Z"), at("2026-03-05T17:00Z"))
    assert preview(schedule, at("2026-03-06T12:00Z"), 10).instants == ()


def test_a_preview_of_a_far_later_time_walks_nothing() -> None:
    shown = preview(parse("* * * * * *"), at("2150-01-01T00:00Z"), 1)
    assert shown.instants == (at("2150-01-01T00:00:01Z"),)


# --- What may surprise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["* * * * *", "*/15 * * * *", "30 9 * * 1-5", "@every 5m", "@daily", "R/P1D", "0 0 L * *"]
)
def test_an_ordinary_schedule_has_no_warnings(text: str) -> None:
    assert warnings(parse(text, zone="Asia/Tokyo"), NOW) == ()


@pytest.mark.parametrize(
    ("text", "given", "warning"),
    [
        ("2020-01-01T00:00:00Z", {}, "2020-01-01 00:00:00 UTC has passed: it is due at once"),
        ("@daily", {"repeats": 2}, "it ends: the last instant is 2026-03-07 00:00:00 UTC"),
        ("@daily", {"until_at": "P3D"}, "it ends: the last instant is 2026-03-08 00:00:00 UTC"),
        ("0 0 29 2 *", {}, "the first instant is more than a year away: 2028-02-29 00:00:00 UTC"),
        ("@daily", {"start_at": "P2Y"}, "the first instant is more than a year away: 2028-03-06 00:00:00 UTC"),
        ("0 0 13 * 5", {}, "day of month 13 and day of week 5 are both given, and either is enough"),
        ("*/7 * * * *", {}, "uneven step: */7 in the minute field starts anew each hour, after a shorter interval"),
        ("5/7 * * * *", {}, "uneven step: 5/7 in the minute field starts anew each hour, after a shorter interval"),
        ("*/40 * * * * *", {}, "uneven step: */40 in the second field starts anew each minute"),
        ("0 */5 * * *", {}, "uneven step: */5 in the hour field starts anew each day"),
        ("0 0 */2 * *", {}, "uneven step: */2 in the day of month field starts anew each month"),
        ("0 0 * * */2", {}, "uneven step: */2 in the day of week field starts anew each week"),
        ("*/90 * * * *", {}, "uneven step: */90 in the minute field names one value only in each hour"),
        ("@every 50ms", {}, "it is due 20 times a second"),
        (
            "30 2 * * *",
            {"zone": NEW_YORK},
            "the clocks go forward to 2026-03-08 03:00:00 America/New_York (2026-03-08 07:00:00 UTC): 1 time that they "
            "skip will be due then, once",
        ),
        ("30 2 * * *", {"zone": NEW_YORK, "dst": "skip"}, "the clocks go forward to 2026-03-08 03:00:00 America/New_"),
        ("0,30 1,2 * * *", {"zone": TROLL, "start_at": "2026-03-28T00:00:00Z"}, "the clocks go forward to 2026-03-29"),
        (
            "30 1 * * *",
            {"zone": NEW_YORK, "start_at": "2026-10-30T00:00:00Z"},
            "the clocks go back to 2026-11-01 01:00:00 America/New_York (2026-11-01 06:00:00 UTC): 1 time that they "
            "show twice will be due the first time only",
        ),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", {"zone": NEW_YORK}, "the clocks go forward to 2026-03-08 03:00:00"),
        (
            "*/15 2 * * *",
            {"zone": NEW_YORK},
            "the clocks go forward to 2026-03-08 03:00:00 America/New_York (2026-03-08 07:00:00 UTC): 4 times that "
            "they skip will be left out",
        ),
        ("0 */2 * * *", {"zone": NEW_YORK, "start_at": "2026-03-08T00:00:00Z"}, "the clocks go forward to 2026-03-08"),
        (
            "*/15 1 * * *",
            {"zone": NEW_YORK, "start_at": "2026-10-31T12:00:00Z"},
            "the clocks go back to 2026-11-01 01:00:00 America/New_York (2026-11-01 06:00:00 UTC): 4 times that they "
            "show twice will be due twice",
        ),
        (
            "FREQ=MINUTELY;INTERVAL=15;BYHOUR=2;BYSECOND=0",
            {"zone": NEW_YORK, "start_at": "2026-03-08T00:00:00Z"},
            "the clocks go forward to 2026-03-08 03:00:00",
        ),
    ],
)
def test_a_surprise_is_told_before_it_comes(text: str, given: dict[str, Any], warning: str) -> None:
    found = warnings(parse(text, **given), NOW)
    assert [each for each in found if each.startswith(warning)], found


@pytest.mark.parametrize(
    "text", ["*/15 * * * *", "*/7 * * * *", "0 * * * *", "FREQ=HOURLY", "FREQ=MINUTELY;INTERVAL=30"]
)
def test_what_is_due_in_every_hour_follows_elapsed_time_without_a_word(text: str) -> None:
    for start in ("2026-03-08T05:00:00Z", "2026-11-01T04:00:00Z"):
        told = warnings(parse(text, zone=NEW_YORK, start_at=start), NOW)
        assert [each for each in told if "clocks" in each] == []


def test_each_policy_says_its_own_fate() -> None:
    def fates(dst: str, start: str) -> list[str]:
        told = warnings(parse("30 1,2 * * *", zone=NEW_YORK, dst=dst, start_at=start), NOW)
        return [each.rpartition(" will be ")[2] for each in told if "clocks" in each]

    assert [fates(dst, "P1D") for dst in ("once", "skip", "raw")] == [["due then, once"], ["left out"], ["left out"]]
    first = ["due the first time only"]
    assert [fates(dst, "2026-10-31T00:00:00Z") for dst in ("once", "skip", "raw")] == [first, first, ["due twice"]]


def test_an_ended_schedule_says_so() -> None:
    schedule = parse("@daily", until_at="P3D")
    after = NOW + timedelta(days=10)
    assert preview(schedule, after, 3) == Preview((), ("it is never due after 2026-03-15 12:00:00 UTC",))


def test_a_schedule_of_zero_is_told_to_come_all_at_once() -> None:
    told = warnings(parse("@every 0s", "dapr", repeats=3), NOW)
    assert "its interval is zero: all its repeats are due at the same instant" in told
