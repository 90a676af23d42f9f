"""What callers may ask. Every face comes here, and to nothing else."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from wakeful.core.codec import read_calendar
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.explain import explain
from wakeful.core.job import DATA_LIMIT, Calendar, Job, JobKey, JobRecord, JobState, check_name
from wakeful.core.notices import conclude
from wakeful.core.outlook import Forecast, forecast, instants_of_the_past
from wakeful.core.ports import (
    Attachment,
    Claim,
    Clock,
    Entropy,
    Health,
    Hold,
    JobQuery,
    NewRun,
    Observer,
    Page,
    Put,
    Records,
    Runner,
    RunQuery,
    Sink,
    StateChange,
    Store,
)
from wakeful.core.retiming import after_new_zone_data
from wakeful.core.run import Cause, Outcome, Run, RunState, run_id

# Runs that one backfill makes at most.
MOST_BACKFILLED = 10_000
# The kind of the records that are calendars.
CALENDAR = "calendar"


@dataclass(frozen=True, slots=True)
class Simulation:
    """What all jobs would do. ``busiest`` are the minutes with the most instants, the fullest first."""

    jobs: Sequence[Forecast]
    busiest: Sequence[tuple[datetime, int]]


@dataclass(frozen=True, slots=True)
class KnownCalendar:
    """A calendar as it is kept; ``source`` says where its dates come from."""

    calendar: Calendar
    source: str | None = None


def _check(job: Job) -> None:
    check_name(job.key.name)
    size = 0 if job.data is None else len(job.data.body)
    if size > DATA_LIMIT:
        raise WakefulError(ErrorCode.INVALID_JOB, f"data is {size} bytes long: at most {DATA_LIMIT} are allowed")


class Scheduler:
    """The one way in: checks what was asked, has it stored, and tells the engine."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        runner: Runner | None = None,
        *,
        records: Records | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._runner = runner
        self._documents = records

    def now(self) -> datetime:
        """The one clock reading of a request: it anchors everything relative in it."""
        return self._clock.now()

    # ── definitions ──

    async def put(self, job: Job, how: Put, now: datetime, revision: int | None = None) -> JobRecord:
        """Stores a job; durable when it returns. ``revision`` is the one that an edit was made of.

        Raises:
            WakefulError: ``INVALID_NAME``, ``INVALID_JOB``, ``JOB_EXISTS`` or ``STORE_UNAVAILABLE``; of an edit
                ``JOB_NOT_FOUND``, or ``STALE_REVISION``: somebody else was faster.
        """
        _check(job)
        record = await self._store.put_job(job, how, now, revision)
        self._wake(record.next_due_at)
        return record

    async def put_run(self, job: Job, now: datetime, expires_at: datetime | None = None) -> tuple[JobRecord, UUID]:
        """Stores a new job with the one run that it has, which waits in the job's queue at once: for an agent's.

        Raises:
            WakefulError: as ``put``.
        """
        _check(job)
        run = NewRun(run_id(now, self._entropy(10)), now, expires_at=expires_at)
        record = await self._store.put_run(job, run, now)
        if self._runner is not None:
            self._runner.arrived(job.queue)
        return record, run.id

    async def get(self, key: JobKey) -> JobRecord | None:
        """The job of that key, unless it has ended."""
        return await self._store.get_job(key)

    async def jobs(self, query: JobQuery) -> Page[JobRecord]:
        """Jobs in byte order of their keys."""
        return await self._store.list_jobs(query)

    async def jobs_of(self, runs: Sequence[Run]) -> Mapping[UUID, JobRecord]:
        """The job of each run, ended ones too, with what the run is made of: edits since then don't count."""
        pairs = tuple({(run.job_id, run.revision) for run in runs})
        page = await self._store.list_jobs(JobQuery(as_of=pairs, ended=True, limit=max(1, len(pairs))))
        found = {(record.id, record.revision): record for record in page.items}
        return {run.id: found[pair] for run in runs if (pair := (run.job_id, run.revision)) in found}

    async def all_jobs(self, query: JobQuery) -> AsyncIterator[JobRecord]:
        """Every job of the query, page by page."""
        cursor: str | None = None
        while True:
            page = await self._store.list_jobs(replace(query, after=cursor))
            for record in page.items:
                yield record
            cursor = page.cursor
            if cursor is None:
                return

    async def delete(self, query: JobQuery) -> int:
        """Ends the jobs that the query names; after it returns no new run of them starts. How many there were."""
        return await self._store.end_jobs(query, JobState.DELETED, self._clock.now())

    async def pause(self, key: JobKey, note: str | None = None) -> JobRecord:
        """Keeps the job from making runs; those that it has go on.

        Raises:
            WakefulError: ``JOB_NOT_FOUND``.
        """
        return await self._store.set_state(StateChange(key, JobState.PAUSED, note), self._clock.now())

    async def resume(self, key: JobKey, *, replay: bool = False) -> JobRecord:
        """Lets the job go on with what comes next; with ``replay``, what passed is left to its catch-up policy.

        Raises:
            WakefulError: ``JOB_NOT_FOUND``.
        """
        record = await self._store.set_state(StateChange(key, JobState.ACTIVE, None, replay), self._clock.now())
        self._wake(record.next_due_at)
        return record

    # ── runs ──

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Runs, newest first."""
        return await self._store.list_runs(query)

    async def run_now(self, key: JobKey) -> UUID:
        """Runs the job once, beside its schedule; the id of that run.

        Raises:
            WakefulError: ``JOB_NOT_FOUND``.
        """
        now = self._clock.now()
        (run,) = await self._add(key, [NewRun(run_id(now, self._entropy(10)), now)], now)
        return run

    async def backfill(self, key: JobKey, since: datetime, through: datetime, *, limit: int) -> Sequence[UUID]:
        """Makes the runs that the schedule had in [``since``, ``through``], oldest first, whatever became of them then.

        What it would have had before it was defined counts too; days that a calendar excludes do not.

        Raises:
            WakefulError: ``JOB_NOT_FOUND``; ``INVALID_JOB`` if they are more than ``limit``, or the schedule begins
                only later: nothing is made.
        """
        instants = await self.backfill_plan(key, since, through, limit=limit)
        now = self._clock.now()
        ids = sorted(run_id(now, self._entropy(10)) for _ in instants)
        return await self._add(
            key, [NewRun(run, at, Cause.BACKFILL) for run, at in zip(ids, instants, strict=True)], now
        )

    async def backfill_plan(self, key: JobKey, since: datetime, through: datetime, *, limit: int) -> Sequence[datetime]:
        """The instants that ``backfill`` would run: its dry run.

        Raises:
            WakefulError: as ``backfill``.
        """
        record = await self._found(key)
        now = self._clock.now()
        if through > now:
            raise WakefulError(
                ErrorCode.INVALID_JOB, "a backfill ends in the past: what is still to come runs by itself"
            )
        if not 1 <= limit <= MOST_BACKFILLED:
            raise WakefulError(ErrorCode.INVALID_JOB, f"the limit of a backfill is from 1 to {MOST_BACKFILLED}")
        return instants_of_the_past(record, since, through, limit)

    async def cancel(self, run: UUID, reason: str = "asked") -> None:
        """Ends a run that has not ended. Who performs it on another node learns of that within two seconds.

        Raises:
            WakefulError: ``RUN_NOT_FOUND``: there is none, or it has ended.
        """
        if not await self._store.cancel_runs([run], reason, self._clock.now()):
            raise WakefulError(ErrorCode.RUN_NOT_FOUND, f"there is no run {run} that could still be cancelled")
        if self._runner is not None:
            self._runner.cut(run)

    async def retry(self, run: UUID) -> UUID:
        """Does a failed run again: a new run that names the old one, and expires when it would have; the new one's id.

        A job that is complete comes back for it.

        Raises:
            WakefulError: ``RUN_NOT_FOUND``: there is none, or it did not fail; ``JOB_NOT_FOUND``: its job was deleted
                or replaced, or another has its name now; ``INVALID_JOB``: it has expired.
        """
        old = await self._store.get_run(run)
        if old is None or old.state is not RunState.FAILED:
            raise WakefulError(ErrorCode.RUN_NOT_FOUND, f"there is no failed run {run}")
        (record,) = (await self._store.list_jobs(JobQuery(job_id=old.job_id, ended=True))).items
        key, now = record.job.key, self._clock.now()
        if old.expires_at is not None and old.expires_at <= now:
            raise WakefulError(ErrorCode.INVALID_JOB, f"run {run} has expired: it would be cancelled at once")
        again = NewRun(run_id(now, self._entropy(10)), old.scheduled_for, Cause.RETRY, run, old.expires_at)
        (new,) = await self._add(key, [again], now)
        return new

    async def claim(self, hold: Hold, rooms: Mapping[str, int], wait: timedelta) -> Sequence[Claim]:
        """Takes runs that wait in queues of agents for a holder, by priority and age; waits for one at most so long.

        They are the holder's until its lease ends: what it has not reported by then has used its attempt.
        """
        alarm = self._clock.alarm()
        give_up_at = self._clock.boot().elapsed + wait
        stop = self._runner.listen(tuple(rooms), alarm) if self._runner is not None else lambda: None
        try:
            while True:
                now = self._clock.now()
                claimed = await self._store.claim_for(hold, rooms, now)
                left = give_up_at - self._clock.boot().elapsed
                if claimed.claims or left <= timedelta(0):
                    return claimed.claims
                await alarm.wait(min(now + left, claimed.wake_at or now + left))
        finally:
            stop()

    async def prioritise(self, run: UUID, priority: int) -> bool:
        """Gives a run another priority among those that wait; whether there is one that has not ended."""
        return await self._store.prioritise(run, priority)

    async def report(self, run: Run, outcome: Outcome, job: Job | None = None) -> None:
        """Writes what became of a run that somebody holds; ``Accepted`` gives it more time. ``job`` spares a look-up.

        Raises:
            WakefulError: ``RUN_NOT_FOUND``: there is none; ``STALE_REVISION``: it is not under that claim any more.
        """
        if job is None:
            record = (await self.jobs_of([run])).get(run.id)
            if record is None:
                raise WakefulError(ErrorCode.RUN_NOT_FOUND, f"there is no run {run.id}")
            job = record.job
        now = self._clock.now()
        if not run.state.ended:
            settlement = conclude(job, run, outcome, now)
            settled = await self._store.settle([settlement], now)
            if not settled.stale:
                self._wake(settled.wake_at)
                return
        raise WakefulError(ErrorCode.STALE_REVISION, f"run {run.id} was taken back meanwhile, or has ended")

    async def why(self, key: JobKey, instant: datetime) -> str:
        """What became of the job at an instant, in a sentence.

        Raises:
            WakefulError: ``JOB_NOT_FOUND``: no job ever had that name.
        """
        page = await self._store.list_jobs(JobQuery(key.namespace, key.owner, key.name, ended=True))
        if not page.items:
            raise WakefulError(ErrorCode.JOB_NOT_FOUND, f"job not found: {key.name!r}")
        lived = [record for record in page.items if record.created_at <= instant]
        record = max(lived or page.items, key=lambda one: one.id if lived else -one.id)
        rows = (await self._store.list_runs(RunQuery(key=key, at=instant))).items
        return explain(record, rows, instant, self._clock.now(), await self.jobs_of(rows))

    async def simulate(self, query: JobQuery, since: datetime, through: datetime) -> Simulation:
        """What these jobs would do in (``since``, ``through``], without doing it: paused ones nothing."""
        minutes: Counter[datetime] = Counter()
        forecasts = [forecast(record, since, through, minutes) async for record in self.all_jobs(query)]
        return Simulation(forecasts, minutes.most_common(10))

    # ── calendars ──

    async def calendars(self) -> Sequence[KnownCalendar]:
        """All of them, in byte order of their names."""
        return [
            KnownCalendar(read_calendar(record.key, record.value), msgspec.json.decode(record.value).get("source"))
            for record in await self.documents.list(CALENDAR)
        ]

    async def put_calendar(self, known: KnownCalendar) -> None:
        """Keeps a calendar, in place of one of that name; the jobs that name it follow at once.

        Raises:
            WakefulError: ``INVALID_NAME``.
        """
        calendar = known.calendar
        dates = sorted(day.isoformat() for day in calendar.dates)
        value = {"dates": dates, "keep": calendar.keep, "source": known.source}
        await self.documents.put(CALENDAR, check_name(calendar.name), msgspec.json.encode(value).decode())

    async def delete_calendar(self, name: str) -> bool:
        """Forgets a calendar: no job leaves its dates out any more. Whether there was one."""
        return await self.documents.delete(CALENDAR, name)

    async def use_zone_data(self, version: str) -> int:
        """Moves the next instants of jobs to where other zone data puts them; how many. Nothing is due again by it.

        Call it before the engine starts; it does something only where ``version`` is not the one of the last call.
        """
        used = await self.documents.get("tzdata", "version")
        if used is not None and used.value == version:
            return 0
        moved = 0
        if used is not None:
            now = self._clock.now()
            async for record in self.all_jobs(JobQuery()):
                move = after_new_zone_data(record, now)
                moved += 0 if move is None else await self._store.retime([move])
        await self.documents.put("tzdata", "version", version)
        return moved

    # ── the engine ──

    def attach(self, queue: str, sink: Sink, limit: int) -> Attachment:
        """Makes a sink known as a place where the queue's runs go, at most ``limit`` at a time."""
        if self._runner is None:
            raise RuntimeError("a scheduler without an engine delivers nothing: there is nothing to attach to")
        return self._runner.attach(queue, sink, limit)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Lets somebody hear of what this node performs; call what it returns to end that."""
        if self._runner is None:
            raise RuntimeError("a scheduler without an engine performs nothing: there is nothing to hear of")
        return self._runner.observe(observer)

    async def run(self, run: UUID) -> Run | None:
        """The run of that id."""
        return await self._store.get_run(run)

    def health(self) -> Health:
        """Whether claims are made on time."""
        if self._runner is None:
            return Health(False, "this process runs no engine")
        return self._runner.health()

    async def audit(self) -> Sequence[str]:
        """What the store finds wrong with itself: nothing, unless there is a bug or a damaged file."""
        return await self._store.audit()

    @property
    def documents(self) -> Records:
        """Small documents beside the jobs, by kind and key: calendars, agents, tokens."""
        if self._documents is None:
            raise RuntimeError("a scheduler without records keeps no documents")
        return self._documents

    async def _found(self, key: JobKey) -> JobRecord:
        record = await self._store.get_job(key)
        if record is None:
            raise WakefulError(ErrorCode.JOB_NOT_FOUND, f"job not found: {key.name!r}")
        return record

    async def _add(self, key: JobKey, runs: Sequence[NewRun], now: datetime) -> Sequence[UUID]:
        added = await self._store.add_runs(key, runs, now)
        self._wake(now)
        return added

    def _wake(self, at: datetime | None) -> None:
        if self._runner is not None and at is not None:
            self._runner.wake(at)
