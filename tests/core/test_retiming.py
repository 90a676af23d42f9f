"""Next instants after the clock was set, and after a zone got other rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from support.stores import NOON, a_job, s
from wakeful.core.job import JobRecord, JobState, LastRun
from wakeful.core.retiming import after_new_zone_data, after_step


def a_record(schedule: str, next_due_at: datetime, **fields: Any) -> JobRecord:
    job = a_job(schedule=schedule)
    record = JobRecord(1, job, 1, JobState.ACTIVE, next_due_at, 3, 0, 3, 0, 0, None, None, None, NOON, None)
    return structs.replace(record, **fields)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("schedule", ["@every 5s", "0 * * * * *"])
def test_a_job_that_follows_elapsed_time_goes_on_at_once_after_the_clock_was_set_back(schedule: str) -> None:
    due = NOON + s(60)
    move = after_step(a_record(schedule, due), NOON - HOUR + s(2), -HOUR)
    assert move is not None
    assert NOON - HOUR + s(2) < move.next_due_at <= NOON - HOUR + s(62)
    assert (move.was, move.seq, move.revision) == (due, 3, 1)


def test_a_job_fixed_to_a_time_of_day_does_not_repeat_what_it_has_done() -> None:
    assert after_step(a_record("0 30 9 * * *", NOON + 21 * HOUR), NOON - HOUR, -HOUR) is None


def test_a_clock_corrected_by_hours_is_reckoned_anew() -> None:
    due = NOON + 21.5 * HOUR
    move = after_step(a_record("0 30 9 * * *", due), NOON - 25 * HOUR, -25 * HOUR)
    assert move is not None
    assert move.next_due_at == due - 24 * HOUR


@pytest.mark.parametrize("step", [HOUR, timedelta(seconds=-4)])
def test_a_step_forwards_and_a_slewed_clock_move_nothing(step: timedelta) -> None:
    assert after_step(a_record("@every 5s", NOON + s(60)), NOON, step) is None


def test_a_one_shot_keeps_its_instant_whatever_the_clock_says() -> None:
    job = a_job(due="60s")
    record = structs.replace(a_record("@every 5s", NOON + s(60)), job=job)
    assert after_step(record, NOON - HOUR, -HOUR) is None
    assert after_new_zone_data(record, NOON) is None


def test_a_next_run_moves_to_where_the_new_rules_put_the_same_occurrence() -> None:
    # By the old rules the zone was an hour further east: the stored instant is an hour early.
    right = datetime(2026, 3, 3, 14, tzinfo=UTC)
    record = a_record("CRON_TZ=America/New_York 0 0 9 * * *", right - HOUR)
    move = after_new_zone_data(record, NOON)
    assert move is not None
    assert move.next_due_at == right


def test_the_day_that_has_been_done_is_not_done_again_under_new_rules() -> None:
    done = datetime(2026, 3, 2, 13, tzinfo=UTC)
    record = a_record(
        "CRON_TZ=America/New_York 0 0 9 * * *",
        done + 24 * HOUR,
        last_run=LastRun(done, "succeeded", 1, done),
    )
    now = done + timedelta(minutes=30)
    move = after_new_zone_data(record, now)
    assert move is not None
    assert move.next_due_at == datetime(2026, 3, 3, 14, tzinfo=UTC)


def test_what_is_overdue_and_what_stands_right_is_left_alone() -> None:
    overdue = a_record("CRON_TZ=America/New_York 0 0 9 * * *", NOON - HOUR)
    right = a_record("CRON_TZ=America/New_York 0 0 9 * * *", datetime(2026, 3, 3, 14, tzinfo=UTC))
    interval = a_record("@every 1h", NOON + HOUR)
    assert [after_new_zone_data(record, NOON) for record in (overdue, right, interval)] == [None, None, None]
