"""Where runs can go now: the sinks of each queue, their slots, and whose turn it is."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from wakeful.core.ports import Claim, Sink
from wakeful.core.run import Outcome
from wakeful.core.settlement import Settlement

log = logging.getLogger("wakeful.engine")

PROBE_AGAIN_S = 1.0


class Slot:
    """Room for one run at a place; freed once, however often it is asked for."""

    __slots__ = ("_places", "place")

    def __init__(self, places: "Places", place: "Place") -> None:
        self.place = place
        self._places: Places | None = places
        places.held += 1
        place.held += 1

    def free(self) -> None:
        """Gives the room back."""
        if self._places is not None:
            self._places.held -= 1
            self.place.held -= 1
            self._places = None


class Place:
    """A sink among a queue's sinks; up while it can be delivered to."""

    def __init__(self, places: "Places", queue: str, sink: Sink, limit: int) -> None:
        self.queue = queue
        self.sink = sink
        self.up = False
        self.held = 0
        self.deliveries: set[asyncio.Task[Outcome]] = set()
        self._limit = limit
        self._places = places
        self._gone = self._held_back = False
        self._probe: asyncio.Task[None] | None = None
        self.probe(None)

    @property
    def attached(self) -> bool:
        """Whether the sink can be delivered to now."""
        return self.up

    @property
    def free(self) -> int:
        """Slots that are free now."""
        return self._limit - self.held if self.up and not self._held_back else 0

    def probe(self, pause: Callable[[], Awaitable[None]] | None) -> None:
        """Takes the sink for unavailable until it says otherwise; it is asked after a ``pause``."""
        self.up = False
        if not self._gone and (self._probe is None or self._probe.done()):
            self._probe = asyncio.get_running_loop().create_task(self._until_available(pause))

    async def _until_available(self, pause: Callable[[], Awaitable[None]] | None) -> None:
        if pause is not None:
            await pause()
        while True:
            try:
                await self.sink.available()
                break
            except Exception:
                log.exception("a sink of %s can't say whether it is available; it is asked again", self.queue)
                await asyncio.sleep(PROBE_AGAIN_S)
        self.up = True
        self._places.changed()

    def hold(self) -> None:
        """Gives the sink nothing new; what it has goes on."""
        self._held_back = True

    def resume(self) -> None:
        """Ends ``hold``."""
        self._held_back = False
        self._places.changed()

    def detach(self) -> None:
        """Takes the sink out; what it holds is cut off and waits again."""
        self._gone, self.up = True, False
        if self._probe is not None:
            self._probe.cancel()
        self._places.remove(self)
        for delivery in tuple(self.deliveries):
            delivery.cancel()


@dataclass(slots=True)
class Delivery:
    """A claimed run on its way, until its settlement is written; ``ended_at`` is when its outcome came, since boot."""

    claim: Claim
    slot: Slot
    node_id: int
    settlement: Settlement | None = None
    ended_at: timedelta = timedelta(0)
    task: asyncio.Task[Outcome] | None = None


class Places:
    """All sinks, by queue; gives out slots round-robin, within a limit for the whole node."""

    def __init__(self, most_running: int, changed: Callable[[], None]) -> None:
        self.held = 0
        self.changed = changed
        self._most_running = most_running
        # The queue that was served last is the last in order.
        self._queues: dict[str, deque[Place]] = {}

    def __iter__(self) -> Iterator[Place]:
        return iter([place for places in self._queues.values() for place in places])

    def attach(self, queue: str, sink: Sink, limit: int) -> Place:
        """A new place for the queue's runs."""
        place = Place(self, queue, sink, limit)
        self._queues.setdefault(queue, deque()).append(place)
        return place

    def remove(self, place: Place) -> None:
        """Forgets a place."""
        places = self._queues.get(place.queue, deque())
        if place in places:
            places.remove(place)
            if not places:
                del self._queues[place.queue]

    def queues(self) -> tuple[str, ...]:
        """The queues that can be delivered to now."""
        return tuple(queue for queue, places in self._queues.items() if any(place.up for place in places))

    def rooms(self) -> dict[str, int]:
        """Free slots by queue, none zero, in all no more than the node may run; who waits longest comes first."""
        left = self._most_running - self.held
        free = {queue: sum(place.free for place in places) for queue, places in self._queues.items()}
        wanting = [queue for queue, slots in free.items() if slots > 0]
        rooms: dict[str, int] = {}
        for index, queue in enumerate(wanting):
            share = min(free[queue], left, max(1, left // (len(wanting) - index)))
            if share <= 0:
                break
            rooms[queue] = share
            left -= share
        return rooms

    def take(self, queue: str) -> Slot | None:
        """A slot at the queue's next place that has one."""
        places = self._queues.get(queue, deque())
        for _ in range(len(places)):
            places.rotate(-1)
            if places[-1].free > 0:
                self._queues[queue] = self._queues.pop(queue)
                return Slot(self, places[-1])
        return None
