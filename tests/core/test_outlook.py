"""The instants of a job: those to come, as many as it may have, and those of a past before it was defined."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from support.planned import new_record
from support.schedules import at
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Calendar, Job, JobKey, JobRecord, TargetSpec
from wakeful.core.outlook import MOST_FORECAST, Forecast, forecast, instants_of_the_past
from wakeful.core.schedule import ScheduleText, parse_schedule

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def a_record(
    schedule: str | None, syntax: str = "crontab", calendars: tuple[Calendar, ...] = (), **given: Any
) -> JobRecord:
    when = parse_schedule(ScheduleText(schedule, **given), syntax, NOON, ZoneInfo)
    job = Job(JobKey("n", "app/a", "j"), when, TargetSpec("http", "x"), "q", calendars=calendars)
    return new_record(job)


def foreseen(record: JobRecord, since: datetime = NOON, length: timedelta = WEEK) -> Forecast:
    return forecast(record, since, since + length, Counter())


# ── to come ──


@pytest.mark.parametrize(
    ("schedule", "given", "instants", "last"),
    [
        ("R3/PT1M", {}, 3, "2026-03-02T12:03Z"),
        ("@every 1m", {"repeats": 2}, 2, "2026-03-02T12:02Z"),
        ("0 * * * *", {"repeats": 4}, 4, "2026-03-02T16:00Z"),
        ("FREQ=DAILY;COUNT=3", {}, 3, "2026-03-05T12:00Z"),
        ("0 0 * * *", {"until_at": "P2D"}, 2, "2026-03-04T00:00Z"),
        (None, {"due_time": "1h"}, 1, "2026-03-02T13:00Z"),
        ("0 9 * * *", {}, 7, "2026-03-09T09:00Z"),
    ],
)
def test_a_forecast_ends_with_the_schedule(schedule: str, given: dict[str, Any], instants: int, last: str) -> None:
    found = foreseen(a_record(schedule, **given))
    assert (found.instants, found.last, found.cut) == (instants, at(last), False)


def test_what_comes_before_the_simulated_time_counts_against_the_repeats() -> None:
    record = a_record("0 * * * *", repeats=4)
    assert foreseen(record, at("2030-01-01T00:00Z")).instants == 0
    later = foreseen(record, at("2026-03-02T14:00Z"))
    assert (later.instants, later.first) == (2, at("2026-03-02T15:00Z"))
    used = structs.replace(record, seq=3, not_run=1, next_due_at=at("2026-03-02T16:00Z"))
    assert (foreseen(used).instants, foreseen(used).last) == (2, at("2026-03-02T17:00Z"))
    assert foreseen(structs.replace(record, seq=4, next_due_at=None)).instants == 0


def test_excluded_days_do_not_count_against_the_repeats() -> None:
    free = Calendar("free", frozenset({date(2026, 3, 3)}))
    record = a_record("0 9 * * *", repeats=3, calendars=(free,))
    found = foreseen(record)
    assert (found.instants, found.first, found.last) == (3, at("2026-03-04T09:00Z"), at("2026-03-06T09:00Z"))
    assert foreseen(record, at("2026-03-05T00:00Z")).instants == 2


def test_an_interval_of_zero_has_all_its_repeats_at_once() -> None:
    found = foreseen(a_record("@every 0s", "dapr", repeats=3), NOON - timedelta(seconds=1))
    assert (found.instants, found.first, found.last) == (3, NOON, NOON)


def test_a_forecast_that_is_cut_off_says_so_and_names_no_last() -> None:
    found = foreseen(a_record("@every 1ms"))
    assert (found.instants, found.cut, found.last) == (MOST_FORECAST, True, None)
    assert found.first == NOON + timedelta(milliseconds=1)
    whole = foreseen(a_record("* * * * * *"), length=timedelta(seconds=1000))
    assert (whole.instants, whole.cut) == (1000, False)


def test_a_far_time_of_a_counted_schedule_is_not_walked_to() -> None:
    record = a_record("* * * * * *", repeats=2**40)
    assert foreseen(record, at("2150-01-01T00:00Z"), timedelta(seconds=5)).instants == 5


# ── of the past ──


def past(record: JobRecord, since: str, through: str, limit: int = 100) -> list[datetime]:
    return list(instants_of_the_past(record, at(since), at(through), limit))


@pytest.mark.parametrize("schedule", ["0 9 * * *", "CRON_TZ=UTC 0 9 * * *", "0 0 9 * * *"])
def test_a_cron_line_has_all_of_the_past(schedule: str) -> None:
    record = a_record(schedule)
    assert record.job.schedule.begins_at is None
    assert past(record, "2020-02-28T00:00Z", "2020-03-01T12:00Z") == [
        *(at("2020-02-28T09:00Z"), at("2020-02-29T09:00Z"), at("2020-03-01T09:00Z"))
    ]


def test_the_clocks_of_the_past_are_those_of_its_zone() -> None:
    record = a_record("0 9 * * *", zone="Europe/Rome")
    assert past(record, "2025-03-29T00:00Z", "2025-03-31T00:00Z") == [at("2025-03-29T08:00Z"), at("2025-03-30T07:00Z")]


@pytest.mark.parametrize(
    ("schedule", "given", "begins", "first"),
    [
        ("0 9 * * *", {"start_at": "2026-02-20T00:00:00Z"}, "2026-02-20T00:00Z", "2026-02-20T09:00Z"),
        ("0 9 * * *", {"start_at": "2026-02-20T09:00:00Z"}, "2026-02-20T09:00Z", "2026-02-20T09:00Z"),
        (
            "0 9 * * *",
            {"zone": "Europe/Rome", "start_at": "2026-02-20T09:00"},
            "2026-02-20T08:00Z",
            "2026-02-20T08:00Z",
        ),
        ("@every 6h", {"start_at": "2026-02-20T01:00:00Z"}, "2026-02-20T01:00Z", "2026-02-20T01:00Z"),
        ("R/2026-02-20T09:00:00Z/P1D", {}, "2026-02-20T09:00Z", "2026-02-20T09:00Z"),
        ("CRON_TZ=Europe/Rome R99/2026-02-20T09:00:00/P1D", {}, "2026-02-20T08:00Z", "2026-02-20T08:00Z"),
        ("R99/2026-02-20T09:00:00Z/PT6H", {}, "2026-02-20T09:00Z", "2026-02-20T09:00Z"),
        ("DTSTART:20260220T090000 FREQ=DAILY", {}, "2026-02-20T09:00Z", "2026-02-20T09:00Z"),
        ("0 9 * * *", {"due_time": "2026-02-20T01:00:00Z"}, "2026-02-20T01:00Z", "2026-02-20T01:00Z"),
    ],
)
def test_a_schedule_with_a_beginning_has_no_past_before_it(
    schedule: str, given: dict[str, Any], begins: str, first: str
) -> None:
    # It was defined after it began.
    record = a_record(schedule, **given)
    assert record.job.schedule.begins_at == at(begins)
    assert past(record, "2026-01-01T00:00Z", "2026-03-02T11:00Z")[0] == at(first)
    with pytest.raises(WakefulError) as refused:
        past(record, "2026-01-01T00:00Z", "2026-01-31T00:00Z")
    assert refused.value.code is ErrorCode.INVALID_JOB
    assert f"the schedule begins at {begins.replace('Z', ':00Z')}" in refused.value.message


@pytest.mark.parametrize("schedule", ["@every 1h", "R/PT1H", "R5/PT1H", "R/P1D", "FREQ=HOURLY"])
def test_what_is_counted_from_its_definition_begins_there(schedule: str) -> None:
    record = a_record(schedule)
    begins = record.job.schedule.begins_at
    assert begins == record.next_due_at
    assert begins is not None
    assert past(record, "2026-01-01T00:00Z", begins.isoformat()) == [begins]
    with pytest.raises(WakefulError, match="the schedule begins at "):
        past(record, "2026-01-01T00:00Z", "2026-03-02T12:00Z")


def test_a_single_instant_begins_and_ends_with_itself() -> None:
    record = a_record(None, due_time="1h")
    assert record.job.schedule.begins_at == at("2026-03-02T13:00Z")
    assert past(record, "2026-01-01T00:00Z", "2026-04-01T00:00Z") == [at("2026-03-02T13:00Z")]
    assert past(record, "2026-03-15T00:00Z", "2026-04-01T00:00Z") == []


def test_the_past_ends_with_the_schedule() -> None:
    assert past(a_record("0 * * * *", until_at="2h"), "2026-03-02T13:00Z", "2026-03-02T20:00Z")[-1] == (
        at("2026-03-02T14:00Z")
    )
    counted = a_record("0 * * * *", repeats=3)
    assert past(counted, "2026-03-02T11:00Z", "2026-03-02T20:00Z")[-1] == at("2026-03-02T15:00Z")
    over = structs.replace(counted, seq=3, next_due_at=None)
    assert past(over, "2026-03-02T11:00Z", "2026-03-02T20:00Z")[-1] == at("2026-03-02T15:00Z")


def test_excluded_days_are_left_out_of_the_past() -> None:
    free = Calendar("free", frozenset({date(2026, 2, 20), date(2026, 2, 21)}))
    record = a_record("0 9,10 * * *", calendars=(free,))
    assert [each.day for each in past(record, "2026-02-19T00:00Z", "2026-02-22T23:00Z")] == [19, 19, 22, 22]
    # They do not count against the limit either, and are not walked one by one.
    kept = Calendar("kept", frozenset({date(2026, 2, 20)}), keep=True)
    secondly = a_record("* * * * * *", calendars=(kept,))
    with pytest.raises(WakefulError, match="more than 5"):
        past(secondly, "1971-01-01T00:00Z", "2026-03-01T00:00Z", 5)
    daily = a_record("0 9 * * *", calendars=(kept,))
    assert past(daily, "1971-01-01T00:00Z", "2026-03-01T00:00Z", 1) == [at("2026-02-20T09:00Z")]
