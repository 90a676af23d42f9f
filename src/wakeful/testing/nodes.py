"""The nodes of a virtual world: engines on one store, which can be killed and started again."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.ports import Alarm, Attachment, Clock, Entropy, Health, Observer, Sink, Store
from wakeful.engine import Engine, Limits
from wakeful.engine.lease import Lease
from wakeful.testing.apps import App, Behaviour

# Runs that one node has in flight to one queue's app.
APP_LIMIT = 1_000
_AT_ONCE = timedelta(0)


def label_of(number: int) -> str:
    """How the node calls itself."""
    return f"node-{number}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every node of a world runs on."""

    store: Store
    clock: Clock
    entropy: Entropy
    behaviour: Behaviour
    limits: Limits


class _Line:
    """A node's way to the store, which its death cuts: nothing that it still does can change anything."""

    def __init__(self, store: Store) -> None:
        self.cut = False
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if self.cut:
            raise WakefulError(ErrorCode.STORE_UNAVAILABLE, "the node was killed")
        return getattr(self._store, name)


class _Lease(Lease):
    """A lease that ages only while something happens."""

    def rest(self, by: timedelta) -> None:
        if self._renewed_at is not None:
            self._renewed_at += by


class _Engine(Engine):
    """An engine that can let time pass over it."""

    def __init__(self, around: "Surroundings", store: Store, label: str) -> None:
        super().__init__(store, around.clock, around.entropy, label, around.limits)
        self._lease: _Lease = _Lease(store, around.clock, around.entropy, label, around.limits.lease)

    @property
    def serving(self) -> bool:
        return bool(self._places.queues())

    def rest(self, by: timedelta) -> None:
        self._lease.rest(by)


@dataclass(eq=False, slots=True)
class _Node:
    """One process start."""

    number: int
    around: Surroundings
    line: _Line = field(init=False)
    engine: _Engine = field(init=False)

    def __post_init__(self) -> None:
        around = self.around
        self.line = _Line(around.store)
        store = cast(Store, self.line)
        self.engine = _Engine(around, store, label_of(self.number))

    def serve(self, queue: str) -> None:
        self.engine.attach(queue, App(self.around.behaviour, queue, self.number), APP_LIMIT)


class Nodes:
    """All nodes, as the scheduler sees them. What the store was told, every node hears of; the first does the rest."""

    def __init__(self, around: Surroundings) -> None:
        self.queues: dict[str, None] = {}
        self._around = around
        self._alive: dict[int, _Node] = {}
        self._dying: list[asyncio.Task[None]] = []
        self._waiting = 0

    def start(self, number: int) -> None:
        """Starts a node.

        Raises:
            ValueError: it runs.
        """
        if number in self._alive:
            raise ValueError(f"node {number} runs already")
        node = self._alive[number] = _Node(number, self._around)
        for queue in self.queues:
            node.serve(queue)
        node.engine.start()

    def kill(self, number: int) -> None:
        """Kills a node: from now on it writes nothing, and soon it does nothing.

        Raises:
            ValueError: there is none.
        """
        node = self._alive.pop(number, None)
        if node is None:
            raise ValueError(f"node {number} does not run")
        node.line.cut = True
        self._dying.append(asyncio.get_running_loop().create_task(node.engine.stop(_AT_ONCE)))

    async def close(self) -> None:
        """Ends all nodes, the dying too."""
        for node in self._alive.values():
            await node.engine.stop(_AT_ONCE)
        self._alive = {}
        await asyncio.gather(*self._dying)

    def serve(self, queue: str) -> None:
        """Attaches an app to the queue on every node."""
        if queue not in self.queues:
            self.queues[queue] = None
            for node in self._alive.values():
                node.serve(queue)

    def attach(self, queue: str, sink: Sink, limit: int) -> Attachment:
        """Attaches a sink of the test's own to the first node."""
        return self._first().engine.attach(queue, sink, limit)

    def wake(self, at: datetime) -> None:
        """Something may be claimable at ``at``."""
        for node in self._alive.values():
            node.engine.wake(at)

    @property
    def serving(self) -> bool:
        """Whether a node can deliver to an app, as far as it knows."""
        return any(node.engine.serving for node in self._alive.values())

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for runs, other than the nodes."""
        return self._waiting > 0

    def listen(self, queues: Collection[str], alarm: Alarm) -> Callable[[], None]:
        """Rings the alarm when the first node brings runs to one of the queues."""
        stop = self._first().engine.listen(queues, alarm)
        self._waiting += 1

        def end() -> None:
            self._waiting -= 1
            stop()

        return end

    def rest(self, by: timedelta) -> None:
        """So long nothing happens, and the store keeps all leases as they are."""
        for node in self._alive.values():
            node.engine.rest(by)

    def arrived(self, queue: str) -> None:
        """A run has come to wait in a queue: the first node hears of it."""
        self._first().engine.arrived(queue)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Lets somebody hear of what the first node performs."""
        return self._first().engine.observe(observer)

    def cut(self, run: UUID) -> None:
        """Stops the delivery of a cancelled run on the node that was asked, the first; others hear of it later."""
        if self._alive:
            self._first().engine.cut(run)

    def health(self) -> Health:
        """The health of the first node."""
        return self._first().engine.health() if self._alive else Health(False, "no node runs")

    def _first(self) -> _Node:
        return self._alive[min(self._alive)]
