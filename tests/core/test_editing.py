"""What becomes of a job's "when" when its definition is changed."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from support.stores import NOON, a_job, s
from wakeful.core.editing import edit
from wakeful.core.job import Job, JobRecord, JobState
from wakeful.core.run import RunState
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.zones import load_zone

NINE = NOON + timedelta(hours=21)


def a_record(job: Job, due: datetime | None = None, *, seq: int = 0, **more: Any) -> JobRecord:
    fields: dict[str, Any] = {"succeeded": 0, "failed": 0, "not_run": 0, "active": 0, "busy_at": None, "free_at": None}
    fields |= {"last_run": None, "created_at": NOON, "ended_at": None, **more}
    return JobRecord(id=1, job=job, revision=1, state=JobState.ACTIVE, next_due_at=due, seq=seq, **fields)


def crontab(schedule: str, now: datetime = NOON, **given: Any) -> Job:
    when = parse_schedule(ScheduleText(schedule, **given), "crontab", now, load_zone)
    return replace(a_job(), schedule=when)


def test_the_same_schedule_goes_on_from_its_first_definition() -> None:
    old = a_job(schedule="@every 1h")
    job, plan = edit(a_record(old, NOON + s(3600)), a_job(schedule="@every 1h", data=b"1", now=NOON + s(60)), NOON)
    assert job.schedule == old.schedule
    assert (plan.next_due_at, plan.gone, job.data is None) == (NOON + s(3600), (), False)


def test_what_is_due_under_another_schedule_is_told() -> None:
    record = a_record(crontab("* * * * *"), NOON + s(60), seq=7)
    now = NOON + s(630)
    _, plan = edit(record, crontab("0 9 * * *", now), now)
    (gone,) = plan.gone
    assert (gone.first, gone.last, gone.instants, gone.seq) == (NOON + s(60), NOON + s(600), 10, 17)
    assert (gone.state, gone.reason, plan.seq, plan.next_due_at) == (RunState.SUPERSEDED, "edited", 17, NINE)


@pytest.mark.parametrize(
    ("before", "after", "remaining"),
    [
        ("@every 1h", {"repeats": 5}, 2),
        ("@every 1h", {"repeats": 4}, 1),
        ("@every 1h", {"repeats": 3}, 0),
        ("@every 1h", {"repeats": 2}, 0),
        ("@every 2h", {"repeats": 4}, 1),
        ("@every 2h", {"repeats": 3}, 0),
        ("@every 2h", {"repeats": 1}, 0),
    ],
)
def test_repeats_count_runs_that_were_made_before(before: str, after: dict[str, Any], remaining: int) -> None:
    record = a_record(a_job(schedule=before, repeats=9), NOON + s(7200), seq=5, not_run=2)
    job, plan = edit(record, a_job(schedule="@every 1h", now=NOON + s(1800), **after), NOON + s(1800))
    expected = {"@every 1h": NOON + s(7200), "@every 2h": NOON + s(5400)}[before]
    assert plan.next_due_at == (expected if remaining else None)
    assert a_record(job, seq=5, not_run=2).remaining == remaining


@pytest.mark.parametrize("due", [s(600), s(60)])
def test_another_end_keeps_the_next_instant(due: timedelta) -> None:
    now = NOON + s(330)
    record = a_record(crontab("@every 10m"), NOON + due, seq=2)
    job, plan = edit(record, crontab("@every 10m", now, until_at="2026-03-02T13:00:00Z"), now)
    assert (plan.next_due_at, plan.gone) == (NOON + due, ())
    assert (job.schedule.start, job.schedule.until) == (NOON, NOON + s(3600))


def test_an_end_before_the_next_instant_is_the_end() -> None:
    now = NOON + s(330)
    record = a_record(crontab("* * * * *"), NOON + s(660))
    _, plan = edit(record, crontab("* * * * *", now, until_at="2026-03-02T12:10:50Z"), now)
    assert (plan.next_due_at, plan.gone) == (None, ())


def test_a_schedule_that_was_at_its_end_goes_on_with_a_later_one() -> None:
    now = NOON + s(330)
    record = a_record(crontab("0 9 * * *", repeats=1), None, seq=1, active=1)
    _, plan = edit(record, crontab("0 9 * * *", now, repeats=2), now)
    assert plan.next_due_at == NINE
    once = a_record(a_job(due="2026-03-02T12:01:00Z"), None, seq=1, active=1)
    _, plan = edit(once, a_job(due="2026-03-02T12:01:00+00:00", now=now), now)
    assert plan.next_due_at is None


def test_an_anchor_stays_where_it_was() -> None:
    now = NOON + timedelta(days=10)
    fortnightly = "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0"
    old = crontab(fortnightly)
    due = old.schedule.first_due()
    job, plan = edit(a_record(old, due), crontab(fortnightly, now, repeats=5), now)
    assert (plan.next_due_at, job.schedule.recurrence) == (due, old.schedule.recurrence)
    assert job.schedule.repeats == 5


def test_another_start_moves_what_is_to_come_and_keeps_what_is_due() -> None:
    now = NOON + s(330)
    later = crontab("*/10 * * * *", now, start_at="2026-03-02T15:00:00Z")
    _, plan = edit(a_record(crontab("*/10 * * * *"), NOON + s(600)), later, now)
    assert (plan.next_due_at, plan.gone) == (NOON + s(3 * 3600), ())
    _, plan = edit(a_record(later, NOON + s(3 * 3600)), crontab("*/10 * * * *", now), now)
    assert (plan.next_due_at, plan.gone) == (NOON + s(600), ())
    sooner = crontab("*/10 * * * *", now, start_at="2026-03-01T15:00:00Z")
    _, plan = edit(a_record(crontab("*/10 * * * *"), NOON), sooner, now)
    assert (plan.next_due_at, plan.gone) == (NOON, ())
    _, plan = edit(a_record(crontab("*/10 * * * *"), NOON), later, now)
    assert (plan.next_due_at, [gone.instants for gone in plan.gone]) == (NOON + s(3 * 3600), [1])


def test_the_same_text_in_another_syntax_is_another_schedule() -> None:
    old = a_job(schedule="0 0 9 * * 1")
    new = crontab("0 0 9 * * 1")
    assert old.schedule.given == new.schedule.given
    _, plan = edit(a_record(old, NOON - s(60)), new, NOON)
    if old.schedule.recurrence != new.schedule.recurrence:
        assert [gone.instants for gone in plan.gone] == [1]
    job, _ = edit(a_record(old, NOON + s(60)), new, NOON)
    assert job.schedule.syntax == "crontab"


@pytest.mark.parametrize(
    ("before", "after", "zone"), [("@daily", "0 0 * * *", None), ("@every 10m", "@every 600s", "Europe/Rome")]
)
def test_what_means_the_same_goes_on(before: str, after: str, zone: str | None) -> None:
    now = NOON + s(330)
    _, plan = edit(a_record(crontab(before), NOON + s(60)), crontab(after, now, zone=zone), now)
    assert (plan.next_due_at, plan.gone) == (NOON + s(60), ())
