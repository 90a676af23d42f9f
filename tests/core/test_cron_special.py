"""``L``, ``W`` and ``#``, wrap-around ranges and names, against a reference that lists the days of each month."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import at_most
from support.examples import examples
from support.slow_cron import SlowCron, in_day_field, in_weekday_field
from wakeful.core.civil import Dst
from wakeful.core.cron import Cron, Dialect
from wakeful.core.cron_text import parse_cron
from wakeful.core.errors import WakefulError

DAY = timedelta(days=1)


def crontab(text: str) -> Cron:
    return parse_cron(text, dialect=Dialect.CRONTAB, zone=UTC, dst=Dst.ONCE)


def dates(cron: Cron, since: date, through: date) -> list[date]:
    found, due = [], cron.next_after(datetime.combine(since, datetime.min.time(), UTC) - timedelta.resolution)
    while due is not None and due.date() <= through:
        found.append(due.date())
        due = cron.next_after(due)
    return found


def every_day(since: date, through: date) -> list[date]:
    return [since + number * DAY for number in range((through - since).days + 1)]


# 28 years hold every kind of month: each length with each first weekday.
SINCE, THROUGH = date(2000, 1, 1), date(2027, 12, 31)
DAYS = ["L", *(f"L-{back}" for back in (1, 2, 3, 15, 27, 28, 29, 30)), "LW", *(f"{day}W" for day in range(1, 32))]
WEEKDAYS = [f"{day}L" for day in range(8)] + [f"{day}#{number}" for day in ("0", "MON", "7") for number in range(1, 6)]


# Each form, and the days at which months differ.
QUICK = {"L", "L-1", "L-30", "LW", "1W", "2W", "28W", "30W", "31W", "0L", "5L", "7L", "0#1", "MON#3", "MON#5", "7#5"}


def each(texts: list[str]) -> list[Any]:
    """The parameters of a test: most are slow, and like the others."""
    return [pytest.param(text, marks=() if text in QUICK else pytest.mark.slow) for text in texts]


@pytest.mark.parametrize("text", each(DAYS))
def test_each_day_of_a_month_is_the_one_on_the_calendar(text: str) -> None:
    expected = [day for day in every_day(SINCE, THROUGH) if in_day_field(text, day)]
    assert dates(crontab(f"0 0 {text} * *"), SINCE, THROUGH) == expected


@pytest.mark.parametrize("text", each(WEEKDAYS))
def test_each_weekday_of_a_month_is_the_one_on_the_calendar(text: str) -> None:
    expected = [day for day in every_day(SINCE, THROUGH) if in_weekday_field(text, day)]
    assert dates(crontab(f"0 0 * * {text}"), SINCE, THROUGH) == expected


def test_some_days_that_anyone_can_look_up() -> None:
    assert dates(crontab("0 0 L 2 *"), date(2023, 1, 1), date(2024, 12, 31)) == [date(2023, 2, 28), date(2024, 2, 29)]
    # 15 August 2026 is a Saturday, 15 November 2026 a Sunday; 1 August 2026 a Saturday, 31 May 2026 a Sunday.
    since, through = date(2026, 1, 1), date(2026, 12, 31)
    assert dates(crontab("0 0 15W 8,11 *"), since, through) == [date(2026, 8, 14), date(2026, 11, 16)]
    assert dates(crontab("0 0 1W 8 *"), since, through) == [date(2026, 8, 3)]
    assert dates(crontab("0 0 31W 5 *"), since, through) == [date(2026, 5, 29)]
    assert dates(crontab("0 0 * 11 THU#4"), since, through) == [date(2026, 11, 26)]


# --- Everything at once -----------------------------------------------------------------------------------------------


def item(low: int, high: int, names: list[str]) -> st.SearchStrategy[str]:
    value = st.integers(low, high).map(str)
    value = st.one_of(value, st.sampled_from(names)) if names else value
    span = st.tuples(value, value).map("-".join)
    stepped = st.tuples(st.one_of(st.just("*"), span, value), st.integers(1, 40)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    return st.one_of(value, span, stepped)


def field(items: st.SearchStrategy[str], star: str = "*") -> st.SearchStrategy[str]:
    return st.one_of(st.just(star), st.lists(items, min_size=1, max_size=3).map(",".join))


MONTH_NAMES = ["jan", "FEB", "Jun", "OCT", "dec"]
DAY_NAMES = ["sun", "MON", "Wed", "sat"]
TEXTS = st.tuples(
    field(item(0, 59, [])),
    field(item(0, 23, [])),
    field(st.one_of(item(1, 31, []), st.sampled_from(DAYS)), "?"),
    field(item(1, 12, MONTH_NAMES)),
    field(st.one_of(item(0, 7, DAY_NAMES), st.sampled_from(WEEKDAYS))),
).map(" ".join)


@settings(max_examples=examples(200), deadline=None)
@given(TEXTS, st.integers(0, 27))
def test_any_expression_means_what_the_slow_reference_says(text: str, year: int) -> None:
    slow = SlowCron(text)
    since = date(2000 + year, 1, 1)
    days = every_day(since, since + 370 * DAY)
    expected = [day for day in days if slow.due_on(day)]
    try:
        cron = crontab(text)
    except WakefulError as refusal:
        assert "never be due" in refusal.message
        assert expected == []
        return
    starts = [datetime.combine(day, datetime.min.time(), UTC) for day in days]
    found = [start.date() for start in starts if cron.count(start, start + DAY - timedelta.resolution)]
    assert found == expected
    minutes = {hour * 60 + minute for hour in cron.hours for minute in cron.minutes}
    assert sorted(minutes) == slow.minutes()
    assert cron.elapsed == slow.elapsed


# --- Effort -----------------------------------------------------------------------------------------------------------


def assert_quick(text: str, since: datetime, lines: int) -> None:
    cron = parse_cron(text, dialect=Dialect.CRONTAB, zone=ZoneInfo("Europe/Berlin"), dst=Dst.ONCE)
    with at_most(lines):
        cron.next_after(since)


@pytest.mark.parametrize(
    "text", ["* * * * *", "*/5 * * * *", "30 9 * * 1-5", "0 0 1 * *", "0 9 L * *", "0 9 * * FRI#2"]
)
def test_a_common_expression_is_quick(text: str) -> None:
    assert_quick(text, datetime(2026, 3, 5, 12, tzinfo=UTC), 800)


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 */28 2 sun", "0 0 */28 2 FRI#5", "0 0 ? 2 SUN#5", "0 0 31W 5 *"])
def test_the_rarest_expression_is_found_without_walking_the_days(text: str) -> None:
    assert_quick(text, datetime(2088, 3, 1, tzinfo=UTC), 15_000)
