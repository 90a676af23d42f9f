"""Virtual time for tests in which some things, such as commits on a thread, take real time."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from support.stores import NOON
from wakeful.testing.clock import VirtualClock as TurnedClock

TRICKLE = timedelta(milliseconds=1)
# So long, and the engine is over the pauses that it makes after its turns.
PAUSES = timedelta(milliseconds=10)


class VirtualClock(TurnedClock):
    """``busy`` are questions that are true while something is under way which needs real time, such as a commit: time
    moves on only once all are false.
    """

    def __init__(self, wall: datetime = NOON) -> None:
        super().__init__(wall)
        self.busy: list[Callable[[], bool]] = []

    async def rest(self) -> None:
        """Waits in real time till nothing can happen any more before time moves."""
        await super().rest()
        while any(question() for question in self.busy):
            await asyncio.sleep(0.0002)
            await super().rest()

    async def until(
        self, condition: Callable[[], object], deadline_s: float = 5.0, trickle: timedelta = TRICKLE
    ) -> None:
        """Waits in real time till the condition holds; virtual time trickles on, a millisecond a look.

        The engine leaves a few milliseconds between its turns: in time that stands still it would take no other.
        """
        end = time.monotonic() + deadline_s
        await self.rest()
        while not condition():
            assert time.monotonic() < end, f"waited {deadline_s:g} s in vain"
            await asyncio.sleep(0.0005)
            await self.advance(trickle)
        await self.advance(PAUSES)

    def skip_boot(self, seconds: float) -> None:
        """The boot clock alone goes on, at once."""
        self._move(timedelta(seconds=seconds))
        self.wall -= timedelta(seconds=seconds)
