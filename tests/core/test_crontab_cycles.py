"""Recurrence rules of days and parts of days, against stepping through them, however rarely their parts agree."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from wakeful.core.errors import WakefulError
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule

BEFORE = datetime(2023, 11, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
UNITS = {"DAILY": 86_400, "HOURLY": 3_600, "MINUTELY": 60, "SECONDLY": 1}
SIZES = (3_600, 60, 1)
MOST_STEPS = 20_000
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def parse(text: str) -> Schedule:
    return parse_schedule(ScheduleText(text), "crontab", BEFORE, lambda _: None)


def some(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.one_of(st.just([]), st.lists(st.integers(low, high), min_size=1, max_size=4, unique=True))


@st.composite
def cycles(draw: st.DrawFn) -> tuple[str, int, dict[str, list[int]]]:
    freq = draw(st.sampled_from(sorted(UNITS)))
    interval = draw(
        st.one_of(st.integers(1, 30), st.integers(1, 10_000), st.sampled_from([60, 1440, 3600, 8639, 8640]))
    )
    parts = {
        "BYMONTH": draw(some(1, 12)),
        "BYMONTHDAY": [day for day in draw(some(-31, 31)) if day],
        "BYDAY": draw(some(0, 6)),
        "BYHOUR": draw(some(0, 23)),
        "BYMINUTE": draw(some(0, 59)),
        "BYSECOND": draw(some(0, 59)),
    }
    return freq, interval, parts


def written(freq: str, interval: int, parts: dict[str, list[int]]) -> str:
    text = f"FREQ={freq};INTERVAL={interval}"
    for name, numbers in parts.items():
        if numbers:
            text += f";{name}=" + ",".join(DAYS[number] if name == "BYDAY" else str(number) for number in numbers)
    return text


def by_steps(start: datetime, freq: str, interval: int, parts: dict[str, list[int]]) -> Iterator[datetime]:
    """Its times from so many steps: each unit in which the interval comes round, and what is due within it."""
    unit_s, own = UNITS[freq], (start.hour, start.minute, start.second)
    named = [parts[name] for name in ("BYHOUR", "BYMINUTE", "BYSECOND")]
    inner = [
        sorted(numbers or [at]) if size < unit_s else [0] for size, numbers, at in zip(SIZES, named, own, strict=True)
    ]
    offsets = [sum(n * size for n, size in zip(each, SIZES, strict=True)) for each in product(*inner)]
    first = EPOCH + (start - EPOCH) // (SECOND * unit_s) * (SECOND * unit_s)
    for step in range(MOST_STEPS):
        unit = first + step * interval * unit_s * SECOND
        if unit.year >= 2300:
            return
        if _named(unit, unit_s, parts):
            yield from (unit + SECOND * offset for offset in offsets if unit + SECOND * offset >= start)


def _named(unit: datetime, unit_s: int, parts: dict[str, list[int]]) -> bool:
    length = monthrange(unit.year, unit.month)[1]
    shown = {
        "BYMONTH": {unit.month},
        "BYMONTHDAY": {unit.day, unit.day - length - 1},
        "BYDAY": {unit.weekday()},
        "BYHOUR": {unit.hour} if unit_s <= 3_600 else set(range(24)),
        "BYMINUTE": {unit.minute} if unit_s <= 60 else set(range(60)),
        "BYSECOND": {unit.second} if unit_s == 1 else set(range(60)),
    }
    return all(not numbers or shown[name] & set(numbers) for name, numbers in parts.items())


@settings(max_examples=examples(150), deadline=None)
@given(cycles(), st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 31)))
def test_a_rule_is_due_where_stepping_through_it_comes(
    rule: tuple[str, int, dict[str, list[int]]], begin: datetime
) -> None:
    freq, interval, _ = rule
    start = begin.replace(microsecond=0, tzinfo=UTC)
    end = start + min((MOST_STEPS - 1) * interval * UNITS[freq] * SECOND, datetime(2299, 12, 31, tzinfo=UTC) - start)
    expected = [each for each in by_steps(start, *rule) if each <= end]
    try:
        schedule = parse(f"DTSTART:{start:%Y%m%dT%H%M%S} {written(*rule)}")
    except WakefulError as refusal:
        assert "it has no time" in refusal.message
        assert expected == []
        return
    recurrence, due, found = schedule.recurrence, schedule.first_due(), []
    assert recurrence is not None
    while due is not None and due <= end and len(found) < 50:
        found.append(due)
        due = recurrence.next_after(due)
    assert found == expected[:50]
    assert recurrence.count(start, end) == len(expected)
    assert recurrence.last_through(end, start) == (expected[-1] if expected else None)
    for each in expected[:: max(1, len(expected) // 7)]:
        place = expected.index(each)
        assert recurrence.count(start, each) == place + 1
        assert recurrence.last_through(each - SECOND, start) == (expected[place - 1] if place else None)


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=SECONDLY;INTERVAL=9973;BYHOUR=3;BYMINUTE=1;BYSECOND=2",
        "FREQ=SECONDLY;INTERVAL=1001;BYHOUR=2;BYMINUTE=1;BYSECOND=3",
        "FREQ=SECONDLY;INTERVAL=307;BYHOUR=2;BYMINUTE=1;BYSECOND=3;BYMONTH=6",
        "FREQ=MINUTELY;INTERVAL=7919;BYHOUR=3;BYMINUTE=7;BYSECOND=30",
        "FREQ=HOURLY;INTERVAL=9973;BYHOUR=3;BYMONTHDAY=-1",
        "FREQ=DAILY;INTERVAL=9973;BYDAY=MO",
        "FREQ=SECONDLY;BYSECOND=0",
    ],
)
def test_a_rule_whose_parts_rarely_agree_is_quick(text: str) -> None:
    recurrence = parse(f"DTSTART:20240229T030102 {text}").recurrence
    assert recurrence is not None
    since = datetime(2026, 3, 5, 12, tzinfo=UTC)
    with at_most(300):
        recurrence.next_after(since)
    with at_most(20_000):
        recurrence.count(since, since + timedelta(days=3653))


@pytest.mark.parametrize(
    "text", ["FREQ=SECONDLY;INTERVAL=2;BYSECOND=1", "FREQ=SECONDLY;INTERVAL=9998;BYHOUR=3;BYMINUTE=1;BYSECOND=1"]
)
def test_a_rule_whose_parts_never_agree_is_refused_quickly(text: str) -> None:
    with pytest.raises(WakefulError) as caught, at_most(30_000):
        parse(f"DTSTART:20240229T030102 {text}")
    assert "it has no time" in caught.value.message
