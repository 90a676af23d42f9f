"""The HTTP client: connections, whole answers and broken ones."""

import asyncio
import gc
import re
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakeful.targets import http_client
from wakeful.targets.http_client import HttpClient, NoAnswerError, NotSentError, Response, request_target

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Open = Callable[..., Any]
Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nTrailer: 9\r\n\r\n"


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[HttpClient]:
    client = HttpClient("127.0.0.1", port)
    yield client
    await client.aclose()


async def ask(client: HttpClient, path: str = "/", timeout_s: float = 5) -> Response:
    return await client.request("POST", path, {}, b"", timeout_s)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def then_close(answer: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return say


def after(seconds: float, answer: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(answer)

    return say


def byte_by_byte(answer: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        for byte in answer:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    return say


def never_ending(beginning: bytes, piece: bytes, pause_s: float = 0) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        raise ConnectionResetError

    return say


@given(st.text())
def test_any_path_is_sent_in_legal_characters_and_arrives_as_it_was(path: str) -> None:
    target = request_target(path)
    assert re.fullmatch(r"/([A-Za-z0-9\-._~/!$&'()*+,;=:@]|%[0-9A-F]{2})*", target)
    assert unquote_to_bytes(target) == ("/" + path.removeprefix("/")).encode()


# One answer after the other.


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK, id="with a length"),
        pytest.param(CHUNKED, id="in chunks"),
        pytest.param(byte_by_byte(INTERIM + CHUNKED), id="byte by byte"),
        pytest.param(INTERIM * 3 + OK, id="after interim ones"),
    ],
)
async def test_requests_share_a_connection_however_the_answer_is_framed(far_side: Open, answer: Any) -> None:
    far = await far_side(answer)
    async with client_of(far.port) as client:
        assert [await ask(client) for _ in range(3)] == [Response(200, b"ok")] * 3
    assert far.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", id="Connection: close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", id="HTTP/1.0"),
        pytest.param(OK + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", id="a second answer"),
        pytest.param(OK + b"junk", id="junk after the answer"),
        pytest.param(then_close(OK), id="closed after the answer"),
        pytest.param(then_close(b"HTTP/1.1 200 OK\r\n\r\nok"), id="a body that ends with the connection"),
        pytest.param(after(0.01, OK + b"\r\n\r\njunk"), id="late, with junk"),
    ],
)
async def test_an_answer_may_be_the_last_of_its_connection(far_side: Open, answer: Any) -> None:
    far = await far_side(answer, OK)
    async with client_of(far.port) as client:
        assert await ask(client) == Response(200, b"ok")
        await asyncio.sleep(0.02)
        assert await ask(client) == Response(200, b"ok")
    assert [request.connection for request in far.received] == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(never_ending(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), id="without a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 2_000_000, id="with a length"),
    ],
)
async def test_of_a_huge_answer_the_beginning_is_kept_and_the_rest_not_waited_for(far_side: Open, answer: Any) -> None:
    far = await far_side(answer)
    async with client_of(far.port) as client:
        assert await ask(client) == Response(200, b"x" * 65536)
        await far.client_left()


async def test_many_at_once_get_each_their_own_answer() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            path = line.split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with client_of(server.sockets[0].getsockname()[1]) as client:
        for _ in range(3):
            responses = await asyncio.gather(*(ask(client, f"/{n}") for n in range(64)))
            assert [response.body for response in responses] == [b"/%d" % n for n in range(64)]
    server.close()


async def test_a_connection_is_not_idle_for_long(far_side: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_IDLE_LIMIT_S", 0.02)
    far = await far_side(OK)
    async with client_of(far.port) as client:
        await ask(client)
        await far.client_left()
        await ask(client)
    assert far.connections == 2


async def test_a_connection_that_is_too_old_is_not_used_though_nobody_closed_it_yet(
    far_side: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = await far_side(OK)
    async with client_of(far.port) as client:
        await ask(client)
        monkeypatch.setattr(http_client, "_IDLE_LIMIT_S", 0.0)
        await ask(client)
    assert far.connections == 2


async def test_words_without_a_question_end_an_idle_connection(far_side: Open) -> None:
    async def late_words(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    far = await far_side(late_words, OK)
    async with client_of(far.port) as client:
        await ask(client)
        await far.client_left()
        assert await ask(client) == Response(200, b"ok")
    assert far.connections == 2


async def test_an_answer_that_comes_before_the_request_was_read_is_taken_and_ends_the_connection() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
    async with client_of(server.sockets[0].getsockname()[1]) as client:
        for _ in range(2):
            assert (await client.request("POST", "/", {}, b"x" * (32 << 20), 5)).status == 413
    assert len(connections) == 2
    for connection in connections:
        connection.close()
    server.close()


async def test_closing_waits_for_no_answer_but_lets_it_come(far_side: Open) -> None:
    far = await far_side(after(0.02, OK))
    client = HttpClient("127.0.0.1", far.port)
    request = asyncio.ensure_future(ask(client))
    while not far.received:
        await asyncio.sleep(0.001)
    await client.aclose()
    assert await request == Response(200, b"ok")
    await far.client_left()


async def test_a_closed_connection_leaves_nothing_behind(far_side: Open) -> None:
    far = await far_side(OK)
    async with client_of(far.port) as client:
        await ask(client)
        connection = weakref.ref(client._idle[0])
    gc.disable()
    try:
        await far.client_left()
        assert connection() is None
    finally:
        gc.enable()


# No answer.


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(reset, "connection was lost", id="reset"),
        pytest.param(then_close(b""), "connection was lost", id="closed without a word"),
        pytest.param(then_close(OK[:-1]), "connection was lost", id="body cut short"),
        pytest.param(then_close(CHUNKED[:-5]), "connection was lost", id="chunks cut short"),
        pytest.param(then_close(OK[:20]), "connection was lost", id="head cut short"),
        pytest.param(then_close(INTERIM), "connection was lost", id="interim only"),
        pytest.param(b"<html>\r\n\r\n", "malformed", id="garbage"),
        pytest.param(CHUNKED.replace(b"1;x=y", b"zz"), "malformed", id="no chunk"),
        pytest.param(OK.replace(b"200 OK", b"20x OK"), "malformed", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "longer than 64 KiB", id="huge head"),
        pytest.param(never_ending(b"", INTERIM * 99), "longer than 64 KiB", id="endless interim ones"),
    ],
)
async def test_what_is_no_whole_answer_is_none_and_nothing_is_sent_twice(
    far_side: Open, answer: Any, error: str
) -> None:
    far = await far_side(OK, answer)
    async with client_of(far.port) as client:
        await ask(client)
        with pytest.raises(NoAnswerError, match=error):
            await ask(client)
        await asyncio.sleep(0.01)
    assert [request.connection for request in far.received] == [1, 1]


async def test_an_upgrade_is_an_answer_that_ends_the_connection(far_side: Open) -> None:
    far = await far_side(b"HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nwords", OK)
    async with client_of(far.port) as client:
        assert (await ask(client)).status == 101
        assert (await ask(client)).status == 200
    assert far.connections == 2


async def test_a_request_ends_at_its_time_out_and_leaves_the_connection(far_side: Open) -> None:
    far = await far_side(OK, None)
    async with client_of(far.port) as client:
        await ask(client, timeout_s=30)
        with pytest.raises(NoAnswerError, match=re.escape("no answer within 0.05 s")):
            await asyncio.wait_for(ask(client, timeout_s=0.05), 20)
        await far.client_left()
    assert far.connections == 1


async def test_the_time_out_of_one_request_does_not_end_the_next(far_side: Open) -> None:
    far = await far_side(OK, after(0.12, OK), None)
    async with client_of(far.port) as client:
        await client.connect(5)
        await ask(client, timeout_s=0.1)
        assert await ask(client, timeout_s=5) == Response(200, b"ok")
        with pytest.raises(NoAnswerError):
            await ask(client, timeout_s=0.05)
    assert far.connections == 1


async def test_a_slow_answer_does_not_outlive_the_time_out(far_side: Open) -> None:
    far = await far_side(never_ending(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.005))
    async with client_of(far.port) as client:
        await client.connect(5)
        with pytest.raises(NoAnswerError, match="no answer within"):
            await ask(client, timeout_s=0.05)
        await far.client_left()


async def test_a_cancelled_request_leaves_its_connection(far_side: Open) -> None:
    far = await far_side(None, OK)
    async with client_of(far.port) as client:
        request = asyncio.ensure_future(ask(client))
        while not far.received:
            await asyncio.sleep(0.001)
        request.cancel()
        await far.client_left()
        assert request.cancelled()
        assert await ask(client) == Response(200, b"ok")
    assert far.connections == 2


async def test_cancelling_in_the_moment_of_the_answer_spares_who_has_the_connection_next(
    far_side: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = await far_side(OK, after(0.01, OK))
    async with client_of(far.port) as client:
        keep, following = client._keep, []

        def keep_and_cancel(connection: Any) -> None:
            keep(connection)
            request.cancel()
            following.append(asyncio.ensure_future(ask(client)))
            monkeypatch.undo()

        monkeypatch.setattr(client, "_keep", keep_and_cancel)
        request = asyncio.ensure_future(ask(client))
        with pytest.raises(asyncio.CancelledError):
            await request
        assert await following[0] == Response(200, b"ok")
    assert far.connections == 1


# No connection.


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "no..name"])
async def test_without_a_listener_nothing_is_sent(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotSentError, match="no connection to"):
        await ask(HttpClient(host, port))


async def test_a_connection_that_does_not_come_about_in_time_sends_nothing() -> None:
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = server.getsockname()[1]
    fills_the_backlog = socket.create_connection(("127.0.0.1", port))
    with server, fills_the_backlog, pytest.raises(NotSentError, match=re.escape("within 0.05 s")):
        await ask(HttpClient("127.0.0.1", port), timeout_s=0.05)


async def test_a_connection_to_itself_is_none_and_leaves_the_port_free(monkeypatch: pytest.MonkeyPatch) -> None:
    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    port = own.getsockname()[1]
    own.connect(("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    create_connection = loop.create_connection

    async def to_itself(factory: Any, host: str, port: int, ssl: object) -> Any:
        return await create_connection(factory, sock=own)

    monkeypatch.setattr(loop, "create_connection", to_itself)
    with pytest.raises(NotSentError, match="nobody listens"):
        await ask(HttpClient("127.0.0.1", port))
    await asyncio.sleep(0.01)
    socket.create_server(("127.0.0.1", port)).close()


async def test_a_header_that_would_break_the_line_is_refused_before_anything_is_sent(far_side: Open) -> None:
    far = await far_side(OK)
    async with client_of(far.port) as client:
        with pytest.raises(ValueError, match="'a' is not printable"):
            await client.request("POST", "/", {"a": "1\r\nb: 2"}, b"", 5)
    assert far.connections == 0
