"""Far sides for targets, whose every byte the test decides."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings


@dataclass(frozen=True)
class Reply:
    """An answer, however the protocol frames it."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


# A status; or a reply; or bytes on the wire; or something to do with the connection; or nothing at all, ever.
Answer = int | Reply | bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] | None


@dataclass
class Received:
    connection: int
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FarSide:
    """An HTTP/1.1 server that gives one answer after the other, one to each request, and the last one ever again."""

    answers: tuple[Answer, ...]
    tls: bool = False
    port: int = 0
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=_tls() if self.tls else None)
        self.port = self.server.sockets[0].getsockname()[1]

    async def client_left(self) -> None:
        """Returns once the client has closed a connection; fails if it does so only because it was idle for long."""
        await asyncio.wait_for(self.left.wait(), 0.7)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                await self._answer(await self._read(number, reader), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()

    async def _read(self, number: int, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = dict(one.split(": ", 1) for one in lines)
        body = await reader.readexactly(int(headers["content-length"]))
        return self._next(Received(number, line, headers, body))

    def _next(self, received: Received) -> Answer:
        self.received.append(received)
        answer = self.answers[min(len(self.received), len(self.answers)) - 1]
        return Reply(answer) if isinstance(answer, int) else answer

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        if isinstance(answer, Reply):
            lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers).encode()
            head = b"HTTP/1.1 %d Such\r\n%bContent-Length: %d\r\n\r\n" % (answer.status, lines, len(answer.body))
            writer.write(head + answer.body)
        elif isinstance(answer, bytes):
            writer.write(answer)
        elif answer is not None:
            await answer(writer)


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Made by nobody, for another name.
    context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    return context


@dataclass
class H2FarSide(FarSide):
    """The same over HTTP/2 in clear text, one answer to each stream; ``most`` streams at a time on a connection."""

    most: int = 100
    open_streams: int = 0
    most_open: int = 0
    unsent: dict[int, bytes] = field(default_factory=dict)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        engine = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        engine.local_settings = Settings(False, {SettingCodes.MAX_CONCURRENT_STREAMS: self.most})
        engine.initiate_connection()
        writer.write(engine.data_to_send())
        requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for event in engine.receive_data(data):
                    await self._on(event, number, engine, requests, writer)
                self._pump(engine)
                writer.write(engine.data_to_send())
        self.left.set()
        writer.close()

    async def _on(self, event, number, engine, requests, writer) -> None:  # type: ignore[no-untyped-def]
        match event:
            case h2.events.RequestReceived(stream_id=stream, headers=headers):
                requests[stream] = (dict(headers), bytearray())
                self.open_streams += 1
                self.most_open = max(self.most_open, self.open_streams)
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                requests[stream][1].extend(data)
                engine.acknowledge_received_data(length, stream)
            case h2.events.StreamReset():
                self.open_streams -= 1
                self.left.set()
            case h2.events.StreamEnded(stream_id=stream):
                headers, body = requests.pop(stream)
                method, path, authority = (headers.pop(name) for name in (":method", ":path", ":authority"))
                assert headers.pop(":scheme") == "http"
                received = Received(number, f"{method} {path} HTTP/2", {"host": authority, **headers}, bytes(body))
                await self._answer_stream(self._next(received), stream, engine, writer)

    async def _answer_stream(self, answer, stream, engine, writer) -> None:  # type: ignore[no-untyped-def]
        if isinstance(answer, Reply):
            self.open_streams -= 1
            engine.send_headers(stream, [(":status", str(answer.status)), *answer.headers], end_stream=not answer.body)
            if answer.body:
                self.unsent[stream] = answer.body
        elif callable(answer) and answer.__code__.co_argcount == 2:
            answer(engine, stream)
        else:
            writer.write(engine.data_to_send())
            await self._answer(answer, writer)

    def _pump(self, engine: H2Connection) -> None:
        for stream, body in tuple(self.unsent.items()):
            size = min(engine.local_flow_control_window(stream), engine.max_outbound_frame_size)
            if size > 0:
                engine.send_data(stream, body[:size], end_stream=size >= len(body))
                self.unsent[stream] = body[size:]
            if not self.unsent[stream]:
                del self.unsent[stream]
            elif size > 0:
                self._pump(engine)
