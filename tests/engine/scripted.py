"""What the tests of the engine share: sinks and faults that a test writes down, and nodes on one file."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from support.clock import VirtualClock
from support.stores import QUEUE, history
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Job, JobKey
from wakeful.core.ports import Claim, JobQuery, Put, RunQuery
from wakeful.core.run import Outcome, Run, Succeeded
from wakeful.engine import Engine, Limits
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

UNAVAILABLE = WakefulError(ErrorCode.STORE_UNAVAILABLE, "no space left on device")


@dataclass(frozen=True)
class Delivery:
    """One run as a sink was given it, and when."""

    at: datetime
    claim: Claim

    @property
    def name(self) -> str:
        return self.claim.job.key.name

    @property
    def run(self) -> Run:
        return self.claim.run


@dataclass(eq=False)
class ScriptedSink:
    """Answers as the test wrote down, then with ``default``; keeps every delivery.

    It takes ``takes_s`` of virtual time for an answer, and while ``hold()`` lasts gives none at all.
    """

    clock: VirtualClock
    answers: Sequence[Outcome | Exception] = ()
    default: Outcome = field(default_factory=Succeeded)
    takes_s: float = 0
    given: list[Delivery] = field(default_factory=list)
    cancelled: list[UUID] = field(default_factory=list)
    in_flight: int = 0
    most: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()
        self._script = deque(self.answers)
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        """Answers nothing from now on."""
        self._free.clear()

    def let_go(self) -> None:
        """Answers what waits, and everything after it."""
        self._free.set()

    @property
    def names(self) -> list[str]:
        return [delivery.name for delivery in self.given]

    @property
    def runs(self) -> list[UUID]:
        return [delivery.run.id for delivery in self.given]

    async def deliver(self, claim: Claim) -> Outcome:
        """Keeps the run and answers."""
        self.given.append(Delivery(self.clock.now(), claim))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        answer = self._script.popleft() if self._script else self.default
        try:
            await self._free.wait()
            if self.takes_s:
                await self.clock.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled.append(claim.run.id)
            raise
        finally:
            self.in_flight -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def available(self) -> None:
        """Returns while ``up`` is set."""
        self.asked += 1
        await self.up.wait()


class ScriptedStore:
    """A real store, with faults by the name of a method: what ``before`` and ``after`` hold for it is awaited then."""

    def __init__(self, store: SqliteStore) -> None:
        self.real = store
        self.before: dict[str, Callable[[], Any]] = {}
        self.after: dict[str, Callable[[], Any]] = {}
        self.under_way = 0

    def hold_after(self, method: str) -> tuple[asyncio.Event, asyncio.Event]:
        """The method's next call comes back only once the second event is set; the first tells that it was made."""
        made, go_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            self.heal()
            made.set()
            await go_on.wait()

        self.after[method] = hold
        return made, go_on

    def fail(self, *methods: str, error: Exception = UNAVAILABLE) -> None:
        """These methods raise until ``heal``."""

        async def raising() -> None:
            raise error

        self.before |= dict.fromkeys(methods, raising)

    def heal(self) -> None:
        """Nothing goes wrong any more; what hangs goes on hanging."""
        self.before, self.after = {}, {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)

        async def called(*arguments: Any) -> Any:
            if name in self.before:
                await self.before[name]()
            self.under_way += 1
            try:
                result = await method(*arguments)
            finally:
                self.under_way -= 1
            if name in self.after:
                await self.after[name]()
            return result

        return called

    async def changes(self) -> AsyncIterator[None]:
        if "changes" in self.before:
            await self.before["changes"]()
        async for change in self.real.changes():
            yield change


@dataclass(eq=False)
class Member:
    """One node: a store of its own on the common file, an engine, and the scheduler before it."""

    store: ScriptedStore
    engine: Engine
    scheduler: Scheduler
    clock: VirtualClock
    running: bool = True

    def sink(self, queue: str = QUEUE, limit: int = 100, **fields: Any) -> ScriptedSink:
        """Attaches a new scripted sink."""
        sink = ScriptedSink(self.clock, **fields)
        self.engine.attach(queue, sink, limit)
        return sink

    async def put(self, *jobs: Job, how: Put = Put.CREATE) -> None:
        """Stores jobs as a face does."""
        await asyncio.gather(*(self.scheduler.put(job, how, self.clock.now()) for job in jobs))

    async def delete(self, key: JobKey) -> None:
        await self.scheduler.delete(JobQuery(key.namespace, key.owner, key.name))

    async def history(self, name: str = "tick") -> list[Run]:
        """Every row of a name, oldest first."""
        return list(reversed(await history(self.store.real, name)))

    async def all_runs(self) -> list[Run]:
        return list((await self.store.real.list_runs(RunQuery(limit=10_000))).items)

    async def stop(self, grace_s: float = 0) -> None:
        self.running = False
        await self.engine.stop(timedelta(seconds=grace_s))


@dataclass(eq=False)
class Cluster:
    """Nodes on one file."""

    place: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    members: list[Member] = field(default_factory=list)
    stores: list[ScriptedStore] = field(default_factory=list)

    def open(self, clock: VirtualClock | None = None) -> ScriptedStore:
        """Another connection to the file."""
        store = ScriptedStore(SqliteStore(self.place / "wakeful.db", load_zone, os.urandom))
        self.stores.append(store)
        (clock or self.clock).busy.append(lambda: store.under_way > 0)
        return store

    def node(self, limits: Limits | None = None, clock: VirtualClock | None = None) -> Member:
        """Another node, running."""
        clock = clock or self.clock
        store = self.open(clock)
        engine = Engine(store, clock, os.urandom, f"node-{len(self.members)}", limits)
        member = Member(store, engine, Scheduler(store, clock, os.urandom, engine), clock)
        self.members.append(member)
        engine.start()
        return member

    async def close(self) -> None:
        for store in self.stores:
            store.heal()
        for member in self.members:
            if member.running:
                await member.stop()
        for store in self.stores:
            await store.real.close()
