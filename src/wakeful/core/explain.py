"""Why a job did or did not run at an instant, in one sentence that a person understands."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from wakeful.core.describe import length
from wakeful.core.duration import Every
from wakeful.core.job import Catchup, Job, JobRecord, JobState, Overlap
from wakeful.core.outlook import occurrences, rfc3339, runs_out
from wakeful.core.run import ON_TIME, Cause, Run, RunState

# Why something did not run, or not to its end, by the reason on its row. What is not here is told as it stands there.
_REASONS = {
    "late": "nobody could run it in time, and {catchup}",
    "outside_window": "when it could have been run, it was older than the {window} that the job reaches back",
    "beyond_limit": "of those that were late, the job makes up for the newest {limit} only",
    "overlap": "the job was still busy, and {overlap}",
    "paused": "the job was paused",
    "deleted": "the job was deleted before it was run",
    "replaced": "the job was replaced before it was run",
    "edited": "the job was given another schedule before it was run",
    "completed": "the job had come to its end",
    "overtaken": "the next run of the job took its place",
    "asked": "somebody asked for it",
    "expired": "nobody took it before it expired",
    "attempts_exhausted": "no retry was left",
    "too_old": "a retry would have come later than the job's retries may",
    "rejected": "the target refused it for good",
    "lost_with_node": "the node that ran it was lost, and the job runs at most once",
}
_MAKES_UP = {
    Catchup.LATEST: "of such instants the job makes up for the latest only",
    Catchup.NONE: "the job does not make up for such instants",
    Catchup.ALL: "the job could not make up for it",
}
_WHILE_BUSY = {
    Overlap.QUEUE_ONE: "keeps only the latest of what comes meanwhile",
    Overlap.SKIP: "leaves out what comes meanwhile",
}
# A run that was asked for beside the schedule, and what came of it: the first words of another half sentence.
_BESIDES = {
    Cause.RETRY: "it was done again on request, and",
    Cause.BACKFILL: "a backfill made up for it, and",
    Cause.MANUAL: "a run was asked for then, and",
    Cause.SCHEDULE: "the schedule of another definition made a run of it, and",
}
_NOW = {
    RunState.BLOCKED: "waits behind others of the job",
    RunState.WAITING: "waits to be taken",
    RunState.CLAIMED: "is being run now",
    RunState.OPEN: "was handed over, and its answer is still to come",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.SUPERSEDED: "was superseded",
    RunState.SKIPPED: "had nothing to do",
    RunState.MISSED: "was missed",
}


def explain(
    record: JobRecord, rows: Sequence[Run], instant: datetime, now: datetime, made_of: Mapping[UUID, JobRecord]
) -> str:
    """One sentence about ``instant``: of ``rows`` (those that cover it) the scheduled one counts most.

    ``made_of`` is the job of each row, with the policies that it had then.
    """
    scheduled = [row for row in rows if row.cause is Cause.SCHEDULE and _has(record, row, instant) is not False]
    row = next((row for row in scheduled if row.job_id == record.id), scheduled[0] if scheduled else None)
    if row is None:
        said = _without_row(record, instant, now)
    else:
        then = made_of.get(row.id, record).job
        said = _of_row(then, row, now) + _doubt(record, row, instant)
    besides = _besides(rows, row)
    return f"{rfc3339(instant)}: {said}{f'; {besides}' if besides else ''}."


# ── what has a row ──


def _has(record: JobRecord, row: Run, instant: datetime) -> bool | None:
    """Whether ``instant`` is one of those that the row stands for; ``None``: the schedule was changed since."""
    if instant in (row.scheduled_for, row.scheduled_to):
        return True
    if (row.job_id, row.revision) != (record.id, record.revision):
        return None
    recurrence = record.job.schedule.recurrence
    if isinstance(recurrence, Every) and recurrence.anchor is None and recurrence.interval:
        # They are counted from each other; those before the clock was set lie elsewhere than those after it.
        return not (instant - row.scheduled_for) % recurrence.interval
    return _is_due(record, instant)


def _doubt(record: JobRecord, row: Run, instant: datetime) -> str:
    if _has(record, row, instant) or row.scheduled_to is None:
        return ""
    span = f"{row.instants} instants from {rfc3339(row.scheduled_for)} to {rfc3339(row.scheduled_to)}"
    return f" (the schedule was another then: if it had this instant, it was one of {span})"


def _of_row(job: Job, row: Run, now: datetime) -> str:  # noqa: PLR0911 - one for each state
    why = _why(job, row)
    if row.state.ended and row.fence == 0 and row.seq is not None:
        many = f" (with {row.instants - 1} others, one row for all)" if row.instants > 1 else ""
        return f"it was not run{many}: {why}"
    match row.state:
        case RunState.SUCCEEDED:
            attempts = f" at attempt {row.attempt}" if row.attempt > 1 else ""
            return f"it ran and succeeded{attempts}{_begun(row)}"
        case RunState.FAILED:
            attempts, last = f"{row.attempt} attempt{'s' * (row.attempt != 1)}", _last_error(row)
            each = ", the last with: " if row.attempt > 1 else ", with: "
            return f"it failed after {attempts}{each + last if last else ''} ({why})"
        case RunState.CANCELLED | RunState.SUPERSEDED:
            return f"its run was {row.state}: {why}"
        case RunState.SKIPPED:
            return f"its run was begun and left: {why}"
        case RunState.WAITING:
            return _waiting(row, now)
        case RunState.CLAIMED:
            error = f"; attempt {row.errors[-1]['attempt']} failed with: {_last_error(row)}" if row.errors else ""
            attempts = f", attempt {row.attempt}" if row.attempt > 1 else ""
            return f"it is being run now{attempts}{error or _begun(row)}"
    return f"its run {_NOW[row.state]}"


def _waiting(row: Run, now: datetime) -> str:
    due = row.run_at
    later = due is not None and due > now
    if not row.errors:
        return f"its run waits until {rfc3339(due)}" if due is not None and later else _untaken("its run waits", row)
    failed = f"attempt {row.errors[-1]['attempt']} failed with: {_last_error(row)}"
    if due is None:
        return f"{failed}; the next is still to come"
    if later:
        return f"{failed}; the next is due at {rfc3339(due)}"
    return _untaken(f"{failed}; the next has been due since {rfc3339(due)}", row)


def _untaken(said: str, row: Run) -> str:
    return f"{said}, and nobody who serves the queue {row.queue} has taken it"


def _why(job: Job, row: Run) -> str:
    reason = row.reason or "no reason was noted"
    if reason.startswith("calendar "):
        return f"the {reason} excludes that day"
    return _REASONS.get(reason, "{reason}").format(
        reason=reason,
        catchup=_MAKES_UP[job.catchup],
        window="time" if job.catchup_window is None else length(job.catchup_window),
        limit=job.catchup_limit,
        overlap=_WHILE_BUSY.get(job.overlap, "could not take it"),
    )


def _begun(row: Run) -> str:
    late = row.lateness
    if late is None:
        return ""
    if late < timedelta(minutes=1):
        return f", begun {late / timedelta(seconds=1):.3f} s after its instant"
    return f", begun {length(timedelta(seconds=late // timedelta(seconds=1)))} after its instant"


def _last_error(row: Run) -> str:
    return str(row.errors[-1]["error"]) if row.errors else ""


def _besides(rows: Sequence[Run], told: Run | None) -> str:
    """What became of the newest run that was asked for because of the instant: most of all, of what was told."""
    others = sorted((row for row in rows if row.cause is not Cause.SCHEDULE), key=lambda row: row.id)
    if told is not None:
        others = [row for row in others if row.cause is not Cause.MANUAL]
    if not others:
        return ""
    newest = next((row for row in reversed(others) if row.state is RunState.SUCCEEDED), others[-1])
    ended = f" at {rfc3339(newest.ended_at)}" if newest.ended_at is not None else ""
    error = f" with: {_last_error(newest)}" if newest.state is RunState.FAILED and newest.errors else ""
    return f"{_BESIDES[newest.cause]} {_NOW[newest.state]}{ended}{error}"


# ── what has none ──


def _without_row(record: JobRecord, instant: datetime, now: datetime) -> str:  # noqa: PLR0911 - one for each case
    if record.state is JobState.PARKED:
        return f"the job can't be understood, and is not run: {record.note}"
    if instant < record.created_at:
        return f"this definition of the job was made later, at {rfc3339(record.created_at)}"
    if not _is_due(record, instant):
        return f"the schedule has no such instant{_around(record, instant)}"
    if runs_out(record, instant):
        overdue = record.next_due_at is not None and record.next_due_at <= now
        return "it is still to come, if runs are left then" if overdue and instant > now else _ran_out(record)
    if record.ended_at is not None and record.ended_at <= instant:
        return f"the job had ended ({record.state}) at {rfc3339(record.ended_at)}"
    undecided = record.next_due_at is not None and record.next_due_at <= instant and record.ended_at is None
    excluded = record.job.excluded_by(instant) if undecided else None
    if excluded is not None:
        return f"it will not be run: the calendar {excluded} excludes that day"
    if instant > now:
        return f"it is still to come{_jitter(record, instant)}{_paused(record)}"
    if undecided:
        return _overdue(record, instant, now)
    return "its row is gone: history is kept for a bounded time"


def _is_due(record: JobRecord, instant: datetime) -> bool:
    return next(occurrences(record, instant, instant), None) is not None


def _ran_out(record: JobRecord) -> str:
    repeats, left = record.job.schedule.repeats, record.remaining
    runs = f"{repeats} run{'s' * (repeats != 1)}"
    if not left or record.next_due_at is None:
        return f"the schedule ends before it: all of its {runs} were made"
    return f"the schedule ends before it: of its {runs} {left} {'are' if left > 1 else 'is'} left, which come earlier"


def _around(record: JobRecord, instant: datetime) -> str:
    """What lies behind an instant that is none of the schedule: its next one, or its end."""
    until = record.job.schedule.until
    following = next(occurrences(record, instant, until or datetime.max.replace(tzinfo=UTC)), None)
    if following is not None and not runs_out(record, following):
        return f"; the next after it is {rfc3339(following)}"
    if following is None and until is not None:
        return f", and ends before it: at {rfc3339(until)}"
    return ", and ends before it"


def _jitter(record: JobRecord, instant: datetime) -> str:
    delay = record.job.delay
    return f": the job's jitter puts it at {rfc3339(instant + delay)}" if delay else ""


def _overdue(record: JobRecord, instant: datetime, now: datetime) -> str:
    due = instant + record.job.delay
    if record.state is not JobState.ACTIVE:
        return f"it is overdue{_paused(record)}"
    if due > now:
        delay = length(timedelta(seconds=max(1, round(record.job.delay / timedelta(seconds=1)))))
        return f"it is due at {rfc3339(due)}: the job's jitter puts each of its runs {delay} later"
    job, active = record.job, record.active
    if active >= job.max_running and job.overlap is not Overlap.ALLOW and job.overlap is not Overlap.REPLACE:
        busy = f"the job has {active} run{'s' * (active != 1)} in flight or waiting, and may have no more"
        return f"it is overdue: {busy}; then its overlap policy ({job.overlap}) decides"
    late = f"; then the job's catch-up policy ({job.catchup}) decides" if now - due > ON_TIME else ""
    return f"it is overdue: nobody who serves the queue {job.queue} has claimed it{late}"


def _paused(record: JobRecord) -> str:
    if record.state is JobState.ACTIVE:
        return ""
    return f", but the job is {record.state}{f' ({record.note})' if record.note else ''}"
