"""The daemon on the session bus: its name, its interface, its signals; back again whenever the bus is."""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from dbus_fast import NameFlag, RequestNameReply

from wakeful.faces.cron.bus_calls import Caller, Calls
from wakeful.faces.cron.bus_connection import BusError, Connection, ask_bus, connected
from wakeful.faces.cron.bus_handlers import Daemon, Place
from wakeful.faces.cron.bus_interface import CronInterface, note_sender

log = logging.getLogger("wakeful.cron.bus")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_CALLERS_KEPT = 256
# How long answers may take that are under way when the daemon stops.
_LAST_WORDS_S = 2.0
_SIGNAL_LIMIT = 256 * 1024
# A bus that does not listen must not fill the memory.
_MOST_UNSENT = 1_000
# What the daemon tells, and the methods of the interface that emit it.
_SIGNALS = {
    "JobStarted": "job_started",
    "JobCompleted": "job_completed",
    "JobFailed": "job_failed",
    "SchedulerToggled": "scheduler_toggled",
    "ConfigReloaded": "config_reloaded",
    "StatusChanged": "status_changed",
    "Event": "event",
}


class NameTakenError(BusError):
    """Another process has the service's name: a second daemon."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is found on a bus."""

    name: str = "com.aiworkflow.BotCron"
    path: str = "/com/aiworkflow/BotCron"
    interface: str = "com.aiworkflow.BotCron"


class CronBus:
    """Serves a daemon's calls and emits its signals on the session bus, or on the bus at ``address``.

    ``shutdown`` is called when somebody asks the daemon to stop. Calls come in only from processes of the user ``uid``,
    by default the process's own. A bus that goes away stops nothing: the service comes back with growing ``pause``s.
    """

    def __init__(
        self,
        daemon: Daemon,
        shutdown: Callable[[], None],
        address: str | None = None,
        service: Service = Service(),
        uid: int | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._daemon = daemon
        self._address = address
        self._service = service
        self._uid = os.getuid() if uid is None else uid
        self._pause = pause
        self._place = Place(daemon, service.name, shutdown)
        self._calls = Calls(self._place)
        self._bus: Connection | None = None
        self._interface: CronInterface | None = None
        self._callers: OrderedDict[str, asyncio.Future[Caller | None]] = OrderedDict()
        self._keeping: asyncio.Task[None] | None = None
        self._end_listening: Callable[[], None] | None = None

    async def start(self) -> None:
        """Takes the name; from now on the daemon can be called.

        Raises:
            NameTakenError: another daemon has it.
            BusError: there is no bus; the message is for the log.
        """
        bus = await self._open()
        self._end_listening = self._daemon.listen(self._told)
        self._keeping = asyncio.create_task(self._keep(bus), name="wakeful-cron-bus")

    async def stop(self) -> None:
        """Gives the name back, after a moment for the answers that are under way."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._end_listening is not None:
            self._end_listening()
        self._place.closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._calls.all_answered()
        if self._bus is not None:
            with suppress(BusError):
                await ask_bus(self._bus, "ReleaseName", "s", self._service.name)
            self._bus.disconnect()
        self._bus = self._interface = self._keeping = None

    async def _open(self) -> Connection:
        self._bus = bus = await connected(self._address)
        self._callers.clear()
        interface = CronInterface(self._service.interface, self._calls, self._daemon, self._caller)
        try:
            bus.add_message_handler(note_sender)
            # First what is called, then the name to call it by.
            bus.export(self._service.path, interface)
            (reply,) = await ask_bus(bus, "RequestName", "su", self._service.name, NameFlag.DO_NOT_QUEUE.value)
            if reply != RequestNameReply.PRIMARY_OWNER.value:
                raise NameTakenError(await self._taken(bus))
        except BaseException:
            bus.disconnect()
            raise
        self._interface = interface
        return bus

    async def _taken(self, bus: Connection) -> str:
        name = self._service.name
        who = "another process"
        with suppress(BusError):
            (pid,) = await ask_bus(bus, "GetConnectionUnixProcessID", "s", name)
            who = f"the process {pid}"
        return f"{who} has the name {name} on the session bus already: stop that daemon, or give this one another name"

    async def _keep(self, bus: Connection) -> None:
        """Waits for the end of each connection, and makes another."""
        while True:
            reason = "closed"
            try:
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            except Exception as error:
                reason = str(error) or type(error).__name__
            self._interface = None
            log.warning(
                "the session bus is gone (%s): jobs run on, and the service comes back when the bus does", reason
            )
            bus = await self._reopened()
            log.info("%s is on the session bus again", self._service.name)

    async def _reopened(self) -> Connection:
        pause_s, told = _FIRST_PAUSE_S, ""
        while True:
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            try:
                return await self._open()
            except BusError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("%s", told)
            except Exception:
                log.exception("the service does not come back to the bus; it is tried again")

    async def _caller(self, sender: str) -> Caller | None:
        """Who is behind a connection; None if that is another user, or can't be said any more."""
        asked = self._callers.get(sender)
        if asked is None:
            asked = asyncio.ensure_future(self._looked_up(sender))
            self._callers[sender] = asked
            if len(self._callers) > _CALLERS_KEPT:
                self._callers.popitem(last=False)
        return await asyncio.shield(asked)

    async def _looked_up(self, sender: str) -> Caller | None:
        try:
            if self._bus is None:
                raise BusError("the bus is gone")
            (found,) = await ask_bus(self._bus, "GetConnectionCredentials", "s", sender)
            facts = {key: value.value for key, value in found.items()} if isinstance(found, dict) else {}
        except BusError as error:
            self._callers.pop(sender, None)
            log.warning("a call by %s is refused, which can't be asked whose it is: %s", sender, error)
            return None
        caller = Caller(sender, facts.get("ProcessID"), facts.get("UnixUserID"))
        if caller.uid != self._uid:
            log.warning("calls by %s are refused: this daemon is for uid %d", caller, self._uid)
            return None
        return caller

    def _told(self, name: str, *arguments: object) -> None:
        """What the daemon tells becomes a signal, if there is a bus."""
        interface, bus = self._interface, self._bus
        if interface is None or bus is None or not bus.connected:
            return
        if name not in _SIGNALS:
            log.debug("nothing on the bus is called %s", name)
            return
        if bus.unsent >= _MOST_UNSENT:
            log.debug("the bus takes nothing: it does not hear %s", name)
            return
        emit = getattr(interface, _SIGNALS[name])
        emit(*(each if isinstance(each, bool) else _text(each) for each in arguments))


def _text(value: object) -> str:
    """What a D-Bus string may be: without NUL and halves of characters, and not without end."""
    clean = str(value).replace("\0", "\ufffd").encode("utf-8", "replace")
    return clean[:_SIGNAL_LIMIT].decode("utf-8", "ignore")
