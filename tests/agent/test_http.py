"""The agent's HTTP client, against far sides whose every byte the test decides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from support.processes import free_port
from wakeful.agent.http import Answer, HttpClient, UnreachableError

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class FarSide:
    """Gives each request the next of its replies; ``b""`` hangs up. Remembers what came, by connection."""

    def __init__(self, replies: Sequence[bytes]) -> None:
        self.replies = list(replies)
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
                self.requests.append(head + await reader.readexactly(length))
                if not self.replies:
                    await reader.read()
                    break
                reply = self.replies.pop(0)
                if not reply:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def far_side(*replies: bytes) -> AsyncIterator[FarSide]:
    side = FarSide(replies)
    server = await asyncio.start_server(side.serve, "127.0.0.1", 0)
    side.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield side
    finally:
        server.close()


async def ask(client: HttpClient, body: bytes = b"{}", timeout_s: float = 5) -> Answer:
    return await client.request("POST", "/x", body, timeout_s)


async def test_requests_share_a_connection_and_carry_the_token() -> None:
    async with far_side(OK, OK, OK) as side:
        client = HttpClient(f"{side.url}/below/", "secret")
        for _ in range(3):
            assert await ask(client, b'{"n":1}') == Answer(200, b"{}")
        await client.aclose()
    assert side.connections == 1
    assert side.requests[0].startswith(b"POST /below/x HTTP/1.1\r\n")
    assert b"x-api-key: secret\r\n" in side.requests[0]
    assert side.requests[0].endswith(b'\r\n\r\n{"n":1}')


async def test_long_chunked_and_closing_answers_are_whole() -> None:
    long = b"x" * 3_000_000
    sized = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(long), long)
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
    closing = b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"
    async with far_side(sized, chunked, closing, OK) as side:
        client = HttpClient(side.url, None)
        answers = [await ask(client) for _ in range(4)]
        await client.aclose()
    assert [(answer.status, len(answer.body)) for answer in answers] == [(200, 3_000_000), (200, 3), (404, 2), (200, 2)]
    assert side.connections == 2


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", b"nonsense\r\n\r\n", b"HTTP/1.1 200"]
)
async def test_what_is_no_whole_answer_is_none(reply: bytes) -> None:
    async with far_side(reply, *([b""] if reply else [])) as side:
        client = HttpClient(side.url, None)
        with pytest.raises(UnreachableError):
            await ask(client, timeout_s=0.3)
        await client.aclose()


async def test_nobody_there_and_no_answer_in_time_are_unreachable() -> None:
    with pytest.raises(UnreachableError):
        await ask(HttpClient(f"http://127.0.0.1:{free_port()}", None))
    async with far_side() as side:
        client = HttpClient(side.url, None)
        with pytest.raises(UnreachableError, match=r"0\.1 s"):
            await ask(client, timeout_s=0.1)
        await asyncio.wait_for(side.closed.wait(), 20)


async def test_cancelling_hangs_up() -> None:
    async with far_side() as side:
        client = HttpClient(side.url, None)
        asked = asyncio.create_task(ask(client, timeout_s=60))
        while not side.requests:
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait_for(side.closed.wait(), 20)
        with pytest.raises(asyncio.CancelledError):
            await asked


@pytest.mark.parametrize(
    "make",
    [
        lambda: HttpClient("ftp://host", None),
        lambda: HttpClient("http://", None),
        lambda: HttpClient("http://user@host", None),
        lambda: HttpClient("http://host:99999", None),
        lambda: HttpClient("http://host", "to\nken"),
        lambda: HttpClient("http://host", "schlüssel"),
    ],
)
async def test_settings_that_can_not_be_are_value_errors(make: Callable[[], HttpClient]) -> None:
    with pytest.raises(ValueError):
        make()
