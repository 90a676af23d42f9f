"""Where runs can go now: the sinks of each queue, their slots, and whose turn it is."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from wakeful.core.ports import Sink


class Place:
    """A sink among a queue's sinks; up while it can be delivered to."""

    def __init__(self, places: "Places", queue: str, sink: Sink, limit: int) -> None:
        self.queue = queue
        self.sink = sink
        self.limit = limit
        self.up = False
        self.gone = False
        self.deliveries: set[asyncio.Task[None]] = set()
        self.held = 0
        self._places = places
        self._probe: asyncio.Task[None] | None = None
        self.probe()

    @property
    def attached(self) -> bool:
        """Whether the sink can be delivered to now."""
        return self.up

    @property
    def free(self) -> int:
        """Slots that are free now."""
        return self.limit - self.held if self.up else 0

    def probe(self) -> None:
        """Takes the sink for unavailable until it says otherwise."""
        self.up = False
        if not self.gone and (self._probe is None or self._probe.done()):
            self._probe = asyncio.get_running_loop().create_task(self._until_available())

    async def _until_available(self) -> None:
        await self.sink.available()
        if not self.gone:
            self.up = True
            self._places.changed()

    def detach(self) -> None:
        """Takes the sink out; what it holds is cancelled and waits again."""
        self.gone, self.up = True, False
        if self._probe is not None:
            self._probe.cancel()
        self._places.remove(self)
        for delivery in tuple(self.deliveries):
            delivery.cancel()


class Places:
    """All sinks, by queue; gives out slots round-robin, within a limit for the whole node."""

    def __init__(self, most_running: int, changed: Callable[[], None]) -> None:
        self.most_running = most_running
        self.held = 0
        self.changed = changed
        self._queues: dict[str, deque[Place]] = {}

    def __iter__(self) -> Iterator[Place]:
        return (place for places in self._queues.values() for place in tuple(places))

    def attach(self, queue: str, sink: Sink, limit: int) -> Place:
        """A new place for the queue's runs."""
        place = Place(self, queue, sink, limit)
        self._queues.setdefault(queue, deque()).append(place)
        return place

    def remove(self, place: Place) -> None:
        """Forgets a place."""
        places = self._queues.get(place.queue)
        if places is not None and place in places:
            places.remove(place)
            if not places:
                del self._queues[place.queue]

    def queues(self) -> tuple[str, ...]:
        """The queues that can be delivered to now."""
        return tuple(queue for queue, places in self._queues.items() if any(place.up for place in places))

    def rooms(self) -> dict[str, int]:
        """Free slots by queue, none zero, in all no more than the node may run; another queue is first each time."""
        left = self.most_running - self.held
        free = {queue: sum(place.free for place in places) for queue, places in self._queues.items()}
        wanting = [queue for queue, slots in free.items() if slots > 0]
        rooms: dict[str, int] = {}
        for index, queue in enumerate(wanting):
            share = min(free[queue], max(1, left // (len(wanting) - index)))
            if share > left:
                break
            rooms[queue] = share
            left -= share
        if self._queues:
            first = next(iter(self._queues))
            self._queues[first] = self._queues.pop(first)
        return rooms

    def take(self, queue: str) -> Place | None:
        """A slot at the queue's next place that has one."""
        places = self._queues.get(queue, deque())
        for _ in range(len(places)):
            places.rotate(-1)
            place = places[-1]
            if place.free > 0:
                place.held += 1
                self.held += 1
                return place
        return None

    def give_back(self, place: Place) -> None:
        """Frees a slot."""
        place.held -= 1
        self.held -= 1
