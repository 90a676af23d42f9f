"""Go and ISO 8601 durations, and the recurrence by elapsed time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from support.schedules import at
from wakeful.core.duration import Every, IsoDuration, parse_duration, parse_go_duration, parse_iso_duration
from wakeful.core.errors import ErrorCode, WakefulError

ZERO = timedelta()


def go_text(value: timedelta) -> str:
    micros = abs(value) // timedelta(microseconds=1)
    seconds, micros = divmod(micros, 1_000_000)
    sign = "-" if value < ZERO else ""
    return f"{sign}{seconds // 3600}h{seconds // 60 % 60}m{seconds % 60}.{micros:06}s"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", ZERO),
        ("-0", ZERO),
        ("0s", ZERO),
        ("10s", timedelta(seconds=10)),
        ("+1h30m", timedelta(minutes=90)),
        ("-1.5h", timedelta(minutes=-90)),
        ("1h15m30.918273s", timedelta(hours=1, minutes=15, seconds=30, microseconds=918273)),
        (".5s", timedelta(milliseconds=500)),
        ("5.s", timedelta(seconds=5)),
        ("1ms", timedelta(milliseconds=1)),
        ("1us", timedelta(microseconds=1)),
        ("1\u00b5s", timedelta(microseconds=1)),
        ("1\u03bcs", timedelta(microseconds=1)),
        ("1s1s", timedelta(seconds=2)),
        ("0.1h0.1m", timedelta(minutes=6, seconds=6)),
        ("0.33333333333333333333h", timedelta(minutes=20)),
        ("2562047h47m16.854775807s", timedelta(microseconds=9223372036854776)),
    ],
)
def test_a_go_duration_is_read_exactly(text: str, expected: timedelta) -> None:
    assert parse_go_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "micros"),
    [("1ns", 1), ("-1ns", -1), ("499ns", 1), ("1499ns", 1), ("1500ns", 2), ("2500ns", 2), ("2501ns", 3), ("0.0ns", 0)],
)
def test_nanoseconds_are_rounded_but_never_to_zero(text: str, micros: int) -> None:
    assert parse_go_duration(text) == timedelta(microseconds=micros)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a duration"),
        ("-", "'-' is not a duration"),
        ("3", "a unit is missing in the duration '3'"),
        ("1h3", "a unit is missing"),
        ("s", "a number is missing"),
        (".s", "a number is missing"),
        ("--1s", "a number is missing"),
        ("1d", "unknown unit 'd' in the duration '1d'"),
        ("1S", "unknown unit 'S'"),
        ("1 s", "unknown unit ' s'"),
        ("1s ", "unknown unit 's '"),
        ("1h-1m", "unknown unit 'h-'"),
        ("1..5s", "a unit is missing"),
        ("\u0661s", "a number is missing"),
        ("1\ud800", "unknown unit '\\ud800'"),
        ("2562047h47m16.854775808s", "the duration '2562047h47m16.854775808s' is too long: at most 292 years"),
        ("9" * 255 + "h", "the duration '999"),
        ("9" * 256 + "h", "a duration of 257 characters is too long"),
    ],
)
def test_what_go_would_not_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(WakefulError) as caught:
        parse_go_duration(text)
    assert caught.value.code is ErrorCode.INVALID_SCHEDULE
    assert caught.value.message.startswith(message)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("1w1d1h1m1s", timedelta(days=8, hours=1, minutes=1, seconds=1)),
        ("1.5d", timedelta(hours=36)),
        ("-1d", timedelta(days=-1)),
        ("90s", timedelta(seconds=90)),
        ("0", ZERO),
    ],
)
def test_our_own_durations_know_days_and_weeks_too(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "d", "1", "1D", "1 d", "1mo", "1y", "1d-5s", "9999999d", "\u0661d"])
def test_what_is_no_duration_of_ours_is_refused(text: str) -> None:
    with pytest.raises(WakefulError) as caught:
        parse_duration(text)
    assert caught.value.code is ErrorCode.INVALID_SCHEDULE


@given(st.timedeltas(timedelta(days=-106_000), timedelta(days=106_000)))
def test_a_go_duration_comes_back_as_it_was_written(value: timedelta) -> None:
    assert parse_go_duration(go_text(value)) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P1Y2M3DT4H5M6S", IsoDuration(1, 2, 3, timedelta(hours=4, minutes=5, seconds=6))),
        ("P2W", IsoDuration(days=14)),
        ("P1D1W", IsoDuration(days=8)),
        ("P1M1Y", IsoDuration(years=1, months=1)),
        ("PT1M", IsoDuration(time=timedelta(minutes=1))),
        ("PT5S1H", IsoDuration(time=timedelta(hours=1, seconds=5))),
        ("PT0S", IsoDuration()),
        ("R0/PT1S", IsoDuration(time=timedelta(seconds=1))),
        ("R-1/P1D", IsoDuration(days=1)),
    ],
)
def test_an_iso_duration_keeps_its_parts(text: str, expected: IsoDuration) -> None:
    assert parse_iso_duration(text) == expected


@pytest.mark.parametrize("text", ["R1/PT1S", "R5/P1D", "R007/PT1S"])
def test_repeats_in_an_iso_duration_are_refused_in_daprs_words(text: str) -> None:
    with pytest.raises(WakefulError) as caught:
        parse_iso_duration(text)
    assert caught.value.message == "repeats not supported for due time"


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1", "P5", "PT1.5S", "P1DT", "PT1D", "P1H", "p1d", "1D", "P-1D", "P 1D", "P1D ", "P1D1D"),
        *("T1H", "PT1HT1M", "P\u0661D", "R/PT1S", "R0", "R0/", "R-2/PT1S", "RX/PT1S", "R" + "9" * 200 + "/PT1S"),
        *("P" + "9" * 10 + "D", "P" + "1D" * 200),
    ],
)
def test_rubbish_around_an_iso_duration_is_refused(text: str) -> None:
    with pytest.raises(WakefulError) as caught:
        parse_iso_duration(text)
    assert caught.value.code is ErrorCode.INVALID_SCHEDULE
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("start", "text", "expected"),
    [
        ("2025-01-31T10:00Z", "P1M", "2025-03-03T10:00Z"),
        ("2024-01-31T10:00Z", "P1M", "2024-03-02T10:00Z"),
        ("2024-02-29T00:00Z", "P1Y", "2025-03-01T00:00Z"),
        ("2025-11-30T00:00Z", "P3M", "2026-03-02T00:00Z"),
        ("2025-12-31T23:59:59Z", "P1DT1S", "2026-01-02T00:00:00Z"),
        ("2025-01-31T00:00Z", "P1M1D", "2025-03-04T00:00Z"),
        ("2025-03-01T01:00+02:00", "P1M", "2025-03-28T23:00Z"),
    ],
)
def test_calendar_arithmetic_runs_over_as_in_go(start: str, text: str, expected: str) -> None:
    assert parse_iso_duration(text).added_to(datetime.fromisoformat(start)) == at(expected)


@pytest.mark.parametrize("text", ["P9999Y", "P999999999Y", "P999999999M", "P999999999W", "PT999999999H"])
def test_a_duration_that_leaves_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(WakefulError, match="beyond the calendar"):
        parse_iso_duration(text).added_to(at("2026-01-01T00:00Z"))


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.text(), st.text("0123456789PRTYMWDHSnum\u00b5sh.-+/ \u0663", max_size=30)))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    for parse in (parse_go_duration, parse_iso_duration):
        try:
            parse(text)
        except WakefulError as refusal:
            assert refusal.code is ErrorCode.INVALID_SCHEDULE


@pytest.mark.parametrize("parse", [parse_go_duration, parse_iso_duration])
def test_a_million_characters_are_refused_at_once(parse: object) -> None:
    assert callable(parse)
    with pytest.raises(WakefulError, match="too long"), at_most(1_000):
        parse("1" * 1_000_000 + "h")


def test_every_counts_from_the_occurrence_that_it_is_given() -> None:
    every, since = Every(timedelta(seconds=7)), at("2026-01-01T00:00:00.5Z")
    assert every.next_after(since) == at("2026-01-01T00:00:07.5Z")
    assert every.count(since, since + timedelta(seconds=20)) == 3
    assert every.count(since, since + timedelta(seconds=21)) == 4
    assert every.last_through(since + timedelta(seconds=20), since) == at("2026-01-01T00:00:14.5Z")
    assert every.last_through(since, since) == since
    assert every.count(since, since - timedelta(microseconds=1)) == 0
    assert every.last_through(since - timedelta(microseconds=1), since) is None


def test_every_zero_is_the_same_instant_again() -> None:
    every, since = Every(ZERO), at("2026-01-01T00:00Z")
    assert every.next_after(since) == since
    assert every.count(since, since + timedelta(days=1)) == 1
    assert every.last_through(since + timedelta(days=1), since) == since


def test_every_ends_with_the_calendar() -> None:
    assert Every(timedelta(days=1)).next_after(datetime.max.replace(tzinfo=UTC)) is None


def test_every_with_an_anchor_is_counted_from_there() -> None:
    every, anchor = Every(timedelta(seconds=7), anchor=at("2026-01-01T00:00:00.5Z")), at("2026-01-01T00:00:00.5Z")
    assert every.next_after(at("2020-01-01T00:00Z")) == anchor
    assert every.next_after(anchor) == anchor + timedelta(seconds=7)
    assert every.next_after(anchor + timedelta(seconds=20)) == anchor + timedelta(seconds=21)
    assert every.anchored_at(at("2030-01-01T00:00Z")) == every
    assert Every(timedelta(seconds=7)).anchored_at(anchor) == every
    assert Every(ZERO).anchored_at(anchor) == Every(ZERO)


def test_every_of_a_size_ends_with_its_last() -> None:
    anchor = at("2026-01-01T00:00Z")
    every = Every(timedelta(hours=1), anchor=anchor, size=3)
    assert every.next_after(at("2026-01-01T01:59:59Z")) == at("2026-01-01T02:00Z")
    assert every.next_after(at("2026-01-01T02:00Z")) is None
    assert every.count(at("2020-01-01T00:00Z"), at("2030-01-01T00:00Z")) == 3
    assert every.last_through(at("2030-01-01T00:00Z"), at("2020-01-01T00:00Z")) == at("2026-01-01T02:00Z")


@given(
    st.integers(1, 50),
    st.one_of(st.none(), st.integers(1, 9)),
    st.integers(-200, 200),
    st.integers(-200, 200),
)
def test_every_with_an_anchor_counts_what_it_walks(step: int, size: int | None, low: int, high: int) -> None:
    anchor, second = at("2026-01-01T00:00Z"), timedelta(seconds=1)
    every = Every(step * second, anchor=anchor, size=size)
    since, through = anchor + low * second, anchor + high * second
    found, due = [], every.next_after(since - timedelta.resolution)
    while due is not None and due <= through:
        found.append(due)
        due = every.next_after(due)
    assert every.count(since, through) == len(found)
    assert every.last_through(through, since) == (found[-1] if found else None)
