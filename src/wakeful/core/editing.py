"""What becomes of a job's "when" when its definition is changed; decided without I/O."""

from dataclasses import replace
from datetime import UTC, datetime

from msgspec import structs

from wakeful.core.cron import Cron
from wakeful.core.duration import Every
from wakeful.core.job import Job, JobRecord
from wakeful.core.planning import Plan, leave_out
from wakeful.core.run import RunState
from wakeful.core.schedule import Recurrence, Schedule


def edit(record: JobRecord, job: Job, now: datetime) -> tuple[Job, Plan]:
    """The new definition with the anchors that stay, what of the old one is left out, and the next instant.

    Only another recurrence gives another next instant, and then what was due by ``now`` is not run any more.
    """
    old, new = record.job.schedule, job.schedule
    if (new.given, new.syntax) == (old.given, old.syntax):
        return replace(job, schedule=old), Plan(None, None, (), record.next_due_at, record.seq)
    schedule = _going_on(record, new, now)
    if schedule is None:
        plan = leave_out(record, now, RunState.SUPERSEDED, "edited")
        return job, structs.replace(plan, next_due_at=_bounded(record, new, new.first_due()))
    due = _following(schedule, now) if record.next_due_at is None else record.next_due_at
    return replace(job, schedule=schedule), Plan(None, None, (), _bounded(record, schedule, due), record.seq)


def _going_on(record: JobRecord, new: Schedule, now: datetime) -> Schedule | None:
    """The new schedule with what stays of the old one, if both are due at the same instants but for their ends."""
    old, due = record.job.schedule, record.next_due_at
    made = record.seq - record.not_run
    over = (new.until is not None and new.until < now) or (new.repeats is not None and made >= new.repeats)
    if over and due is not None and due <= now:
        # What was due after the new end is to be told.
        return None
    # The anchors of a relative schedule are those of its first definition.
    if _beginning(new) == _beginning(old):
        same_end = (new.given.until_at, new.given.ttl) == (old.given.until_at, old.given.ttl)
        return replace(old, until=old.until if same_end else new.until, repeats=new.repeats, given=new.given)
    if _meaning(new.recurrence) != _meaning(old.recurrence) or new.first != old.first:
        return None
    # Only what is due already stays where it was, if the new beginning is another.
    same_start = new.given.start_at == old.given.start_at
    return new if same_start or (due is not None and due <= now and new.start <= now) else None


def _beginning(schedule: Schedule) -> tuple[str | None, ...]:
    given = schedule.given
    return schedule.syntax, given.schedule, given.due_time, given.zone, given.dst, given.start_at


def _meaning(recurrence: Recurrence | None) -> Recurrence | None:
    """A recurrence without what does not say when it is due."""
    if isinstance(recurrence, Cron):
        return replace(recurrence, text="")
    return replace(recurrence, zone=UTC) if isinstance(recurrence, Every) else recurrence


def _following(schedule: Schedule, now: datetime) -> datetime | None:
    """What comes next in a schedule that was at its end, and is not any more."""
    if schedule.recurrence is None:
        return None
    return schedule.recurrence.next_after(now if schedule.first is None else max(now, schedule.first))


def _bounded(record: JobRecord, schedule: Schedule, due: datetime | None) -> datetime | None:
    """The next instant, unless the schedule ends before it or all runs that it allows have been made."""
    made = record.seq - record.not_run
    if due is None or (schedule.repeats is not None and made >= schedule.repeats):
        return None
    return None if schedule.until is not None and due > schedule.until else due
