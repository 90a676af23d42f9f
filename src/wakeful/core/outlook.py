"""The occurrences of a job in any stretch of time, past or to come; without regard to what became of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import islice, repeat, takewhile

from wakeful.core.duration import Every
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey, JobRecord, JobState

# Instants of one job that a forecast counts at most.
MOST_FORECAST = 1_000_000
_TICK = timedelta.resolution


@dataclass(frozen=True, slots=True)
class Forecast:
    """One job in a simulated time: how many instants, from the first to the last.

    If it was ``cut`` there are more than were counted, and the last is not known.
    """

    key: JobKey
    instants: int
    first: datetime | None
    last: datetime | None
    cut: bool = False


def forecast(record: JobRecord, since: datetime, through: datetime, minutes: Counter[datetime]) -> Forecast:
    """What a job would do in (``since``, ``through``], nothing while it is paused; adds its instants to ``minutes``."""
    count, first, last = 0, None, None
    coming = _coming(record, since, through) if record.state is JobState.ACTIVE else iter(())
    for walked, at in enumerate(coming):
        if walked == MOST_FORECAST:
            return Forecast(record.job.key, count, first, None, cut=True)
        if at > since:
            count, first, last = count + 1, first or at, at
            minutes[at.replace(second=0, microsecond=0)] += 1
    return Forecast(record.job.key, count, first, last)


def instants_of_the_past(record: JobRecord, since: datetime, through: datetime, limit: int) -> Sequence[datetime]:
    """What the schedule, as it is now defined, had in [``since``, ``through``] and no calendar excludes, in order.

    It had that before it was defined too, unless it has a beginning.

    Raises:
        WakefulError: ``INVALID_JOB``: they are more than ``limit``, or the schedule begins only later.
    """
    begins_at = record.job.schedule.begins_at
    if begins_at is not None and through < begins_at:
        raise WakefulError(
            ErrorCode.INVALID_JOB, f"the schedule begins at {rfc3339(begins_at)}: there is nothing to run before that"
        )
    passed = takewhile(lambda at: not runs_out(record, at), allowed(record, since, through, ever=True))
    found = list(islice(passed, limit + 1))
    if len(found) > limit:
        raise WakefulError(
            ErrorCode.INVALID_JOB,
            f"the schedule had more than {limit} instants then: take less time, or a higher limit",
        )
    return found


def runs_out(record: JobRecord, instant: datetime) -> bool:
    """Whether ``repeats`` ends the schedule before an instant of it, if all that comes before it is run."""
    schedule, left, due = record.job.schedule, record.remaining, record.next_due_at
    if left is None:
        return False
    if due is None:
        # Only what was consumed was an occurrence; before the first one, none of these numbers counts.
        first = schedule.first_due()
        return first is not None and instant >= first and schedule.passed(first, instant).count > record.seq
    if instant < due or schedule.passed(due, instant).count <= left:
        return False
    return not record.job.calendars or sum(1 for _ in islice(allowed(record, due, instant), left + 1)) > left


def allowed(record: JobRecord, since: datetime, through: datetime, *, ever: bool = False) -> Iterator[datetime]:
    """The ``occurrences`` that no calendar excludes; excluded days are not walked."""
    job, begin = record.job, since
    while True:
        for at in occurrences(record, begin, through, ever=ever):
            if job.excluded_by(at) is not None:
                begin = _next_day(at, job.schedule.zone)
                break
            yield at
        else:
            return


def occurrences(record: JobRecord, since: datetime, through: datetime, *, ever: bool = False) -> Iterator[datetime]:
    """The instants of the job's schedule in [``since``, ``through``], in order; ``repeats`` does not bound them.

    With ``ever``, those too that it would have had before it was defined.
    """
    schedule = record.job.schedule
    if schedule.until is not None:
        through = min(through, schedule.until)
    lower = schedule.after if ever else schedule.start
    if schedule.first is not None:
        if since <= schedule.first <= through:
            yield schedule.first
        lower = schedule.first
    recurrence = schedule.recurrence
    if recurrence is None:
        return
    after = max(since - _TICK, lower)
    if isinstance(recurrence, Every) and recurrence.anchor is None:
        yield from _steps(recurrence.interval, _known(record), after, through)
        return
    instant = recurrence.next_after(after)
    while instant is not None and instant <= through:
        yield instant
        instant = recurrence.next_after(instant)


def rfc3339(instant: datetime) -> str:
    """An instant in UTC, as it is written."""
    return instant.isoformat().replace("+00:00", "Z")


def _coming(record: JobRecord, since: datetime, through: datetime) -> Iterator[datetime]:
    """What comes by ``through``, at most as often as ``repeats`` still allows; some of it may lie before ``since``."""
    schedule, left, due = record.job.schedule, record.remaining, record.next_due_at
    if left is None:
        return allowed(record, since + _TICK, through)
    if due is None:
        return iter(())
    if isinstance(schedule.recurrence, Every) and not schedule.recurrence.interval:
        return repeat(due, left if due <= through else 0)
    if due <= since and not record.job.calendars:
        # What comes before the simulated time uses the repeats up; it need not be walked to be counted.
        left -= schedule.passed(due, since).count
        return islice(allowed(record, since + _TICK, through), max(0, left))
    return islice(allowed(record, due, through), left)


def _next_day(instant: datetime, zone: tzinfo) -> datetime:
    """The first moment of the day after that of an instant."""
    day = instant.astimezone(zone).date() + timedelta(days=1)
    return max(instant + _TICK, datetime.combine(day, time.min, zone).astimezone(UTC))


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
