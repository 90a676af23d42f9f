"""What a cron expression means and when it is due. Every change of clocks: see test_cron_zones.py."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from support.schedules import at
from wakeful.core.civil import Dst
from wakeful.core.cron import Cron, Dialect
from wakeful.core.cron_text import parse_cron
from wakeful.core.errors import ErrorCode, WakefulError

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TICK = timedelta(microseconds=1)
NEW_YORK = ZoneInfo("America/New_York")


def dapr(text: str, zone: tzinfo = UTC, dst: Dst = Dst.RAW) -> Cron:
    return parse_cron(text, dialect=Dialect.DAPR, zone=zone, dst=dst)


def crontab(text: str, zone: tzinfo = UTC, dst: Dst = Dst.RAW) -> Cron:
    return parse_cron(text, dialect=Dialect.CRONTAB, zone=zone, dst=dst)


def walk(cron: Cron, since: datetime, through: datetime) -> Iterator[datetime]:
    due = cron.next_after(since - TICK if since.microsecond == 0 else since)
    while due is not None and due <= through:
        yield due
        due = cron.next_after(due)


def following(cron: Cron, since: str, steps: int) -> list[datetime | None]:
    found: list[datetime | None] = []
    due: datetime | None = at(since)
    for _ in range(steps):
        due = cron.next_after(due) if due else None
        found.append(due)
    return found


# --- Dapr's own vectors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "text", "expected"),
    [
        ("2012-03-11T00:00-05:00", "0 0 2 * * ?", ["2012-03-12T02:00-04:00"]),
        ("2012-03-11T00:00-05:00", "0 30 2 11 Mar ?", ["2013-03-11T02:30-04:00"]),
        ("2012-03-11T01:00-05:00", "0 0 * * * ?", ["2012-03-11T03:00-04:00", "2012-03-11T04:00-04:00"]),
        (
            "2012-11-04T00:00-04:00",
            "0 0 1 * * ?",
            ["2012-11-04T01:00-04:00", "2012-11-04T01:00-05:00", "2012-11-05T01:00-05:00"],
        ),
        ("2012-11-04T00:00-04:00", "0 0 2 * * ?", ["2012-11-04T02:00-05:00", "2012-11-05T02:00-05:00"]),
    ],
)
def test_raw_skips_what_is_missing_and_runs_twice_what_is_repeated(since: str, text: str, expected: list[str]) -> None:
    assert following(dapr(text, NEW_YORK), since, len(expected)) == [at(each) for each in expected]


def test_once_runs_a_missing_time_after_the_gap_and_a_repeated_one_first() -> None:
    gap = following(crontab("15,30 2 * * *", NEW_YORK, Dst.ONCE), "2026-03-08T00:00-05:00", 2)
    assert gap == [at("2026-03-08T03:00-04:00"), at("2026-03-09T02:15-04:00")]
    fold = following(crontab("30 1 * * *", NEW_YORK, Dst.ONCE), "2026-11-01T00:00-04:00", 2)
    assert fold == [at("2026-11-01T01:30-04:00"), at("2026-11-02T01:30-05:00")]


def test_once_does_not_run_again_when_it_is_asked_between_the_two_folds() -> None:
    cron = crontab("30 1 * * *", NEW_YORK, Dst.ONCE)
    for minute in range(31, 120):
        assert cron.next_after(at("2026-11-01T05:00Z") + minute * MINUTE) == at("2026-11-02T01:30-05:00")


def test_the_instant_after_a_gap_is_due_once_even_if_it_matches_by_itself() -> None:
    cron = crontab("30 2,3 * * *", ZoneInfo("Antarctica/Troll"), Dst.ONCE)  # 01:00 to 03:00 does not exist
    assert cron.count(at("2026-03-29T00:00Z"), at("2026-03-29T12:00Z")) == 2
    on_the_hour = crontab("0 2,3 * * *", ZoneInfo("Antarctica/Troll"), Dst.ONCE)
    assert on_the_hour.count(at("2026-03-29T00:00Z"), at("2026-03-29T12:00Z")) == 1
    assert list(walk(on_the_hour, at("2026-03-29T00:00Z"), at("2026-03-29T12:00Z"))) == [at("2026-03-29T01:00Z")]


@pytest.mark.parametrize("text", ["*/5 1 * * *", "0 */1 * * *"])
def test_a_star_in_minute_or_hour_follows_elapsed_time(text: str) -> None:
    cron = crontab(text, NEW_YORK, Dst.ONCE)
    assert cron.elapsed
    since, through = at("2026-11-01T00:00Z"), at("2026-11-02T00:00Z")
    assert cron.count(since, through) == crontab(text, NEW_YORK).count(since, through)
    assert not crontab("0 1 * * *", NEW_YORK).elapsed


# --- The calendar ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "since", "expected"),
    [
        ("0 0 0 29 2 *", "2096-03-01T00:00Z", "2104-02-29T00:00Z"),
        ("0 0 0 ? 2 ?", "2096-03-01T00:00Z", "2097-02-01T00:00Z"),
        ("0 0 0 31 * *", "2026-01-31T00:00Z", "2026-03-31T00:00Z"),
        ("0 0 0 31 12 *", "2026-12-31T00:00Z", "2027-12-31T00:00Z"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:58Z", "2026-12-31T23:59:59Z"),
        ("0 0 0 1 1 *", "1969-12-31T23:59:59Z", "1970-01-01T00:00Z"),
        ("*/7 * * * * *", "2026-01-01T00:00:56.999999Z", "2026-01-01T00:01:00Z"),
        ("3/20 * * * * *", "2026-01-01T00:00:03Z", "2026-01-01T00:00:23Z"),
        ("10-20/5 * * * * *", "2026-01-01T00:00:15Z", "2026-01-01T00:00:20Z"),
        ("0 0 0 * JAN-feb Mon", "2026-02-23T00:00Z", "2027-01-04T00:00Z"),
        ("0 0 0 , * *", "2026-01-01T00:00Z", None),
    ],
)
def test_dates_are_those_of_the_calendar(text: str, since: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(WakefulError, match="never"):
            dapr(text)
    else:
        assert dapr(text).next_after(at(since)) == at(expected)


def test_a_leap_day_on_a_given_weekday_is_found_across_the_year_2100() -> None:
    # Crontab's AND: the 1st and the 29th, where they are Sundays. 2100 has no leap day, so one cycle takes 40 years.
    cron = crontab("0 0 */28 2 sun", NEW_YORK)
    found = list(walk(cron, at("2072-01-01T00:00Z"), at("2130-01-01T00:00Z")))
    assert [due for due in found if due.day == 29] == [at("2088-02-29T05:00Z"), at("2128-02-29T05:00Z")]
    assert crontab("0 0 29 2 *", NEW_YORK).next_after(at("2096-03-01T12:00Z")) == at("2104-02-29T05:00Z")


def test_the_evaluator_ends_with_the_year_2299() -> None:
    cron = dapr("0 0 0 1 1 *")
    assert cron.next_after(at("2298-06-01T00:00Z")) == at("2299-01-01T00:00Z")
    assert cron.next_after(at("2299-01-01T00:00Z")) is None
    assert cron.next_after(at("2299-12-20T00:00Z")) is None
    assert cron.next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert cron.next_after(datetime.min.replace(tzinfo=UTC)) == at("1900-01-01T00:00Z")
    assert cron.count(at("2299-01-01T00:00Z"), datetime.max.replace(tzinfo=UTC)) == 1
    assert dapr("* * * * * *", NEW_YORK).next_after(at("2299-12-31T23:59:59Z")) is None


@pytest.mark.parametrize(
    ("dialect", "text", "days"),
    [
        # Days of June 2026 (the 1st is a Monday).
        (Dialect.DAPR, "0 0 0 13 6 FRI", [5, 12, 13, 19, 26]),
        (Dialect.DAPR, "0 0 0 */10 6 FRI", [1, 5, 11, 12, 19, 21, 26]),
        (Dialect.DAPR, "0 0 0 */1 6 FRI", [5, 12, 19, 26]),
        (Dialect.DAPR, "0 0 0 5,? 6 FRI", [5, 12, 19, 26]),
        (Dialect.DAPR, "0 0 0 12 6 */2", [2, 4, 6, 7, 9, 11, 12, 13, 14, 16, 18, 20, 21, 23, 25, 27, 28, 30]),
        (Dialect.DAPR, "0 0 0 12 6 ?", [12]),
        (Dialect.DAPR, "0 0 0 7,,8, 6 *", [7, 8]),
        (Dialect.CRONTAB, "0 0 13 6 5", [5, 12, 13, 19, 26]),
        (Dialect.CRONTAB, "0 0 */10 6 6", []),
        (Dialect.CRONTAB, "0 0 */11 6 5", [12]),
        (Dialect.CRONTAB, "0 0 5,*/11 6 5", [1, 5, 12, 19, 23, 26]),
        (Dialect.CRONTAB, "0 0 * 6 7", [7, 14, 21, 28]),
        (Dialect.CRONTAB, "0 0 * 6 0", [7, 14, 21, 28]),
        (Dialect.CRONTAB, "0 0 * 6 6-7", [6, 7, 13, 14, 20, 21, 27, 28]),
        (Dialect.CRONTAB, "0 0 * jun Mon", [1, 8, 15, 22, 29]),
        (Dialect.CRONTAB, "30 0 0 13 6 *", [13]),
        (Dialect.CRONTAB, "0 0 ? 6 ?", list(range(1, 31))),
        (Dialect.CRONTAB, "0 0 ? 6 5", [5, 12, 19, 26]),
        (Dialect.CRONTAB, "0 0 28-2 6 *", [1, 2, 28, 29, 30]),
        (Dialect.CRONTAB, "0 0 28-4/2 6 *", [1, 3, 28, 30]),
        (Dialect.CRONTAB, "0 0 * 6 FRI-MON", [1, 5, 6, 7, 8, 12, 13, 14, 15, 19, 20, 21, 22, 26, 27, 28, 29]),
        (Dialect.CRONTAB, "0 0 * 6 FRI-SUN/2", [5, 7, 12, 14, 19, 21, 26, 28]),
        (Dialect.CRONTAB, "0 0 * 6 7-1", [1, 7, 8, 14, 15, 21, 22, 28, 29]),
        (Dialect.CRONTAB, "0 0 * NOV-JUN 3", [3, 10, 17, 24]),
        (Dialect.CRONTAB, "0 0 */40 6 *", [1]),
        (Dialect.CRONTAB, "0 0 L 6 *", [30]),
        (Dialect.CRONTAB, "0 0 l-3,2 6 *", [2, 27]),
        (Dialect.CRONTAB, "0 0 LW 6 *", [30]),
        (Dialect.CRONTAB, "0 0 6W,14w 6 *", [5, 15]),
        (Dialect.CRONTAB, "0 0 * 6 5L,1#2", [8, 26]),
        (Dialect.CRONTAB, "0 0 * 6 sun#5,Tue#5", [30]),
        (Dialect.CRONTAB, "0 0 L 6 FRI#2", [12, 30]),
        (Dialect.CRONTAB, "0 0 */3 6 FRIL,0#1", [7]),
    ],
)
def test_the_day_rule_is_that_of_the_dialect(dialect: Dialect, text: str, days: list[int]) -> None:
    cron = parse_cron(text, dialect=dialect, zone=UTC, dst=Dst.RAW)
    found = walk(cron, at("2026-06-01T00:00Z"), at("2026-06-30T23:59:59Z"))
    assert [due.day for due in found] == days


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty spec string"),
        ("* * * * *", "expected exactly 6 fields, found 5: [* * * * *]"),
        ("0 * * * * * 2030", "expected exactly 6 fields, found 7: [0 * * * * * 2030]"),
        (" ", "expected exactly 6 fields, found 0: []"),
        ("x * * * * *", "failed to parse int from x: "),
        ("1- * * * * *", "failed to parse int from : "),
        ("*-5 * * * * *", "failed to parse int from *: "),
        ("1.5 * * * * *", "failed to parse int from 1.5: "),
        ("+5 * * * * *", "failed to parse int from +5: "),
        ("1/x * * * * *", "failed to parse int from x: "),
        ("* * * * 1/feb *", "failed to parse int from feb: "),
        ("0 0 0 L * *", "failed to parse int from L: "),
        ("0 0 0 * * monday", "failed to parse int from monday: "),
        ("0 0 0 * jan mon#1", "failed to parse int from mon#1: "),
        ("9999999999 * * * * *", "failed to parse int from 9999999999: "),
        ("*/-5 * * * * *", "negative number (-5) not allowed: -5"),
        ("1-2-3 * * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * * *", "too many slashes: */2/3"),
        ("0 0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("60 * * * * *", "end of range (60) above maximum (59): 60"),
        ("0 0 24 * * *", "end of range (24) above maximum (23): 24"),
        ("0 0 0 32 * *", "end of range (32) above maximum (31): 32"),
        ("0 0 0 * 13 *", "end of range (13) above maximum (12): 13"),
        ("0 0 0 * * 7", "end of range (7) above maximum (6): 7"),
        ("60/5 * * * * *", "beginning of range (60) beyond end of range (59): 60/5"),
        ("5-1 * * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("0 0 0 * * FRI-MON", "beginning of range (5) beyond end of range (1): FRI-MON"),
        ("*/0 * * * * *", "step of range should be a positive number: */0"),
        (", * * * * *", "this schedule can never be due: the second field , names no value"),
        ("0 0 0 30 2 *", "this schedule can never be due: Feb has no day 30"),
        ("0 0 0 30 Feb ?", "this schedule can never be due: Feb has no day 30"),
        ("0 0 0 31 2,4,6,9,11 *", "this schedule can never be due: Feb or Apr or Jun or Sep or Nov has no day 31"),
        (
            "0 0 0 * * \u0663",
            "failed to parse the schedule: only ASCII characters are allowed in a cron expression: "
            "'\u0663' in the day of week field; write digits as 0 to 9",
        ),
        ("*/ * * * * *", "failed to parse int from : a number is missing in */ in the second field"),
        ("0 0 0 * * \ud800", "failed to parse the schedule: only ASCII"),
        ("0 " * 200, "a schedule of 400 characters is too long"),
    ],
)
def test_a_dapr_schedule_is_refused_in_daprs_words(text: str, message: str) -> None:
    with pytest.raises(WakefulError) as caught:
        dapr(text)
    assert caught.value.code is ErrorCode.INVALID_SCHEDULE
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 * * *", "expected exactly 5 or 6 fields, found 4: [0 * * *]; write minute hour day month weekday"),
        ("0 0 * * * * *", "expected exactly 5 or 6 fields, found 7: [0 0 * * * * *]"),
        ("1,,2 * * * *", "an item is missing in the minute field 1,,2"),
        ("*/0 * * * *", "step of range should be a positive number: */0 in the minute field"),
        ("*/mon * * * *", "failed to parse int from mon: a number of at most 9 digits is needed in the minute field"),
        ("60 * * * *", "end of range (60) above maximum (59): 60 in the minute field"),
        ("0 23-24 * * *", "end of range (24) above maximum (23): 23-24 in the hour field"),
        ("0 24-1 * * *", "beginning of range (24) beyond end of range (1): 24-1 in the hour field"),
        ("0 0 31-0 * *", "beginning of range (31) beyond end of range (0): 31-0 in the day of month field"),
        ("0 ? * * *", "a question mark stands only in day fields: ? in the hour field; write *"),
        ("0 0 L-31 * *", "no month has a day 31 days before its last: L-31 in the day of month field; write L-1"),
        ("0 0 32W * *", "there is no day 32: 32W in the day of month field; write 1W to 31W, or LW"),
        ("0 0 0W * *", "there is no day 0: 0W in the day of month field"),
        ("0 0 L-3W * *", "failed to parse int from L: a number of at most 9 digits is needed in the day of month"),
        ("0 0 1-15W * *", "failed to parse int from 15W: "),
        ("0 0 * * L", "L needs its weekday: L in the day of week field; write 5L or FRIL for the last Friday"),
        ("0 0 * * 8L", "8 is no weekday: 8L in the day of week field; write 0 to 7 or one of sun mon"),
        ("0 0 * * 5#0", "no month has a weekday 0 times: 5#0 in the day of week field; write #1 to #5"),
        ("0 0 * * MON#6", "no month has a weekday 6 times: MON#6 in the day of week field"),
        ("0 0 * * FOO#1", "FOO is no weekday: FOO#1 in the day of week field"),
        ("0 L * * *", "failed to parse int from L: a number of at most 9 digits is needed in the hour field"),
        ("0 0 31W 2,4 *", "this schedule can never be due: no day of Feb or Apr agrees with day of month 31W"),
        ("0 0 */31 * FRI#2", "this schedule can never be due: no day of any month agrees with day of month */31 and"),
        ("0 0 L-29 2 *", "this schedule can never be due: no day of Feb agrees with day of month L-29"),
        ("0 0 31 4 *", "this schedule can never be due: Apr has no day 31"),
        ("0 0 31 2 */2", "this schedule can never be due: Feb has no day 31"),
        (
            "0-5/ * * * *",
            "failed to parse int from : a number is missing in 0-5/ in the minute field; write a range as 1-5, a",
        ),
        ("0 1- * * *", "failed to parse int from : a number is missing in 1- in the hour field; write a range as 1-5"),
        (
            "\u0663 * * * *",
            "failed to parse the schedule: only ASCII characters are allowed in a cron expression: '\u0663' in the "
            "minute field",
        ),
        (
            "0\u2003 0 * * *",
            "failed to parse the schedule: only ASCII characters are allowed in a cron expression: write",
        ),
        ("0 0 * * 8", "end of range (8) above maximum (7): 8"),
    ],
)
def test_a_crontab_line_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(WakefulError) as caught:
        crontab(text)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("text", ["*/60 * * * *", "5-5/2 * * * *", "5/99 * * * *", "0 */24 * * *", "0 0 1 */12 *"])
def test_a_step_beyond_its_range_leaves_the_first_value(text: str) -> None:
    alone = " ".join(
        {"*/60": "0", "5-5/2": "5", "5/99": "5", "*/24": "0", "*/12": "1"}.get(word, word) for word in text.split()
    )
    since = at("2026-01-01T00:00Z")
    cron, plain = crontab(text), crontab(alone)
    assert (cron.minutes, cron.hours, cron.months) == (plain.minutes, plain.hours, plain.months)
    assert cron.next_after(since) == plain.next_after(since)


def test_six_fields_of_a_crontab_line_begin_with_the_second() -> None:
    cron = crontab("*/20 30 9 * * MON-FRI")
    assert following(cron, "2026-06-05T09:30:30Z", 2) == [at("2026-06-05T09:30:40Z"), at("2026-06-08T09:30:00Z")]


def test_an_impossible_date_is_allowed_where_the_weekday_alone_is_enough() -> None:
    assert crontab("0 0 31 2 1").next_after(at("2026-01-01T00:00Z")) == at("2026-02-02T00:00Z")


def test_a_refusal_never_repeats_much_of_the_text() -> None:
    for text in ("9" * 250, "x" * 250 + " * * * * *", "1-" + "2" * 240 + " * * * * *", "0 0 0 * * " + "," * 240):
        with pytest.raises(WakefulError) as caught:
            dapr(text)
        assert len(caught.value.message) < 300


def test_a_million_characters_are_refused_at_once() -> None:
    text = "1," * 500_000 + " * * * * *"
    with pytest.raises(WakefulError, match="too long"), at_most(1_000):
        dapr(text)


# --- Properties -----------------------------------------------------------------------------------------------------


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(st.just("*"), span, number.map(str)), st.integers(1, 9)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    item = st.one_of(number.map(str), span, stepped)
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


CRONS = st.tuples(
    st.sampled_from(["0", "*/20", "5,59"]), field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)
).map(" ".join)
ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"]
).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(1975, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))
quick = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(CRONS, ZONES, st.sampled_from(Dst), INSTANTS)
def test_next_after_goes_up_and_count_and_last_through_agree_with_it(
    text: str, zone: ZoneInfo, dst: Dst, since: datetime
) -> None:
    cron = dapr(text, zone, dst)
    dues = [due for due in following(cron, since.isoformat(), 25) if due is not None]
    assert all(before < after for before, after in pairwise([since, *dues]))
    for index, due in enumerate(dues):
        assert cron.count(since + TICK, due) == index + 1
        assert cron.count(since + TICK, due - TICK) == index
        assert cron.last_through(due, since + TICK) == due
        assert cron.last_through(due - TICK, since + TICK) == (dues[index - 1] if index else None)
        assert cron.next_after(due - TICK) == due


@settings(quick, max_examples=examples(60))
@given(CRONS, ZONES, st.sampled_from(Dst), INSTANTS, INSTANTS, INSTANTS)
def test_count_adds_up_over_any_cut(
    text: str, zone: ZoneInfo, dst: Dst, one: datetime, two: datetime, three: datetime
) -> None:
    since, cut, through = sorted((one, two, three))
    cron = dapr(text, zone, dst)
    whole = cron.count(since, through)
    assert whole == cron.count(since, cut) + cron.count(cut + TICK, through)
    last = cron.last_through(through, since)
    assert (last is None) == (whole == 0)
    if last is not None:
        assert cron.count(last, through) == 1


@settings(max_examples=examples(400), deadline=None)
@given(
    st.one_of(st.text(), st.text("0123456789*/,-?#LWjanfebMON \t\u0663", max_size=40)),
    st.sampled_from(Dialect),
)
def test_any_text_is_a_schedule_with_a_next_instant_or_refused(text: str, dialect: Dialect) -> None:
    try:
        cron = parse_cron(text, dialect=dialect, zone=UTC, dst=Dst.RAW)
    except WakefulError as refusal:
        assert refusal.code is ErrorCode.INVALID_SCHEDULE
    else:
        assert cron.next_after(at("2026-01-01T00:00Z")) is not None


# --- Effort ----------------------------------------------------------------------------------------------------------


def test_ten_years_of_minutes_are_counted_without_walking_them() -> None:
    since = at("2020-01-01T00:00Z")
    cron = crontab("* * * * *", ZoneInfo("Europe/Berlin"))
    with at_most(50_000):
        assert cron.count(since, since + 3653 * DAY - TICK) == 3653 * 1440
