"""What a caller may write, what it means together, and which instants come of it."""

from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from support.schedules import at, refusal_of, ticks
from wakeful.core.cron import Cron
from wakeful.core.duration import Every
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.schedule import SYNTAXES, Passed, Schedule, ScheduleText, compile_recurrence, parse_schedule

NOW = datetime(2026, 3, 5, 12, 0, 0, 250_000, tzinfo=UTC)
KNOWN = {"America/New_York": ZoneInfo("America/New_York"), "Europe/Rome": ZoneInfo("Europe/Rome")}
SECOND = timedelta(seconds=1)


def parse(
    schedule: str | None = None, due_time: str | None = None, ttl: str | None = None, repeats: int | None = None
) -> Schedule:
    return parse_schedule(ScheduleText(schedule, due_time, ttl, repeats), "dapr", NOW, KNOWN.get)


refusal = partial(refusal_of, parse)


# --- The text of `schedule` -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("0 30 9 * * *", "2026-03-06T09:30Z"),
        ("30 9 * * *", "2026-03-06T09:30Z"),
        ("  */5  * *\t* * ? ", "2026-03-05T12:00:05Z"),
        ("@yearly", "2027-01-01T00:00Z"),
        ("@annually", "2027-01-01T00:00Z"),
        ("@monthly", "2026-04-01T00:00Z"),
        ("@weekly", "2026-03-08T00:00Z"),
        ("@daily", "2026-03-06T00:00Z"),
        ("@midnight", "2026-03-06T00:00Z"),
        ("@hourly", "2026-03-05T13:00Z"),
        ("@every 1h30m", "2026-03-05T13:30:00.25Z"),
        ("@every 1ms", "2026-03-05T12:00:00.251Z"),
        ("@every 876600h", "2126-03-06T12:00:00.25Z"),
        ("TZ=America/New_York 0 30 9 * * *", "2026-03-05T14:30Z"),
        ("CRON_TZ=America/New_York 30 9 * * *", "2026-03-05T14:30Z"),
        ("TZ=Europe/Rome @daily", "2026-03-05T23:00Z"),
        ("TZ=UTC @daily", "2026-03-06T00:00Z"),
        ("TZ=Local @daily", "2026-03-06T00:00Z"),
        ("0 0 0 * * 0", "2026-03-08T00:00Z"),
        ("0 0 * * 7", "2026-03-08T00:00Z"),
    ],
)
def test_a_schedule_is_first_due_after_now(text: str, first: str) -> None:
    assert parse(text).first_due() == at(first)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty spec string"),
        ("   ", "empty spec string"),
        ("* * * *", "expected exactly 6 fields, found 4: [* * * *]"),
        ("* * * * * * *", "expected exactly 6 fields, found 7"),
        ("@", "unrecognized descriptor: @"),
        ("@Daily", "unrecognized descriptor: @Daily"),
        ("@every", "unrecognized descriptor: @every"),
        ("@every10s", "unrecognized descriptor: @every10s"),
        ("@reboot", "unrecognized descriptor: @reboot"),
        ("@every ten", "failed to parse duration @every ten: "),
        ("@every 1d", "failed to parse duration @every 1d: unknown unit 'd'"),
        ("@every -1s", "failed to parse duration @every -1s: an interval cannot be negative"),
        ("@every 999us", "failed to parse duration @every 999us: an interval must be at least 1ms"),
        ("@every 1ns", "failed to parse duration @every 1ns: an interval must be at least 1ms"),
        ("@every 876601h", "failed to parse duration @every 876601h: an interval must not be longer than 100 years"),
        ("@every 9999999h", "failed to parse duration @every 9999999h: the duration '9999999h' is too long"),
        ("@every 0s", "an interval of zero would be due for ever"),
        ("TZ=Europe/Rome @every 24h", "timezone is not supported for @every schedules: TZ=Europe/Rome @every 24h"),
        ("CRON_TZ=UTC @every 24h", "timezone is not supported for @every schedules: CRON_TZ=UTC @every 24h"),
        ("TZ=UTC", "timezone prefix TZ=UTC is not followed by a schedule"),
        ("CRON_TZ=UTC  ", "timezone prefix CRON_TZ=UTC is not followed by a schedule"),
        ("TZ=", "timezone prefix TZ= is not followed by a schedule"),
        ("TZ=Mars/Olympus * * * * * *", "provided bad location Mars/Olympus: unknown time zone Mars/Olympus"),
        ("TZ=../../etc/passwd * * * * * *", "provided bad location ../../etc/passwd: unknown time zone"),
        ("TZ= * * * * * *", "provided bad location : unknown time zone "),
        ("tz=UTC * * * * * *", "expected exactly 6 fields, found 7"),
        ("0 0 0 30 2 *", "this schedule can never be due: Feb has no day 30"),
        ("2026-02-30T00:00:00Z", "schedule format not recognized: 2026-02-30T00:00:00Z is no date and time"),
        ("2201-01-01T00:00:00Z", "schedule lies outside the years 1970 to 2200"),
        ("@\ud800", "a schedule must be printable text: '@\\ud800'"),
        ("TZ=\x00 * * * * * *", "a schedule must be printable text: 'TZ=\\x00 * * * * * *'"),
        ("@every \ud800", "a schedule must be printable text: "),
        ("* " * 200, "a schedule of 400 characters is too long: at most 256 are allowed"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_daprs_words(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_an_unsafe_zone_name_is_never_looked_up() -> None:
    asked: list[str] = []
    with pytest.raises(WakefulError, match="unknown time zone"):
        parse_schedule(ScheduleText("TZ=../UTC @daily"), "dapr", NOW, asked.append)
    assert asked == []


def test_dapr_schedules_run_twice_in_a_repeated_hour_and_not_in_a_missing_one() -> None:
    schedule = parse("TZ=America/New_York 0 30 1 * * *")
    twice = schedule.passed(at("2026-11-01T05:30Z"), at("2026-11-01T12:00Z"))
    assert twice == Passed(2, at("2026-11-01T06:30Z"))
    assert parse("TZ=America/New_York 0 30 2 * * *").next_due(at("2026-03-07T07:30Z"), 1) == at("2026-03-09T06:30Z")


def test_an_instant_as_schedule_is_a_due_time_and_is_kept_as_written() -> None:
    schedule = parse("2026-04-01T10:00:00+02:00", repeats=1)
    assert schedule.recurrence is None
    assert ticks(schedule) == [at("2026-04-01T08:00Z")]
    assert schedule.given == ScheduleText("2026-04-01T10:00:00+02:00", None, None, 1)
    assert refusal("2026-04-01T10:00:00Z", repeats=2) == "job must have a schedule to repeat"
    assert refusal("2026-04-01T10:00:00Z", ttl="1h") == "job must have a schedule to have a ttl"
    assert refusal("2026-04-01T10:00:00Z", due_time="1h").startswith("schedule is a single instant")


# --- due time and ttl -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-05T12:00:01Z", "2026-03-05T12:00:01Z"),
        ("2026-03-05T12:00:01.5+01:00", "2026-03-05T11:00:01.5Z"),
        ("2026-03-05T12:00:01.123456789Z", "2026-03-05T12:00:01.123456Z"),
        ("2200-12-31T23:59:59Z", "2200-12-31T23:59:59Z"),
        ("2038-01-19T03:14:08Z", "2038-01-19T03:14:08Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("0", "2026-03-05T12:00:00.25Z"),
        ("0s", "2026-03-05T12:00:00.25Z"),
        ("1500us", "2026-03-05T12:00:00.2515Z"),
        ("-1h", "2026-03-05T11:00:00.25Z"),
        ("P1M", "2026-04-05T12:00:00.25Z"),
        ("R0/PT1S", "2026-03-05T12:00:01.25Z"),
    ],
)
def test_a_due_time_is_an_instant_a_go_duration_or_an_iso_duration(text: str, expected: str) -> None:
    assert parse(due_time=text).first_due() == at(expected)
    assert parse("@daily", ttl=text).until == at(expected)


@pytest.mark.parametrize(
    "text", ["", "\ud800", "soon", "1d", "P5", "P1.5D", "Rx", "2026-03-05 12:00:00Z", "2026-03-05T12:00:00"]
)
def test_a_time_in_no_known_form_is_refused(text: str) -> None:
    assert refusal(due_time=text).startswith("due time format not recognized: ")
    assert refusal("@daily", ttl=text).startswith("ttl format not recognized: ")


@pytest.mark.parametrize(
    "text", ["2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "0000-01-01T00:00:00Z"]
)
def test_a_date_that_does_not_exist_is_refused_as_such(text: str) -> None:
    assert refusal(due_time=text).startswith(
        f"due time format not recognized: {text} is no date and time that exists; "
    )


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "-2000000h", "2000000h", "P200Y"])
def test_an_instant_outside_1970_to_2200_is_refused(text: str) -> None:
    assert refusal(due_time=text).startswith("due time lies outside the years 1970 to 2200")
    assert refusal("@daily", ttl=text).startswith("ttl lies outside the years 1970 to 2200")


def test_repeats_in_a_due_time_are_refused_in_daprs_words() -> None:
    assert refusal(due_time="R3/PT1S") == "repeats not supported for due time"


@pytest.mark.parametrize("given", [{"schedule": "1"}, {"due_time": "1"}, {"schedule": "@daily", "ttl": "1"}])
def test_a_million_characters_are_refused_at_once(given: dict[str, str]) -> None:
    text = ScheduleText(**{key: value if value == "@daily" else value * 1_000_000 for key, value in given.items()})
    with pytest.raises(WakefulError) as caught, at_most(3_000):
        parse_schedule(text, "dapr", NOW, KNOWN.get)
    assert len(caught.value.message) < 200


# --- What is given together -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ScheduleText(), "job must have either a due time or a schedule"),
        (ScheduleText(repeats=3), "job must have either a due time or a schedule"),
        (ScheduleText(due_time="1s", repeats=2), "job must have a schedule to repeat"),
        (ScheduleText(due_time="1s", repeats=0), "defined repeats must be greater than 0"),
        (ScheduleText("@daily", repeats=0), "defined repeats must be greater than 0"),
        (ScheduleText("@daily", repeats=-1), "defined repeats must be greater than 0"),
        (ScheduleText(due_time="1s", ttl="2s"), "job must have a schedule to have a ttl"),
        (ScheduleText("@daily", "2h", "2026-03-05T13:00:00Z"), "ttl must be greater than due time"),
        (ScheduleText("@daily", "2h", "-1s"), "ttl must be greater than due time"),
    ],
)
def test_what_does_not_go_together_is_refused_in_daprs_words(given: ScheduleText, message: str) -> None:
    assert refusal(given.schedule, given.due_time, given.ttl, given.repeats) == message


def test_a_due_time_alone_is_due_once() -> None:
    assert ticks(parse(due_time="10s")) == [NOW + 10 * SECOND]
    assert ticks(parse(due_time="10s", repeats=1)) == [NOW + 10 * SECOND]


def test_with_a_due_time_the_first_tick_is_exactly_there_and_the_schedule_goes_on_from_it() -> None:
    assert ticks(parse("@daily", due_time="0s", repeats=2)) == [NOW, at("2026-03-06T00:00Z")]
    assert ticks(parse("@every 1m", due_time="1500ms", repeats=3)) == [
        NOW + timedelta(seconds=1.5 + 60 * step) for step in range(3)
    ]


def test_a_past_due_time_leaves_its_backlog() -> None:
    schedule = parse("@every 1m", due_time="-1h")
    assert schedule.first_due() == NOW - timedelta(hours=1)
    assert schedule.passed(NOW - timedelta(hours=1), NOW) == Passed(61, NOW)


@pytest.mark.parametrize("repeats", [1, 2, 7])
def test_repeats_counts_all_ticks(repeats: int) -> None:
    assert len(ticks(parse("@every 1s", repeats=repeats))) == repeats
    assert len(ticks(parse("@hourly", due_time="5s", repeats=repeats))) == repeats


def test_every_zero_ticks_at_once_as_often_as_repeats_says() -> None:
    schedule = parse("@every 0s", repeats=4)
    assert ticks(schedule) == [NOW] * 4
    assert schedule.passed(NOW, NOW + SECOND) == Passed(1, NOW)


@pytest.mark.parametrize(
    ("text", "due_time", "ttl", "number"),
    [
        ("@every 1s", None, "3s", 3),
        ("@every 1s", None, "2999ms", 2),
        ("@every 1ms", None, "10ms", 10),
        ("@every 1s", "1h", "3s", 4),
        ("@every 1s", "1h", "PT3S", 4),
        ("@every 1s", "1h", "0s", 1),
        ("0 * * * * *", None, "2026-03-05T12:02:00Z", 2),
        ("0 * * * * *", None, "2026-03-05T12:01:59.999999Z", 1),
        ("@daily", None, "10s", 0),
        ("@daily", None, "-10s", 0),
    ],
)
def test_a_tick_exactly_at_the_expiry_still_happens_and_none_after_it(
    text: str, due_time: str | None, ttl: str, number: int
) -> None:
    assert len(ticks(parse(text, due_time, ttl))) == number


def test_passed_ends_with_the_expiry_and_not_with_repeats() -> None:
    schedule = parse("@every 1s", ttl="10s", repeats=3)
    first = NOW + SECOND
    assert schedule.passed(first, NOW + 4 * SECOND) == Passed(4, NOW + 4 * SECOND)
    assert schedule.passed(first, NOW + 100 * SECOND) == Passed(10, NOW + 10 * SECOND)


def test_passed_counts_a_due_time_that_does_not_match_the_cron() -> None:
    schedule = parse("@hourly", due_time="1s")
    first = NOW + SECOND
    assert schedule.passed(first, first) == Passed(1, first)
    assert schedule.passed(first, at("2026-03-05T15:00Z")) == Passed(4, at("2026-03-05T15:00Z"))
    assert schedule.passed(first, at("2026-03-05T15:59:59.999999Z")) == Passed(4, at("2026-03-05T15:00Z"))


def test_a_single_instant_passes_once() -> None:
    schedule = parse(due_time="1s")
    assert schedule.passed(NOW + SECOND, NOW + 100 * SECOND) == Passed(1, NOW + SECOND)


TEXTS = st.sampled_from(["@every 7s", "@every 13ms", "*/9 * * * * *", "0 */3 * * * *", "TZ=Europe/Rome 5 * * * *"])


@settings(max_examples=examples(100), deadline=None)
@given(TEXTS, st.sampled_from([None, "0s", "1234ms", "-2h"]), st.sampled_from([None, "90s", "1h"]), st.integers(1, 30))
def test_passed_agrees_with_going_from_tick_to_tick(text: str, due: str | None, ttl: str | None, steps: int) -> None:
    schedule = parse(text, due, ttl)
    found = ticks(schedule, steps)
    for index, last in enumerate(found):
        assert schedule.passed(found[0], last) == Passed(index + 1, last)
        if index:
            assert schedule.passed(found[0], last - timedelta(microseconds=1)) == Passed(index, found[index - 1])


# --- Stored schedules, and the table --------------------------------------------------------------------------------


def test_a_stored_recurrence_is_compiled_without_now() -> None:
    assert compile_recurrence(None, "dapr", KNOWN.get) is None
    assert compile_recurrence("2026-04-01T10:00:00Z", "dapr", KNOWN.get) is None
    assert compile_recurrence("@every 0s", "dapr", KNOWN.get) == Every(timedelta())
    text = "TZ=Europe/Rome 0 0 9 * * *"
    assert isinstance(compile_recurrence(text, "dapr", KNOWN.get), Cron)
    assert compile_recurrence(text, "dapr", KNOWN.get) == parse(text).recurrence


def test_a_stored_recurrence_whose_zone_is_gone_is_refused() -> None:
    with pytest.raises(WakefulError, match="provided bad location Europe/Rome"):
        compile_recurrence("TZ=Europe/Rome @daily", "dapr", lambda name: None)


def test_an_unknown_syntax_is_refused_with_the_known_ones() -> None:
    with pytest.raises(WakefulError, match="unknown schedule syntax 'sundial': dapr"):
        parse_schedule(ScheduleText("@daily"), "sundial", NOW, KNOWN.get)
    assert all(name == name.lower() for name in SYNTAXES)


@settings(max_examples=examples(400), deadline=None)
@given(
    st.one_of(st.none(), st.text(), st.text("0123456789*/,-?@TZ=everyhourlyUC: ", max_size=30)),
    st.one_of(st.none(), st.text(), st.text("0123456789PTRDMYhms.:-+Z/", max_size=30)),
    st.one_of(st.none(), st.text(), st.text("0123456789PTRDMYhms.:-+Z/", max_size=30)),
    st.one_of(st.none(), st.integers()),
)
def test_anything_is_a_schedule_or_refused(
    schedule: str | None, due_time: str | None, ttl: str | None, repeats: int | None
) -> None:
    try:
        understood = parse(schedule, due_time, ttl, repeats)
    except WakefulError as caught:
        assert caught.code is ErrorCode.INVALID_SCHEDULE
        caught.message.encode()
    else:
        assert understood.given == ScheduleText(schedule, due_time, ttl, repeats)
        understood.first_due()
