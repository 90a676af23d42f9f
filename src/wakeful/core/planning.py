"""Which of the instants that came due become runs, and what the others leave behind; decided without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from wakeful.core.job import Catchup, JobRecord, Overlap
from wakeful.core.run import ON_TIME, RunState
from wakeful.core.schedule import Schedule

WHILE_BUSY = {
    Overlap.QUEUE_ALL: Catchup.ALL,
    Overlap.QUEUE_ONE: Catchup.LATEST,
    Overlap.SKIP: Catchup.NONE,
    Overlap.ALLOW: Catchup.ALL,
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


@dataclass(frozen=True, slots=True)
class Plan:
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
    schedule, runs = record.job.schedule, record.seq - record.not_run
    plan, cursor = _walk(schedule, runs, _spans(record, now), _Cursor(record.next_due_at, record.seq))
    return replace(plan, next_due_at=cursor.due, seq=cursor.seq)


def skip_through(record: JobRecord, now: datetime, reason: str) -> Plan:
    """Leaves out everything that is due by ``now``: what a resumed job passed while it was paused."""
    if record.next_due_at is None or record.next_due_at > now:
        return Plan(None, None, (), record.next_due_at, record.seq)
    schedule, runs = record.job.schedule, record.seq - record.not_run
    passed = schedule.passed(record.next_due_at, now)
    seq = record.seq + passed.count
    gone = Gone(seq, record.next_due_at, passed.last, passed.count, RunState.SKIPPED, reason)
    return Plan(None, None, (gone,), schedule.next_due(passed.last, runs), seq)


def _spans(record: JobRecord, now: datetime) -> Sequence[_Span]:
    job, late = record.job, now - ON_TIME
    missed = (job.catchup, RunState.MISSED, "late")
    spans = [
        # The newest of the late ones gives way to one that is on time.
        _Span(late, now if job.catchup is Catchup.LATEST else late, *missed),
        _Span(now, now, Catchup.ALL, RunState.MISSED, "late"),
    ]
    if record.busy_at is not None and record.free_at is not None and job.overlap is not Overlap.ALLOW:
        # What was late already when the job became busy is still a matter of catch-up.
        before = record.busy_at - ON_TIME
        busy = _Span(record.free_at, record.free_at, WHILE_BUSY[job.overlap], RunState.SKIPPED, "overlap")
        spans = [_Span(before, before, *missed), busy, *spans]
    return spans


def _walk(schedule: Schedule, runs: int, spans: Sequence[_Span], cursor: _Cursor) -> tuple[Plan, _Cursor]:
    """The plan of these spans from ``cursor`` on, and where it leaves the job."""
    nothing = Plan(None, None, (), None, cursor.seq)
    if not spans or cursor.due is None:
        return nothing, cursor
    span, rest = spans[0], spans[1:]
    if cursor.due > span.through:
        return _walk(schedule, runs, rest, cursor)
    if span.keep is Catchup.ALL:
        made = replace(nothing, scheduled_for=cursor.due, run_seq=cursor.seq + 1)
        return made, _Cursor(schedule.next_due(cursor.due, runs + 1), cursor.seq + 1)

    passed = schedule.passed(cursor.due, span.reach)
    after = _Cursor(schedule.next_due(passed.last, runs), cursor.seq + passed.count)
    kept = choose(passed.count, span.keep)
    if kept is None or _gives_way(after.due, rest):
        gone = Gone(after.seq, cursor.due, passed.last, passed.count, span.state, span.reason)
        later, end = _walk(schedule, runs, rest, after)
        return replace(later, gone=(gone, *later.gone)), end
    before: tuple[Gone, ...] = ()
    if kept > 0:
        newest = schedule.passed(cursor.due, passed.last - timedelta.resolution).last
        before = (Gone(after.seq - 1, cursor.due, newest, kept, span.state, span.reason),)
    made = replace(nothing, scheduled_for=passed.last, run_seq=after.seq, gone=before)
    return made, _Cursor(schedule.next_due(passed.last, runs + 1), after.seq)


def _gives_way(due: datetime | None, spans: Sequence[_Span]) -> bool:
    """Whether the newest instant of one span is old beside those of the next, of which not all count either."""
    following = next((span for span in spans if due is not None and due <= span.through), None)
    return following is not None and following.state is RunState.MISSED and following.keep is not Catchup.ALL
