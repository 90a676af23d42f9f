"""Every store that the conformance suite runs against, and the few moves that its tests are written in.

A store is one line in ``STORES``: it opens what lies at a place, and a second opening of the same place is another
connection to the same jobs. Time is an argument everywhere; nothing here reads a clock.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from wakeful.core.job import Catchup, CountedFrom, Data, Job, JobKey, JobRecord, Overlap, RetryPolicy, TargetSpec
from wakeful.core.notices import conclude
from wakeful.core.ports import BootTime, Claim, JobQuery, Node, Room, RunQuery, Settled, Store
from wakeful.core.run import Outcome, Run, RunState, Succeeded
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.core.settlement import Settlement
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
QUEUE = "app/default/a"
BOOT = "boot-1"


async def _sqlite(place: Path) -> Store:
    return SqliteStore(place / "wakeful.db", load_zone, os.urandom)


STORES: Mapping[str, Callable[[Path], Awaitable[Store]]] = {"sqlite": _sqlite}


@dataclass
class Opener:
    """Opens stores on one place, and closes those that a test left open."""

    kind: str
    place: Path
    stores: list[Store] = field(default_factory=list)

    async def open(self) -> Store:
        store = await STORES[self.kind](self.place)
        self.stores.append(store)
        return store

    async def close(self, store: Store) -> None:
        self.stores.remove(store)
        await store.close()

    async def close_all(self) -> None:
        while self.stores:
            await self.stores.pop().close()


def ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


def s(number: float) -> timedelta:
    return timedelta(seconds=number)


def key(name: str, owner: str = "app/a", namespace: str = "default") -> JobKey:
    return JobKey(namespace, owner, name)


def a_job(
    name: str | JobKey = "tick",
    schedule: str | None = None,
    *,
    due: str | None = None,
    ttl: str | None = None,
    repeats: int | None = None,
    now: datetime = NOON,
    data: bytes | None = None,
    **fields: Any,
) -> Job:
    """A job received at ``now``; due at once if neither a schedule nor a due time is given."""
    if schedule is None and due is None:
        due = "0s"
    when = parse_schedule(ScheduleText(schedule, due, ttl, repeats), "dapr", now, load_zone)
    return Job(
        key=name if isinstance(name, JobKey) else key(name),
        schedule=when,
        target=fields.pop("target", TargetSpec("http", "http://127.0.0.1:9", {})),
        queue=fields.pop("queue", QUEUE),
        data=None if data is None else Data("json", data),
        **fields,
    )


# How Dapr treats a job: every instant becomes a run, one after the other; retries count from when they were due.
LIKE_DAPR: Mapping[str, Any] = {
    "overlap": Overlap.QUEUE_ALL,
    "catchup": Catchup.ALL,
    "retry": RetryPolicy(3, s(1), CountedFrom.DUE),
}


async def take(
    store: Store, now: datetime, free: int = 1, *, late: int | None = None, queue: str = QUEUE, node: int = 1
) -> list[Claim]:
    """Claims for one queue."""
    claimed = await store.claim_due(node, {queue: Room(free, free if late is None else late)}, now)
    return list(claimed.claims)


async def take_one(store: Store, now: datetime, *, queue: str = QUEUE, node: int = 1) -> Claim:
    """The one claim that there must be."""
    claims = await take(store, now, queue=queue, node=node)
    assert len(claims) == 1
    return claims[0]


def verdict(claim: Claim, outcome: Outcome, now: datetime) -> Settlement:
    """What core decides about a claim's outcome."""
    return conclude(claim.job, claim.run, outcome, now)


async def finish(store: Store, claim: Claim, now: datetime, outcome: Outcome | None = None) -> Settled:
    """Settles one claim, as succeeded unless told otherwise."""
    return await store.settle([verdict(claim, outcome or Succeeded(), now)], now)


async def history(store: Store, name: str | JobKey = "tick") -> Sequence[Run]:
    """Every row of a name, all incarnations, newest first."""
    which = name if isinstance(name, JobKey) else key(name)
    return (await store.list_runs(RunQuery(key=which, limit=10_000))).items


async def records(store: Store, name: str | JobKey = "tick") -> Sequence[JobRecord]:
    """Every incarnation of a name, oldest first."""
    which = name if isinstance(name, JobKey) else key(name)
    query = JobQuery(namespace=which.namespace, owner=which.owner, name=which.name, ended=True)
    return (await store.list_jobs(query)).items


async def the_job(store: Store, name: str | JobKey = "tick") -> JobRecord:
    """The unended job of a name."""
    record = await store.get_job(name if isinstance(name, JobKey) else key(name))
    assert record is not None
    return record


async def run_state(store: Store, claim: Claim) -> RunState:
    """Where a claimed run is now."""
    run = await store.get_run(claim.run.id)
    assert run is not None
    return run.state


def a_node(number: int, boot_s: float, boot_id: str = BOOT, label: str = "") -> Node:
    """A node that beats so many seconds after its machine started."""
    return Node(number, label or f"node-{number}", (QUEUE,), BootTime(boot_id, s(boot_s)))
