"""A connection to a D-Bus bus, and the reason in one sentence where there is none."""

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbus_fast import BusType, DBusFastError, Message, MessageType
from dbus_fast.aio import MessageBus

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 10.0
_NAMES = {BusType.SESSION: "session bus", BusType.SYSTEM: "system bus"}
BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"


class BusError(Exception):
    """There is no bus, or it refuses; the message says which bus, and why."""


class Connection(MessageBus):
    """A connection to a bus, for two faults of dbus-fast 5.2 that end connections.

    It takes a full socket for a broken one (python-dbus-next#153). And it answers calls on a connection that is gone
    meanwhile, which fails and then takes the next connection off the loop, as that has the old one's descriptor.
    """

    def send(self, msg: Message) -> "asyncio.Future[None]":  # type: ignore[override]
        if self._user_disconnect or self._disconnected:
            unsent = self._loop.create_future()
            unsent.set_result(None)
            return unsent
        return super().send(msg)

    def be_patient(self) -> None:
        """From now on what the socket has no room for is sent when it has."""
        writer: Any = self._writer
        writer.sock = _PatientSocket(writer.sock)

    @property
    def unsent(self) -> int:
        """How many messages wait for room."""
        return 0 if self._writer is None else len(self._writer.messages)

    def _finalize(self, err: Exception | None = None) -> None:
        if not self._disconnected:
            super()._finalize(err)


class _PatientSocket:
    """A socket of which the library's writer knows that it may take nothing."""

    def __init__(self, socket: socket.socket) -> None:
        self._socket = socket
        self.sendmsg = socket.sendmsg

    def send(self, piece: memoryview) -> int:
        try:
            return self._socket.send(piece)
        except BlockingIOError:
            return 0


async def connected(address: str | None, kind: BusType = BusType.SESSION, *, files: bool = False) -> Connection:
    """A connection to the bus at ``address``, or where the environment says; ``files``: descriptors can be passed.

    Raises:
        BusError: there is no such bus, or it lets nobody in.
    """
    where = address or _usual_address(kind, os.environ)
    try:
        bus = Connection(where, kind, negotiate_unix_fd=files)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await bus.connect()
    except (OSError, EOFError, DBusFastError) as error:
        raise BusError(f"can't reach the {_NAMES[kind]} at {where}: {_reason(error)}") from error
    bus.be_patient()
    return bus


async def ask_bus(bus: MessageBus, member: str, signature: str = "", *body: object) -> list[object]:
    """What the bus itself answers to one of its own methods.

    Raises:
        BusError: it refuses, or is gone.
    """
    asked = Message(destination=BUS, path=_BUS_PATH, interface=BUS, member=member, signature=signature, body=list(body))
    return list((await answered(bus, asked, _ANSWER_TIMEOUT_S)).body)


async def answered(bus: MessageBus, asked: Message, timeout_s: float | None = _ANSWER_TIMEOUT_S) -> Message:
    """The answer to a call; ``timeout_s`` None waits without end.

    Raises:
        BusError: the answer is an error, there is none in time, or the bus is gone.
    """
    what = f"{asked.interface}.{asked.member}"
    if not bus.connected:
        raise BusError(f"{what}: the connection to the bus is closed")
    try:
        async with asyncio.timeout(timeout_s):
            answer = await bus.call(asked)
    except TimeoutError:
        raise BusError(f"{what}: no answer within {timeout_s:g} s") from None
    except (OSError, EOFError, DBusFastError) as error:
        raise BusError(f"{what}: the bus is gone ({_reason(error)})") from error
    if answer is None:
        raise BusError(f"{what}: the connection to the bus was closed")
    if answer.message_type is MessageType.ERROR:
        said = next((text for text in answer.body if isinstance(text, str)), "")
        raise BusError(f"{what}: {answer.error_name}: {said}")
    return answer


def _usual_address(kind: BusType, environment: Mapping[str, str]) -> str:
    if kind is BusType.SYSTEM:
        return environment.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"
    if given := environment.get("DBUS_SESSION_BUS_ADDRESS"):
        return given
    folder = environment.get("XDG_RUNTIME_DIR")
    if folder and (Path(folder) / "bus").is_socket():
        # Where systemd puts it; a unit or a cron job may lack the variable.
        return f"unix:path={folder}/bus"
    raise BusError("there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set, and XDG_RUNTIME_DIR has no bus in it")


def _reason(error: BaseException) -> str:
    if isinstance(error, socket.gaierror | OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
