"""Which of the instants that came due become runs, and what the others leave behind; decided without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from wakeful.core.closed_days import BEGINNING, Stretch, stretch_around
from wakeful.core.job import Catchup, Job, JobRecord, Overlap
from wakeful.core.run import ON_TIME, RunState

WHILE_BUSY = {
    Overlap.QUEUE_ALL: Catchup.ALL,
    Overlap.QUEUE_ONE: Catchup.LATEST,
    Overlap.SKIP: Catchup.NONE,
}
_TICK = timedelta.resolution
# So many instants are gone through one by one.
_FEW = 16


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


class _Time(NamedTuple):
    """When something began and when it ended, as it is for the instants of a job: by its delay earlier."""

    since: datetime
    until: datetime


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
    return _Walk(record, record.next_due_at, now).go()


def _simply_due(record: JobRecord, now: datetime) -> bool:
    """Whether no policy has a say: the next instant is on time, and came after the job was busy or paused last."""
    due, free_at, job = record.next_due_at, record.free_at, record.job
    if due is None or job.calendars or record.resumed_at is not None or not now - ON_TIME < due <= now:
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


class _Walk:
    """One planning: from span to span until a run is made or nothing is due any more."""

    def __init__(self, record: JobRecord, due: datetime, now: datetime) -> None:
        self._job: Job = record.job
        self._schedule = record.job.schedule
        self._runs = record.seq - record.not_run
        self._now = now
        self._due: datetime | None = due
        self._seq = record.seq
        self._gone: list[Gone] = []
        self._busy = _busy_times(record, now)
        self._pause = _pause(record, now)

    def go(self) -> Plan:
        """The plan, once all that is left out has been."""
        spans = self._spans()
        for place, span in enumerate(spans):
            while self._due is not None and self._due <= span.through:
                if span.keep is Catchup.NONE:
                    self._leave(span.reach, span.state, span.reason)
                    break
                closed = self._days(self._due)
                if closed.closed_by is not None:
                    self._leave_days(closed, span)
                elif span.keep is Catchup.ALL:
                    return self._run(self._due)
                elif not self._gives_way(span, spans[place + 1 :]):
                    return self._run_newest(span, self._due)
                else:
                    self._leave(span.reach, span.state, span.reason)
        return Plan(None, None, tuple(self._gone), self._due, self._seq)

    def _run(self, due: datetime) -> Plan:
        number = self._seq + 1
        following = self._schedule.next_due(due, self._runs + 1)
        return Plan(due, number, tuple(self._gone), following, number)

    def _run_newest(self, span: _Span, due: datetime) -> Plan:
        """Runs the newest instant of a span that no calendar excludes; ``due`` itself is allowed."""
        newest = self._last(span.reach)
        while (days := self._days(newest)).closed_by is not None:
            newest = self._last(days.start - _TICK)
        if newest > due:
            self._leave(newest - _TICK, span.state, span.reason)
        return self._run(newest)

    def _leave_days(self, closed: Stretch, span: _Span) -> None:
        was = self._due
        self._leave(min(closed.end, span.through), RunState.SKIPPED, f"calendar {closed.closed_by}")
        if self._due == was:
            # With an interval of zero, all that is still to come falls on this day.
            self._due = None

    def _leave(self, until: datetime, state: RunState, reason: str) -> None:
        assert self._due is not None  # noqa: S101 - the caller looked; it tells the type checker so
        passed = self._schedule.passed(self._due, until)
        self._seq += passed.count
        gone = Gone(self._seq, self._due, passed.last, passed.count, state, reason)
        before = self._gone[-1] if self._gone else None
        if before is not None and (before.state, before.reason) == (state, reason):
            gone = replace(gone, first=before.first, instants=before.instants + gone.instants)
            self._gone.pop()
        self._gone.append(gone)
        self._due = self._after(passed.last)

    # ── what counts where ──

    def _spans(self) -> Sequence[_Span]:
        """In their order; those before a pause are there a second time, for what comes after it."""
        spans: list[_Span] = []
        after = BEGINNING
        for busy in self._busy:
            # What was late already when the job became busy is still a matter of catch-up.
            spans += [*self._away(after, busy.since), _Span(busy.until, busy.until, *_while_busy(self._job))]
            after = busy.until
        spans += [*self._away(after, self._now), _Span(self._now, self._now, Catchup.ALL, RunState.MISSED, "late")]
        if self._pause is None:
            return spans
        begun, ended = self._pause
        before = [span._replace(through=min(span.through, begun), reach=min(span.reach, begun)) for span in spans]
        return [*before, _Span(ended, ended, Catchup.NONE, RunState.SKIPPED, "paused"), *spans]

    def _away(self, after: datetime, until: datetime) -> Sequence[_Span]:
        """The policies on what came due while nobody could run it, which was over at ``until``."""
        job, late = self._job, until - ON_TIME
        if self._due is None or self._due > late:
            return ()
        spans: list[_Span] = []
        if job.catchup is Catchup.ALL and job.catchup_limit is not None:
            kept_after = self._too_many(max(after, self._due - _TICK), late, job.catchup_limit)
            spans.append(_Span(kept_after, kept_after, Catchup.NONE, RunState.MISSED, "beyond_limit"))
        if job.catchup_window is not None:
            oldest = until - max(job.catchup_window, ON_TIME)
            spans.append(_Span(oldest, oldest, Catchup.NONE, RunState.MISSED, "outside_window"))
        # The newest of the late ones gives way to one that is on time.
        reach = until if job.catchup is Catchup.LATEST and until == self._now else late
        return [*spans, _Span(late, reach, job.catchup, RunState.MISSED, "late")]

    def _gives_way(self, span: _Span, rest: Sequence[_Span]) -> bool:
        """Whether the newest instant of one span is old beside a later one, of those that not all count either."""
        following = self._following(self._last(span.reach), rest)
        if following is None:
            return False
        if span.state is RunState.SKIPPED and following.state is RunState.MISSED:
            return self._job.catchup is not Catchup.ALL and following.keep is not Catchup.ALL
        return span.state is following.state

    def _following(self, last: datetime, rest: Sequence[_Span]) -> _Span | None:
        """The span of the next instant after ``last`` that is neither excluded nor in the pause."""
        due = self._after(last)
        while due is not None and last < due <= self._now:
            stretch = self._stretch(due)
            if stretch.closed_by is None:
                return next(span for span in rest if due <= span.through)
            last = self._last(min(stretch.end, self._now))
            due = self._after(last)
        return None

    # ── what is allowed, and counting back ──

    def _days(self, instant: datetime) -> Stretch:
        """The stretch of days that calendars allow or exclude alike."""
        return stretch_around(self._job.calendars, self._schedule.zone, instant)

    def _stretch(self, instant: datetime) -> Stretch:
        """The same, where the pause excludes what is due in it as well."""
        pause = self._pause
        if pause is not None and pause.since < instant <= pause.until:
            return Stretch("pause", pause.since + _TICK, pause.until)
        days = self._days(instant)
        if pause is None:
            return days
        if instant > pause.until:
            return days._replace(start=max(days.start, pause.until + _TICK))
        return days._replace(end=min(days.end, pause.since))

    def _last(self, through: datetime) -> datetime:
        """The latest occurrence from the next one to be planned ``through`` then; that one, if there is no later."""
        due, recurrence, until = self._due, self._schedule.recurrence, self._schedule.until
        assert due is not None  # noqa: S101 - as above
        if recurrence is None:
            return due
        return recurrence.last_through(through if until is None else min(through, until), due) or due

    def _too_many(self, after: datetime, late: datetime, limit: int) -> datetime:
        """The instant through which occurrences in (``after``, ``late``] are too many: ``limit`` newer ones count."""
        newest = self._last(late)
        while newest > after:
            stretch = self._stretch(newest)
            start = max(stretch.start, after + _TICK)
            if stretch.closed_by is None:
                limit, found = self._count_back(newest, start, limit)
                if found is not None:
                    return found
            if start == after + _TICK:
                break
            newest = self._last(start - _TICK)
        return BEGINNING

    def _count_back(self, newest: datetime, start: datetime, limit: int) -> tuple[int, datetime | None]:
        """Of ``limit`` occurrences those before ``start``, or the one before them all in [``start``, ``newest``]."""
        width = timedelta(minutes=1)
        low, high = max(start - _TICK, newest - width), newest
        while (number := self._number(low, newest)) <= limit:
            if low < start:
                return limit - number, None
            width *= 4
            low = max(start - _TICK, newest - width)
        while number - limit > _FEW:
            middle = low + (high - low) // 2
            count = self._number(middle, newest)
            if count > limit:
                low, number = middle, count
            else:
                high = middle
        found = self._due if self._due is not None and low < self._due else self._after(self._last(low))
        for _ in range(number - limit - 1):
            found = self._after(found or newest)
        return 0, found

    def _after(self, occurrence: datetime) -> datetime | None:
        return self._schedule.next_due(occurrence, self._runs)

    def _number(self, after: datetime, newest: datetime) -> int:
        """How many occurrences lie in (``after``, ``newest``], of which ``newest`` is one."""
        assert self._due is not None  # noqa: S101 - as above
        if after < self._due:
            return self._schedule.passed(self._due, newest).count
        return self._schedule.passed(self._last(after), newest).count - 1


def _while_busy(job: Job) -> tuple[Catchup, RunState, str]:
    if job.overlap is Overlap.ALLOW:
        return job.catchup, RunState.MISSED, "late"
    return WHILE_BUSY[job.overlap], RunState.SKIPPED, "overlap"


def _busy_times(record: JobRecord, now: datetime) -> Sequence[_Time]:
    job, found = record.job, list[_Time]()
    if job.overlap is Overlap.REPLACE or record.busy_at is None or record.free_at is None:
        return found
    for busy_at, free_at in (*record.busy_before, (record.busy_at, record.free_at)):
        busy = _Time(busy_at - job.delay, free_at - job.delay)
        # Out of this order, the clock was set back, and what it said then tells nothing of these instants.
        if (found[-1].until if found else BEGINNING) <= busy.since <= busy.until <= now:
            found.append(busy)
    return found


def _pause(record: JobRecord, now: datetime) -> _Time | None:
    if record.paused_at is None or record.resumed_at is None:
        return None
    pause = _Time(record.paused_at - record.job.delay, record.resumed_at - record.job.delay)
    # One that ends later than now was before the clock was set back.
    return pause if pause.until <= now + ON_TIME else None
