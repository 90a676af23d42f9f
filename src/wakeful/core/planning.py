"""Which of the instants that came due become runs, and what the others leave behind; decided without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from wakeful.core.job import Catchup, Job, JobRecord, Overlap
from wakeful.core.run import ON_TIME, RunState
from wakeful.core.schedule import Schedule

WHILE_BUSY = {
    Overlap.QUEUE_ALL: Catchup.ALL,
    Overlap.QUEUE_ONE: Catchup.LATEST,
    Overlap.SKIP: Catchup.NONE,
}


@dataclass(frozen=True, slots=True)
class Gone:
    """Consecutive instants that became no run, and why; ``seq`` is the number of the last."""

    seq: int
    first: datetime
    last: datetime
    instants: int
    state: RunState
    reason: str


class Plan(Struct, frozen=True):
    """What the claim must write: the run to make, the rows to record, and the occurrence that comes next."""

    scheduled_for: datetime | None
    run_seq: int | None
    gone: tuple[Gone, ...]
    next_due_at: datetime | None
    seq: int


class _Span(NamedTuple):
    """A stretch of time with one policy: applies if an instant lies up to ``through``; takes those up to ``reach``."""

    through: datetime
    reach: datetime
    keep: Catchup
    state: RunState
    reason: str


class _Cursor(NamedTuple):
    due: datetime | None
    seq: int


def choose(count: int, keep: Catchup) -> int | None:
    """Which of ``count`` instants that passed becomes the next run: its index, or ``None``."""
    match keep:
        case Catchup.ALL:
            return 0
        case Catchup.LATEST:
            return count - 1
        case Catchup.NONE:
            return None


def plan(record: JobRecord, now: datetime) -> Plan:
    """What becomes of the occurrences from ``next_due_at`` to ``now``: at most one run, the rest later or never."""
    if record.next_due_at is None:
        raise ValueError("a job without a next due instant can't be planned")
    # With jitter, a run is due a little after its instant: for this job it is not that late yet.
    now -= record.job.delay
    if _simply_due(record, now):
        due, runs = record.next_due_at, record.seq - record.not_run
        return Plan(due, record.seq + 1, (), record.job.schedule.next_due(due, runs + 1), record.seq + 1)
    walk = _Walk(record.job, record.seq - record.not_run, now)
    made, cursor = walk.go(_spans(record, now), _Cursor(record.next_due_at, record.seq))
    return replace(made, next_due_at=cursor.due, seq=cursor.seq)


def _simply_due(record: JobRecord, now: datetime) -> bool:
    """Whether no policy has a say: the next instant is on time, and came after the job was busy last."""
    due, free_at, job = record.next_due_at, record.free_at, record.job
    if due is None or job.calendars or not now - ON_TIME < due <= now:
        return False
    return free_at is None or due > free_at - job.delay


def leave_out(record: JobRecord, now: datetime, state: RunState, reason: str) -> Plan:
    """Makes no run of anything that is due by ``now``: a resumed job's pause, or the backlog of a job that ends."""
    if record.next_due_at is None or record.next_due_at > now:
        return Plan(None, None, (), record.next_due_at, record.seq)
    schedule, runs = record.job.schedule, record.seq - record.not_run
    passed = schedule.passed(record.next_due_at, now)
    gone = Gone(record.seq + passed.count, record.next_due_at, passed.last, passed.count, state, reason)
    return Plan(None, None, (gone,), schedule.next_due(passed.last, runs), gone.seq)


def _spans(record: JobRecord, now: datetime) -> Sequence[_Span]:
    job, late = record.job, now - ON_TIME
    missed = (job.catchup, RunState.MISSED, "late")
    spans = [
        # The newest of the late ones gives way to one that is on time.
        _Span(late, now if job.catchup is Catchup.LATEST else late, *missed),
        _Span(now, now, Catchup.ALL, RunState.MISSED, "late"),
    ]
    busy_at, free_at = record.busy_at, record.free_at
    # Out of this order, the clock was set back, and what it said then tells nothing of these instants.
    if (
        busy_at is not None
        and free_at is not None
        and busy_at <= free_at <= now + job.delay
        and job.overlap in WHILE_BUSY
    ):
        # What was late already when the job became busy is still a matter of catch-up.
        before = busy_at - job.delay - ON_TIME
        free = free_at - job.delay
        spans = [_Span(before, before, *missed), _Span(free, free, *_while_busy(job.overlap)), *spans]
    if job.catchup_window is not None:
        oldest = now - max(job.catchup_window, ON_TIME)
        spans = [_Span(oldest, oldest, Catchup.NONE, RunState.MISSED, "outside_window"), *spans]
    if job.catchup is Catchup.ALL and job.catchup_limit is not None:
        kept_from = _newest(record, late, job.catchup_limit)
        spans = [_Span(kept_from, kept_from, Catchup.NONE, RunState.MISSED, "beyond_limit"), *spans]
    return spans


def _while_busy(overlap: Overlap) -> tuple[Catchup, RunState, str]:
    return WHILE_BUSY[overlap], RunState.SKIPPED, "overlap"


def _newest(record: JobRecord, late: datetime, limit: int) -> datetime:
    """The instant up to which late occurrences are too many: ``limit`` newer ones are kept."""
    schedule, due = record.job.schedule, record.next_due_at
    if due is None or due > late:
        return datetime.min.replace(tzinfo=UTC)
    passed = schedule.passed(due, late)
    instant = passed.last
    for _ in range(min(limit, passed.count)):
        if instant <= due:
            return due - timedelta.resolution
        instant = schedule.passed(due, instant - timedelta.resolution).last
    return instant


class _Walk:
    """One planning: from span to span until a run is made or nothing is due any more."""

    def __init__(self, job: Job, runs: int, now: datetime) -> None:
        self._job = job
        self._schedule: Schedule = job.schedule
        self._runs = runs
        self._now = now

    def go(self, spans: Sequence[_Span], cursor: _Cursor) -> tuple[Plan, _Cursor]:
        """The plan from ``cursor`` on, and where it leaves the job."""
        nothing = Plan(None, None, (), None, cursor.seq)
        if not spans or cursor.due is None:
            return nothing, cursor
        span, rest = spans[0], spans[1:]
        if cursor.due > span.through:
            return self.go(rest, cursor)
        if span.keep is Catchup.NONE:
            return self._leave(cursor, span.reach, span, rest)
        excluded = self._job.excluded_by(cursor.due)
        if excluded is not None:
            until = min(self._end_of_day(cursor.due), self._now)
            reason = span._replace(state=RunState.SKIPPED, reason=f"calendar {excluded}")
            return self._leave(cursor, until, reason, spans)
        if span.keep is Catchup.ALL:
            made = replace(nothing, scheduled_for=cursor.due, run_seq=cursor.seq + 1)
            return made, _Cursor(self._schedule.next_due(cursor.due, self._runs + 1), cursor.seq + 1)
        return self._latest(cursor, span, rest)

    def _leave(self, cursor: _Cursor, until: datetime, why: _Span, then: Sequence[_Span]) -> tuple[Plan, _Cursor]:
        assert cursor.due is not None  # noqa: S101 - the caller looked; it tells the type checker so
        passed = self._schedule.passed(cursor.due, until)
        gone = Gone(cursor.seq + passed.count, cursor.due, passed.last, passed.count, why.state, why.reason)
        later, end = self.go(then, _Cursor(self._schedule.next_due(passed.last, self._runs), gone.seq))
        return replace(later, gone=(gone, *later.gone)), end

    def _latest(self, cursor: _Cursor, span: _Span, rest: Sequence[_Span]) -> tuple[Plan, _Cursor]:
        assert cursor.due is not None  # noqa: S101 - as above
        passed = self._schedule.passed(cursor.due, span.reach)
        after = _Cursor(self._schedule.next_due(passed.last, self._runs), cursor.seq + passed.count)
        if _gives_way(after.due, rest):
            return self._leave(cursor, span.reach, span, rest)
        kept = self._newest_allowed(cursor.due, passed.last)
        before: tuple[Gone, ...] = ()
        seq = cursor.seq
        if kept > cursor.due:
            older = self._schedule.passed(cursor.due, kept - timedelta.resolution)
            seq += older.count
            before = (Gone(seq, cursor.due, older.last, older.count, span.state, span.reason),)
        made = Plan(kept, seq + 1, before, None, seq + 1)
        return made, _Cursor(self._schedule.next_due(kept, self._runs + 1), seq + 1)

    def _newest_allowed(self, due: datetime, last: datetime) -> datetime:
        """The newest instant that no calendar excludes; ``due`` itself is allowed."""
        while self._job.excluded_by(last) is not None:
            last = self._schedule.passed(due, self._start_of_day(last) - timedelta.resolution).last
        return last

    def _start_of_day(self, instant: datetime) -> datetime:
        local = instant.astimezone(self._schedule.zone)
        return datetime.combine(local.date(), time.min, self._schedule.zone).astimezone(UTC)

    def _end_of_day(self, instant: datetime) -> datetime:
        local = instant.astimezone(self._schedule.zone)
        following = datetime.combine(local.date() + timedelta(days=1), time.min, self._schedule.zone)
        return max(instant, following.astimezone(UTC) - timedelta.resolution)


def _gives_way(due: datetime | None, spans: Sequence[_Span]) -> bool:
    """Whether the newest instant of one span is old beside those of the next, of which not all count either."""
    following = next((span for span in spans if due is not None and due <= span.through), None)
    return following is not None and following.state is RunState.MISSED and following.keep is not Catchup.ALL
