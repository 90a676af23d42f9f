"""Work of the writer that keeps house: leases of nodes, runs asked for by hand, and pruning."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import apsw
import msgspec

from wakeful.core.codec import Decoder, to_us
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobKey, JobRecord
from wakeful.core.ports import Heartbeat, NewRun, Node, NodeId, Retention
from wakeful.core.retiming import Reading
from wakeful.core.run import Failed
from wakeful.core.settlement import settle
from wakeful.stores.sqlite.ledger import BUSY_AGAIN, bound, find, insert_runs, jobs_of, new_row
from wakeful.stores.sqlite.reckoning import step_since
from wakeful.stores.sqlite.rows import Row, dumps, run_of, sql
from wakeful.stores.sqlite.settling import SettleItem, end_runs, settle_runs

# A dead node's row refuses its renewal this long.
REMEMBER_DEAD = timedelta(days=1)
# Rows that one pruning removes at most: a transaction stays short.
MOST_PRUNED = 500
MOST_HISTORIES = 20


@dataclass(frozen=True, slots=True)
class BeatItem:
    """One ``heartbeat``."""

    node: Node
    now: datetime
    decoder: Decoder


@dataclass(frozen=True, slots=True)
class AddItem:
    """One ``add_runs``."""

    key: JobKey
    runs: Sequence[NewRun]
    now: datetime
    decoder: Decoder


@dataclass(frozen=True, slots=True)
class CancelItem:
    """One ``cancel_runs``."""

    runs: Sequence[UUID]
    reason: str
    now: datetime


@dataclass(frozen=True, slots=True)
class PruneItem:
    """One ``prune``: ``excess`` ended runs are too many in all; ``long`` are jobs with too many of their own."""

    keep: Retention
    now: datetime
    excess: int
    long: Sequence[int]


def look_for_excess(db: apsw.Connection, keep: Retention, now: datetime) -> PruneItem:
    """Counts, which takes too long for a transaction that others wait for."""
    ((ended,),) = sql(db, "count_ended")
    histories = sql(db, "long_histories", {"keep": keep.runs_per_job, "most": MOST_HISTORIES})
    return PruneItem(keep, now, max(0, ended - keep.runs), [job_id for (job_id,) in histories])


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
    peers = tuple(
        Node(peer, label, tuple(msgspec.json.decode(queues)), node.boot)
        for peer, label, queues in sql(db, "peers", times)
    )
    step = step_since(db, Reading(item.now, node.boot.boot_id, node.boot.elapsed))
    if step:
        # By such a clock, what has some time left would look as if it had none.
        return Heartbeat(alive, 0, peers, step=step)
    reclaimed = _take_back(db, sql(db, "runs_of_the_dead", times), item.now)
    lost: tuple[UUID, ...] = ()
    if node.holding is not None:
        held = {"node": node.id, "ids": dumps([run.hex for run in node.holding])}
        reclaimed += _take_back(db, sql(db, "not_held", held), item.now)
        lost = tuple(UUID(run) for (run,) in sql(db, "lost_runs", held))
    _fail_unanswered(db, item)
    expired = sql(db, "runs_expired", {"now": now})
    if expired:
        _cancel(db, CancelItem([UUID(bytes=run) for (run,) in expired], "expired", item.now))
    return Heartbeat(alive, reclaimed, peers, lost)


def _fail_unanswered(db: apsw.Connection, item: BeatItem) -> None:
    """A run whose answer did not come in time has used its attempt."""
    runs = [run_of(row) for row in sql(db, "runs_unanswered", {"now": to_us(item.now)})]
    jobs = jobs_of(db, runs, item.decoder)
    failed = [settle(run, Failed("no answer in time"), jobs[run.id].retry, item.now) for run in runs]
    if failed:
        settle_runs(db, [SettleItem(failed, item.now)])


def _take_back(db: apsw.Connection, runs: Sequence[Row], now: datetime) -> int:
    if runs:
        ids = dumps([run_id.hex() for (run_id,) in runs])
        end_runs(db, sql(db, "take_back", {"ids": ids, "now": to_us(now)}), now)
    return len(runs)


def leave(db: apsw.Connection, items: Sequence[tuple[NodeId, datetime]]) -> Sequence[None]:
    """Gives back what nodes still hold, and forgets them."""
    for node, now in items:
        _take_back(db, sql(db, "runs_of_node", {"node": node}), now)
        sql(db, "delete_node", {"node": node})
    return [None] * len(items)


def add_runs(db: apsw.Connection, items: Sequence[AddItem]) -> Sequence[Any]:
    """Adds runs beside the schedule."""
    return [_add(db, item) for item in items]


def _revived(db: apsw.Connection, item: AddItem) -> JobRecord | None:
    """The complete job whose failed run is to be done again, unless another has its name."""
    again = [run.retry_of for run in item.runs if run.retry_of is not None]
    if not again or not sql(db, "revive", {"run": again[0].bytes}):
        return None
    return find(db, item.key, item.decoder)


def _add(db: apsw.Connection, item: AddItem) -> Sequence[UUID] | WakefulError:
    record = find(db, item.key, item.decoder) or _revived(db, item)
    if record is None:
        return WakefulError(ErrorCode.JOB_NOT_FOUND, f"job not found: {item.key.name!r}")
    room = max(0, bound(record.job) - record.active)
    rows = [
        {**new_row(run, record, item.now, ready=place < room), "place": place} for place, run in enumerate(item.runs)
    ]
    insert_runs(db, rows, item.now)
    added = {"added": min(room, len(rows)), "asked": len(rows)}
    sql(db, "occupy", {"id": record.id, **added, **BUSY_AGAIN, "now": to_us(item.now)})
    return [run.id for run in item.runs]


def cancel_runs(db: apsw.Connection, items: Sequence[CancelItem]) -> Sequence[Sequence[UUID]]:
    """Ends runs that have not ended; those that this ended."""
    return [_cancel(db, item) for item in items]


def _cancel(db: apsw.Connection, item: CancelItem) -> Sequence[UUID]:
    asked = {"ids": dumps([run.hex for run in item.runs]), "reason": item.reason, "now": to_us(item.now)}
    # The blocked ones first: those that are freed by the others must not be among them.
    blocked = sql(db, "cancel_blocked", asked)
    ended = sql(db, "cancel_runs", asked)
    end_runs(db, ended, item.now)
    return [UUID(bytes=row[0]) for row in (*blocked, *ended)]


def prioritise(db: apsw.Connection, items: Sequence[tuple[UUID, int]]) -> Sequence[bool]:
    """Gives runs other priorities; whether they were there and had not ended."""
    return [bool(sql(db, "prioritise", {"id": run.bytes, "priority": priority})) for run, priority in items]


def audit(db: apsw.Connection) -> list[str]:
    """Looks for what can't be: instants without a row, counts that are not those of the rows, damage of the file."""
    found = [f"the file is damaged: {row[0]}" for row in db.execute("PRAGMA quick_check(10)") if row[0] != "ok"]
    for check, sentence in _AUDITS.items():
        found += [sentence.format(*row) for row in sql(db, check)]
    return found


_AUDITS = {
    "instants_without_row": "job {0}: {1} instants were due, and rows tell of {2}",
    "wrong_active": "job {0}: it counts {1} runs under way, and has {2}",
    "lost_from_index": "job {0}: it is active, has room and a next instant, and is not in the due index",
    "waiting_for_nothing": "run {0}: it waits, and its job has ended",
}


def prune(db: apsw.Connection, items: Sequence[PruneItem]) -> Sequence[int]:
    """Removes a bounded number of ended rows beyond what is kept."""
    return [_prune(db, item) for item in items]


def _prune(db: apsw.Connection, item: PruneItem) -> int:
    before = to_us(item.now - item.keep.age)
    some = {"before": before, "most": MOST_PRUNED}
    gone = sql(db, "prune_old", some)
    excess = min(max(0, item.excess - len(gone)), MOST_PRUNED - len(gone))
    gone += sql(db, "prune_oldest", {"most": excess})
    for job_id in item.long:
        which = {"job_id": job_id, "keep": item.keep.runs_per_job, "most": MOST_PRUNED - len(gone)}
        gone += sql(db, "prune_job", which)
    pruned: Counter[int] = Counter()
    for job_id, instants in gone:
        pruned[job_id] += instants
    sql(db, "count_pruned", {"jobs": dumps(list(pruned.items()))})
    ids = set(pruned) | {row[0] for row in sql(db, "never_run", some)}
    if ids:
        sql(db, "prune_jobs", {"ids": dumps(list(ids))})
        sql(db, "prune_payloads", {"ids": dumps(list(ids))})
        sql(db, "prune_revisions", {"ids": dumps(list(ids))})
    return len(gone)
