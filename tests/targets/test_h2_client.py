"""The HTTP/2 client on the wire: streams, windows, and what ends a stream or a connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from support.far_sides import Reply
from wakeful.targets import h2_client
from wakeful.targets.h2_client import H2Client
from wakeful.targets.http_client import NoAnswerError, NotSentError, Response

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[H2Client]:
    client = H2Client("127.0.0.1", port)
    yield client
    await client.aclose()


async def ask(client: H2Client, body: bytes = b"", timeout_s: float = 5) -> Response:
    return await client.request("POST", "/", {}, body, timeout_s)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_many_at_once_share_one_connection(far_side: Open) -> None:
    streams: list[int] = []

    def once_all_are_here(engine: Any, stream: int) -> None:
        streams.append(stream)
        for number in streams if len(streams) == 300 else ():
            engine.send_headers(number, [(":status", "204")], end_stream=True)

    far = await far_side(once_all_are_here, protocol="h2c", most=1000)
    async with client_of(far.port) as client:
        responses = await asyncio.gather(*(ask(client) for _ in range(300)))
    assert {response.status for response in responses} == {204}
    assert far.connections == 1


async def test_no_more_streams_are_open_than_the_server_takes(far_side: Open) -> None:
    far = await far_side(204, protocol="h2c", most=3)
    async with client_of(far.port) as client:
        responses = await asyncio.gather(*(ask(client) for _ in range(50)))
    assert {response.status for response in responses} == {204}
    assert far.connections == 1
    assert 1 <= far.most_open <= 3


async def test_who_waits_in_vain_for_a_stream_has_sent_nothing(far_side: Open) -> None:
    far = await far_side(None, protocol="h2c", most=1)
    async with client_of(far.port) as client:
        first = asyncio.ensure_future(ask(client, timeout_s=30))
        await until(lambda: far.received)
        with pytest.raises(NotSentError, match="no free stream"):
            await ask(client, timeout_s=0.05)
        first.cancel()
    assert len(far.received) == 1


async def test_a_cancelled_request_resets_its_stream_and_makes_room(far_side: Open) -> None:
    far = await far_side(None, 200, protocol="h2c", most=1)
    async with client_of(far.port) as client:
        first, second = (asyncio.ensure_future(ask(client)) for _ in range(2))
        await until(lambda: far.received)
        first.cancel()
        assert (await second).status == 200
    assert far.connections == 1


async def test_a_body_larger_than_every_window_arrives_whole(far_side: Open) -> None:
    body = bytes(range(256)) * 8192
    far = await far_side(200, protocol="h2c")
    async with client_of(far.port) as client:
        assert [(await ask(client, body)).status for _ in range(2)] == [200, 200]
    assert [request.body for request in far.received] == [body, body]


async def test_a_large_answer_is_read_on_and_its_beginning_kept(far_side: Open) -> None:
    far = await far_side(Reply(500, b"x" * 60_000), protocol="h2c")
    async with client_of(far.port) as client:
        # More than one window in all: what is not kept is given back to the server all the same.
        assert [await ask(client) for _ in range(5)] == [Response(500, b"x" * 60_000)] * 5


def reset_with(code: ErrorCodes) -> Callable[[Any, int], None]:
    def answer(engine: Any, stream: int) -> None:
        engine.reset_stream(stream, code)

    return answer


async def test_a_refused_stream_was_not_acted_on(far_side: Open) -> None:
    far = await far_side(reset_with(ErrorCodes.REFUSED_STREAM), 200, protocol="h2c")
    async with client_of(far.port) as client:
        with pytest.raises(NotSentError, match="refused"):
            await ask(client)
        assert (await ask(client)).status == 200
    assert far.connections == 1


async def test_of_a_stream_that_was_reset_nobody_knows(far_side: Open) -> None:
    far = await far_side(reset_with(ErrorCodes.INTERNAL_ERROR), protocol="h2c")
    async with client_of(far.port) as client:
        with pytest.raises(NoAnswerError, match="INTERNAL_ERROR"):
            await ask(client)


async def test_a_server_that_goes_away_answers_what_it_has_begun_and_the_rest_was_not_sent(far_side: Open) -> None:
    first: list[int] = []

    def wait(_engine: Any, stream: int) -> None:
        first.append(stream)

    def go_away(engine: Any, stream: int) -> None:
        # What h2 itself sends at close_connection would let no stream be answered.
        engine._data_to_send += GoAwayFrame(0, last_stream_id=first[0]).serialize()
        engine.send_headers(first[0], [(":status", "200")], end_stream=True)

    far = await far_side(wait, go_away, 204, protocol="h2c")
    async with client_of(far.port) as client:
        begun = asyncio.ensure_future(ask(client))
        await until(lambda: far.received)
        with pytest.raises(NotSentError, match="going away"):
            await ask(client)
        assert (await begun).status == 200
        assert (await ask(client)).status == 204
    assert far.connections == 2


async def test_an_idle_connection_is_left(far_side: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h2_client, "_IDLE_LIMIT_S", 0.02)
    far = await far_side(200, protocol="h2c")
    async with client_of(far.port) as client:
        await ask(client)
        await far.client_left()
        assert (await ask(client)).status == 200
    assert far.connections == 2


async def test_a_connection_whose_streams_are_used_up_is_replaced(
    far_side: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h2_client, "_LAST_STREAM", 3)
    far = await far_side(200, protocol="h2c")
    async with client_of(far.port) as client:
        assert [(await ask(client)).status for _ in range(4)] == [200] * 4
    assert [request.connection for request in far.received] == [1, 1, 2, 2]


async def test_a_server_of_http_1_is_told_from_one_that_is_silent() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 505 No\r\ncontent-length: 0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with client_of(server.sockets[0].getsockname()[1]) as client:
        with pytest.raises(NotSentError, match="does not speak HTTP/2"):
            await client.connect(5)
    server.close()


async def test_a_silent_server_is_none() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with client_of(server.sockets[0].getsockname()[1]) as client:
        with pytest.raises(NotSentError, match=r"no word of HTTP/2 from .* within 0.05 s"):
            await client.connect(0.05)
    server.close()
