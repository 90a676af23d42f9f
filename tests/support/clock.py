"""Time that a test turns by hand."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from support.stores import NOON
from wakeful.core.ports import BootTime

# What every alarm promises: no sleep lasts longer.
LONGEST_SLEEP = timedelta(seconds=1)
TRICKLE = timedelta(milliseconds=1)
# So many rounds of the event loop without anything under way, and the program has come to rest.
ROUNDS_OF_REST = 12


@dataclass(eq=False, slots=True)
class _Sleeper:
    until: datetime
    longest: timedelta
    woken: asyncio.Event


class VirtualAlarm:
    """The wake-up of one sleeper, by virtual time."""

    def __init__(self, clock: "VirtualClock") -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Ends the wait under way, or the next one at once."""
        self._rung.set()

    async def wait(self, until: datetime) -> None:
        """Returns at ``until``, when rung, or after a virtual second: whichever is first."""
        # A loop of waits for what is past must not freeze the test that is to find it.
        await asyncio.sleep(0)
        if not self._rung.is_set() and until > self._clock.now():
            await self._clock.sleep_until(until, self._rung)
        self._rung.clear()


@dataclass(eq=False)
class VirtualClock:
    """A wall clock and a boot clock that stand still until a test moves them.

    ``busy`` are questions that are true while something is under way which needs real time, such as a commit: time
    moves on only once all are false.
    """

    wall: datetime = NOON
    elapsed: timedelta = timedelta(hours=1)
    boot_id: str = "boot-1"
    busy: list[Callable[[], bool]] = field(default_factory=list)
    _sleepers: list[_Sleeper] = field(default_factory=list)

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
        end = self.elapsed + timedelta(seconds=seconds)
        while self.elapsed < end:
            await self.sleep_until(self.wall + (end - self.elapsed), asyncio.Event())

    async def sleep_until(self, until: datetime, woken: asyncio.Event) -> None:
        """Waits for an instant, a virtual second, or the event."""
        sleeper = _Sleeper(until, self.elapsed + LONGEST_SLEEP, woken)
        self._sleepers.append(sleeper)
        try:
            await woken.wait()
        finally:
            self._sleepers.remove(sleeper)

    async def advance(self, by: timedelta | float) -> None:
        """Moves both clocks on, from one sleeper's instant to the next; each has done its work before time goes on."""
        end = self.elapsed + (by if isinstance(by, timedelta) else timedelta(seconds=by))
        await self.rest()
        while self.elapsed < end:
            self._move(min([end - self.elapsed, *(self._left(sleeper) for sleeper in self._sleepers)]))
            await self.rest()

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

    async def rest(self) -> None:
        """Waits in real time till nothing can happen any more before time moves."""
        calm = 0
        while calm < ROUNDS_OF_REST:
            calm += 1
            if any(question() for question in self.busy):
                calm = 0
                await asyncio.sleep(0.0002)
            else:
                await asyncio.sleep(0)

    def set_wall(self, at: datetime) -> None:
        """Somebody sets the wall clock; sleepers notice only when their second is over."""
        self.wall = at

    def skip_boot(self, seconds: float) -> None:
        """The boot clock alone goes on, at once."""
        self.elapsed += timedelta(seconds=seconds)
        self._wake_due()

    def leap(self, seconds: float) -> None:
        """Time passed in which nothing here ran: the process was stopped, or the machine suspended."""
        self._move(timedelta(seconds=seconds))

    def _left(self, sleeper: _Sleeper) -> timedelta:
        return max(timedelta(0), min(sleeper.until - self.wall, sleeper.longest - self.elapsed))

    def _move(self, by: timedelta) -> None:
        self.wall += by
        self.elapsed += by
        self._wake_due()

    def _wake_due(self) -> None:
        for sleeper in tuple(self._sleepers):
            if not self._left(sleeper):
                sleeper.woken.set()
