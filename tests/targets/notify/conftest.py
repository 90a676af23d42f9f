"""Far sides of notices: a web server, a mail server, and a desktop on a bus of its own."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from support.bus import PrivateBus
from support.claims import claim
from support.far_sides import Answer, FarSide, Received
from wakeful.core.job import Data, TargetSpec
from wakeful.core.ports import Claim
from wakeful.targets.notices.settings import NotifySettings, read_settings
from wakeful.targets.notify import NotifySink

RUN = "0123456789abcdef0123456789abcdef"
NOTICE = {
    "job": "daily_standup",
    "owner": "file//home/me/config.json",
    "target": "standup",
    "run_id": RUN,
    "scheduled_for": "2026-03-01T12:00:00+00:00",
    "ended_at": "2026-03-01T12:02:30+00:00",
    "state": "succeeded",
    "attempts": 1,
    "error": None,
    "result": {"session_id": "cron-standup-20260301-120000", "output": "All is well.\nTwo MRs."},
}


def notice(target: str, number: int = 7, **more: Any) -> Claim:
    """The claim of a notice by a run of that number; ``output`` is put into its result."""
    said = {**NOTICE, **more}
    if "output" in more:
        said["result"] = {"output": said.pop("output")}
    if said["state"] == "failed" and "result" not in more:
        said["result"] = None
    data = Data("json", json.dumps(said).encode())
    return claim(f"{RUN}.0", data, owner="system/notify", target=TargetSpec("notify", target), number=number)


def failure(target: str, number: int = 7, **more: Any) -> Claim:
    """The claim of a notice about a failure."""
    return notice(target, number, **{"state": "failed", "attempts": 3, "error": "exit code 1: no such thing", **more})


@dataclass
class WebSide(FarSide):
    """A web server; with a certificate of an authority's, if it is given one."""

    context: ssl.SSLContext | None = None

    async def listen(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://{'localhost' if self.context else '127.0.0.1'}:{self.port}"

    def said(self, number: int = -1) -> dict[str, Any]:
        """What was posted."""
        return dict(json.loads(self.received[number].body))

    async def _read(self, number: int, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return self._next(Received(number, line, headers, body))


@dataclass
class Mail:
    """One mail as it came in."""

    sender: str
    recipients: list[str]
    data: bytes
    user: str | None
    tls: bool


@dataclass
class MailSide:
    """An SMTP server; ``says`` are its answers to verbs, where they are not the usual ones."""

    says: dict[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("STARTTLS", "AUTH PLAIN LOGIN", "8BITMIME")
    context: ssl.SSLContext | None = None
    implicit: bool = False
    mails: list[Mail] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    port: int = 0
    server: asyncio.Server | None = None

    async def listen(self) -> None:
        context = self.context if self.implicit else None
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mail = Mail("", [], b"", None, self.implicit)
        self._answer(writer, "GREETING", "220 mail.example.org ready")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            self.heard.append(f"{verb} {rest}")
            if self.says.get(verb) == "hang up":
                return
            if self.says.get(verb) == "hang":
                await reader.read()
            match verb:
                case "EHLO":
                    names = [name for name in self.extensions if not (mail.tls and name == "STARTTLS")]
                    lines = "".join(f"250-{name}\r\n" for name in ["mail.example.org", *names])
                    writer.write(f"{lines}250 SIZE 1000000\r\n".encode())
                case "STARTTLS":
                    self._answer(writer, verb, "220 go on")
                    await writer.start_tls(self.context)
                    mail.tls = True
                case "AUTH":
                    mail.user = await self._login(rest, reader, writer)
                case "MAIL":
                    mail.sender = rest.partition("<")[2].partition(">")[0]
                    self._answer(writer, verb, "250 ok")
                case "RCPT":
                    address = rest.partition("<")[2].partition(">")[0]
                    answer = self.says.get(f"RCPT {address}", self.says.get("RCPT", "250 ok"))
                    mail.recipients += [address] if answer.startswith("250") else []
                    writer.write(f"{answer}\r\n".encode())
                case "DATA":
                    if self._answer(writer, verb, "354 go on").startswith("354"):
                        mail.data = await reader.readuntil(b"\r\n.\r\n")
                        if self._answer(writer, "DOT", "250 taken").startswith("250"):
                            self.mails.append(mail)
                case "QUIT":
                    self._answer(writer, verb, "221 bye")
                    return
                case _:
                    self._answer(writer, verb, "250 ok")

    async def _login(self, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        method, _, first = rest.partition(" ")
        if method == "PLAIN":
            said = base64.b64decode(first).decode().lstrip("\0").replace("\0", ":")
        else:
            writer.write(b"334 " + base64.b64encode(b"Password:") + b"\r\n")
            said = base64.b64decode(first).decode() + ":" + base64.b64decode(await reader.readline()).decode()
        self._answer(writer, "AUTH", "235 welcome")
        return said

    def _answer(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> str:
        answer = self.says.get(verb, usual)
        writer.write(f"{answer}\r\n".encode())
        return answer


@dataclass
class Desktop:
    """A notification service on a private bus."""

    address: str
    shown: list[list[Any]] = field(default_factory=list)
    error: str | None = None
    silent: bool = False
    bus: MessageBus | None = None

    async def serve(self) -> None:
        self.bus = await MessageBus(bus_address=self.address, bus_type=BusType.SESSION).connect()
        self.bus.add_message_handler(self._handle)
        await self.bus.request_name("org.freedesktop.Notifications")

    def _handle(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.member != "Notify":
            return None
        assert (message.path, message.interface) == ("/org/freedesktop/Notifications", "org.freedesktop.Notifications")
        assert message.signature == "susssasa{sv}i"
        self.shown.append(message.body)
        if self.silent:
            return True
        if self.error is not None:
            return Message.new_error(message, self.error, "not now")
        return Message.new_method_return(message, "u", [7])


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What trusts the certificates of the far sides."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def certified(authority: trustme.CA) -> ssl.SSLContext:
    """What a far side named localhost shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
async def web(certified: ssl.SSLContext) -> AsyncIterator[Callable[..., Awaitable[WebSide]]]:
    """Opens a web server that gives these answers."""
    opened: list[WebSide] = []

    async def open_web(*answers: Answer, tls: bool = False) -> WebSide:
        opened.append(WebSide(answers or (200,), context=certified if tls else None))
        await opened[-1].listen()
        return opened[-1]

    yield open_web
    for side in opened:
        assert side.server is not None
        side.server.close()


@pytest.fixture
async def post(certified: ssl.SSLContext) -> AsyncIterator[Callable[..., Awaitable[MailSide]]]:
    """Opens a mail server."""
    opened: list[MailSide] = []

    async def open_post(**options: Any) -> MailSide:
        opened.append(MailSide(context=certified, **options))
        await opened[-1].listen()
        return opened[-1]

    yield open_post
    for side in opened:
        assert side.server is not None
        side.server.close()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[PrivateBus]:
    """A session bus of the test's own."""
    made = PrivateBus(tmp_path)
    yield made
    made.stop()


@pytest.fixture
async def desktop(bus: PrivateBus) -> AsyncIterator[Desktop]:
    """A desktop that shows notices."""
    made = Desktop(bus.address)
    await made.serve()
    yield made
    assert made.bus is not None
    made.bus.disconnect()


@pytest.fixture
def sink(tmp_path: Path, trusting: ssl.SSLContext) -> Callable[..., NotifySink]:
    """A sink for these settings."""

    def make(section: object = None, desktop_address: str | None = None, **environment: str) -> NotifySink:
        settings: NotifySettings = read_settings(section, environment)
        file = tmp_path / "memory" / "state" / "notifications.yaml"
        return NotifySink(lambda: settings, file, desktop_address or f"unix:path={tmp_path}/no-bus", trusting)

    return make


@pytest.fixture(name="notice")
def give_notice() -> Callable[..., Claim]:
    return notice


@pytest.fixture(name="failure")
def give_failure() -> Callable[..., Claim]:
    return failure
