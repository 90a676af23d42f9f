"""Records of jobs as plans are made of them, and as plans leave them."""

from datetime import UTC, datetime, timedelta

from msgspec import structs

from wakeful.core.job import Catchup, Job, JobKey, JobRecord, JobState, Overlap, TargetSpec
from wakeful.core.planning import Plan
from wakeful.core.run import RunState
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.zones import load_zone

MISSED, SKIPPED = RunState.MISSED, RunState.SKIPPED
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_record(
    schedule: str = "@every 1s",
    *,
    overlap: Overlap = Overlap.QUEUE_ONE,
    catchup: Catchup = Catchup.LATEST,
    repeats: int | None = None,
    ttl: str | None = None,
    due: str | None = None,
) -> JobRecord:
    when = parse_schedule(ScheduleText(schedule, due, ttl, repeats), "dapr", NOON, load_zone)
    job = Job(JobKey("n", "app/a", "j"), when, TargetSpec("http", "x"), "q", overlap=overlap, catchup=catchup)
    return new_record(job)


def new_record(job: Job) -> JobRecord:
    """A job of which nothing has been planned yet."""
    return JobRecord(
        id=1,
        job=job,
        revision=1,
        state=JobState.ACTIVE,
        next_due_at=job.schedule.first_due(),
        seq=0,
        active=0,
        succeeded=0,
        failed=0,
        not_run=0,
        busy_at=None,
        free_at=None,
        last_run=None,
        created_at=NOON,
        ended_at=None,
    )


def after(record: JobRecord, made: Plan) -> JobRecord:
    """The record once the plan is written."""
    gone = sum(one.instants for one in made.gone)
    return structs.replace(record, next_due_at=made.next_due_at, seq=made.seq, not_run=record.not_run + gone)
