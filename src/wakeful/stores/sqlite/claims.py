"""Work of the writer on what is due: read and planned before the transaction, taken inside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import apsw

from wakeful.core.codec import Decoder, from_us, to_us
from wakeful.core.job import JobRecord, Overlap
from wakeful.core.planning import Plan, plan
from wakeful.core.ports import Claim, Claimed, Hold, NodeId, Room
from wakeful.core.run import ON_TIME, Cause, Run, RunState
from wakeful.stores.sqlite.ledger import BUSY_AGAIN, Ids, gone_rows, insert_gone, jobs_of
from wakeful.stores.sqlite.records import refresh_calendars
from wakeful.stores.sqlite.rows import Row, dumps, job_record, names_calendars, run_of, sql

# What is on time goes first, but leaves this part of the room to what is late: nothing starves.
LATE_SHARE = 8
_LONG_AGO, _NEVER = -(1 << 62), 1 << 62


class _First(NamedTuple):
    """When the first job and the first waiting run of a priority are due; ``at`` is the first of both."""

    priority: int
    job_at: int
    run_at: int
    at: int


class _Span(NamedTuple):
    """What of a queue is due in (``low``, ``high``], by priority."""

    queue: str
    firsts: Sequence[_First]
    low: int
    high: int


@dataclass(slots=True)
class ClaimItem:
    """One ``claim_due``, and what it found."""

    node: NodeId | None
    rooms: Mapping[str, Room]
    now: datetime
    decoder: Decoder
    ids: Ids
    hold: Hold | None = None
    ready: list[bytes] = field(default_factory=list)
    planned: list[tuple[JobRecord, Plan]] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def prepare_claim(db: apsw.Connection, item: ClaimItem) -> Claimed | None:
    """Reads what is due in the queues with room and plans it; the answer itself if that is nothing."""
    wakes = _read_due(db, item) if item.hold is None else _read_held(db, item, item.hold)
    if item.ready or item.planned or item.unreadable:
        return None
    return Claimed((), from_us(min(wakes)) if wakes else None)


def _read_due(db: apsw.Connection, item: ClaimItem) -> list[int]:
    """Reads what a node may take; when the queues of which that is nothing have something."""
    now = to_us(item.now)
    wakes: list[int] = []
    for queue, firsts in _firsts(db, item.rooms).items():
        first = min(each.at for each in firsts)
        # What is due and not to be had now is still what comes next.
        if first > now or not _read_queue(db, item, queue, firsts):
            wakes.append(first)
    return wakes


def _read_held(db: apsw.Connection, item: ClaimItem, hold: Hold) -> list[int]:
    """Reads what a holder may take, of all queues together, by priority and age; when there is something, if not now.

    That is what waits, late or not: jobs are planned by nodes.
    """
    firsts, now = _firsts(db, item.rooms), to_us(item.now)
    free = {queue: room.free for queue, room in item.rooms.items()}
    left = sum(free.values()) if hold.limit is None else hold.limit
    for priority in sorted({first.priority for each in firsts.values() for first in each}, reverse=True):
        found: list[tuple[int, str, bytes]] = []
        for queue, of_queue in firsts.items():
            if any(first.priority == priority and first.run_at <= now for first in of_queue):
                bounds = {"queue": queue, "priority": priority, "low": _LONG_AGO, "high": now}
                rows = sql(db, "ready_runs", {**bounds, "room": min(free[queue], left)})
                found += [(run_at, queue, run) for run, run_at in rows]
        for _, queue, run in sorted(found)[:left]:
            item.ready.append(run)
            free[queue] -= 1
            left -= 1
    return [first.run_at for each in firsts.values() for first in each if first.run_at < _NEVER]


def _firsts(db: apsw.Connection, queues: Iterable[str]) -> dict[str, list[_First]]:
    """When something of each queue is due first, by priority, the highest first."""
    merged: dict[tuple[str, int], tuple[int, int]] = {}
    for queue, priority, job_at, run_at in sql(db, "next_of_queues", {"queues": dumps(list(queues))}):
        known_job, known_run = merged.get((queue, priority), (_NEVER, _NEVER))
        merged[queue, priority] = (known_job, run_at) if job_at is None else (job_at, known_run)
    found: dict[str, list[_First]] = {}
    for (queue, priority), (job_at, run_at) in sorted(merged.items(), key=lambda of: -of[0][1]):
        found.setdefault(queue, []).append(_First(priority, job_at, run_at, min(job_at, run_at)))
    return found


def _read_queue(db: apsw.Connection, item: ClaimItem, queue: str, firsts: Sequence[_First]) -> bool:
    """Reads what of a queue may be taken; whether that is anything."""
    room = item.rooms[queue]
    now = to_us(item.now)
    late = to_us(item.now - ON_TIME)
    free = room.free
    on_time = _Span(queue, [first for first in firsts if first.at <= now], late, now)
    if min(first.at for first in firsts) > late:
        return _read_span(db, item, on_time, free) > 0
    overdue = on_time._replace(low=_LONG_AGO, high=late)
    allowed = min(room.late, free)
    reserved = min(allowed, max(1, free // LATE_SHARE))
    taken_late = _read_span(db, item, overdue, reserved)
    free -= taken_late
    taken = _read_span(db, item, on_time, free)
    free -= taken
    more = min(allowed - taken_late, free)
    if taken_late == reserved and more > 0:
        _read_span(db, item, overdue, reserved + more)
    return taken_late + taken > 0


def _read_span(db: apsw.Connection, item: ClaimItem, span: _Span, room: int) -> int:
    """Reads what is due in a stretch of time, by priority; how much there was, read before or not."""
    left = room
    for first in span.firsts:
        bounds = {"queue": span.queue, "priority": first.priority, "low": span.low, "high": span.high}
        if first.run_at <= span.high and left > 0:
            ready = [run for run, _ in sql(db, "ready_runs", {**bounds, "room": left})]
            known = set(item.ready)
            item.ready.extend(run for run in ready if run not in known)
            left -= len(ready)
        if first.job_at <= span.high and left > 0:
            jobs = sql(db, "due_jobs", {**bounds, "room": left})
            _plan_all(db, item, jobs)
            left -= len(jobs)
    return room - left


def _plan_all(db: apsw.Connection, item: ClaimItem, jobs: Sequence[Row]) -> None:
    if any(names_calendars(row) for row in jobs):
        refresh_calendars(db, item.decoder)
    known_jobs = {record.id for record, _ in item.planned}
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


def claim(db: apsw.Connection, items: Sequence[ClaimItem]) -> Sequence[Claimed]:
    """Takes what was read, as far as it still stands so."""
    return [_claim(db, item) for item in items]


def _claim(db: apsw.Connection, item: ClaimItem) -> Claimed:
    for job_id, note in item.unreadable:
        sql(db, "park", {"id": job_id, "note": note, "now": to_us(item.now)})
    claims = _claim_ready(db, item) if item.ready else []
    if item.hold is not None and not claims and item.ready:
        # Another claim of this group took all that was read: what is left now?
        item.ready.clear()
        _read_held(db, item, item.hold)
        claims = _claim_ready(db, item) if item.ready else []
    if item.hold is not None and claims:
        # Who has got something asks again when it likes.
        return Claimed(claims, None)
    claims.extend(_claim_planned(db, item) if item.planned else [])
    firsts = [first for of_queue in _firsts(db, item.rooms).values() for first in of_queue]
    times = [at for first in firsts if (at := first.at if item.hold is None else first.run_at) < _NEVER]
    return Claimed(claims, from_us(min(times)) if times else None)


def _claim_ready(db: apsw.Connection, item: ClaimItem) -> list[Claim]:
    ids = dumps([run.hex() for run in item.ready])
    hold = item.hold
    by = {
        "node": item.node,
        "holder": hold and hold.holder,
        "lease": hold and to_us(item.now + hold.lease),
        "by_timeout": hold is not None and hold.by_timeout,
    }
    rows = sql(db, "claim_ready", {"ids": ids, "now": to_us(item.now), **by})
    places = {run: place for place, run in enumerate(item.ready)}
    # As they were read: by priority, then the oldest first.
    runs = [run_of(row) for row in sorted(rows, key=lambda row: places[row[0]])]
    jobs = jobs_of(db, runs, item.decoder)
    return [Claim(run, jobs[run.id]) for run in runs]


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
    moved = {row[0] for row in sql(db, "move_on", {"plans": dumps(plans), "now": now, **BUSY_AGAIN})}
    overtaking = [record.id for record, made in item.planned if record.id in moved and _overtakes(record, made)]
    if overtaking:
        sql(db, "overtake", {"ids": dumps(overtaking), "now": now})
    gone: list[dict[str, Any]] = []
    claims: list[Claim] = []
    ids = item.ids.take(sum(len(planned.gone) + 1 for _, planned in item.planned), item.now)
    for record, planned in item.planned:
        if record.id not in moved:
            continue
        if planned.gone:
            gone.extend(gone_rows(record, planned, item.now, ids))
        if planned.scheduled_for is not None:
            claims.append(Claim(_run(item, record, planned, next(ids)), record.job))
    insert_gone(db, gone, item.now)
    if claims:
        runs = dumps([_made(claim.run) for claim in claims])
        sql(db, "insert_claimed", {"runs": runs, "node": item.node, "now": now})
    if overtaking:
        sql(db, "recount_active", {"ids": dumps(overtaking)})
    return claims


def _overtakes(record: JobRecord, planned: Plan) -> bool:
    return record.job.overlap is Overlap.REPLACE and planned.scheduled_for is not None and record.active > 0


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
        run_at=scheduled_for + record.job.delay,
        attempt=1,
        fence=1,
        revision=record.revision,
        claimed_by=item.node,
        priority=record.job.priority,
        created_at=item.now,
        started_at=item.now,
    )


def _made(run: Run) -> dict[str, Any]:
    """What ``insert_claimed`` does not know of such a run."""
    return {
        "id": run.id.hex,
        "job": run.job_id,
        "seq": run.seq,
        "for": to_us(run.scheduled_for),
        "queue": run.queue,
        "run_at": to_us(run.run_at or run.scheduled_for),
        "revision": run.revision,
        "priority": run.priority,
    }
