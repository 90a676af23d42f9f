"""What a pause leaves to be planned when it begins and when it ends; decided without I/O."""

from datetime import datetime
from typing import NamedTuple

from wakeful.core.job import JobRecord
from wakeful.core.planning import Plan, leave_out
from wakeful.core.run import RunState


class Pausing(NamedTuple):
    """What is written when a job is paused or resumed: what is not run any more, and the pause as the job keeps it."""

    plan: Plan
    paused_at: datetime | None
    resumed_at: datetime | None


def pause(record: JobRecord, now: datetime) -> Pausing:
    """Begins a pause. If something of the one before is still to be planned, it goes on where that began."""
    going_on = record.resumed_at is not None and _is_due(record, record.resumed_at)
    return Pausing(_nothing(record), record.paused_at if going_on else now, None)


def resume(record: JobRecord, now: datetime, *, replay: bool) -> Pausing:
    """Ends a pause: what came due in it is not run, unless it is to be replayed; what was due before it is planned."""
    if replay:
        return Pausing(_nothing(record), None, None)
    if record.paused_at is not None and _is_due(record, record.paused_at):
        return Pausing(_nothing(record), record.paused_at, now)
    return Pausing(leave_out(record, now - record.job.delay, RunState.SKIPPED, "paused"), None, None)


def _is_due(record: JobRecord, at: datetime) -> bool:
    return record.next_due_at is not None and record.next_due_at + record.job.delay <= at


def _nothing(record: JobRecord) -> Plan:
    return Plan(None, None, (), record.next_due_at, record.seq)
