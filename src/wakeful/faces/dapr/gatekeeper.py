"""Deliveries that wait before gates: the side of the gates that has an event loop."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager

from wakeful.core.job import Job
from wakeful.faces.dapr.gates import Gates, Ticket
from wakeful.faces.dapr.scheduler_jobs import CONCURRENCY_KEY
from wakeful.faces.dapr.scheduler_metrics import SchedulerMetrics


class FullError(Exception):
    """Too many wait."""


class Gatekeeper:
    """The gates of one namespace, and who waits before them."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        self.gates = Gates()
        self._metrics = metrics
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._streams: set[Hashable] = set()

    @property
    def idle(self) -> bool:
        """Whether there is no stream."""
        return not self._streams

    def declare(self, stream: Hashable, limits: Mapping[str, int]) -> None:
        """A stream begins, and says which limits there are, by ``gate_key``."""
        self._streams.add(stream)
        self._let_go(self.gates.declare(stream, limits))

    def withdraw(self, stream: Hashable) -> None:
        """A stream has ended."""
        self._streams.discard(stream)
        self._let_go(self.gates.withdraw(stream))

    def share_with(self, schedulers: int, index: int) -> None:
        """There are so many schedulers now, and this one is at ``index``."""
        self._let_go(self.gates.share_with(schedulers, index))

    @asynccontextmanager
    async def passing(self, job: Job) -> AsyncIterator[None]:
        """Waits until the reminder may go, and counts it as under way inside the block.

        Raises:
            FullError: too many wait already.
        """
        name = job.target.options.get(CONCURRENCY_KEY)
        ticket = Ticket(job.target.address.partition("/")[0], name)
        stopped_by = self.gates.stops(ticket.actor_type, name)
        if not self.gates.enter(ticket):
            raise FullError(f"too many reminders of {ticket.actor_type} wait")
        try:
            if not ticket.passed:
                if stopped_by is not None:
                    self._metrics.throttled[stopped_by] += 1
                self._waiting[ticket] = asyncio.get_running_loop().create_future()
                await self._waiting[ticket]
            yield
        finally:
            self._waiting.pop(ticket, None)
            self._let_go(self.gates.leave(ticket))

    def _let_go(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            future = self._waiting.get(ticket)
            # One that was cut off meanwhile leaves by itself, and gives back what it got.
            if future is not None and not future.done():
                future.set_result(None)
