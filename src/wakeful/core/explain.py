"""Why a job did or did not run at an instant, in one sentence that a person understands."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from wakeful.core.duration import Every
from wakeful.core.job import JobRecord, JobState
from wakeful.core.outlook import occurrences
from wakeful.core.run import Cause, Run, RunState

_LEFT_OUT = {
    "late": "nobody could run it in time, and the job's catch-up policy ({catchup}) makes up for no more than it did",
    "outside_window": "when it could have been caught up with, it was older than the job's window of {window}",
    "beyond_limit": "more instants were late than the job catches up with ({limit})",
    "overlap": "the job was still busy, and its overlap policy ({overlap}) leaves such instants out",
    "paused": "the job was paused",
    "deleted": "the job was deleted before it was run",
    "replaced": "the job was replaced before it was run",
}
_ENDED = {
    RunState.SUCCEEDED: "it ran and succeeded",
    RunState.CANCELLED: "its run was cancelled",
    RunState.SUPERSEDED: "its run was superseded",
    RunState.BLOCKED: "its run waits behind others of the job",
    RunState.WAITING: "its run waits",
    RunState.CLAIMED: "it is being run now",
    RunState.OPEN: "it was handed over, and its answer is still to come",
}


def explain(record: JobRecord, rows: Sequence[Run], instant: datetime, now: datetime) -> str:
    """One sentence about ``instant``: of ``rows`` (those that cover it) the scheduled one counts most."""
    row = next((row for row in rows if row.cause is Cause.SCHEDULE), rows[0] if rows else None)
    said = _without_row(record, instant, now) if row is None else _of_row(record, row)
    return f"{_text(instant)}: {said}."


def _without_row(record: JobRecord, instant: datetime, now: datetime) -> str:
    said = "its row is gone: history is kept for a bounded time"
    if instant < record.created_at:
        said = f"this definition of the job was made later, at {_text(record.created_at)}"
    elif next(occurrences(record, instant, instant), None) is None:
        said = f"the schedule has no such instant{_nearest(record, instant)}"
    elif record.ended_at is not None and record.ended_at <= instant:
        said = f"the job had ended ({record.state}) at {_text(record.ended_at)}"
    elif instant > now:
        said = f"it is still to come{_paused(record)}"
    elif record.next_due_at is not None and record.next_due_at <= instant:
        said = f"it is overdue and still to be run{_paused(record) or _why_not_yet(record)}"
    return said


def _of_row(record: JobRecord, row: Run) -> str:
    many = f" (with {row.instants - 1} others, one row for all)" if row.instants > 1 else ""
    if row.fence == 0 and row.reason is not None and row.seq is not None:
        return f"it was not run{many}: {_left_out(record, row.reason)}"
    if row.state is RunState.FAILED:
        last = f", the last with: {row.errors[-1]['error']}" if row.errors else ""
        return f"it failed ({row.reason}) after {row.attempt} attempt{'s' * (row.attempt != 1)}{last}"
    if row.state is RunState.SKIPPED:
        return f"its run was begun and left: {row.reason}"
    said = _ENDED[row.state]
    attempts = f" at attempt {row.attempt}" if row.attempt > 1 else ""
    if (row.started_at is not None and row.run_at is not None) or row.state is RunState.SUCCEEDED:
        late = ((row.started_at or row.scheduled_for) - row.scheduled_for) / timedelta(seconds=1)
        return f"{said}{attempts}, begun {late:.3f} s after its instant"
    return f"{said}{attempts}"


def _left_out(record: JobRecord, reason: str) -> str:
    if reason.startswith("calendar "):
        return f"{reason} excludes that day"
    job = record.job
    return _LEFT_OUT.get(reason, reason).format(
        catchup=job.catchup, window=job.catchup_window, limit=job.catchup_limit, overlap=job.overlap
    )


def _nearest(record: JobRecord, instant: datetime) -> str:
    recurrence = record.job.schedule.recurrence
    following = None if recurrence is None or isinstance(recurrence, Every) else recurrence.next_after(instant)
    return "" if following is None else f"; the next after it is {_text(following)}"


def _paused(record: JobRecord) -> str:
    if record.state is JobState.ACTIVE:
        return ""
    return f", but the job is {record.state}{f' ({record.note})' if record.note else ''}"


def _why_not_yet(record: JobRecord) -> str:
    if record.active >= record.job.max_running:
        return (
            f": the job has {record.active} run{'s' * (record.active != 1)} in flight or waiting, and may have no more"
        )
    return f": nobody who serves the queue {record.job.queue} has claimed it"


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
