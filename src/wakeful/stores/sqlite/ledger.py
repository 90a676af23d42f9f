"""Rows of runs, and what their ends do to their jobs; shared by all work that makes or ends runs."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import apsw

from wakeful.core.codec import Decoder, from_us, to_us
from wakeful.core.job import Job, JobKey, JobRecord, Overlap
from wakeful.core.planning import Plan
from wakeful.core.ports import Entropy, NewRun
from wakeful.core.run import ON_TIME, Cause, Run, RunState, run_number
from wakeful.stores.sqlite.records import refresh_calendars
from wakeful.stores.sqlite.rows import SQL, Row, columns_of, dumps, job_record, last_run_text, readable_or_not, sql

# The id of a job, and one of its revisions.
Revision = tuple[int, int]
NEVER_BUSY = 1 << 30
# What a job that was busy has left is begun at once, unless nobody can: then it was not busy in between. So many such
# times are told apart.
BUSY_AGAIN = {"at_once": ON_TIME // timedelta.resolution, "most_busy": 8}
_COUNTED = frozenset({RunState.SUCCEEDED, RunState.FAILED})


class Ids:
    """Ids that grow with each call, within a millisecond and when the clock was set back too."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._last = 0

    def take(self, count: int, now: datetime) -> Iterator[UUID]:
        """The next ids, in their order."""
        milliseconds, entropy = to_us(now) // 1000, self._entropy(10 * count)
        fresh = sorted(run_number(milliseconds, entropy[at : at + 10]) for at in range(0, 10 * count, 10))
        if fresh and fresh[0] <= self._last:
            fresh = list(range(self._last + 1, self._last + 1 + count))
        self._last = fresh[-1] if fresh else self._last
        return iter([UUID(int=number) for number in fresh])


@dataclass(frozen=True, slots=True)
class Tools:
    """What work needs beside its connection: to read definitions, and to make ids."""

    decoder: Decoder
    ids: Ids


def bound(job: Job) -> int:
    """How many runs of the job may be under way, as the statements count: those that are replaced block nothing."""
    return NEVER_BUSY if job.overlap is Overlap.REPLACE else job.max_running


def find(db: apsw.Connection, key: JobKey, decoder: Decoder, *, readable: bool = True) -> JobRecord | None:
    """The unended job of that key; with ``readable`` false, also one that can't be understood.

    Raises:
        Exception: whatever it raises that the definition can't be understood.
    """
    refresh_calendars(db, decoder)
    where = " WHERE namespace = ? AND owner = ? AND name = ? AND ended_at IS NULL"
    row = db.execute(SQL["job_columns"] + where, (key.namespace, key.owner, key.name)).fetchone()
    if row is None:
        return None
    return job_record(decoder, row) if readable else readable_or_not(decoder, row)


def records_of(db: apsw.Connection, ids: Sequence[int], decoder: Decoder) -> list[JobRecord]:
    """The records of those ids, ended ones too; one that can't be read is left out."""
    if not ids:
        return []
    where = " WHERE id IN (SELECT value FROM json_each(?))"
    records: list[JobRecord] = []
    for row in db.execute(SQL["job_columns"] + where, (dumps(ids),)).fetchall():
        with suppress(Exception):
            records.append(job_record(decoder, row))
    return records


def jobs_of(db: apsw.Connection, runs: Sequence[Run], decoder: Decoder) -> dict[UUID, Job]:
    """The job of each run, an ended one too, with what the run is made of."""
    where = " WHERE id IN (SELECT value FROM json_each(?))"
    rows: list[Row] = list(db.execute(SQL["job_columns"] + where, (dumps(list({run.job_id for run in runs})),)))
    records = {row[0]: job_record(decoder, row) for row in rows}
    behind = {(run.job_id, run.revision) for run in runs if run.revision != records[run.job_id].revision}
    before = jobs_as_of(db, behind, rows, decoder) if behind else {}
    return {run.id: before.get((run.job_id, run.revision)) or records[run.job_id].job for run in runs}


def jobs_as_of(
    db: apsw.Connection, pairs: Collection[Revision], rows: Sequence[Row], decoder: Decoder
) -> dict[Revision, Job]:
    """What the runs of ids at revisions are made of, where an edit changed it; ``rows`` are those of the jobs."""
    columns = {row[0]: columns_of(row) for row in rows}
    found: dict[Revision, Job] = {}
    for job_id, revision, definition, data, queue, priority, pause_after in sql(
        db, "revisions_of", {"pairs": dumps(list(pairs))}
    ):
        kept = columns[job_id]._replace(
            definition=definition, data=data, queue=queue, priority=priority, pause_after=pause_after
        )
        # One that can't be understood any more is told as it is now.
        with suppress(Exception):
            found[job_id, revision] = decoder.job((job_id, revision), kept)
    return found


def gone_rows(record: JobRecord, plan: Plan, now: datetime, ids: Iterator[UUID]) -> list[dict[str, Any]]:
    """Rows of instants that became no run: one for each stretch of one fate."""
    return [
        {
            "id": next(ids).hex,
            "job": record.id,
            "seq": gone.seq,
            "cause": Cause.SCHEDULE,
            "for": to_us(gone.first),
            "to": to_us(gone.last) if gone.instants > 1 else None,
            "instants": gone.instants,
            "state": gone.state,
            "reason": gone.reason,
            "queue": record.job.queue,
            "attempt": 0,
            "fence": 0,
            "revision": record.revision,
            "ended": to_us(now),
        }
        for gone in plan.gone
    ]


def new_row(run: NewRun, record: JobRecord, now: datetime, *, ready: bool) -> dict[str, Any]:
    """The row of a run that was asked for: it waits for its claim, or behind others for room."""
    return {
        "id": run.id.hex,
        "job": record.id,
        "cause": run.cause,
        "retry_of": run.retry_of and run.retry_of.hex,
        "priority": record.job.priority,
        "for": to_us(run.scheduled_for),
        "instants": 1,
        "state": RunState.WAITING if ready else RunState.BLOCKED,
        "queue": record.job.queue,
        "run_at": to_us(now) if ready else None,
        "attempt": 0,
        "fence": 0,
        "revision": record.revision,
        "expires": None if run.expires_at is None else to_us(run.expires_at),
    }


def insert_runs(db: apsw.Connection, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Writes rows of runs."""
    if rows:
        sql(db, "insert_runs", {"runs": dumps(rows), "now": to_us(now)})


def insert_gone(db: apsw.Connection, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Writes rows of instants that became no run; those that go on with the fate of the row before make that longer."""
    if rows:
        longer = {(job_id, seq) for job_id, seq in sql(db, "extend_gone", {"runs": dumps(rows)})}
        insert_runs(db, [row for row in rows if (row["job"], row["seq"]) not in longer], now)


def release(db: apsw.Connection, ended: Iterable[Row], now: datetime) -> datetime | None:
    """Counts ended runs on their jobs and lets those go on; the earliest instant at which one of them is due.

    ``ended`` are rows of (id, job_id, state, attempt, scheduled_for, run_at, ended_at).
    """
    jobs: dict[int, dict[str, Any]] = {}
    for _, job_id, state, attempt, scheduled_for, _, ended_at, *_ in ended:
        job = jobs.get(job_id)
        if job is None:
            job = jobs[job_id] = {"job": job_id, "ended": 0, "succeeded": 0, "failed": 0, "promoted": 0, "last": None}
        job["ended"] += 1
        if state in _COUNTED:
            job[state] += 1
            job["last"] = last_run_text(scheduled_for, state, attempt, ended_at)
    if not jobs:
        return None
    times = {"jobs": dumps(list(jobs.values())), "now": to_us(now)}
    promoted = sql(db, "promote", times)
    for (job_id,) in promoted:
        jobs[job_id]["promoted"] += 1
    if promoted:
        times["jobs"] = dumps(list(jobs.values()))
    due = [plan_at for (plan_at,) in sql(db, "release", times) if plan_at is not None]
    if promoted:
        return now
    return from_us(min(due)) if due else None
