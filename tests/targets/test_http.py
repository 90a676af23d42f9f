"""An app called over HTTP: what it is sent, and what its answers come to."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from support.claims import NOON, claim
from support.far_sides import FarSide, Reply
from wakeful.core.job import Data, TargetSpec
from wakeful.core.run import Failed, Rejected, Succeeded, Unavailable
from wakeful.targets.http import HttpApp, app_body, open_client, outcome_of, trim_space
from wakeful.targets.http_client import Response

Open = Callable[..., Any]
STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"


@pytest.fixture(params=["http", "https", "h2c"])
def protocol(request: pytest.FixtureRequest) -> str:
    """What the app speaks: the whole suite holds for each."""
    return str(request.param)


@pytest.fixture
def open_far_side(far_side: Open, protocol: str) -> Open:
    """Opens the far side of an app."""

    async def open_it(*answers: Any, port: int = 0) -> FarSide:
        return await far_side(*answers, port=port, protocol=protocol)  # type: ignore[no-any-return]

    return open_it


@pytest.fixture
def app_on(protocol: str) -> Open:
    """The app on a port."""

    @asynccontextmanager
    async def open_app(port: int, timeout_s: float = 5, api_token: str | None = None) -> AsyncIterator[HttpApp]:
        app = HttpApp(open_client(protocol, "127.0.0.1", port, api_token), timedelta(seconds=timeout_s), api_token)
        yield app
        await app.aclose()

    return open_app


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# What an answer means.


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_succeeds(status: int) -> None:
    assert outcome_of(Response(status, b"no"), "job/x") == Succeeded()


def test_404_is_never_tried_again() -> None:
    assert outcome_of(Response(404, b""), "job/x") == Rejected("HTTP 404 from POST /job/x")


@pytest.mark.parametrize("status", [0, 101, 300, 301, 304, 307, 400, 401, 403, 408, 410, 429, 500, 503, 599, 999])
def test_every_other_status_fails(status: int) -> None:
    assert outcome_of(Response(status, b"why"), "job/x") == Failed(f"HTTP {status} from POST /job/x: why")


def test_an_error_is_one_short_line_without_control_characters() -> None:
    outcome = outcome_of(Response(500, b"\x1b[31mbad\r\n\x00\xff " + b"x" * 4000), "job/\x1b" + "n" * 500)
    assert isinstance(outcome, Failed)
    assert outcome.error.isprintable()
    assert outcome.error.startswith("HTTP 500 from POST /job/ nnn")
    assert ": [31mbad \ufffd xxx" in outcome.error
    assert len(outcome.error) < 350


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (204, Succeeded()),
        (404, Rejected("HTTP 404 from POST /job/tick")),
        (418, Failed("HTTP 418 from POST /job/tick")),
        (Reply(500, b"why"), Failed("HTTP 500 from POST /job/tick: why")),
        (None, Failed("POST /job/tick: no answer within 0.2 s")),
    ],
)
async def test_a_run_comes_to_what_the_app_answers(
    open_far_side: Open, app_on: Open, answer: Any, outcome: object
) -> None:
    far = await open_far_side(answer)
    async with app_on(far.port, timeout_s=0.2 if answer is None else 5) as app:
        await app.available()
        assert await app.deliver(claim()) == outcome
    assert len(far.received) == 1


@pytest.mark.anyio
async def test_a_redirect_is_not_followed(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side(Reply(307, headers=(("location", "/job/other"),)), 200)
    async with app_on(far.port) as app:
        assert await app.deliver(claim()) == Failed("HTTP 307 from POST /job/tick")
    assert len(far.received) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [reset, "garbage"])
async def test_a_run_that_may_have_arrived_fails_and_is_not_sent_again(
    open_far_side: Open, app_on: Open, protocol: str, answer: Any
) -> None:
    garbage = bytes(9) if protocol == "h2c" else b"<html>\r\n\r\n"
    far = await open_far_side(200, garbage if answer == "garbage" else answer)
    async with app_on(far.port) as app:
        assert await app.deliver(claim()) == Succeeded()
        outcome = await app.deliver(claim())
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("POST /job/tick: ")
    assert [request.connection for request in far.received] == [1, 1]


@pytest.mark.anyio
async def test_a_refused_connection_makes_the_app_unavailable(app_on: Open) -> None:
    port = unused_port()
    async with app_on(port) as app:
        outcome = await app.deliver(claim())
    assert isinstance(outcome, Unavailable)
    assert outcome.error.startswith(f"no connection to 127.0.0.1:{port}: ")


@pytest.mark.anyio
async def test_a_target_that_is_no_app_is_rejected(app_on: Open) -> None:
    async with app_on(unused_port()) as app:
        assert await app.deliver(claim(target=TargetSpec("command", "ls"))) == Rejected(
            "an app can't be the target of kind 'command'"
        )


@pytest.mark.anyio
async def test_the_token_does_not_come_back_in_an_error(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side(Reply(500, b"token: s3cret!"))
    async with app_on(far.port, api_token="s3cret") as app:
        assert await app.deliver(claim()) == Failed("HTTP 500 from POST /job/tick: token: ***!")


@pytest.mark.anyio
async def test_a_cancelled_delivery_leaves_the_app(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side(None)
    async with app_on(far.port) as app:
        delivery = asyncio.ensure_future(app.deliver(claim()))
        while not far.received:
            await asyncio.sleep(0.001)
        delivery.cancel()
        await far.client_left()
        assert delivery.cancelled()


# What is sent.


@pytest.mark.anyio
async def test_a_run_is_one_post_that_says_which_run_it_is(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side(200)
    async with app_on(far.port, api_token="s3cret") as app:
        await app.deliver(claim("tick", Data("json", b' {"a":1}\n')))
    (request,) = far.received
    assert request.line.split()[:2] == ["POST", "/job/tick"]
    assert request.body == b' {"a":1}\n'
    assert request.headers == {
        "host": f"127.0.0.1:{far.port}",
        "content-type": "application/json",
        "dapr-api-token": "s3cret",
        "wakeful-run-id": "00000000-0000-0000-0000-000000000007",
        "wakeful-attempt": "2",
        "wakeful-scheduled-for": "2026-03-01T12:00:00Z",
        "content-length": "9",
    }


@pytest.mark.anyio
async def test_a_run_without_data_has_an_empty_body_and_without_a_token_no_token(
    open_far_side: Open, app_on: Open
) -> None:
    far = await open_far_side(200)
    async with app_on(far.port, api_token="") as app:
        await app.deliver(claim(scheduled_for=NOON + timedelta(microseconds=1500)))
    (request,) = far.received
    assert (request.body, request.headers["content-length"]) == (b"", "0")
    assert request.headers["content-type"] == "application/json"
    assert "dapr-api-token" not in request.headers
    assert request.headers["wakeful-scheduled-for"] == "2026-03-01T12:00:00.001500Z"


@pytest.mark.anyio
async def test_a_job_name_can_add_neither_a_header_nor_a_request(open_far_side: Open, app_on: Open) -> None:
    name = 'x HTTP/1.1\r\nevil: 1\r\n\r\nPOST /admin|"?a#b%0d%0a é\ud800'
    far = await open_far_side(200)
    async with app_on(far.port) as app:
        assert await app.deliver(claim(name)) == Succeeded()
    (request,) = far.received
    method, target, version = request.line.split(" ")
    assert (method, version[:5], "evil" in request.headers) == ("POST", "HTTP/", False)
    assert unquote_to_bytes(target) == b"/job/" + name.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("token", ["a\r\nevil: 1", "a\x00", "ключ", "a\x7f"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ValueError, match="dapr-api-token") as refusal:
        open_client("http", "127.0.0.1", 1, token)
    assert token not in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (None, b""),
        (Data("json", b" 1 "), b" 1 "),
        (Data(STRING_VALUE, b"\n\x0bhello world"), b"hello world"),
        (Data("type.googleapis.com/google.protobuf.Int64Value", b"\x08\x7b"), b"\x08\x7b"),
    ],
)
def test_only_the_bytes_of_messages_are_trimmed(data: Data | None, body: bytes) -> None:
    assert app_body(data) == body


@pytest.mark.parametrize(
    ("data", "trimmed"),
    [
        (b"\t\n\v\f\r a b \xc2\x85\xc2\xa0\xe1\x9a\x80\xe2\x80\x80\xe2\x80\xa9\xe2\x81\x9f\xe3\x80\x80", b"a b"),
        (b"\x1c\x1fa\x1d\x1e", b"\x1c\x1fa\x1d\x1e"),
        (b"\x85\xa0a\x85\xa0", b"\x85\xa0a\x85\xa0"),
        (b" \xff\xe2\x80 \xfe ", b"\xff\xe2\x80 \xfe"),
        (b" \xef\xbb\xbf ", b"\xef\xbb\xbf"),
        (b" \n ", b""),
    ],
)
def test_trimming_knows_the_white_space_that_go_knows(data: bytes, trimmed: bytes) -> None:
    assert trim_space(data) == trimmed


# Whether the app is there.


@pytest.mark.anyio
async def test_an_app_is_available_once_its_port_opens_and_not_before(open_far_side: Open, app_on: Open) -> None:
    port = unused_port()
    async with app_on(port) as app:
        waiting = asyncio.ensure_future(app.available())
        await asyncio.sleep(0.08)
        assert not waiting.done()
        far = await open_far_side(200, port=port)
        await asyncio.wait_for(waiting, 20)
        assert await app.deliver(claim()) == Succeeded()
    assert far.connections == 1


@pytest.mark.anyio
async def test_an_app_that_was_only_asked_for_is_left_again(open_far_side: Open, app_on: Open) -> None:
    far = await open_far_side(200)
    async with app_on(far.port) as app:
        await app.available()
        while not far.connections:  # with TLS, the server is the last to know that there is one
            await asyncio.sleep(0.001)
    await far.client_left()
