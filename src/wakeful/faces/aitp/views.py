"""Schedules, executions and tasks as this face shows them; the SQL views of migration 0004 say the same."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from wakeful.core.job import Job, JobRecord, JobState
from wakeful.core.ports import Claim
from wakeful.core.run import Run, RunState
from wakeful.faces.aitp.definitions import (
    CONCURRENCY_NAMES,
    DEFAULT_TIMEOUT,
    MISFIRE_NAMES,
    known_trigger,
    zone_of,
)
from wakeful.faces.aitp.desk import expires_at
from wakeful.faces.aitp.ids import SCHEDULE, client_of, execution_id, schedule_id, task_id, time_text

View = dict[str, Any]

PENDING = (RunState.WAITING, RunState.BLOCKED, RunState.CLAIMED)
# The states of runs behind each status of a task, and whether somebody holds them.
TASK_STATES: Mapping[str, tuple[tuple[RunState, ...], bool | None]] = {
    "PENDING": (PENDING, False),
    "ASSIGNED": ((RunState.CLAIMED,), True),
    "ACTIVE": ((RunState.OPEN,), None),
    "COMPLETED": ((RunState.SUCCEEDED,), None),
    "FAILED": ((RunState.FAILED,), None),
    "CANCELLED": ((RunState.CANCELLED, RunState.SUPERSEDED), None),
}
# Instants that became no run are no tasks.
TASKS = tuple(state for state in RunState if state not in (RunState.SKIPPED, RunState.MISSED))
# The states of jobs behind each status of a schedule, and whether they fail.
SCHEDULE_STATES: Mapping[str, tuple[tuple[JobState, ...], bool | None]] = {
    "ACTIVE": ((JobState.ACTIVE,), None),
    "PAUSED": ((JobState.PAUSED,), False),
    "FAILED": ((JobState.PAUSED, JobState.PARKED), True),
    "COMPLETED": ((JobState.COMPLETED,), None),
    "DELETED": ((JobState.DELETED,), None),
}
LISTED = (JobState.ACTIVE, JobState.PAUSED, JobState.PARKED, JobState.COMPLETED)


def schedule_status(record: JobRecord) -> str:
    """The status of a schedule."""
    if record.state in (JobState.PAUSED, JobState.PARKED):
        return "FAILED" if status_reason(record) else "PAUSED"
    return record.state.upper()


def status_reason(record: JobRecord) -> str | None:
    """Why a schedule has failed; ``None`` if it has not."""
    if record.state is JobState.PARKED or (record.note or "").startswith("paused itself"):
        return record.note or "it can't be understood"
    return None


def schedule_brief(record: JobRecord, last: Run | None) -> View:
    """A schedule in a list."""
    options = record.job.target.options
    return {
        "schedule_id": schedule_id(record),
        "client_id": client_of(record),
        "task_type": options.get("task_type"),
        "status": schedule_status(record),
        "cron_expression": options.get("cron_expression"),
        "next_run_at": next_run_at(record),
        "last_run_at": None if last is None else time_text(last.created_at),
        "total_runs": record.seq - record.not_run + record.asked,
        "failed_runs": record.failed,
    }


def schedule_detail(record: JobRecord, last: Run | None) -> View:
    """A schedule with everything that is known of it."""
    job, options = record.job, record.job.target.options
    trigger = known_trigger(job)
    given = job.schedule.given
    return {
        **schedule_brief(record, last),
        "capability_required": options.get("capability"),
        "input_data": input_data(job),
        "priority": job.priority,
        "description": options.get("description"),
        "status_reason": status_reason(record),
        "successful_runs": record.succeeded,
        "schedule_type": trigger.kind,
        "recurrence": None if trigger.recurrence is None else msgspec.Raw(trigger.recurrence.encode()),
        "run_at": time_text(job.schedule.first) if trigger.kind == "once" else None,
        "timezone": zone_of(job),
        "start_at": given.start_at,
        "expires_at": time_text(expires_at(options)),
        "max_runs": given.repeats,
        "misfire_policy": MISFIRE_NAMES[job.catchup],
        "misfire_limit": job.catchup_limit,
        "concurrency_policy": CONCURRENCY_NAMES.get(job.overlap, "allow"),
        "pause_after": job.pause_after,
        **_policies(job),
        "created_at": time_text(record.created_at),
        "updated_at": time_text(record.updated_at or record.created_at),
    }


def next_run_at(record: JobRecord) -> str | None:
    """When a schedule is due next: never, while it is not active."""
    return time_text(record.next_due_at) if record.state is JobState.ACTIVE else None


def execution(run: Run) -> View:
    """An execution of a schedule; an instant that became none is ``SKIPPED``, and has no task."""
    skipped = run.left_out or run.state not in TASKS
    return {
        "execution_id": execution_id(run.id),
        "task_id": None if skipped else task_id(run.id),
        "executed_at": None if skipped else time_text(run.created_at),
        "scheduled_for": time_text(run.scheduled_for),
        "scheduled_to": time_text(run.scheduled_to),
        "instants": run.instants,
        "status": "SKIPPED" if skipped else _execution_status(run),
        "result_data": result(run),
        "error_message": _execution_error(run),
    }


def _execution_status(run: Run) -> str:
    if not run.state.ended:
        return "PENDING"
    return "COMPLETED" if run.state is RunState.SUCCEEDED else "FAILED"


def _execution_error(run: Run) -> str | None:
    return (_error(run) or run.state.value) if run.state.ended and run.state is not RunState.SUCCEEDED else None


def is_task(record: JobRecord, namespace: str) -> bool:
    """Whether the runs of a job are tasks of that namespace."""
    return record.job.key.namespace == namespace and record.job.target.kind == "task"


def task_status(run: Run) -> str:
    """The status of a task."""
    if run.state is RunState.CLAIMED:
        return "PENDING" if run.holder is None else "ASSIGNED"
    return next((status for status, (states, _) in TASK_STATES.items() if run.state in states), "CANCELLED")


def task(run: Run, job: Job) -> View:
    """A task with everything that is known of it."""
    options = job.target.options
    held = run.state in (RunState.CLAIMED, RunState.OPEN) and run.holder is not None
    return {
        **_asked_for(run, job),
        "priority": run.priority,
        "status": task_status(run),
        "description": options.get("description"),
        "assigned_agent_id": run.holder,
        "result_data": result(run),
        "error_message": _error(run),
        "retry_count": max(0, run.attempt - 1),
        "retry_of": None if run.retry_of is None else task_id(run.retry_of),
        **_policies(job),
        "fence": run.fence if held else None,
        "lease_expires_at": time_text(run.lease_until) if held else None,
        "expires_at": time_text(run.expires_at or expires_at(options)),
        "scheduled_for": time_text(run.scheduled_for),
        "created_at": time_text(run.created_at),
        "started_at": time_text(run.started_at),
        "completed_at": time_text(run.ended_at),
    }


def claimed_task(claim: Claim) -> View:
    """A task as the agent gets it that has claimed it: what it needs for the work, and for its report."""
    run, job = claim.run, claim.job
    return {
        **_asked_for(run, job),
        "metadata": _metadata(job.target.options),
        "priority": run.priority,
        "status": "ASSIGNED",
        "retry_count": run.attempt - 1,
        "fence": run.fence,
        "lease_expires_at": time_text(run.lease_until),
        "scheduled_for": time_text(run.scheduled_for),
    }


def _asked_for(run: Run, job: Job) -> View:
    """How every view of a task begins: which it is, and what its client wants."""
    options = job.target.options
    return {
        "task_id": task_id(run.id),
        "schedule_id": _schedule_of(run, job),
        "client_id": job.key.owner.partition("/")[2],
        "task_type": options.get("task_type"),
        "capability_required": options.get("capability"),
        "input_data": input_data(job),
    }


def input_data(job: Job) -> msgspec.Raw:
    """What the client gave, word for word."""
    return msgspec.Raw(job.data.body if job.data is not None else b"null")


def result(run: Run) -> msgspec.Raw | None:
    """What the agent gave, word for word."""
    return None if run.result is None else msgspec.Raw(run.result)


def timeout_seconds(job: Job) -> float:
    """How long a claim of the job's tasks lasts, unless the agent says otherwise."""
    return (job.timeout or DEFAULT_TIMEOUT).total_seconds()


def now_text(now: datetime) -> str:
    """The moment of an answer."""
    return time_text(now) or ""


def _policies(job: Job) -> View:
    return {
        "max_retries": job.retry.max_retries,
        "retry_delay_seconds": job.retry.interval.total_seconds(),
        "timeout_seconds": timeout_seconds(job),
        "metadata": _metadata(job.target.options),
    }


def _metadata(options: Mapping[str, str]) -> msgspec.Raw | None:
    text = options.get("metadata")
    return None if text is None else msgspec.Raw(text.encode())


def _schedule_of(run: Run, job: Job) -> str | None:
    return f"{job.key.name}{run.job_id:08x}" if job.key.name.startswith(SCHEDULE) else None


def _error(run: Run) -> str | None:
    """The newest error of a task that failed or waits for its next attempt; why it was cancelled."""
    if run.state in (RunState.SUCCEEDED, RunState.OPEN, RunState.CLAIMED):
        return None
    newest = str(run.errors[-1]["error"]) if run.errors else None
    if run.state in (RunState.FAILED, RunState.WAITING, RunState.BLOCKED):
        return newest or run.reason
    return run.reason or newest
