"""One request to any server: HTTP/1.1, its certificate verified, no redirect followed, and the whole of it in time.

``http_client`` is for a neighbour that is called again and again: it looks at no certificate, and knows no queries.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from wakeful.targets.http_client import header_lines, origin_of

_PIECE = 64 * 1024
_HEAD_LIMIT = 64 * 1024
# What RFC 3986 lets stand in a path and in a query; "%" as well: a URL is written as it goes out.
_URL_SAFE = "/!$&'()*+,;=:@?%~"


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
    parts = _split(url)
    return origin_of(_host_of(parts), _port_of(parts))


def check_private(url: str) -> str:
    """As ``check_url``, for a URL over which a secret goes: https, or a server of this machine.

    Raises:
        ValueError: others could read along.
    """
    parts = _split(url)
    if parts.scheme != "https" and not is_here(_host_of(parts)):
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
    parts = _split(request.url)
    origin = check_url(request.url)
    context = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(_host_of(parts), _port_of(parts), ssl=context, limit=_PIECE)
            if writer.get_extra_info("peername") == writer.get_extra_info("sockname"):
                # The kernel may call from the very port that is called: the socket then talks to itself.
                raise WebError(f"no connection to {origin}: nobody listens there")
            writer.write(_head(request, parts) + request.body)
            return await _read(reader, limit, bodiless=request.method == "HEAD")
    except TimeoutError as error:
        raise WebError(f"no answer from {origin} within {timeout_s:g} s") from error
    except (HttpParserError, HttpParserUpgrade) as error:
        raise WebError(f"what {origin} answered is not HTTP") from error
    except (OSError, UnicodeError) as error:
        raise WebError(f"no answer from {origin}: {error}") from error
    finally:
        if writer is not None:
            writer.transport.abort()


class _Reading:
    """An answer that is being read; the parser calls it."""

    def __init__(self, limit: int, *, bodiless: bool) -> None:
        self.parser = HttpResponseParser(self)
        self.body = bytearray()
        self.headers: dict[str, str] = {}
        self.cut = self.complete = self.in_body = self.framed = False
        self._limit = limit
        self._bodiless = bodiless

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers[name.decode("latin-1")] = value.decode("latin-1")
        self.framed |= name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower())

    def on_headers_complete(self) -> None:
        self.in_body = True
        # RFC 9110, 9.3.2: the length that an answer to HEAD tells is that of a body that does not come.
        self.complete = self._bodiless and self.parser.get_status_code() >= 200

    def on_body(self, piece: bytes) -> None:
        room = self._limit - len(self.body)
        self.body += piece[:room]
        self.cut = self.cut or len(piece) > room

    def on_message_complete(self) -> None:
        if 100 <= self.parser.get_status_code() < 200:
            # An interim answer: the one that counts follows.
            self.in_body = self.framed = False
            self.headers.clear()
        else:
            self.complete = True


async def _read(reader: asyncio.StreamReader, limit: int, *, bodiless: bool) -> Answer:
    reading = _Reading(limit, bodiless=bodiless)
    received = 0
    while not (reading.complete or reading.cut):
        piece = await reader.read(_PIECE)
        if not piece:
            # RFC 9112, 6.3: without a length, the body ends with the connection.
            if reading.in_body and not reading.framed:
                break
            raise ConnectionError("the connection was closed before the answer was complete")
        received += len(piece)
        try:
            reading.parser.feed_data(piece)
        except HttpParserError:
            if not (reading.complete or reading.cut):
                raise
        if not reading.in_body and received > _HEAD_LIMIT:
            raise ConnectionError(f"the head of the answer is longer than {_HEAD_LIMIT // 1024} KiB")
    return Answer(reading.parser.get_status_code(), bytes(reading.body), reading.cut, reading.headers)


def _head(request: Request, parts: SplitResult) -> bytes:
    target = quote(parts.path or "/", safe=_URL_SAFE) + (
        f"?{quote(parts.query, safe=_URL_SAFE)}" if parts.query else ""
    )
    host = _host_of(parts)
    host = origin_of(host, parts.port) if parts.port else (f"[{host}]" if ":" in host else host)
    headers = {"host": host, "user-agent": "wakeful", "accept": "*/*", "connection": "close", **request.headers}
    if request.body or request.method not in ("GET", "HEAD"):
        headers["content-length"] = str(len(request.body))
    return f"{request.method} {target} HTTP/1.1\r\n{header_lines(headers)}\r\n".encode("ascii")


def _split(url: str) -> SplitResult:
    # urlsplit drops line ends without a word.
    if not url.isprintable() or " " in url:
        raise ValueError("must be a URL without spaces and control characters")
    try:
        parts = urlsplit(url)
        _ = parts.port
        host = _host_of(parts)
    except ValueError:
        raise ValueError("must be a URL such as https://example.org/path") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("must be a URL that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must have no user and no password in it: send them in a header")
    return parts


def _host_of(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _port_of(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
