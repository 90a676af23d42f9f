"""A cron daemon: its rooms put together, on the bus and under systemd, and its end."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

from wakeful.clock import SystemClock
from wakeful.cron_config import CronSettings, locked
from wakeful.cron_parts import Parts
from wakeful.faces.cron.bus import CronBus, NameTakenError
from wakeful.faces.cron.bus_connection import BusError
from wakeful.faces.cron.daemon import CronDaemon
from wakeful.faces.cron.notify_socket import NotifySocket
from wakeful.faces.cron.sleep import Sleepers, SleepWatch
from wakeful.process_tree import orphans
from wakeful.rooms import Rooms, opened
from wakeful.scheduler import Scheduler
from wakeful.targets.work import EXECUTION

log = logging.getLogger("wakeful.cron")

# Well below what systemd waits for: a job that is cut off is tried again.
GRACE = timedelta(seconds=15)


@asynccontextmanager
async def running_cron(settings: CronSettings, stop: Callable[[], None]) -> AsyncIterator[CronDaemon]:
    """A whole daemon, from its first claim to its last settlement; ``stop`` is called when somebody asks for the end.

    Raises:
        AlreadyRunningError: the config file has a daemon.
        BusError: there is no session bus, and there must be one.
        WakefulError: the store can't be used.
    """
    systemd = NotifySocket(os.environ, os.getpid())
    with locked(settings.lock), locked(settings.state_lock, f"a daemon with the state folder {settings.state}"):
        async with opened(settings.store) as rooms, AsyncExitStack() as stack:
            await _end_orphans(rooms.scheduler)
            daemon = Parts(settings, rooms.scheduler, os.environ).daemon
            await daemon.start()
            stack.push_async_callback(daemon.stop)
            await _enter_bus(stack, CronBus(daemon, stop), settings)
            # Who listens on the bus hears of what ends last, too.
            stack.push_async_callback(rooms.engine.stop, GRACE)
            rooms.engine.start()
            await _watch(stack, daemon, rooms, systemd)
            systemd.ready("running")
            try:
                yield daemon
            finally:
                systemd.stopping("what runs may end")
                rooms.engine.drain()


async def _end_orphans(scheduler: Scheduler) -> None:
    """What a killed daemon left of runs that have not ended, and come again. What ended runs left may stay."""
    for orphan in orphans(EXECUTION):
        with suppress(ValueError):
            run = await scheduler.run(UUID(orphan.value))
            if run is not None and not run.state.ended:
                log.warning(
                    "process %d, which a killed daemon has left, is ended: run %s comes again", orphan.pid, run.id
                )
                orphan.end()


async def _enter_bus(stack: AsyncExitStack, bus: CronBus, settings: CronSettings) -> None:
    if settings.dbus is False:
        return
    try:
        await bus.start()
    except NameTakenError:
        raise
    except BusError as error:
        if settings.dbus:
            raise
        log.warning("nobody can call this daemon over D-Bus: %s", error)
        return
    stack.push_async_callback(bus.stop)


async def _watch(stack: AsyncExitStack, daemon: CronDaemon, rooms: Rooms, systemd: NotifySocket) -> None:
    """The machine's sleep; and systemd, which hears that the daemon lives as long as it claims on time."""
    clock = SystemClock()
    sleeping = SleepWatch(
        Sleepers(daemon.on_system_sleep, daemon.on_system_wake), lambda: (clock.boot().elapsed, clock.awake())
    )
    await sleeping.start()
    stack.push_async_callback(sleeping.stop)
    alive = asyncio.create_task(systemd.watchdog(lambda: rooms.scheduler.health().ok, asyncio.sleep))
    stack.callback(alive.cancel)
