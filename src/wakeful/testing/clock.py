"""Time that a test turns by hand."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any

from wakeful.core.ports import BootTime

# What every alarm promises: no sleep lasts longer.
LONGEST_SLEEP = timedelta(seconds=1)
# An alarm that is so near is a pause in the middle of something, and not somebody who looks around.
SHORTEST_LOOK = timedelta(milliseconds=50)
# A program that is still busy after so many rounds of the event loop, without time going on, never comes to rest.
MOST_ROUNDS = 1_000_000
# On an event loop that does not tell whether something is ready, so many rounds are waited.
ROUNDS_OF_REST = 12
_AT_ONCE = timedelta(0)
_Sleeper = tuple[timedelta, int, "asyncio.Future[None]"]


class VirtualAlarm:
    """The wake-up of one sleeper, in virtual time."""

    def __init__(self, clock: "VirtualClock") -> None:
        self._clock = clock
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Ends the wait under way, or the next one at once."""
        self._rung = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self, until: datetime) -> None:
        """Returns at ``until``, when rung, or after a virtual second: whichever is first."""
        delay = min(until - self._clock.now(), LONGEST_SLEEP)
        if self._rung or delay <= _AT_ONCE:
            # A loop of waits for what is past must not freeze the test that is to find it.
            await asyncio.sleep(0)
        else:
            self._waiting = self._clock.wake_after(delay)
            await self._waiting
        self._rung = False


class VirtualClock:
    """A wall clock and a boot clock that stand still until a test moves them; a ``Clock`` for the engine.

    A sleeper sleeps for a duration, as on a real machine: setting the wall clock does not wake it, nor does it sleep
    less because the machine was suspended. No real time passes. ``quiet`` may say for how long no alarm would find
    anything to do: that much time passes at once, and those who look around every second do so at its end; ``resting``
    is told of it before.
    """

    def __init__(self, start: datetime) -> None:
        self.wall = start
        self.elapsed = timedelta(hours=1)
        self.boot_id = "boot-1"
        self.most_rounds = MOST_ROUNDS
        self.quiet: Callable[[], timedelta] = timedelta
        self.resting: Callable[[timedelta], None] = _nothing
        self._awake = timedelta(0)
        self._alarms: list[_Sleeper] = []
        self._sleepers: list[_Sleeper] = []
        self._numbers = count()
        self._advancing = False

    def now(self) -> datetime:
        """The wall clock."""
        return self.wall

    def boot(self) -> BootTime:
        """The time since the machine started."""
        return BootTime(self.boot_id, self.elapsed)

    def alarm(self) -> VirtualAlarm:
        """A new wake-up."""
        return VirtualAlarm(self)

    async def sleep(self, seconds: float) -> None:
        """Waits for so much virtual time."""
        await self._wake(self._sleepers, timedelta(seconds=seconds))

    def wake_after(self, delay: timedelta) -> "asyncio.Future[None]":
        """A future that is done after ``delay``, for an alarm."""
        return self._wake(self._alarms, delay)

    async def advance(self, by: timedelta | float) -> None:
        """Moves both clocks on, from one sleeper's instant to the next; each has done its work before time goes on.

        Raises:
            RuntimeError: somebody else advances this clock just now, or the program never comes to rest.
        """
        if self._advancing:
            raise RuntimeError("somebody advances this clock already: only one can turn it at a time")
        self._advancing = True
        try:
            end = self._awake + (by if isinstance(by, timedelta) else timedelta(seconds=by))
            self._wake_due()
            await self.rest()
            while self._awake < end:
                self._move(self._step(end))
                await self.rest()
        finally:
            self._advancing = False

    async def rest(self) -> None:
        """Returns once nothing can happen any more before time moves.

        Raises:
            RuntimeError: that is never.
        """
        ready: deque[Any] | None = getattr(asyncio.get_running_loop(), "_ready", None)
        for turn in range(self.most_rounds):
            await asyncio.sleep(0)
            # Who runs is not in the queue: if that is empty now, everybody else waits for something.
            if not ready and (ready is not None or turn >= ROUNDS_OF_REST):
                return
        raise RuntimeError(f"the program never comes to rest at {self.wall}: something in it waits for what has passed")

    def set_wall(self, at: datetime) -> None:
        """Somebody sets the wall clock; sleepers notice only when their sleep is over."""
        self.wall = at

    def suspend(self, seconds: float) -> None:
        """The machine slept: its clocks went on, and everything that runs on it stood still, its sleepers too."""
        by = timedelta(seconds=seconds)
        self.wall += by
        self.elapsed += by

    def leap(self, seconds: float) -> None:
        """The process was stopped: time went on, and what slept in it is over when it goes on."""
        self._move(timedelta(seconds=seconds))

    def _step(self, end: timedelta) -> timedelta:
        exact = min(end, _next(self._sleepers) or end) - self._awake
        look = (_next(self._alarms) or end) - self._awake
        if look < SHORTEST_LOOK or exact <= look:
            return min(exact, look)
        step = min(exact, max(look, self.quiet()))
        if step > look:
            self.resting(step)
        return step

    def _wake(self, sleepers: "list[_Sleeper]", delay: timedelta) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(sleepers, (self._awake + delay, next(self._numbers), future))
        return future

    def _move(self, by: timedelta) -> None:
        self.wall += by
        self.elapsed += by
        self._awake += by
        self._wake_due()

    def _wake_due(self) -> None:
        for sleepers in (self._sleepers, self._alarms):
            while sleepers and sleepers[0][0] <= self._awake:
                future = heappop(sleepers)[2]
                if not future.done():
                    future.set_result(None)


def _nothing(_: timedelta) -> None:
    """Nobody is told."""


def _next(sleepers: "list[_Sleeper]") -> timedelta | None:
    while sleepers and sleepers[0][2].done():
        heappop(sleepers)
    return sleepers[0][0] if sleepers else None
