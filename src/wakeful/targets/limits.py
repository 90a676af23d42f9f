"""How much of an app's attention its runs may take: one limit over all that is sent to it."""

import asyncio

from wakeful.core.ports import Claim, Sink
from wakeful.core.run import Outcome, Unavailable


class Limited:
    """A sink behind a semaphore that it may share with others: who gets no permit waits, and nothing goes out.

    The time-out of an attempt belongs to the sink within, and so it begins when the run is let through.
    """

    def __init__(self, sink: Sink, permits: asyncio.Semaphore) -> None:
        self._sink = sink
        self._permits = permits

    async def deliver(self, claim: Claim) -> Outcome:
        """Delivers when it is this run's turn. Cut off before, it has cost no attempt, even if it may run only once."""
        try:
            await self._permits.acquire()
        except asyncio.CancelledError:
            if claim.job.at_most_once:
                # Of a delivery that was cut off one can't know whether it arrived, but of this one.
                return Unavailable("cut off before anything was sent")
            raise
        try:
            return await self._sink.deliver(claim)
        finally:
            self._permits.release()

    async def available(self) -> None:
        """Returns once the sink can be tried."""
        await self._sink.available()
