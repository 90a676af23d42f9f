"""Notices that nobody gets: told in the log and to who listens, for who waits for them would wait in vain."""

import logging
from typing import Any

import msgspec

from wakeful.core.job import Job
from wakeful.core.notices import OLDEST, OWNER
from wakeful.core.ports import Claim, JobQuery
from wakeful.core.redaction import redact
from wakeful.core.run import RunState
from wakeful.core.settlement import Settlement
from wakeful.faces.cron.definitions import NAMESPACE
from wakeful.faces.cron.events import Listeners
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.cron")


class UntoldNotices:
    """An ``Observer`` of the notices of one queue."""

    def __init__(self, scheduler: Scheduler, queue: str, listeners: Listeners) -> None:
        self._scheduler = scheduler
        self._queue = queue
        self._listeners = listeners

    async def look(self) -> None:
        """Tells of notices that became too old while no daemon ran.

        Raises:
            WakefulError: the store can't be read.
        """
        before = self._scheduler.now() - OLDEST
        async for record in self._scheduler.all_jobs(JobQuery(NAMESPACE, OWNER)):
            due = record.next_due_at
            if record.job.queue == self._queue and due is not None and due < before:
                self._tell(record.job, "it is too old")

    def started(self, claim: Claim) -> None:
        """That one is about to be sent is nothing to tell."""

    def settled(self, claim: Claim, settlement: Settlement) -> None:
        """One that will not be tried again is told of."""
        if claim.job.queue == self._queue and settlement.state is RunState.FAILED:
            self._tell(claim.job, settlement.error or "no reason was given")

    def _tell(self, notice: Job, error: str) -> None:
        # The sink has taken the secrets that it knows out of its error; what else a notice holds is not told.
        said, target, error = _said(notice), redact(notice.target.address), redact(error)
        job, run = str(said.get("job", "")), str(said.get("run_id", ""))
        log.warning("nobody could be told by %s of run %s of job %r: %s", target, run, job, error)
        failed = {"job": job, "execution_id": run, "target": target, "error": error}
        self._listeners.tell("Event", "notice_failed", msgspec.json.encode(failed).decode())


def _said(notice: Job) -> dict[str, Any]:
    try:
        return msgspec.json.decode(b"" if notice.data is None else notice.data.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
