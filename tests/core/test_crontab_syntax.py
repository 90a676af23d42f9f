"""The syntax ``crontab``: every form of a schedule, in a zone, from a start through an end."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from support.schedules import at, refusal_of, ticks
from wakeful.core.describe import describe
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.preview import preview
from wakeful.core.schedule import Passed, Schedule, ScheduleText, compile_recurrence, parse_schedule

NOW = datetime(2026, 3, 5, 12, 0, 0, 250_000, tzinfo=UTC)
KNOWN = {name: ZoneInfo(name) for name in ("America/New_York", "Europe/Rome", "Europe/Berlin", "Australia/Lord_Howe")}
NEW_YORK = "America/New_York"


def parse(schedule: str | None = None, **given: Any) -> Schedule:
    return parse_schedule(ScheduleText(schedule, **given), "crontab", NOW, KNOWN.get)


refusal = partial(refusal_of, parse)


# --- Forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("30 9 * * 1-5", None, ["2026-03-06T09:30Z", "2026-03-09T09:30Z"]),
        ("30 9 * * 1-5", "Europe/Rome", ["2026-03-06T08:30Z", "2026-03-09T08:30Z"]),
        ("CRON_TZ=Europe/Rome 30 9 * * 1-5", None, ["2026-03-06T08:30Z", "2026-03-09T08:30Z"]),
        ("TZ=Europe/Rome 30 9 * * 1-5", "Europe/Rome", ["2026-03-06T08:30Z", "2026-03-09T08:30Z"]),
        ("*/20 30 9 * * *", "UTC", ["2026-03-06T09:30:00Z", "2026-03-06T09:30:20Z"]),
        ("0 0 LW * *", None, ["2026-03-31T00:00Z", "2026-04-30T00:00Z", "2026-05-29T00:00Z"]),
        ("@yearly", None, ["2027-01-01T00:00Z"]),
        ("@annually", None, ["2027-01-01T00:00Z"]),
        ("@monthly", "Europe/Rome", ["2026-03-31T22:00Z", "2026-04-30T22:00Z"]),
        ("@weekly", None, ["2026-03-08T00:00Z"]),
        ("@midnight", NEW_YORK, ["2026-03-06T05:00Z"]),
        ("@hourly", None, ["2026-03-05T13:00Z"]),
        ("@every 1h30m", None, ["2026-03-05T13:30:00.25Z", "2026-03-05T15:00:00.25Z"]),
        ("@every 1d", None, ["2026-03-06T12:00:00.25Z", "2026-03-07T12:00:00.25Z"]),
        ("@every 1w2d1h", NEW_YORK, ["2026-03-14T13:00:00.25Z"]),
        ("@every PT90M", NEW_YORK, ["2026-03-05T13:30:00.25Z", "2026-03-05T15:00:00.25Z"]),
        ("@every P1D", NEW_YORK, ["2026-03-06T12:00Z", "2026-03-07T12:00Z", "2026-03-08T11:00Z"]),
        ("R/PT10S", None, ["2026-03-05T12:00:10.25Z", "2026-03-05T12:00:20.25Z"]),
        ("R-1/PT10S", None, ["2026-03-05T12:00:10.25Z"]),
        ("R/2026-03-01T06:00:00Z/PT10H", None, ["2026-03-05T20:00Z", "2026-03-06T06:00Z"]),
        ("R/2026-01-31T09:00:00Z/P1M", None, ["2026-03-31T09:00Z", "2026-04-30T09:00Z", "2026-05-31T09:00Z"]),
        ("R/2026-03-05T07:30:00/P1D", NEW_YORK, ["2026-03-05T12:30Z", "2026-03-06T12:30Z"]),
        ("R/2024-02-29T00:00:00Z/P1Y", None, ["2027-02-28T00:00Z", "2028-02-29T00:00Z"]),
        ("FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0;BYSECOND=0", None, ["2026-03-09T09:00Z", "2026-03-11T09:00Z"]),
        ("rrule:freq=daily;byhour=9;byminute=30;bysecond=0", NEW_YORK, ["2026-03-05T14:30Z", "2026-03-06T14:30Z"]),
        ("DTSTART:20260301T090000 FREQ=DAILY;INTERVAL=3", None, ["2026-03-07T09:00Z", "2026-03-10T09:00Z"]),
        ("DTSTART:20260301T090000Z\nRRULE:FREQ=DAILY", NEW_YORK, ["2026-03-06T09:00Z", "2026-03-07T09:00Z"]),
        ("DTSTART;TZID=Europe/Rome:20260301T090000\nRRULE:FREQ=DAILY", None, ["2026-03-06T08:00Z"]),
    ],
)
def test_a_form_is_due_where_it_says(text: str, zone: str | None, expected: list[str]) -> None:
    assert ticks(parse(text, zone=zone), len(expected)) == [at(each) for each in expected]


@pytest.mark.parametrize(
    ("text", "zone", "dst", "expected"),
    [
        ("2026-04-01T10:00:00+02:00", None, None, "2026-04-01T08:00Z"),
        ("2026-04-01T10:00:00", "Europe/Rome", None, "2026-04-01T08:00Z"),
        ("2026-04-01T10:00", "Europe/Rome", None, "2026-04-01T08:00Z"),
        ("2026-03-08T02:30", NEW_YORK, None, "2026-03-08T07:00Z"),
        ("2026-11-01T01:30", NEW_YORK, None, "2026-11-01T05:30Z"),
        ("2026-10-04T02:10", "Australia/Lord_Howe", "once", "2026-10-03T15:30Z"),
    ],
)
def test_an_instant_is_due_once(text: str, zone: str | None, dst: str | None, expected: str) -> None:
    assert ticks(parse(text, zone=zone, dst=dst)) == [at(expected)]


@pytest.mark.parametrize(
    ("dst", "fold", "gap"),
    [
        (None, ["2026-11-01T05:30Z"], "2026-03-08T07:00Z"),
        ("once", ["2026-11-01T05:30Z"], "2026-03-08T07:00Z"),
        ("skip", ["2026-11-01T05:30Z"], "2026-03-09T06:30Z"),
        ("raw", ["2026-11-01T05:30Z", "2026-11-01T06:30Z"], "2026-03-09T06:30Z"),
    ],
)
def test_the_policy_is_once_unless_another_is_named(dst: str | None, fold: list[str], gap: str) -> None:
    one, two = parse("30 1 * * *", zone=NEW_YORK, dst=dst), parse("30 2 * * *", zone=NEW_YORK, dst=dst)
    passed = one.passed(at(fold[0]), at("2026-11-01T20:00Z"))
    assert passed == Passed(len(fold), at(fold[-1]))
    assert two.next_due(at("2026-03-07T07:30Z"), 1) == at(gap)


def test_calendar_steps_are_counted_from_their_start_and_do_not_drift() -> None:
    schedule = parse("R/P1M", zone="Europe/Rome", start_at="2026-03-31T09:00")
    assert [due.astimezone(KNOWN["Europe/Rome"]).strftime("%d.%m. %H:%M") for due in ticks(schedule, 6)] == [
        *("31.03. 09:00", "30.04. 09:00", "31.05. 09:00", "30.06. 09:00", "31.07. 09:00", "31.08. 09:00")
    ]


# --- How often, from when, until when ---------------------------------------------------------------------------------


def test_a_repeating_interval_without_a_start_runs_that_often() -> None:
    schedule = parse("R5/PT10S")
    assert schedule.repeats == 5
    assert schedule.given.repeats is None
    assert ticks(schedule) == [NOW + timedelta(seconds=10 * step) for step in range(1, 6)]
    assert len(ticks(parse("R3/P1D"))) == 3
    assert len(ticks(parse("R1/PT1H"))) == 1


def test_a_repeating_interval_with_a_start_has_that_many_occurrences_from_there() -> None:
    assert ticks(parse("R3/2026-03-04T00:00:00Z/P1D")) == [at("2026-03-06T00:00Z")]
    assert ticks(parse("R3/2026-03-05T10:00:00Z/PT2H")) == [at("2026-03-05T14:00Z")]
    assert ticks(parse("R2/2027-01-01T00:00:00Z/PT1S")) == [at("2027-01-01T00:00:00Z"), at("2027-01-01T00:00:01Z")]
    assert refusal("R3/2026-03-01T00:00:00Z/P1D").startswith("this schedule can never be due: it has no time after")


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("@daily", {"start_at": "2026-03-10T00:00:00Z", "repeats": 2}, ["2026-03-10T00:00Z", "2026-03-11T00:00Z"]),
        ("@daily", {"start_at": "2026-03-10T00:00:01Z", "repeats": 1}, ["2026-03-11T00:00Z"]),
        ("@daily", {"start_at": "2020-01-01T00:00:00Z", "repeats": 1}, ["2026-03-06T00:00Z"]),
        ("@daily", {"start_at": "24h", "until_at": "P3D"}, ["2026-03-07T00:00Z", "2026-03-08T00:00Z"]),
        ("@daily", {"until_at": "2026-03-07T00:00:00Z"}, ["2026-03-06T00:00Z", "2026-03-07T00:00Z"]),
        ("@daily", {"until_at": "2026-03-06T23:59:59Z"}, ["2026-03-06T00:00Z"]),
        ("0 9 * * *", {"zone": "Europe/Rome", "until_at": "2026-03-06T09:00"}, ["2026-03-06T08:00Z"]),
        ("@every 1h", {"start_at": "2026-03-05T11:30:00Z", "repeats": 2}, ["2026-03-05T12:30Z", "2026-03-05T13:30Z"]),
        ("@every 1h", {"start_at": "2026-03-06T00:00:00Z", "repeats": 2}, ["2026-03-06T00:00Z", "2026-03-06T01:00Z"]),
        ("@daily", {"start_at": "1d", "until_at": "1w", "repeats": 1}, ["2026-03-07T00:00Z"]),
        ("@daily", {"until_at": "1.5d"}, ["2026-03-06T00:00Z", "2026-03-07T00:00Z"]),
        ("@daily", {"due_time": "7d", "repeats": 1}, ["2026-03-12T12:00:00.25Z"]),
        ("@daily", {"ttl": "1d12h"}, ["2026-03-06T00:00Z", "2026-03-07T00:00Z"]),
        ("@every 1h", {"start_at": "10m", "repeats": 2}, ["2026-03-05T12:10:00.25Z", "2026-03-05T13:10:00.25Z"]),
        ("R2/PT1H", {"start_at": "2026-03-05T11:30:00Z"}, ["2026-03-05T12:30Z", "2026-03-05T13:30Z"]),
        ("FREQ=DAILY", {"start_at": "2026-03-10T09:30:00Z", "repeats": 2}, ["2026-03-10T09:30Z", "2026-03-11T09:30Z"]),
        ("FREQ=DAILY;COUNT=2", {}, ["2026-03-06T12:00Z", "2026-03-07T12:00Z"]),
        ("@daily", {"due_time": "1h", "repeats": 2}, ["2026-03-05T13:00:00.25Z", "2026-03-06T00:00Z"]),
        ("R/P1D", {"due_time": "1h", "repeats": 2}, ["2026-03-05T13:00:00.25Z", "2026-03-06T13:00Z"]),
        ("@hourly", {"ttl": "90m"}, ["2026-03-05T13:00Z"]),
        (None, {"due_time": "2026-03-06T09:00", "zone": "Europe/Rome"}, ["2026-03-06T08:00Z"]),
    ],
)
def test_occurrences_lie_from_the_start_through_the_end(
    text: str | None, given: dict[str, Any], expected: list[str]
) -> None:
    assert ticks(parse(text, **given)) == [at(each) for each in expected]


@pytest.mark.parametrize("text", ["R/P1M", "FREQ=MONTHLY", "@every 1h", "R4/PT1H", "FREQ=WEEKLY;INTERVAL=2;COUNT=3"])
@pytest.mark.parametrize("start", [None, "2026-01-31T08:00:00Z", "2026-05-31T08:00", "36h"])
def test_a_schedule_put_together_again_is_the_same(text: str, start: str | None) -> None:
    first = parse(text, zone="Europe/Rome", start_at=start, until_at="P2Y")
    again = Schedule(
        recurrence=compile_recurrence(text, "crontab", KNOWN.get, "Europe/Rome", None),
        start=first.start,
        first=first.first,
        until=first.until,
        repeats=first.given.repeats,
        given=first.given,
        syntax="crontab",
    )
    assert again == first
    assert ticks(again, 5) == ticks(first, 5)


def test_the_zone_is_that_in_which_it_is_written() -> None:
    assert parse("@daily").zone is UTC
    assert parse("@daily", zone="Europe/Rome").zone is KNOWN["Europe/Rome"]
    assert parse("CRON_TZ=Europe/Rome @daily").zone is KNOWN["Europe/Rome"]
    assert parse("@every 1h", zone="Europe/Rome").zone is KNOWN["Europe/Rome"]
    assert parse("FREQ=DAILY", zone="Europe/Rome").zone is KNOWN["Europe/Rome"]


@pytest.mark.parametrize(
    ("text", "elapsed"),
    [
        *(("@every 1h", True), ("R/PT1H", True), ("*/5 9 * * *", True), ("0 */2 * * *", True), ("0 9 * * *", False)),
        *(("@hourly", True), ("@daily", False), ("R/P1D", False), ("FREQ=DAILY", False), ("FREQ=HOURLY", True)),
    ],
)
def test_a_recurrence_says_whether_it_follows_elapsed_time(text: str, elapsed: bool) -> None:
    recurrence = parse(text).recurrence
    assert recurrence is not None
    assert recurrence.elapsed is elapsed


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("", {}, "empty spec string; write a crontab line (30 9 * * 1-5)"),
        ("tomorrow", {}, "'tomorrow' is no schedule: write a crontab line"),
        ("tomorrow 9am", {}, "'tomorrow 9am' is no schedule: write a crontab line (30 9 * * 1-5), @daily, @every 90s"),
        ("every day at 9", {}, "'every day at 9' is no schedule: write a crontab line"),
        ("2030-01-01 09:00:00Z", {}, "'2030-01-01 09:00:00Z' is no instant: write it as 2030-01-31T09:00:00Z, "),
        ("2030-01-01", {}, "'2030-01-01' is no instant: write it as 2030-01-31T09:00:00Z, with a T before the time"),
        ("0 9 * *", {}, "expected exactly 5 or 6 fields, found 4: [0 9 * *]; write minute hour"),
        (
            "@every 1y",
            {},
            "failed to parse duration @every 1y: unknown unit 'y' in the duration '1y': write numbers with",
        ),
        ("PT10S", {}, "PT10S is a duration, and says not from when: write @every PT10S or R/PT10S"),
        ("@reboot", {}, "unrecognized descriptor: @reboot; @yearly,"),
        ("@Daily", {}, "unrecognized descriptor: @Daily; @yearly,"),
        ("@every", {}, "failed to parse duration @every: '' is not a duration"),
        ("@every 0s", {}, "failed to parse duration @every 0s: an interval of zero"),
        ("@every -5s", {}, "failed to parse duration @every -5s: an interval cannot be negative"),
        ("@every P0D", {}, "failed to parse duration @every P0D: an interval of zero"),
        ("@every P1X", {}, "failed to parse duration @every P1X: '1X' does not fit in the duration 'P1X'"),
        ("@every P101Y", {}, "failed to parse duration @every P101Y: an interval must not be longer than 100 years"),
        ("@every 100us", {}, "failed to parse duration @every 100us: an interval must be at least 1ms"),
        ("CRON_TZ=Europe/Rome @every 1h", {}, "an interval of elapsed time has no zone: leave CRON_TZ=Europe/Rome out"),
        ("TZ=UTC", {}, "timezone prefix TZ=UTC is not followed by a schedule"),
        ("0 9 * * *", {"zone": "Berlin"}, "unknown time zone 'Berlin': write an IANA name such as Europe/Berlin"),
        ("0 9 * * *", {"zone": "../x"}, "unknown time zone '../x': write an IANA name"),
        ("CRON_TZ=Mars/X 0 9 * * *", {}, "unknown time zone 'Mars/X': write an IANA name"),
        ("TZ=Europe/Rome @daily", {"zone": NEW_YORK}, "the schedule names the zone 'Europe/Rome' and its zone is 'Am"),
        ("DTSTART;TZID=Europe/Rome:20260301T090000 FREQ=DAILY", {"zone": NEW_YORK}, "the schedule names the zone"),
        ("0 9 * * *", {"dst": "never"}, "unknown dst policy 'never': write once, skip or raw"),
        (None, {"due_time": "1h", "dst": "once"}, "a due time has no dst policy: leave dst out"),
        ("R0/PT1S", {}, "a repeating interval needs a number of occurrences: R0/PT1S; write R1/ or more, or R/"),
        ("R-2/PT1S", {}, "a repeating interval needs a number of occurrences: R-2/PT1S"),
        ("R5", {}, "R5 is no repeating interval: write R5/PT10S or R5/2030-01-31T09:00:00Z/P1D"),
        ("R5/2026-01-01/P1D", {}, "'2026-01-01' in R5/2026-01-01/P1D is no start: write it as 2030-01-31T09:00:00Z"),
        ("R5/2026-05-01T00:00:00/P1D", {}, "schedule is a local time without a zone: give a zone, or write"),
        ("R5/PT10S", {"repeats": 3}, "the schedule itself says 5 times: leave out one of the two"),
        (
            "2026-02-30T00:00:00Z",
            {},
            "schedule format not recognized: 2026-02-30T00:00:00Z is no date and time "
            "that exists; February 2026 ends with day 28",
        ),
        (
            "2026-13-01T00:00:00Z",
            {},
            "schedule format not recognized: 2026-13-01T00:00:00Z is no date and time "
            "that exists; months are 01 to 12, hours 00 to 23, minutes and seconds 00 to 59",
        ),
        ("2026-02-30T00:00", {"zone": NEW_YORK}, "schedule format not recognized: 2026-02-30T00:00 is no date"),
        ("2026-05-01T10:00", {}, "schedule is a local time without a zone: give a zone, or write 2026-05-01T10:00Z"),
        ("2026-03-08T02:30", {"zone": NEW_YORK, "dst": "skip"}, "schedule does not exist: the change of clocks in Am"),
        ("2026-05-01T10:00:00Z", {"start_at": "1h"}, "a single instant has no start and no until: leave them out"),
        ("@daily", {"start_at": "1h", "due_time": "1h"}, "start and due time both say when to begin"),
        ("@daily", {"until_at": "30h", "ttl": "30h"}, "until and ttl both say when to end"),
        ("@daily", {"start_at": "-1d"}, "start cannot be a negative duration: -1d"),
        (
            "@daily",
            {"until_at": "7x"},
            "until format not recognized: unknown unit 'x' in the duration '7x': write numbers with the units "
            "w, d, h, m, s, ms, us or ns, such as 1h30m or 7d; an instant is written 2030-01-31T09:00:00Z",
        ),
        ("@daily", {"start_at": "-1h"}, "start cannot be a negative duration: -1h; it is counted from now on"),
        ("@daily", {"start_at": "2026-04-01T00:00"}, "start is a local time without a zone"),
        ("@daily", {"until_at": "soon"}, "until format not recognized: "),
        ("@daily", {"until_at": "1h"}, "this schedule can never be due: its first time would be 2026-03-06T00:00:00Z"),
        ("@daily", {"start_at": "P2D", "until_at": "P1D"}, "this schedule can never be due: its first time would be"),
        ("FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2", {}, "this schedule can never be due: it has no time after"),
        ("@\ud800", {}, "a schedule must be printable text"),
        ("0 " * 200, {}, "a schedule of 400 characters is too long: at most 256 are allowed"),
    ],
)
def test_a_refusal_says_what_was_wrong_and_what_would_be_right(
    text: str | None, given: dict[str, Any], message: str
) -> None:
    assert refusal(text, **given).startswith(message)


@pytest.mark.parametrize(
    "given", [{"zone": "Europe/Rome"}, {"dst": "once"}, {"start_at": "1h"}, {"until_at": "2026-04-01T00:00:00Z"}]
)
def test_daprs_syntax_takes_none_of_the_four(given: dict[str, str]) -> None:
    with pytest.raises(WakefulError, match="a schedule of Dapr's takes no"):
        parse_schedule(ScheduleText("@daily", **given), "dapr", NOW, KNOWN.get)


# --- Anything else ----------------------------------------------------------------------------------------------------

WORDS = [
    *("*", "?", "0", "59", "7", "31", "L", "LW", "15W", "5L", "FRI#2", "FRI-MON", "22-2", "*/7", "1,5/9", "@daily"),
    *("@every", "90s", "P1M", "PT0.5S", "R5/", "R/", "2026-03-08T02:30", "2026-05-01T00:00:00Z", "/P1D", "/PT7H", "-"),
    *("CRON_TZ=Europe/Rome", "TZ=", "DTSTART:20260101T090000", "DTSTART;TZID=", "RRULE:", "FREQ=YEARLY"),
    "FREQ=SECONDLY",
    *("FREQ=MONTHLY", ";BYDAY=2TU,-1FR,MO", ";BYMONTHDAY=-31", ";COUNT=9999", ";INTERVAL=9999", ";BYSETPOS=-1", ";"),
    *(";BYWEEKNO=53", ";BYYEARDAY=366", ";BYHOUR=1,2,3", ";BYMINUTE=5,9", ";UNTIL=20270101", ";BYMONTH=2", ";WKST=SU"),
]
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=7).map("".join),
    st.text("0123456789*/,-?#LWRPTZ:=;FREQDAILYBSUMOjanfri \n", max_size=60),
)
BOUNDS = st.one_of(st.none(), st.sampled_from(["1h", "P1M", "2026-06-01T00:00:00Z", "2027-03-28T02:30", "-1s", "x"]))


@settings(max_examples=examples(1000), deadline=None)
@given(TEXTS, st.sampled_from([None, "UTC", *KNOWN]), st.sampled_from([None, "once", "skip", "raw"]), BOUNDS, BOUNDS)
def test_any_text_is_understood_or_refused_and_never_runs_away(
    text: str, zone: str | None, dst: str | None, start: str | None, until: str | None
) -> None:
    with at_most(10_000_000):
        try:
            schedule = parse(text, zone=zone, dst=dst, start_at=start, until_at=until)
        except WakefulError as refused:
            assert refused.code is ErrorCode.INVALID_SCHEDULE
            assert len(refused.message) < 500
            refused.message.encode()
        else:
            assert schedule.given.schedule == text
            assert describe(schedule)
            shown = preview(schedule, NOW, 5)
            assert list(shown.instants) == [due for due in ticks(schedule, 5) if due > NOW]
            first = schedule.first_due()
            assert first is not None
            schedule.passed(first, first + timedelta(days=3653))


@pytest.mark.parametrize(
    "text", [*("1," * 500_000 + " * * * *", "FREQ=DAILY;BYHOUR=" + "1," * 500_000), "R" + "9" * 1_000_000 + "/PT1S"]
)
def test_a_million_characters_are_refused_at_once(text: str) -> None:
    with at_most(3_000):
        assert "too long" in refusal(text)
        assert "too long" in refusal("@daily", until_at=text)
