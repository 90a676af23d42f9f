"""Far sides for targets, whose every byte the test decides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

# A status; or the bytes of an answer; or something to do with the connection; or nothing at all, ever.
Answer = int | bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] | None


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@dataclass
class Received:
    connection: int
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FarSide:
    """An HTTP server that gives one answer after the other, one to each request, and the last one ever again."""

    answers: tuple[Answer, ...]
    port: int = 0
    connections: int = 0
    received: list[Received] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
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
        self.received.append(Received(number, line, headers, body))
        return self.answers[min(len(self.received), len(self.answers)) - 1]

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        if isinstance(answer, int):
            writer.write(b"HTTP/1.1 %d Such\r\nContent-Length: 0\r\n\r\n" % answer)
        elif isinstance(answer, bytes):
            writer.write(answer)
        elif answer is not None:
            await answer(writer)


@pytest.fixture
async def far_side() -> AsyncIterator[Callable[..., Awaitable[FarSide]]]:
    """Opens a far side that gives these answers."""
    opened: list[FarSide] = []

    async def open_far_side(*answers: Answer, port: int = 0) -> FarSide:
        opened.append(FarSide(answers))
        await opened[-1].listen(port)
        return opened[-1]

    yield open_far_side
    for far in opened:
        assert far.server is not None
        far.server.close()
