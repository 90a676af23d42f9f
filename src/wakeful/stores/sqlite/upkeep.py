"""Work of the writer that keeps house: leases of nodes, runs asked for by hand, and pruning."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import apsw
import msgspec

from wakeful.core.codec import Decoder, to_us
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey
from wakeful.core.ports import Heartbeat, NewRun, Node, NodeId, Retention
from wakeful.core.run import Cause, RunState
from wakeful.stores.sqlite.ledger import find, insert_runs
from wakeful.stores.sqlite.rows import dumps, sql
from wakeful.stores.sqlite.settling import end_runs

# A dead node's row refuses its renewal this long.
REMEMBER_DEAD = timedelta(days=1)
# Rows that one pruning removes at most: a transaction stays short.
MOST_PRUNED = 500


@dataclass(frozen=True, slots=True)
class BeatItem:
    """One ``heartbeat``."""

    node: Node
    now: datetime


@dataclass(frozen=True, slots=True)
class AddItem:
    """One ``add_runs``."""

    key: JobKey
    runs: Sequence[NewRun]
    now: datetime
    decoder: Decoder


@dataclass(slots=True)
class PruneItem:
    """One ``prune``; ``place`` is the job after which the search for long histories goes on."""

    keep: Retention
    now: datetime
    place: list[int] = field(default_factory=lambda: [0])


def heartbeat(db: apsw.Connection, items: Sequence[BeatItem]) -> Sequence[Heartbeat]:
    """Renews leases, then takes the runs of dead nodes back."""
    return [_beat(db, item) for item in items]


def _beat(db: apsw.Connection, item: BeatItem) -> Heartbeat:
    node, now = item.node, to_us(item.now)
    boot = node.boot.elapsed // timedelta(microseconds=1)
    times = {
        "id": node.id,
        "label": node.label,
        "queues": dumps(node.queues),
        "now": now,
        "boot": boot,
        "boot_id": node.boot.boot_id,
        "lease_until": boot + node.lease // timedelta(microseconds=1),
        "before": to_us(item.now - REMEMBER_DEAD),
    }
    alive = bool(sql(db, "renew", times))
    sql(db, "bury", times)
    sql(db, "forget_nodes", times)
    reclaimed = sql(db, "reclaim", times)
    end_runs(db, reclaimed, item.now)
    sql(db, "reopen", times)
    peers = tuple(
        Node(peer, label, tuple(msgspec.json.decode(queues)), node.boot)
        for peer, label, queues in sql(db, "peers", times)
    )
    return Heartbeat(alive, len(reclaimed), peers)


def leave(db: apsw.Connection, items: Sequence[NodeId]) -> Sequence[None]:
    """Gives back what nodes still hold, and forgets them."""
    for node in items:
        sql(db, "give_back", {"node": node})
        sql(db, "delete_node", {"node": node})
    return [None] * len(items)


def add_runs(db: apsw.Connection, items: Sequence[AddItem]) -> Sequence[Any]:
    """Adds runs beside the schedule."""
    return [_add(db, item) for item in items]


def _add(db: apsw.Connection, item: AddItem) -> Sequence[UUID] | WakefulError:
    record = find(db, item.key, item.decoder)
    if record is None:
        return WakefulError(ErrorCode.JOB_NOT_FOUND, f"job not found: {item.key.name!r}")
    room = max(0, record.job.max_running - record.active)
    rows = [
        {
            "id": run.id.hex,
            "job": record.id,
            "cause": Cause.MANUAL,
            "for": to_us(run.scheduled_for),
            "instants": 1,
            "state": RunState.WAITING if place < room else RunState.BLOCKED,
            "queue": record.job.queue,
            "run_at": to_us(item.now) if place < room else None,
            "attempt": 0,
            "fence": 0,
            "revision": record.revision,
        }
        for place, run in enumerate(item.runs)
    ]
    insert_runs(db, rows, item.now)
    sql(db, "occupy", {"id": record.id, "added": min(room, len(rows)), "now": to_us(item.now)})
    return [run.id for run in item.runs]


def prune(db: apsw.Connection, items: Sequence[PruneItem]) -> Sequence[int]:
    """Removes a bounded number of ended rows beyond what is kept."""
    return [_prune(db, item) for item in items]


def _prune(db: apsw.Connection, item: PruneItem) -> int:
    before = to_us(item.now - item.keep.age)
    some = {"before": before, "most": MOST_PRUNED}
    gone = [row[0] for row in sql(db, "prune_old", some)]
    if len(gone) < MOST_PRUNED:
        ((ended,),) = sql(db, "count_ended")
        excess = min(max(0, ended - item.keep.runs), MOST_PRUNED - len(gone))
        gone += [row[0] for row in sql(db, "prune_oldest", {"most": excess})]
    gone += _prune_histories(db, item, MOST_PRUNED - len(gone))
    ids = set(gone) | {row[0] for row in sql(db, "never_run", some)}
    if ids:
        sql(db, "prune_jobs", {"ids": dumps(list(ids))})
        sql(db, "prune_payloads", {"ids": dumps(list(ids))})
    return len(gone)


def _prune_histories(db: apsw.Connection, item: PruneItem, most: int) -> list[int]:
    """Goes round over the jobs with long histories, a few at each call."""
    gone: list[int] = []
    keep = item.keep.runs_per_job
    jobs = sql(db, "long_histories", {"after": item.place[0], "keep": keep, "most": 20})
    item.place[0] = jobs[-1][0] if jobs else 0
    for (job_id,) in jobs:
        which = {"job_id": job_id, "keep": keep, "most": max(0, most - len(gone))}
        gone += [row[0] for row in sql(db, "prune_job", which)]
    return gone
