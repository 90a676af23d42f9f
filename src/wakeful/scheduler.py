"""What callers may ask. Every face comes here, and to nothing else."""

from datetime import datetime

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import DATA_LIMIT, Job, JobKey, JobRecord, JobState, check_name
from wakeful.core.ports import Attachment, Clock, Health, JobQuery, Page, Put, Runner, RunQuery, Sink, Store
from wakeful.core.run import Run


class Scheduler:
    """The one way in: checks what was asked, has it stored, and tells the engine."""

    def __init__(self, store: Store, clock: Clock, runner: Runner | None = None) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner

    def now(self) -> datetime:
        """The one clock reading of a request: it anchors everything relative in it."""
        return self._clock.now()

    async def put(self, job: Job, how: Put, now: datetime) -> JobRecord:
        """Stores a job; durable when it returns.

        Raises:
            WakefulError: ``INVALID_NAME``, ``INVALID_JOB``, ``JOB_EXISTS`` or ``STORE_UNAVAILABLE``.
        """
        check_name(job.key.name)
        if job.data is not None and len(job.data.body) > DATA_LIMIT:
            raise WakefulError(
                ErrorCode.INVALID_JOB, f"data is {len(job.data.body)} bytes long: at most {DATA_LIMIT} are allowed"
            )
        record = await self._store.put_job(job, how, now)
        if self._runner is not None and record.next_due_at is not None:
            self._runner.wake(record.next_due_at)
        return record

    async def get(self, key: JobKey) -> JobRecord | None:
        """The job of that key, unless it has ended."""
        return await self._store.get_job(key)

    async def jobs(self, query: JobQuery) -> Page[JobRecord]:
        """Jobs in byte order of their keys."""
        return await self._store.list_jobs(query)

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Runs, newest first."""
        return await self._store.list_runs(query)

    async def delete(self, query: JobQuery) -> int:
        """Ends the jobs that the query names; after it returns no new run of them starts. How many there were."""
        return await self._store.end_jobs(query, JobState.DELETED, self._clock.now())

    def attach(self, queue: str, sink: Sink, limit: int) -> Attachment:
        """Makes a sink known as a place where the queue's runs go, at most ``limit`` at a time."""
        if self._runner is None:
            raise RuntimeError("a scheduler without an engine delivers nothing: there is nothing to attach to")
        return self._runner.attach(queue, sink, limit)

    def health(self) -> Health:
        """Whether claims are made on time."""
        if self._runner is None:
            return Health(False, "this process runs no engine")
        return self._runner.health()
