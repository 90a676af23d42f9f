"""Where a job's next instant moves when time itself was changed: the clock was set, or a zone's rules are others."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from wakeful.core.duration import Every
from wakeful.core.job import JobRecord

# The clock was set, where it goes against the time since boot by more than this; less is drift and slewing.
STEP = timedelta(seconds=5)
# A clock set back by this much was wrong before: everything is reckoned anew, as cron does (cronie's cron(8)).
CORRECTION = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks, read together: the wall clock, and the time since the machine's start that ``boot_id`` names."""

    now: datetime
    boot_id: str
    elapsed: timedelta

    @property
    def booted_at(self) -> datetime:
        """When the machine started, as the wall clock has it now: that changes only when the clock is set."""
        return self.now - self.elapsed


@dataclass(frozen=True, slots=True)
class Retime:
    """Another next instant for a job, if it still stands where it was read: at ``was``, ``seq`` and ``revision``."""

    job_id: int
    revision: int
    seq: int
    was: datetime
    next_due_at: datetime | None


def after_step(record: JobRecord, now: datetime, step: timedelta) -> Retime | None:
    """The move of a job's next instant after the wall clock was set by ``step``.

    Set forwards, what was passed is late, and catch-up decides. Set back, a job that follows elapsed time goes on at
    once; one that is fixed to times of day keeps its next instant, and so does not repeat what it has done, unless the
    clock was corrected by hours.
    """
    recurrence, due = record.job.schedule.recurrence, record.next_due_at
    if step >= -STEP or recurrence is None or due is None or due <= now:
        return None
    # Before its beginning a job is not due, whatever the clock says.
    schedule = record.job.schedule
    if schedule.first is not None and due <= schedule.first:
        return None
    if schedule.given.start_at is not None:
        now = max(now, schedule.start)
    if isinstance(recurrence, Every):
        steps = (due - now) // recurrence.interval if recurrence.interval else 0
        sooner: datetime | None = due - steps * recurrence.interval
        if sooner is not None and sooner <= now:
            sooner += recurrence.interval
    elif recurrence.elapsed or step <= -CORRECTION:
        sooner = recurrence.next_after(now)
    else:
        return None
    return _moved(record, due, sooner) if sooner is not None and sooner < due else None


def after_new_zone_data(record: JobRecord, now: datetime) -> Retime | None:
    """The move of a next instant in the future to where its zone's rules now put it; nothing is due again.

    Of the instants by the new rules, the one nearest to the old is the same occurrence: rules move by hours at most.
    """
    recurrence, due = record.job.schedule.recurrence, record.next_due_at
    if recurrence is None or isinstance(recurrence, Every) or due is None or due <= now:
        return None
    if due == record.job.schedule.first:
        return None
    done = max(now, record.last_run.scheduled_for) if record.last_run else now
    around = (recurrence.last_through(due, min(done, due)), recurrence.next_after(due - timedelta.resolution))
    candidates = [instant for instant in around if instant is not None and instant > done]
    nearest = min(candidates, key=lambda instant: abs(instant - due), default=None)
    until = record.job.schedule.until
    if nearest is not None and until is not None and nearest > until:
        nearest = None
    return _moved(record, due, nearest) if nearest != due else None


def _moved(record: JobRecord, was: datetime, next_due_at: datetime | None) -> Retime:
    return Retime(record.id, record.revision, record.seq, was, next_due_at)
