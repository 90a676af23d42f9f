"""Work of the writer on what is due: read and planned before the transaction, taken inside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import apsw

from wakeful.core.codec import Decoder, from_us, to_us
from wakeful.core.job import JobRecord
from wakeful.core.planning import Plan, plan
from wakeful.core.ports import Claim, Claimed, Entropy, NodeId, Room
from wakeful.core.run import ON_TIME, Cause, Run, RunState
from wakeful.stores.sqlite.ledger import gone_rows, insert_runs, jobs_of, new_ids
from wakeful.stores.sqlite.rows import dumps, job_record, run_of, sql

# What is on time goes first, but leaves this part of the room to what is late: nothing starves.
LATE_SHARE = 8
_LONG_AGO = -(1 << 62)


@dataclass(slots=True)
class ClaimItem:
    """One ``claim_due``, and what it found."""

    node: NodeId
    rooms: Mapping[str, Room]
    now: datetime
    decoder: Decoder
    entropy: Entropy
    ready: list[bytes] = field(default_factory=list)
    planned: list[tuple[JobRecord, Plan]] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def prepare_claim(db: apsw.Connection, item: ClaimItem) -> Claimed | None:
    """Reads what is due in the queues with room and plans it; the answer itself if that is nothing."""
    now = to_us(item.now)
    wakes: list[int] = []
    for queue, plan_at, run_at in sql(db, "next_of_queues", {"queues": dumps(list(item.rooms))}):
        first = min((at for at in (plan_at, run_at) if at is not None), default=None)
        if first is None:
            continue
        if first > now:
            wakes.append(first)
        elif not _read_queue(db, item, queue, first):
            # Due, and not to be had now.
            wakes.append(first)
    if item.ready or item.planned or item.unreadable:
        return None
    return Claimed((), from_us(min(wakes)) if wakes else None)


def _read_queue(db: apsw.Connection, item: ClaimItem, queue: str, first: int) -> bool:
    """Reads what of a queue may be taken; whether that is anything."""
    room = item.rooms[queue]
    now = to_us(item.now)
    late = to_us(item.now - ON_TIME)
    free = room.free
    if first > late:
        return _read_span(db, item, (queue, _LONG_AGO, now), free) > 0
    overdue = (queue, _LONG_AGO, late)
    allowed = min(room.late, free)
    reserved = min(allowed, max(1, free // LATE_SHARE))
    taken_late = _read_span(db, item, overdue, reserved)
    free -= taken_late
    taken = _read_span(db, item, (queue, late, now), free)
    free -= taken
    more = min(allowed - taken_late, free)
    if taken_late == reserved and more > 0:
        _read_span(db, item, overdue, reserved + more)
    return taken_late + taken > 0


def _read_span(db: apsw.Connection, item: ClaimItem, span: tuple[str, int, int], room: int) -> int:
    queue, low, high = span
    bounds = {"queue": queue, "low": low, "high": high}
    known_runs, known_jobs = set(item.ready), {record.id for record, _ in item.planned}
    ready = [row[0] for row in sql(db, "ready_runs", {**bounds, "room": room})]
    item.ready.extend(run for run in ready if run not in known_runs)
    room -= len(ready)
    jobs = sql(db, "due_jobs", {**bounds, "room": room}) if room > 0 else []
    for row in jobs:
        if row[0] in known_jobs:
            continue
        try:
            record = job_record(item.decoder, row)
            item.planned.append((record, plan(record, item.now)))
        except Exception as error:
            # One job that can't be understood must not stop the others of its queue.
            item.unreadable.append(
                (row[0], f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace").decode())
            )
    return len(ready) + len(jobs)


def claim(db: apsw.Connection, items: Sequence[ClaimItem]) -> Sequence[Claimed]:
    """Takes what was read, as far as it still stands so."""
    return [_claim(db, item) for item in items]


def _claim(db: apsw.Connection, item: ClaimItem) -> Claimed:
    for job_id, note in item.unreadable:
        sql(db, "park", {"id": job_id, "note": note, "now": to_us(item.now)})
    claims = _claim_ready(db, item) if item.ready else []
    claims.extend(_claim_planned(db, item) if item.planned else [])
    times = [
        at
        for _, plan_at, run_at in sql(db, "next_of_queues", {"queues": dumps(list(item.rooms))})
        for at in (plan_at, run_at)
        if at is not None
    ]
    return Claimed(claims, from_us(min(times)) if times else None)


def _claim_ready(db: apsw.Connection, item: ClaimItem) -> list[Claim]:
    ids = dumps([run.hex() for run in item.ready])
    rows = sql(db, "claim_ready", {"ids": ids, "node": item.node, "now": to_us(item.now)})
    runs = [run_of(row) for row in rows]
    jobs = jobs_of(db, {run.job_id for run in runs}, item.decoder)
    return [Claim(run, jobs[run.job_id]) for run in runs]


def _claim_planned(db: apsw.Connection, item: ClaimItem) -> list[Claim]:
    now = to_us(item.now)
    plans = [
        {
            "id": record.id,
            "was": record.seq,
            "revision": record.revision,
            "seq": planned.seq,
            "next": None if planned.next_due_at is None else to_us(planned.next_due_at),
            "made": 0 if planned.scheduled_for is None else 1,
            "gone": sum(gone.instants for gone in planned.gone),
        }
        for record, planned in item.planned
    ]
    moved = {row[0] for row in sql(db, "move_on", {"plans": dumps(plans), "now": now})}
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    for record, planned in item.planned:
        if record.id not in moved:
            continue
        ids = new_ids(len(planned.gone) + 1, item.now, item.entropy)
        rows.extend(gone_rows(record, planned, item.now, ids))
        if planned.scheduled_for is not None:
            run = _run(item, record, planned, next(ids))
            rows.append(_row(run))
            claims.append(Claim(run, record.job))
    insert_runs(db, rows, item.now)
    return claims


def _run(item: ClaimItem, record: JobRecord, planned: Plan, run_id: UUID) -> Run:
    scheduled_for = planned.scheduled_for or item.now
    return Run(
        id=run_id,
        job_id=record.id,
        seq=planned.run_seq,
        cause=Cause.SCHEDULE,
        scheduled_for=scheduled_for,
        state=RunState.CLAIMED,
        queue=record.job.queue,
        run_at=scheduled_for,
        attempt=1,
        fence=1,
        revision=record.revision,
        claimed_by=item.node,
        created_at=item.now,
        started_at=item.now,
    )


def _row(run: Run) -> dict[str, Any]:
    at = to_us(run.scheduled_for)
    return {
        "id": run.id.hex,
        "job": run.job_id,
        "seq": run.seq,
        "cause": run.cause,
        "for": at,
        "instants": 1,
        "state": run.state,
        "queue": run.queue,
        "run_at": at,
        "attempt": run.attempt,
        "fence": run.fence,
        "revision": run.revision,
        "node": run.claimed_by,
        "started": None if run.started_at is None else to_us(run.started_at),
    }
