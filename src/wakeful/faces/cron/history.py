"""What became of the jobs of one file: their runs as rows, newest first."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec

from wakeful.core.job import JobRecord
from wakeful.core.ports import JobQuery, RunQuery
from wakeful.core.run import Run, RunState
from wakeful.faces.cron.definitions import NAMESPACE
from wakeful.scheduler import Scheduler

Row = dict[str, Any]

MOST_ROWS = 1_000
_PREVIEW = 500
_MILLISECOND = timedelta(milliseconds=1)
_NOT_RUN = (RunState.SKIPPED, RunState.MISSED)
# What people are told of a run's state; a run that waits for its next attempt goes on.
STATUS: Mapping[RunState, str] = {
    RunState.BLOCKED: "running",
    RunState.WAITING: "running",
    RunState.CLAIMED: "running",
    RunState.OPEN: "running",
    RunState.SUCCEEDED: "success",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "failed",
    RunState.SUPERSEDED: "failed",
    RunState.SKIPPED: "skipped",
    RunState.MISSED: "missed",
}


class HistoryReader:
    """The history of one owner; ``zone`` is the one in which times are told."""

    def __init__(self, scheduler: Scheduler, owner: str, zone: Callable[[], tzinfo]) -> None:
        self._scheduler = scheduler
        self._owner = owner
        self._zone = zone

    async def read(self, limit: int, *, include_skipped: bool = False) -> list[Row]:
        """The newest runs, at most ``limit`` and ``MOST_ROWS``; with ``include_skipped`` also what did not run."""
        states = tuple(state for state in RunState if include_skipped or state not in _NOT_RUN)
        limit = max(0, min(limit, MOST_ROWS))
        query = RunQuery(namespace=NAMESPACE, owner=self._owner, states=states, limit=max(1, limit))
        runs = (await self._scheduler.runs(query)).items[:limit]
        jobs = await self._jobs({run.job_id for run in runs})
        zone = self._zone()
        return [row_of(run, jobs[run.job_id], zone) for run in runs if run.job_id in jobs]

    async def total(self) -> int:
        """How many runs the history has in all."""
        states = tuple(state for state in RunState if state not in _NOT_RUN)
        query = RunQuery(namespace=NAMESPACE, owner=self._owner, states=states, limit=1, count=True)
        return (await self._scheduler.runs(query)).total or 0

    async def of(self, run: Run) -> Row | None:
        """The row of one run, if it is of one of the owner's jobs."""
        record = (await self._jobs({run.job_id})).get(run.job_id)
        ours = record is not None and record.job.key.owner == self._owner
        return row_of(run, record, self._zone()) if record is not None and ours else None

    async def _jobs(self, ids: Iterable[int]) -> Mapping[int, JobRecord]:
        query = JobQuery(job_ids=tuple(ids), ended=True)
        return {record.id: record async for record in self._scheduler.all_jobs(query)}


def row_of(run: Run, record: JobRecord, zone: tzinfo) -> Row:
    """A run as a row of history, with the names of both documents."""
    job, result = record.job, _result(run)
    started, ended = _to_ms(run.started_at), _to_ms(run.ended_at)
    error = result.get("error") or (run.errors[-1].get("error") if run.errors else None)
    status = STATUS[run.state]
    if status != "success" and error is None and run.state.ended:
        error = run.reason
    row: Row = {
        "job": job.key.name,
        "job_name": job.key.name,
        "skill": job.target.address,
        "execution_id": run.id.hex,
        "session_id": result.get("session_id"),
        "scheduled_for": told(run.scheduled_for, zone),
        "started_at": told(started, zone),
        "completed_at": told(ended, zone),
        "status": status,
        "success": status == "success" if run.state.ended else None,
        "timed_out": bool(result.get("timed_out", False)),
        # The clock may have been set back meanwhile.
        "duration_ms": None if started is None or ended is None else max(0, (ended - started) // _MILLISECOND),
        "error": None if status == "success" else error,
        "output_preview": str(result.get("output") or "")[:_PREVIEW],
        "exit_code": result.get("exit_code"),
        "cause": run.cause.value,
        "attempts": run.attempt,
        "retry": {"attempts": run.attempt, "retried": run.attempt > 1, "failure_type": result.get("failure")},
    }
    if run.instants > 1:
        row |= {"scheduled_to": told(run.scheduled_to, zone), "instants": run.instants}
    return row


def told(instant: datetime | None, zone: tzinfo) -> str | None:
    """An instant with the zone's offset, to the second, or to the millisecond where it has some."""
    if instant is None:
        return None
    local = instant.astimezone(zone)
    return local.isoformat(timespec="milliseconds" if local.microsecond // 1_000 else "seconds")


def _to_ms(instant: datetime | None) -> datetime | None:
    """What is told: a duration is the difference of the times that are told beside it."""
    return None if instant is None else instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)


def _result(run: Run) -> Mapping[str, Any]:
    if run.result is None:
        return {}
    try:
        result = msgspec.json.decode(run.result)
    except msgspec.DecodeError:
        return {}
    return result if isinstance(result, dict) else {"output": run.result.decode(errors="replace")}
