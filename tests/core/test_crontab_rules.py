"""Recurrence rules: against dateutil's own iteration, and where that would not come back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from wakeful.core.errors import WakefulError
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule

ZONE = {"Europe/Rome": ZoneInfo("Europe/Rome")}
BEFORE = datetime(2023, 11, 1, tzinfo=UTC)


def parse(text: str) -> Schedule:
    return parse_schedule(ScheduleText(text), "crontab", BEFORE, ZONE.get)


def numbers(low: int, high: int, *, signed: bool = False) -> st.SearchStrategy[str]:
    one = st.integers(low, high)
    one = st.one_of(one, one.map(lambda number: -number)) if signed else one
    return st.lists(one.map(str), min_size=1, max_size=3).map(",".join)


def part(name: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), value.map(lambda text: f";{name}={text}"))


@st.composite
def rules(draw: st.DrawFn) -> str:
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    text = f"FREQ={freq}" + draw(part("INTERVAL", st.sampled_from(["1", "2", "3", "5", "7"])))
    text += draw(part("BYMONTH", numbers(1, 12)))
    weekday = st.sampled_from(["MO", "TU", "FR", "SU"])
    numbered = st.tuples(st.sampled_from(["1", "2", "-1", "5"]), weekday).map("".join)
    days = [part("BYDAY", st.lists(weekday, min_size=1, max_size=3).map(",".join))]
    if freq != "WEEKLY":
        days.append(part("BYMONTHDAY", numbers(1, 31, signed=True)))
    if freq in ("YEARLY", "MONTHLY"):
        days.append(part("BYDAY", st.lists(numbered, min_size=1, max_size=2).map(",".join)))
    if freq == "YEARLY":
        days += [part("BYYEARDAY", numbers(1, 366, signed=True)), part("BYWEEKNO", numbers(1, 53, signed=True))]
    text += draw(st.one_of(days)) + draw(part("WKST", st.sampled_from(["SU", "WE"])))
    text += draw(part("BYHOUR", numbers(0, 23))) + draw(part("BYMINUTE", numbers(0, 59)))
    text += draw(part("BYSECOND", numbers(0, 59)))
    if freq in ("YEARLY", "MONTHLY") and "BY" in text:
        text += draw(part("BYSETPOS", st.sampled_from(["1", "-1", "2,-2", "9"])))
    return text + draw(part("COUNT", st.integers(1, 40).map(str)))


STARTS = st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 31)).map(lambda start: start.replace(microsecond=0))


@settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(rules(), STARTS)
def test_a_rule_is_due_where_dateutil_says(text: str, start: datetime) -> None:
    try:
        schedule = parse(f"DTSTART:{start:%Y%m%dT%H%M%S} {text}")
    except WakefulError as refusal:
        # dateutil would go on to the year 9999 to find nothing.
        assert "it has no time" in refusal.message
        assume(False)
    end, expected = start + timedelta(days=1500), []
    for each in rrulestr(text, dtstart=start):
        if each > end or len(expected) == 120:
            break
        expected.append(each.replace(tzinfo=UTC))
    recurrence, due, found = schedule.recurrence, schedule.first_due(), []
    assert recurrence is not None
    while due is not None and due <= end.replace(tzinfo=UTC) and len(found) < 120:
        found.append(due)
        due = recurrence.next_after(due)
    assert found == expected
    if found:
        assert recurrence.count(found[0], found[-1]) == len(found)
        assert recurrence.last_through(found[-1], found[0]) == found[-1]
        newest = recurrence.last_through(found[-1] - timedelta.resolution, found[0])
        assert newest == (found[-2] if len(found) > 1 else None)


def test_a_weekday_with_a_number_and_one_without_are_both_due() -> None:
    schedule = parse("DTSTART:20260601T090000 FREQ=MONTHLY;BYDAY=MO,2TU")
    first = schedule.first_due()
    assert first is not None
    assert schedule.recurrence is not None
    found = [first]
    while len(found) < 6:
        following = schedule.recurrence.next_after(found[-1])
        assert following is not None
        found.append(following)
    assert [due.day for due in found] == [1, 8, 9, 15, 22, 29]


def test_until_is_the_last_time_that_is_possible() -> None:
    for until in ("20260603T090000", "20260603T090000Z", "20260603"):
        schedule = parse(f"DTSTART:20260601T090000 FREQ=DAILY;UNTIL={until}")
        assert schedule.recurrence is not None
        assert schedule.recurrence.count(BEFORE, datetime(2100, 1, 1, tzinfo=UTC)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FREQ=OFTEN", "FREQ of the rule cannot be 'OFTEN': write one of YEARLY MONTHLY WEEKLY DAILY HOURLY"),
        ("RRULE:BYDAY=MO", "the rule has no FREQ: write FREQ= and one of YEARLY"),
        ("FREQ=DAILY;FOO=1", "the rule has an unknown part 'FOO=1': FREQ INTERVAL"),
        ("FREQ=DAILY;", "the rule has an unknown part '': FREQ INTERVAL"),
        ("FREQ=DAILY;BYEASTER=0", "the rule has an unknown part 'BYEASTER=0'"),
        ("FREQ=DAILY;COUNT=2;COUNT=3", "the rule has COUNT twice"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "a rule has COUNT or UNTIL, not both"),
        ("FREQ=DAILY;COUNT=0", "COUNT of the rule cannot be '0': write a number from 1 to 10000"),
        (
            "FREQ=DAILY;INTERVAL=10001",
            "INTERVAL of the rule cannot be '10001': write a number from 1 to 10000;",
        ),
        ("FREQ=DAILY;INTERVAL=1,2", "INTERVAL of the rule cannot be '1,2'"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR of the rule cannot be '24': write numbers from 0 to 23"),
        ("FREQ=DAILY;BYHOUR=-1", "BYHOUR of the rule cannot be '-1'"),
        ("FREQ=DAILY;BYHOUR=", "BYHOUR of the rule cannot be 'nothing'"),
        ("FREQ=DAILY;BYSECOND=60", "BYSECOND of the rule cannot be '60': write numbers from 0 to 59"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY of the rule cannot be '0': write numbers from 1 to 31, or -1"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY of the rule cannot be '32'"),
        ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY of the rule cannot be '6MO': write weekdays as MO,FR, or with a number"),
        ("FREQ=MONTHLY;BYDAY=MON", "BYDAY of the rule cannot be 'MON'"),
        (
            "FREQ=WEEKLY;BYDAY=2MO",
            "2MO in BYDAY has a number, which goes with MONTHLY and YEARLY without BYWEEKNO",
        ),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY does not go with FREQ=WEEKLY: YEARLY MONTHLY DAILY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO does not go with FREQ=MONTHLY: YEARLY take"),
        ("FREQ=DAILY;BYHOUR=9;BYSETPOS=1", "BYSETPOS does not go with FREQ=DAILY: YEARLY MONTHLY take it"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS chooses among what another part names: add one"),
        ("FREQ=DAILY;WKST=XX", "WKST of the rule cannot be 'XX': write one of MO TU"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL of the rule cannot be 'TOMORROW': write a date and time"),
        ("FREQ=DAILY;UNTIL=20260230", "UNTIL of the rule is no date and time that exists: 20260230"),
        ("FREQ=DAILY;UNTIL=22010101", "UNTIL of the rule lies outside the years 1970 to 2200"),
        (
            "DTSTART:20260101 FREQ=DAILY EXDATE:20260102",
            "'DTSTART:20260101 FREQ=DAILY EXDATE:20260102' is no",
        ),
        ("DTSTART:20260101T090000", "'DTSTART:20260101T090000' is no recurrence rule: write FREQ=WEEKLY"),
        ("DTSTART:x FREQ=DAILY", "DTSTART of the rule cannot be 'X': write a date and time"),
        ("DTSTART:20260101T090000 FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "this schedule can never be due"),
        ("DTSTART:20250101T090000 FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", "this schedule can never be due"),
        ("DTSTART:20260105T090000 FREQ=DAILY;INTERVAL=7;BYDAY=TU", "this schedule can never be due"),
        ("DTSTART:20260105T090000 FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "this schedule can never be due"),
    ],
)
def test_a_rule_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(WakefulError) as caught, at_most(2_000_000):
        parse(text)
    assert caught.value.message.startswith(message)


# --- Effort -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "DTSTART:19700101T090000 FREQ=DAILY",
        "DTSTART:19700101T090000 FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9",
        "DTSTART:19700101T090000 FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "DTSTART:19700101T000000 FREQ=MINUTELY;INTERVAL=7",
        "DTSTART:19700101T000000 FREQ=SECONDLY",
        "DTSTART:20200101T090000 FREQ=DAILY;COUNT=10000",
        "DTSTART:19700101T090000 FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=FR",
    ],
)
def test_a_common_rule_is_quick_however_long_ago_it_began(text: str) -> None:
    recurrence = parse(text).recurrence
    assert recurrence is not None
    since = datetime(2026, 3, 5, 12, tzinfo=UTC)
    with at_most(5_000):
        recurrence.next_after(since)
    with at_most(500_000):
        recurrence.count(since, since + timedelta(days=3653))
