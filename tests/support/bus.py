"""Private D-Bus buses, the tools that people call them with, and a logind of our own."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, NameFlag
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusStr, DBusUnixFd
from dbus_fast.service import ServiceInterface, dbus_method, dbus_signal

from support.processes import eventually

NAME = PATH_NAME = "com.aiworkflow.BotCron"
PATH = "/com/aiworkflow/BotCron"
LOGIND = "org.freedesktop.login1"


class PrivateBus:
    """A ``dbus-daemon`` of the test's own, which can be ended and started again at the same address."""

    def __init__(self, folder: Path, config: str = "--session", address: str | None = None) -> None:
        self.socket = folder / "bus"
        self.address = address or f"unix:path={self.socket}"
        self.environment = {"PATH": "/usr/bin:/bin", "DBUS_SESSION_BUS_ADDRESS": self.address, "LANG": "C.UTF-8"}
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.socket.unlink()
        argv = ["dbus-daemon", self._config, f"--address={self.address}", "--nofork", "--nopidfile", "--print-address"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        # It prints its address once it listens.
        assert self._process.stdout.readline().startswith(self.address.encode())
        self._process.stdout.close()

    def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """To the ``dbus-daemon``: to stop it, and to let it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    async def run(self, *argv: str, timeout_s: float = 30) -> "subprocess.CompletedProcess[str]":
        """Runs a program that finds this bus as its session's."""
        process = await asyncio.create_subprocess_exec(
            *argv, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return subprocess.CompletedProcess(argv, process.returncode or 0, out.decode(), err.decode())

    async def busctl(self, member: str, *arguments: str, options: Sequence[str] = ()) -> Any:
        """``busctl --user call …`` as the document prints it; what the JSON of the answer says."""
        line = ("busctl", "--user", *options, "call", NAME, PATH, NAME, member, *arguments)
        done = await self.run(*line)
        assert done.returncode == 0, done.stderr
        kind, text = done.stdout.strip().split(" ", 1)
        assert kind == "s"
        return json.loads(json.loads(text))


@dataclass
class Heard:
    """A connection of its own that notes the signals of the service."""

    bus: MessageBus
    signals: list[tuple[str, list[Any]]] = field(default_factory=list)

    def named(self, name: str) -> list[list[Any]]:
        """The arguments of the signals with that name."""
        return [body for member, body in self.signals if member == name]


@contextlib.asynccontextmanager
async def hearing(address: str) -> AsyncIterator[Heard]:
    """Hears the service's signals for the time of the block."""
    bus = await MessageBus(address).connect()
    heard = Heard(bus)

    def note(message: Message) -> None:
        if message.interface == NAME:
            heard.signals.append((str(message.member), list(message.body)))

    bus.add_message_handler(note)
    rule = f"type='signal',interface='{NAME}',path='{PATH}'"
    await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )
    try:
        yield heard
    finally:
        bus.disconnect()


class Logind(ServiceInterface):
    """The part of logind that sleep needs: it hands out locks, and knows which are held."""

    def __init__(self) -> None:
        super().__init__(f"{LOGIND}.Manager")
        self.asked: list[tuple[str, str, str, str]] = []
        self.refuses = False
        self._ends: list[int] = []

    @dbus_method("Inhibit")
    def inhibit(self, what: DBusStr, who: DBusStr, why: DBusStr, mode: DBusStr) -> DBusUnixFd:
        if self.refuses:
            raise PermissionError("not allowed")
        self.asked.append((what, who, why, mode))
        mine, theirs = os.pipe()
        os.set_blocking(mine, False)
        self._ends.append(mine)
        # The library sends the descriptor later in this turn of the loop; then it is only the other's.
        asyncio.get_running_loop().call_later(0.02, os.close, theirs)
        return theirs

    @dbus_signal("PrepareForSleep")
    def prepare_for_sleep(self, start: bool) -> DBusBool:
        return start

    def held(self) -> int:
        """How many of its locks somebody holds: the other end of the pipe is open."""
        return sum(_open(end) for end in self._ends)

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


def _open(end: int) -> bool:
    try:
        return os.read(end, 1) != b""
    except BlockingIOError:
        return True


@contextlib.asynccontextmanager
async def logind(address: str) -> AsyncIterator[Logind]:
    """A logind on that bus for the time of the block."""
    bus = await MessageBus(address, BusType.SYSTEM, negotiate_unix_fd=True).connect()
    made = Logind()
    bus.export("/org/freedesktop/login1", made)
    await bus.request_name(LOGIND, NameFlag.DO_NOT_QUEUE)
    try:
        yield made
    finally:
        bus.disconnect()
        made.close()


async def until(condition: Any, what: str) -> Any:
    """The first true value of the condition, while the event loop goes on."""
    return await asyncio.to_thread(eventually, condition, what)


@pytest.fixture
def private_bus(tmp_path: Path) -> Iterator[PrivateBus]:
    """A bus of the test's own."""
    bus = PrivateBus(tmp_path)
    yield bus
    bus.stop()
