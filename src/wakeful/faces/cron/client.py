"""A client of a daemon on the session bus, for commands and scripts."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from dbus_fast import DBusFastError, Message, Variant
from dbus_fast.introspection import Interface

from wakeful.faces.cron.bus_connection import BusError, Connection, answered, ask_bus, connected

# What D-Bus clients wait for an answer unless told otherwise.
USUAL_TIMEOUT_S = 25.0
_INTEGERS = {"i": range(-(2**31), 2**31), "u": range(2**32), "x": range(-(2**63), 2**63), "t": range(2**64)}


class DaemonClient:
    """One daemon: the name it has on the bus, the path of its object and the interface of that.

    ``address`` is a bus other than the session's own.
    """

    def __init__(self, service_name: str, object_path: str, interface_name: str, *, address: str | None = None) -> None:
        self.service_name = service_name
        self.object_path = object_path
        self.interface_name = interface_name
        # Why the last ``connect`` gave False.
        self.problem: str | None = None
        self._address = address
        self._bus: Connection | None = None
        self._takes: Mapping[str, tuple[str, ...]] = {}

    async def connect(self) -> bool:
        """Whether the daemon is there and can be called; if not, ``problem`` says why."""
        await self.disconnect()
        self.problem = None
        try:
            self._bus = await connected(self._address)
            self._takes = await self._methods(self._bus)
        except BusError as error:
            self.problem = str(error)
            await self.disconnect()
        return self.is_running

    async def disconnect(self) -> None:
        """Closes the connection, if there is one."""
        if self._bus is not None:
            self._bus.disconnect()
        self._bus = None

    @property
    def is_running(self) -> bool:
        """Whether this client is connected to a daemon that was there."""
        return self._bus is not None and self._bus.connected

    async def call_method(
        self, method_name: str, args: Sequence[Any] | None = None, timeout_s: float | None = USUAL_TIMEOUT_S
    ) -> Any:
        """What the method answers, read from its JSON; ``timeout_s`` None waits without end.

        A method of the interface is called if the arguments fit it: for a text, what is no text is sent as JSON. What
        the interface does not have, or not so, goes through ``CallMethod``, whose answers are always objects. A refusal
        is an answer: ``{"success": False, "error": …}``.

        Raises:
            ConnectionError: not connected, no answer in time, or an error of the bus instead of one.
        """
        given = list(args or [])
        takes = self._takes.get(method_name)
        body = None if takes is None else _fitting(takes, given)
        if takes is None or body is None:
            text = msgspec.json.encode(given, enc_hook=str).decode()
            return await self._called("CallMethod", "ss", [method_name, text], timeout_s)
        return await self._called(method_name, "".join(takes), body, timeout_s)

    async def process_id(self) -> int | None:
        """The process that has the daemon's name on the bus; ``None`` if none has, or the bus does not tell."""
        if self._bus is None:
            return None
        try:
            (pid,) = await ask_bus(self._bus, "GetConnectionUnixProcessID", "s", self.service_name)
        except BusError:
            return None
        return pid if isinstance(pid, int) else None

    async def ping(self) -> bool:
        """Whether it answers as it should. Raises as ``call_method`` does."""
        return bool(await self.call_method("Ping") == "pong")

    async def get_status(self) -> dict[str, Any]:
        """What it does, and its jobs. Raises as ``call_method`` does."""
        return _object(await self.call_method("GetStatus"))

    async def get_stats(self) -> dict[str, Any]:
        """Its counts. Raises as ``call_method`` does."""
        return _object(await self.call_method("GetStats"))

    async def health_check(self) -> dict[str, Any]:
        """Whether it is well. Raises as ``call_method`` does."""
        return _object(await self.call_method("HealthCheck"))

    async def shutdown(self) -> dict[str, Any]:
        """Asks it to stop. Raises as ``call_method`` does."""
        return _object(await self.call_method("Shutdown"))

    async def get_property(self, name: str) -> Any:
        """``Running``, ``Uptime`` (s) or ``Stats`` (JSON text). Raises as ``call_method`` does."""
        asked = self._message("org.freedesktop.DBus.Properties", "Get", "ss", [self.interface_name, name])
        (value,) = await self._asked(asked, USUAL_TIMEOUT_S)
        return value.value if isinstance(value, Variant) else value

    async def _called(self, member: str, signature: str, body: list[Any], timeout_s: float | None) -> Any:
        answer = await self._asked(self._message(self.interface_name, member, signature, body), timeout_s)
        text = answer[0] if answer else None
        if not isinstance(text, str):
            return text
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text

    async def _asked(self, asked: Message, timeout_s: float | None) -> list[object]:
        if self._bus is None:
            raise ConnectionError(f"not connected to {self.service_name}: call connect() first")
        try:
            return list((await answered(self._bus, asked, timeout_s)).body)
        except BusError as error:
            raise ConnectionError(str(error)) from error

    def _message(self, interface: str, member: str, signature: str, body: list[Any]) -> Message:
        try:
            return Message(
                destination=self.service_name,
                path=self.object_path,
                interface=interface,
                member=member,
                signature=signature,
                body=body,
            )
        except DBusFastError as error:
            raise ConnectionError(f"nothing on a bus can be called so: {error}") from error

    async def _methods(self, bus: Connection) -> dict[str, tuple[str, ...]]:
        """The daemon's methods, with the types of their arguments."""
        try:
            node = await bus.introspect(self.service_name, self.object_path)
        except (DBusFastError, OSError, EOFError, TimeoutError, ValueError) as error:
            raise BusError(f"{self.service_name} does not answer: {str(error) or 'in time'}; is it running?") from error
        found = next((each for each in node.interfaces if each.name == self.interface_name), None)
        if found is None:
            raise BusError(f"{self.service_name} has no interface {self.interface_name} at {self.object_path}")
        return _types(found)


def _types(interface: Interface) -> dict[str, tuple[str, ...]]:
    return {method.name: tuple(str(each.signature) for each in method.in_args) for method in interface.methods}


def _fitting(takes: Sequence[str], given: Sequence[Any]) -> list[Any] | None:
    """The arguments as these types; None if they do not fit."""
    if len(takes) != len(given):
        return None
    body: list[Any] = []
    for kind, value in zip(takes, given, strict=True):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if kind == "s":
            body.append(value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode())
        elif (kind == "b" and isinstance(value, bool)) or (whole and value in _INTEGERS.get(kind, ())):
            body.append(value)
        elif kind == "d" and (whole or isinstance(value, float)):
            body.append(float(value))
        else:
            return None
    return body


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ConnectionError(f"the daemon answered with {type(answer).__name__}, not with an object")
    return answer
