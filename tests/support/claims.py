"""Claims as a sink gets them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from wakeful.core.job import Data, Job, JobKey, TargetSpec
from wakeful.core.ports import Claim
from wakeful.core.run import Cause, Run, RunState
from wakeful.core.schedule import Schedule, ScheduleText

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def claim(
    name: str = "tick",
    data: Data | None = None,
    *,
    owner: str = "app/a",
    target: TargetSpec | None = None,
    number: int = 7,
    timeout: timedelta | None = None,
    at_most_once: bool = False,
    scheduled_for: datetime = NOON,
) -> Claim:
    """The second attempt of a run that was due at noon, unless told otherwise."""
    spec = target or TargetSpec("app", f"job/{name}")
    schedule = Schedule(None, NOON, NOON, None, 1, ScheduleText(), "dapr")
    job = Job(JobKey("default", owner, name), schedule, spec, "app/default/a", data)
    job = replace(job, timeout=timeout, at_most_once=at_most_once)
    run = Run(UUID(int=number), 1, 1, Cause.SCHEDULE, scheduled_for, RunState.CLAIMED, job.queue, attempt=2)
    return Claim(run, job)
