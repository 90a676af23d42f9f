"""The occurrences of a job in any stretch of time, past or to come; without regard to what became of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from wakeful.core.duration import Every
from wakeful.core.job import JobKey, JobRecord, JobState

# Instants of one job that a forecast counts at most.
MOST_FORECAST = 1_000_000


@dataclass(frozen=True, slots=True)
class Forecast:
    """One job in a simulated time: how many instants, from the first to the last."""

    key: JobKey
    instants: int
    first: datetime | None
    last: datetime | None


def forecast(record: JobRecord, since: datetime, through: datetime, minutes: Counter[datetime]) -> Forecast:
    """What a job would do in (``since``, ``through``], nothing while it is paused; adds its instants to ``minutes``."""
    count, first, last = 0, None, None
    passed = occurrences(record, since + timedelta.resolution, through)
    for at in islice(passed, MOST_FORECAST if record.state is JobState.ACTIVE else 0):
        if record.job.excluded_by(at) is not None:
            continue
        count, first, last = count + 1, first or at, at
        minutes[at.replace(second=0, microsecond=0)] += 1
    return Forecast(record.job.key, count, first, last)


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
