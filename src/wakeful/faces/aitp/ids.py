"""Names as this face shows them: schedules, executions and tasks are jobs and runs; and times as text."""

import re
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from wakeful.core.codec import to_us
from wakeful.core.job import JobRecord
from wakeful.core.ports import Entropy

SCHEDULE, TASK, EXECUTION = "sched-", "task-", "exec-"
CLIENT = "client/"
_SCHEDULE_ID = re.compile(r"(sched-[0-9a-f]{24})([0-9a-f]{8,15})")
_RUN_ID = re.compile(r"(?:task|exec)-([0-9a-f]{32})")


class ScheduleId(NamedTuple):
    """The name of a schedule's job and the id of that very incarnation."""

    name: str
    job_id: int


def new_name(prefix: str, now: datetime, entropy: Entropy) -> str:
    """A name of 24 hexadecimal digits: 11 of milliseconds, so that names sort by age, and 13 that nobody guesses."""
    return f"{prefix}{to_us(now) // 1000:011x}{entropy(7).hex()[:13]}"


def schedule_id(record: JobRecord) -> str:
    """How a schedule is called."""
    return f"{record.job.key.name}{record.id:08x}"


def parse_schedule_id(text: str) -> ScheduleId | None:
    """What such an id says; ``None`` if it is none."""
    match = _SCHEDULE_ID.fullmatch(text)
    return None if match is None else ScheduleId(match[1], int(match[2], 16))


def task_id(run: UUID) -> str:
    """How a run is called as a task."""
    return TASK + run.hex


def execution_id(run: UUID) -> str:
    """How a run is called as an execution of a schedule."""
    return EXECUTION + run.hex


def parse_task_id(text: str) -> UUID | None:
    """The run of a task or an execution; ``None`` if the id is none."""
    match = _RUN_ID.fullmatch(text)
    return None if match is None else UUID(match[1])


def client_of(record: JobRecord) -> str:
    """The client that owns a job."""
    return record.job.key.owner.removeprefix(CLIENT)


def owner_of(client_id: str) -> str:
    """The owner of a client's jobs."""
    return CLIENT + client_id


def time_text(instant: datetime | None) -> str | None:
    """ISO 8601, UTC, with ``Z`` and whole seconds."""
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
