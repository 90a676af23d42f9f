"""The occurrences of a job in any stretch of time, past or to come; without regard to what became of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from wakeful.core.duration import Every
from wakeful.core.job import JobRecord


def occurrences(record: JobRecord, since: datetime, through: datetime) -> Iterator[datetime]:
    """The instants of the job's schedule in [``since``, ``through``], in order; ``repeats`` does not bound them."""
    schedule = record.job.schedule
    if schedule.until is not None:
        through = min(through, schedule.until)
    lower = schedule.start
    if schedule.first is not None:
        if since <= schedule.first <= through:
            yield schedule.first
        lower = schedule.first
    recurrence = schedule.recurrence
    if recurrence is None:
        return
    after = max(since - timedelta.resolution, lower)
    if isinstance(recurrence, Every) and recurrence.anchor is None:
        yield from _steps(recurrence.interval, _known(record), after, through)
        return
    instant = recurrence.next_after(after)
    while instant is not None and instant <= through:
        yield instant
        instant = recurrence.next_after(instant)


def _known(record: JobRecord) -> datetime:
    """An instant from which those of an interval can be counted."""
    if record.next_due_at is not None:
        return record.next_due_at
    return record.last_run.scheduled_for if record.last_run is not None else record.job.schedule.start


def _steps(interval: timedelta, known: datetime, after: datetime, through: datetime) -> Iterator[datetime]:
    if not interval:
        if after < known <= through:
            yield known
        return
    instant = known + ((after - known) // interval + 1) * interval
    while instant <= through:
        yield instant
        instant += interval
