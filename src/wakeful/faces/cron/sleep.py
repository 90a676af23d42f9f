"""The machine's sleep: what logind says of it, and the clocks, which show it where logind says nothing."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from dbus_fast import BusType, Message, MessageType

from wakeful.faces.cron.bus_connection import BusError, Connection, answered, ask_bus, connected

log = logging.getLogger("wakeful.cron.sleep")

# Two clocks as they are now: the time since boot with the machine's sleep (CLOCK_BOOTTIME), and without
# (CLOCK_MONOTONIC).
Readings = Callable[[], tuple[timedelta, timedelta]]

# By less than this the clocks may differ without a sleep.
_SHORTEST_SLEEP = timedelta(seconds=5)
# Who was told of a sleep that never comes is awake.
_LONGEST_FALLING_ASLEEP = timedelta(seconds=60)
_LOOK_EVERY_S = 5.0
# logind gives 5 s unless configured otherwise.
_ON_SLEEP_LIMIT_S = 4.0
# A bus that does not answer keeps nobody from starting.
_FIRST_TRY_S = 3.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

_LOGIND = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_MANAGER = "org.freedesktop.login1.Manager"
_RULE = f"type='signal',sender='{_LOGIND}',path='{_PATH}',interface='{_MANAGER}',member='PrepareForSleep'"


@dataclass(frozen=True, slots=True)
class Sleepers:
    """Who hears of sleep: ``on_sleep`` before it, where that is known; ``on_wake`` after it, once, with its length."""

    on_sleep: Callable[[], Awaitable[None]]
    on_wake: Callable[[timedelta], Awaitable[None]]


class _Heard(Enum):
    WILL_SLEEP = auto()
    AWAKE = auto()
    CONNECTED = auto()
    LOOK = auto()


class SleepWatch:
    """Watches the machine's sleep, by logind on the system bus (or the bus at ``address``) and by the clocks.

    Before a sleep that logind announces, the sleep is delayed until ``on_sleep`` has returned, for at most 4 s. Without
    logind only ``on_wake`` is called, within seconds after the machine woke.
    """

    def __init__(
        self,
        sleepers: Sleepers,
        readings: Readings,
        address: str | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleepers = sleepers
        self._readings = readings
        self._address = address
        self._pause = pause
        self._heard: asyncio.Queue[_Heard] = asyncio.Queue()
        self._bus: Connection | None = None
        self._lock: int | None = None
        # How far the clocks were apart when that was last accounted for.
        self._apart = timedelta(0)
        self._falling_asleep_since: timedelta | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """From now on sleep is noticed; the first try to reach logind is over when this returns, within seconds."""
        boot, monotonic = self._readings()
        self._apart = boot - monotonic
        try:
            async with asyncio.timeout(_FIRST_TRY_S):
                await self._open()
                await self._take_lock()
        except (BusError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            log.info("no logind (%s): sleep is noticed by the clocks alone, after it", reason)
        for work in (self._hear(), self._look(), self._keep()):
            self._tasks.append(asyncio.create_task(work, name="wakeful-sleep"))

    async def stop(self) -> None:
        """Nothing is noticed any more, and no sleep is delayed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._release()
        if self._bus is not None:
            self._bus.disconnect()
        self._bus = None

    async def _hear(self) -> None:
        """Deals with one thing after the other."""
        while True:
            heard = await self._heard.get()
            try:
                if heard is _Heard.WILL_SLEEP:
                    await self._will_sleep()
                elif heard is _Heard.AWAKE:
                    await self._woke(by_clocks=False)
                elif heard is _Heard.CONNECTED:
                    await self._take_lock()
                else:
                    await self._check_clocks()
            except Exception:
                log.exception("sleep was not dealt with as it should be")

    async def _will_sleep(self) -> None:
        if self._falling_asleep_since is None:
            _, self._falling_asleep_since = self._readings()
            log.info("the machine is going to sleep")
            try:
                async with asyncio.timeout(_ON_SLEEP_LIMIT_S):
                    await self._sleepers.on_sleep()
            except TimeoutError:
                log.warning("the machine sleeps before all is ready for that")
            except Exception:
                log.exception("the machine sleeps, and something was not ready for that")
        self._release()

    async def _check_clocks(self) -> None:
        boot, monotonic = self._readings()
        since = self._falling_asleep_since
        waited = since is not None and monotonic - since > _LONGEST_FALLING_ASLEEP
        if boot - monotonic - self._apart > _SHORTEST_SLEEP or waited:
            await self._woke(by_clocks=True)

    async def _woke(self, *, by_clocks: bool) -> None:
        boot, monotonic = self._readings()
        slept = max(boot - monotonic - self._apart, timedelta(0))
        was_told = self._falling_asleep_since is not None
        self._apart, self._falling_asleep_since = boot - monotonic, None
        # After the clocks have told, logind's word is no news.
        if was_told or by_clocks:
            log.info("the machine slept for %.1f s%s", slept.total_seconds(), ", by its clocks" if by_clocks else "")
            try:
                await self._sleepers.on_wake(slept)
            finally:
                await self._take_lock()
        else:
            await self._take_lock()

    async def _look(self) -> None:
        while True:
            await self._pause(_LOOK_EVERY_S)
            if self._heard.empty():
                self._heard.put_nowait(_Heard.LOOK)

    async def _keep(self) -> None:
        """Comes back to a bus that went away, or came late."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if self._bus is not None:
                with suppress(Exception):
                    await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
                self._release()
                self._bus = None
                log.info("the system bus is gone: sleep is noticed by the clocks alone until it is back")
                if self._falling_asleep_since is not None:
                    self._heard.put_nowait(_Heard.AWAKE)
                pause_s = _FIRST_PAUSE_S
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            with suppress(BusError):
                await self._open()
                self._heard.put_nowait(_Heard.CONNECTED)

    async def _open(self) -> None:
        bus = await connected(self._address, BusType.SYSTEM, files=True)
        try:
            bus.add_message_handler(self._signal)
            await ask_bus(bus, "AddMatch", "s", _RULE)
        except BaseException:
            bus.disconnect()
            raise
        self._bus = bus

    def _signal(self, message: Message) -> None:
        # A signal with a destination has not passed the rule, which lets only logind's through.
        if message.message_type is not MessageType.SIGNAL or message.destination or message.interface != _MANAGER:
            return
        if message.member == "PrepareForSleep" and message.signature == "b":
            self._heard.put_nowait(_Heard.WILL_SLEEP if message.body[0] else _Heard.AWAKE)

    async def _take_lock(self) -> None:
        """While it is held, logind waits with a sleep."""
        bus = self._bus
        if bus is None or self._lock is not None or self._falling_asleep_since is not None:
            return
        asked = Message(
            destination=_LOGIND,
            path=_PATH,
            interface=_MANAGER,
            member="Inhibit",
            signature="ssss",
            body=["sleep", "wakeful", "jobs are put on hold", "delay"],
        )
        try:
            answer = await answered(bus, asked)
        except BusError as error:
            log.info("no sleep can be delayed: %s", error)
            return
        self._lock = next(iter(answer.unix_fds), None)

    def _release(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
        self._lock = None
