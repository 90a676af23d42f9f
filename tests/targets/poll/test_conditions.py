"""Conditions and intervals, as they are written."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from wakeful.targets.poll_conditions import Condition, parse_condition

NEW_YORK = ZoneInfo("America/New_York")
# Noon there, 17:00 UTC.
NOON = datetime(2026, 1, 26, 12, tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90s", 90), ("90 sec", 90), ("1second", 1), ("2 seconds", 2), ("1secs", 1)),
        *(("5m", 300), ("5min", 300), ("5 mins", 300), ("1 minute", 60), ("2minutes", 120)),
        *(("1h", 3600), ("2hr", 7200), ("2hrs", 7200), ("1 hour", 3600), ("3 hours", 10800)),
        *(("2d", 172_800), ("1day", 86_400), ("2 days", 172_800)),
        *(("1w", 604_800), ("1week", 604_800), (" 2 WEEKS ", 1_209_600)),
    ],
)
def test_c2_6_an_age_has_a_number_and_a_unit(text: str, seconds: int) -> None:
    condition = parse_condition(f"age > {text}")
    assert condition.amount * condition.unit == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "5x", "-5m", "1.5h", "1h30m", "5 fortnights", "٣h", "9" * 99])
def test_c2_6_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration such as 90s|must be any, count > 3 or age > 2d"):
        parse_condition(f"age > {text}")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("any", Condition("any")),
        (" ANY ", Condition("any")),
        ("count > 0", Condition("count > 0", "count", ">", 0)),
        ("count>=10", Condition("count>=10", "count", ">=", 10)),
        ("Count <> 3", Condition("count <> 3", "count", "<>", 3)),
        ("age > 3d", Condition("age > 3d", "age", ">", 3, timedelta(days=1))),
        ("age<=90 minutes", Condition("age<=90 minutes", "age", "<=", 90, timedelta(minutes=1))),
        ("age = 0h", Condition("age = 0h", "age", "=", 0, timedelta(hours=1))),
    ],
)
def test_c2_6_a_condition_is_read(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be any, count > 3 or age > 2d"),
        ("some", "must be any, count > 3 or age > 2d"),
        ("count", "must be any, count > 3 or age > 2d"),
        ("count > 3 and age > 2d", "must be any, count > 3 or age > 2d"),
        ("size > 3", "must be any, count > 3 or age > 2d"),
        ("count => 3", "'=>' is no comparison: write one of > >= < <= = == != <>"),
        ("count >< 3", "'><' is no comparison"),
        ("count > 3d", "a count is compared with a whole number, not with '3d'"),
        ("count > -3", "must be any, count > 3 or age > 2d"),
        ("age > 3", "'3' is no duration such as 90s, 5m, 1h, 2d or 1w"),
        ("age > x", "'x' is no duration"),
        ("x" * 500, "must be any, count > 3 or age > 2d, not 'xxx"),
    ],
)
def test_c2_6_what_is_no_condition_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_condition(text)
    assert why in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("sign", "few", "equal", "many"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("=", False, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
        ("<>", True, False, True),
    ],
)
def test_c2_6_every_comparison_works_for_counts_and_ages(sign: str, few: bool, equal: bool, many: bool) -> None:
    count = parse_condition(f"count {sign} 3")
    assert [count.met(2), count.met(3), count.met(4)] == [few, equal, many]
    age = parse_condition(f"age {sign} 3d")
    ages = [{"date": (NOON - timedelta(days=days)).isoformat()} for days in (2, 3, 4)]
    assert [age.counts(item, NOON) for item in ages] == [few, equal, many]


def test_an_age_equals_whole_units_and_is_compared_exactly() -> None:
    item = {"date": (NOON - timedelta(days=3, hours=5)).isoformat()}
    answers = {sign: parse_condition(f"age {sign} 3d").counts(item, NOON) for sign in ("=", "!=", ">", ">=", "<=")}
    assert answers == {"=": True, "!=": False, ">": True, ">=": True, "<=": False}
    assert not parse_condition("age = 72h").counts(item, NOON)
    assert parse_condition("age = 77h").counts(item, NOON)


@pytest.mark.parametrize(
    "item",
    [
        {"created_at": "2026-01-26T16:00:00Z", "updated_at": "2020-01-01", "date": "2020-01-01"},
        {"updated_at": "2026-01-26T16:00:00+00:00", "date": "2020-01-01"},
        {"created_at": None, "updated_at": "soon", "date": "2026-01-26T17:00:00.000+0100"},
        # Without an offset: in the job's zone.
        {"created_at": "2026-01-26T11:00:00"},
        {"date": "2026-01-26 11:00"},
        {"created_at": datetime(2026, 1, 26, 16, tzinfo=UTC).timestamp()},
        {"created_at": int(datetime(2026, 1, 26, 16, tzinfo=UTC).timestamp() * 1000)},
    ],
)
def test_c2_6_an_age_is_counted_from_the_first_date_there_is(item: dict[str, Any]) -> None:
    assert parse_condition("age = 60m").counts(item, NOON)


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"created_at": "soon"},
        {"date": True},
        {"date": []},
        {"date": 1e300},
        {"date": float("nan")},
        "2026-01-01",
        7,
        None,
    ],
)
@pytest.mark.parametrize("sign", [">", "<", "!="])
def test_what_has_no_date_has_no_age(item: object, sign: str) -> None:
    assert not parse_condition(f"age {sign} 1s").counts(item, NOON)


def test_what_asks_for_few_holds_where_there_is_nothing() -> None:
    few = [f"count {sign} 3" for sign in ("<", "<=", "!=", "<>")] + ["count = 0", "count >= 0"]
    assert all(parse_condition(text).asks_for_few for text in few)
    many = ["any", "count > 0", "count >= 1", "count = 3", "age < 3d", "age != 3d"]
    assert not any(parse_condition(text).asks_for_few for text in many)
