"""One request to any server."""

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.far_sides import Reply
from wakeful.cron_parts import fetch
from wakeful.skills import Session
from wakeful.skills.http_tool import http_tool
from wakeful.targets.web import Answer, Request, WebError, ask, check_private, check_url

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Open = Callable[..., Any]
Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


def then_close(answer: bytes) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return say


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"4\r\nabcd\r\n" * 1000)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x-drip: drop\r\n")
        await asyncio.sleep(0.02)
    raise ConnectionResetError


async def resetting(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def get(url: str, timeout_s: float = 5, limit: int = 1000) -> Answer:
    return await ask(Request(url), timeout_s, limit)


async def test_what_is_asked_goes_out_as_it_is_written(web: Open) -> None:
    side = await web(Reply(200, b"yes"))
    request = Request(f"{side.url}/a%20b/ü?x=1&y=%2F", headers={"x-mine": "7"})
    assert await ask(request, 5, 1000) == Answer(200, b"yes")
    (received,) = side.received
    assert received.line == "GET /a%20b/%C3%BC?x=1&y=%2F HTTP/1.1"
    expected = {"host": f"127.0.0.1:{side.port}", "user-agent": "wakeful", "accept": "*/*", "connection": "close"}
    assert received.headers == {**expected, "x-mine": "7"}


async def test_a_body_is_sent_whole(web: Open) -> None:
    side = await web(204)
    assert await ask(Request(side.url, "POST", body=b"x" * 100_000), 5, 1000) == Answer(204, b"")
    assert side.received[0].line == "POST / HTTP/1.1"
    assert len(side.received[0].body) == 100_000


async def test_a_header_of_the_caller_takes_the_place_of_ours_but_the_length_is_ours(web: Open) -> None:
    side = await web()
    await ask(Request(side.url, "POST", {"Accept": " text/plain ", "Content-Length": "9"}, b"yes"), 5, 1000)
    assert side.received[0].headers["accept"] == "text/plain"
    assert side.received[0].body == b"yes"


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nye\r\n1\r\ns\r\n0\r\n\r\n", b"yes"),
        (b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes", b"yes"),
        (b"HTTP/1.0 200 OK\r\n\r\nyes", b"yes"),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyesand more", b"yes"),
    ],
)
async def test_an_answer_is_read_however_it_is_framed(web: Open, said: bytes, body: bytes) -> None:
    side = await web(then_close(said))
    assert (await get(side.url)).body == body


async def test_a_redirect_is_not_followed(web: Open) -> None:
    side = await web(Reply(302, b"", (("location", "/x"),)), 200)
    assert (await get(side.url)).status == 302
    assert len(side.received) == 1


async def test_more_than_the_limit_is_not_read(web: Open) -> None:
    side = await web(Reply(200, b"x" * 1000), Reply(200, b"x" * 1001), endless)
    assert await get(side.url) == Answer(200, b"x" * 1000)
    assert await get(side.url) == Answer(200, b"x" * 1000, cut=True)
    assert await get(side.url) == Answer(200, b"abcd" * 250, cut=True)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "the connection was closed before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nye", "the connection was closed before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nx-", "the connection was closed before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, None),
        (b"SSH-2.0-x\r\n\r\n", None),
    ],
)
async def test_half_an_answer_is_none(web: Open, said: bytes, why: str | None) -> None:
    side = await web(then_close(said))
    with pytest.raises(WebError) as error:
        await get(f"{side.url}/s3cret")
    origin = f"127.0.0.1:{side.port}"
    assert str(error.value) == (
        f"what {origin} answered is not HTTP" if why is None else f"no answer from {origin}: {why}"
    )


async def test_a_reset_is_told_as_the_system_says_it(web: Open) -> None:
    side = await web(resetting)
    with pytest.raises(WebError, match=rf"^no answer from 127\.0\.0\.1:{side.port}: .*Connection reset by peer$"):
        await get(side.url)


@pytest.mark.parametrize("say", [None, dripping])
async def test_the_time_is_for_all_of_it(web: Open, say: Say | None) -> None:
    side = await web(say)
    with pytest.raises(WebError, match=rf"^no answer from 127\.0\.0\.1:{side.port} within 0\.3 s$"):
        await get(side.url, timeout_s=0.3)
    await side.client_left()


async def test_to_cancel_is_to_hang_up(web: Open) -> None:
    side = await web(None)
    asking = asyncio.ensure_future(get(side.url))
    while not side.received:
        await asyncio.sleep(0.001)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await side.client_left()


async def test_a_handshake_that_takes_too_long_is_hung_up_too(web: Open) -> None:
    side = await web(None)
    with pytest.raises(WebError, match=r" within 0\.1 s$"):
        await get(side.url.replace("http:", "https:"), timeout_s=0.1)
    await side.client_left()


async def test_certificates_are_verified(web: Open, trusting: ssl.SSLContext) -> None:
    side = await web(tls=True)
    assert (await ask(Request(side.url), 5, 10, trusting)).status == 200
    for url, context in ((side.url, None), (side.url.replace("localhost", "127.0.0.1"), trusting)):
        with pytest.raises(WebError, match=r"(?i)certificate verify failed"):
            await ask(Request(url), 5, 10, context)
    assert len(side.received) == 1


async def test_plain_text_is_no_tls_and_the_other_way_round(web: Open) -> None:
    plain, encrypted = await web(), await web(tls=True)
    for url in (plain.url.replace("http:", "https:"), encrypted.url.replace("https:", "http:")):
        with pytest.raises(WebError):
            await get(url, timeout_s=0.5)


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(WebError, match=rf"^no answer from 127\.0\.0\.1:{port}: "):
        await get(f"http://127.0.0.1:{port}/s3cret")


async def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    port = own.getsockname()[1]
    own.connect(("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    create_connection = loop.create_connection

    async def to_itself(factory: Any, *_: object, **__: object) -> Any:
        return await create_connection(factory, sock=own)

    monkeypatch.setattr(loop, "create_connection", to_itself)
    with pytest.raises(WebError, match=rf"^no connection to 127\.0\.0\.1:{port}: nobody listens there$"):
        await get(f"http://127.0.0.1:{port}/s3cret")


async def test_nothing_of_what_may_be_secret_is_logged(web: Open, caplog: pytest.LogCaptureFixture) -> None:
    side = await web()
    with caplog.at_level(logging.DEBUG):
        await ask(Request(f"{side.url}/s3cret?s3cret", "POST", {"x": "s3cret"}, b"s3cret"), 5, 10)
    assert "s3cret" not in caplog.text


async def test_a_header_that_can_not_be_sent(web: Open) -> None:
    side = await web()
    for value in ("a\r\nb: c", "ü"):
        with pytest.raises(ValueError, match=r"^header 'x-mine' is not printable ASCII$"):
            await ask(Request(side.url, headers={"x-mine": value}), 5, 10)
    for request in (Request(side.url, headers={"x mine": "s3cret"}), Request(side.url, "G ET")):
        with pytest.raises(ValueError, match=r"^the method or a header is not HTTP$"):
            await ask(request, 5, 10)
    assert side.received == []


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://example.org", "example.org:80"),
        ("https://example.org/x?y", "example.org:443"),
        ("HTTPS://Example.org:8443", "example.org:8443"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://bücher.example/", "xn--bcher-kva.example:80"),
    ],
)
def test_the_server_of_a_url(url: str, origin: str) -> None:
    assert check_url(url) == origin


NO_URLS = ["", "example.org", "ftp://example.org", "http://", "http:///x", "http://a b", "http://a\nb", "http://x:y"]
NO_URLS += ["http://x:99999", "http://[::1", "http://me@example.org", f"http://{'ü' * 70}.org", "file:///etc/passwd"]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        check_url(url)


def test_secrets_go_over_https_or_nowhere() -> None:
    for url in ("https://example.org", "http://localhost:1", "http://127.0.0.1", "http://127.9.9.9", "http://[::1]"):
        check_private(url)
    for url in ("http://example.org", "http://10.0.0.1", "http://localhost.example.org", "http://[::2]"):
        with pytest.raises(ValueError, match=r"^must begin with https://: over http:// everybody"):
            check_private(url)


def test_a_request_does_not_show_what_may_be_secret() -> None:
    assert "s3cret" not in repr(Request("https://x/s3cret", "POST", {"x": "s3cret"}, b"s3cret"))


async def test_the_headers_are_those_of_the_answer_that_counts(web: Open) -> None:
    said = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-Mine: \xe9\r\ncontent-length: 0\r\n\r\n"
    side = await web(then_close(said))
    assert (await get(side.url)).headers == {"x-mine": "\xe9", "content-length": "0"}


async def test_the_length_that_head_tells_is_not_waited_for(web: Open) -> None:
    side = await web(then_close(b"HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n"))
    answer = await ask(Request(side.url, "HEAD"), 5, 1000)
    assert (answer.status, answer.body, answer.headers) == (200, b"", {"content-length": "300"})


async def test_a_skill_is_given_what_an_answer_says_as_json(web: Open) -> None:
    said = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 8\r\n\r\n{"a": 1}'
    side = await web(then_close(said))
    answer = await http_tool(fetch)({"url": side.url}, Session("s", "cron", "j", "", ""))
    assert answer["json"] == {"a": 1}
    assert answer["headers"]["content-type"] == "application/json"
