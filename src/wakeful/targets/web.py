"""One request to any server: its certificate verified, no redirect followed, and the whole of it in time.

``http_client`` is for a neighbour that is called again and again: it looks at no certificate, and knows no queries.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpx2

from wakeful.targets.http_client import header_lines, origin_of


class WebError(Exception):
    """There is no whole answer; the server may or may not have got the request. Names the server, never the path."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and to where. The URL may be a secret, and so may a header."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The status, the body and the headers, named in small letters; ``cut``: there was more of the body."""

    status: int
    body: bytes
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def check_url(url: str) -> str:
    """The server of a URL, as ``host:port``.

    Raises:
        ValueError: it is not http or https, or it can't be asked; says why, and never shows it.
    """
    parts = _parsed(url)
    return origin_of(parts.raw_host.decode(), parts.port or (443 if parts.scheme == "https" else 80))


def check_private(url: str) -> str:
    """As ``check_url``, for a URL over which a secret goes: https, or a server of this machine.

    Raises:
        ValueError: others could read along.
    """
    parts = _parsed(url)
    if parts.scheme != "https" and not is_here(parts.raw_host.decode()):
        raise ValueError("must begin with https://: over http:// everybody on the way could read the secret")
    return check_url(url)


def is_here(host: str) -> bool:
    """Whether a host is this machine, so that nobody on the way can read along."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def ask(request: Request, timeout_s: float, limit: int, tls: ssl.SSLContext | None = None) -> Answer:
    """Sends one request over a connection of its own, and keeps ``limit`` bytes of the answer. Cancelling hangs up.

    ``tls`` is what certificates are verified with; without it, what the system trusts.

    Raises:
        WebError: there is no whole answer within the time.
        ValueError: the URL or a header can't be sent.
    """
    origin = check_url(request.url)
    try:
        async with asyncio.timeout(timeout_s), AsyncExitStack() as opened:
            response = await _send(request, origin, tls, opened)
            body = bytearray()
            async for piece in await opened.enter_async_context(aclosing(response.aiter_raw())):
                body += piece
                if len(body) > limit:
                    break
            return Answer(response.status_code, bytes(body[:limit]), len(body) > limit, dict(response.headers))
    except TimeoutError as error:
        raise WebError(f"no answer from {origin} within {timeout_s:g} s") from error
    except httpx2.LocalProtocolError:
        raise ValueError("the method or a header is not HTTP") from None
    except (httpx2.TransportError, OSError) as error:
        raise WebError(_told(error, origin)) from error


async def _send(request: Request, origin: str, tls: ssl.SSLContext | None, opened: AsyncExitStack) -> httpx2.Response:
    async def watch(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            stream = info["return_value"]
            # We close it: httpx2 forgets it if it is cancelled while the two sides agree on TLS.
            opened.push_async_callback(stream.aclose)
            if stream.get_extra_info("client_addr") == stream.get_extra_info("server_addr"):
                # The kernel may call from the very port that is called: the socket then talks to itself.
                raise WebError(f"no connection to {origin}: nobody listens there")

    header_lines(request.headers)  # refuses what can't be sent; httpx2 would show it
    headers = httpx2.Headers({"user-agent": "wakeful", "accept": "*/*", "connection": "close"})
    headers |= {name: value.strip() for name, value in request.headers.items() if name.lower() != "content-length"}
    url = _parsed(request.url)
    message = httpx2.Request(request.method, url, headers=headers, content=request.body, extensions={"trace": watch})
    # Not httpx2's client: it writes every URL to the log. Trust takes long to read, and is of no use to http://.
    transport = httpx2.AsyncHTTPTransport(verify=tls or url.scheme == "https")
    return await transport.handle_async_request(message)


def _told(error: Exception, origin: str) -> str:
    """As the system says it: httpx2 says less, or quotes what the server sent."""
    below: BaseException | None = error
    while below and not (isinstance(below, OSError) and below.errno):
        below = below.exceptions[0] if isinstance(below, ExceptionGroup) else below.__cause__ or below.__context__
    # Both are one kind of error to httpx2.
    hung_up = str(error).startswith(("Server disconnected", "peer closed connection"))
    if isinstance(error, httpx2.RemoteProtocolError) and not hung_up:
        return f"what {origin} answered is not HTTP"
    return f"no answer from {origin}: {below or 'the connection was closed before the answer was complete'}"


def _parsed(url: str) -> httpx2.URL:
    if not url.isprintable() or " " in url:
        raise ValueError("must be a URL without spaces and control characters")
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ValueError("must be a URL such as https://example.org/path") from None
    if parts.scheme not in ("http", "https") or not parts.raw_host:
        raise ValueError("must be a URL that begins with http:// or https://")
    if not 0 <= (parts.port or 0) < 65536:
        raise ValueError("must be a URL such as https://example.org/path")
    if parts.userinfo:
        raise ValueError("must have no user and no password in it: send them in a header")
    return parts
