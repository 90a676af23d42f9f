"""An HTTP/1.1 client for one origin: many short requests over kept connections.

It is our own because a delivery needs an answer that general clients do not give: whether a request that failed can
have reached the server. ``NotSentError`` says that it cannot; ``NoAnswerError`` says that nobody knows.

Nothing is sent twice, no redirect is followed, and as many connections are open as requests are in flight: whoever
calls bounds them.
"""

import asyncio
import re
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# Enough for an app's configuration; of what it says about a failure less is shown.
_BODY_KEPT = 64 * 1024
_HEAD_LIMIT = 64 * 1024
_ANSWER_LIMIT = 1024 * 1024
_CONNECT_TIMEOUT_S = 3.0

# Servers close idle connections after 2 to 5 s. A POST that crosses such a close on the wire is lost or done, and no
# one can tell which; so a connection is given up well before its server might think of it.
_IDLE_LIMIT_S = 1.0

# What RFC 3986, 3.3 lets stand in a path as it is. "%" is not among it: the server is to see the path that it was
# given, so "100%" and "a%2Fb" arrive as "100%" and "a%2Fb".
_PATH_SAFE = "/!$&'()*+,;=:@"
_PATH_IS_SAFE = re.compile(r"[A-Za-z0-9\-._~/!$&'()*+,;=:@]*")


class NotSentError(Exception):
    """No byte of the request went out."""


class NoAnswerError(Exception):
    """The request went out, at least in part, and no whole answer came back."""


@dataclass(slots=True)
class Response:
    """The status, and the beginning of the body."""

    status: int
    body: bytes


def request_target(path: str) -> str:
    """The path as it may stand in a request line: what is not legal there, a line's end above all, is encoded."""
    path = "/" + path.removeprefix("/")
    if _PATH_IS_SAFE.fullmatch(path):
        return path
    return quote(path, safe=_PATH_SAFE, errors="surrogatepass")


def origin_of(host: str, port: int) -> str:
    """The server as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HttpClient:
    """The connections to one origin. ``headers`` go with every request; with ``tls`` it is HTTPS, to whoever answers.

    A certificate is not looked at: the server is a neighbour that made its own
    (dapr pkg/runtime/channels/channels.go, appHTTPClient).
    """

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None, *, tls: bool = False) -> None:
        self._host = host
        self._port = port
        self._origin = origin_of(host, port)
        self._common_head = header_lines({"host": self._origin, **(headers or {})})
        self._tls = _any_certificate() if tls else None
        # Oldest first. The newest is used first, so that what a burst needed ages and goes.
        self._idle: deque[_Connection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response:
        """Sends one request, in one piece, and waits for its answer; ``HEAD`` is not for this client.

        Cancelling closes the connection that it uses.

        Raises:
            NotSentError: there was no connection; the server can't know of the request.
            NoAnswerError: the server may or may not have acted on the request.
            ValueError: a header is not printable ASCII.
        """
        head = (
            f"{method} {request_target(path)} HTTP/1.1\r\n"
            f"{self._common_head}{header_lines(headers)}content-length: {len(body)}\r\n\r\n"
        )
        deadline = asyncio.get_running_loop().time() + timeout_s
        connection = self._take_idle() or await self._connect(timeout_s)
        answer = connection.send(head.encode("ascii") + body, deadline, timeout_s)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.abandon(answer)
            raise

    async def connect(self, timeout_s: float) -> None:
        """Opens a connection for the next request.

        Raises:
            NotSentError: the server can't be reached.
        """
        self._keep(await self._connect(timeout_s))

    async def aclose(self) -> None:
        """Closes the idle connections, and the busy ones once they have their answers."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop

    def _take_idle(self) -> "_Connection | None":
        too_old = asyncio.get_running_loop().time() - _IDLE_LIMIT_S
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since > too_old:
                return connection
            connection.close()
        return None

    async def _connect(self, timeout_s: float) -> "_Connection":
        loop = asyncio.get_running_loop()
        limit_s = min(timeout_s, _CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(limit_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, self._keep), self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise NotSentError(f"no connection to {self._origin} within {limit_s:g} s") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that can't be a DNS name
            raise NotSentError(f"no connection to {self._origin}: {error}") from error
        if not connection.usable:
            connection.close()
            raise NotSentError(f"no connection to {self._origin}: it was closed at once")
        if connection.leads_back:
            connection.reset()
            raise NotSentError(f"no connection to {self._origin}: nobody listens there")
        return connection

    def _keep(self, connection: "_Connection") -> None:
        if self._closed:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_LIMIT_S, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._idle and self._idle[0].idle_since <= now - _IDLE_LIMIT_S:
            self._idle.popleft().close()
        self._sweeper = loop.call_at(self._idle[0].idle_since + _IDLE_LIMIT_S, self._sweep) if self._idle else None


def header_lines(headers: Mapping[str, str]) -> str:
    """The headers as they stand in a request of HTTP/1.1.

    Raises:
        ValueError: one is not printable ASCII.
    """
    lines = ""
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not (line.isascii() and line.isprintable()):
            # Without the value: it may be a secret.
            raise ValueError(f"header {name!r} is not printable ASCII")
        lines += line + "\r\n"
    return lines


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Connection(asyncio.Protocol):
    """One TCP connection: idle, or busy with the one request whose answer it awaits."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keep: "Callable[[_Connection], None]") -> None:
        self.idle_since = 0.0
        self._loop = loop
        self._keep = keep
        self._transport: asyncio.Transport
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._timeout_s = 0.0
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._begin()

    @property
    def usable(self) -> bool:
        """Whether a request can be sent, as far as one can know on this side."""
        return not self._transport.is_closing()

    @property
    def leads_back(self) -> bool:
        """Whether the other end is this end.

        The kernel may pick, as the port to call from, the very port that is called; where nobody listens, TCP then
        connects the socket to itself. Who polls a port of the ephemeral range for an hour or two meets this.
        """
        far_end = self._transport.get_extra_info("peername")
        return far_end is not None and far_end == self._transport.get_extra_info("sockname")

    def send(self, message: bytes, deadline: float, timeout_s: float) -> "asyncio.Future[Response]":
        """Writes a request; the future is its answer, or ``NoAnswerError``, at ``deadline`` at the latest."""
        self._begin()
        self._answer = answer = self._loop.create_future()
        self._timeout_s = timeout_s
        self._deadline = deadline
        # A timer for each request would cost more than the parsing of its answer; so one that is already set to a
        # time before the deadline stays, and sets itself again when it finds that it came too early.
        if self._timer is None or self._timer_at > deadline:
            self._set_timer()
        self._transport.write(message)
        return answer

    def abandon(self, answer: "asyncio.Future[Response]") -> None:
        """Nobody waits for this answer any more. If it has come already, the connection may be another's by now."""
        if self._answer is answer:
            self._answer = None
            self._transport.abort()

    def close(self) -> None:
        """Closes an idle connection."""
        self._transport.close()

    def reset(self) -> None:
        """Closes the connection without the wait in which TCP keeps its port taken."""
        linger_0 = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_0)
        self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self._transport.abort()  # a server's parting words, or the rest of an answer that nobody awaits
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(f"malformed answer: {error}")
                return
            self._reusable = False  # the answer was whole; what came after it was not ours
        if self._complete:
            self._finish()
        elif self._received > (_ANSWER_LIMIT if self._in_body else _HEAD_LIMIT):
            self._overflow()

    def eof_received(self) -> None:
        if self._answer is not None and self._in_body and not self._framed:
            self._finish()  # RFC 9112, 6.3: without a length, the body ends with the connection

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fail(f"the connection was lost before the answer was complete: {exc or 'closed by the other side'}")
        del self._parser  # it holds our methods: without this, only the cycle collector could free the two

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower()):
            self._framed = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        room = _BODY_KEPT - len(self._body)
        if room > 0:
            self._body += body[:room]

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200 and self._status != 101:
            self._in_body = self._framed = False  # an interim answer: the one that counts follows
            return
        self._complete = True
        self._reusable = self._parser.should_keep_alive()

    # What they come to.

    def _begin(self) -> None:
        self._status = 0
        self._body = b""
        self._received = 0
        self._in_body = False
        self._framed = False
        self._complete = False
        self._reusable = False

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        # A server may answer before it has read the request. What it did not take of it must not stay in the pipe.
        if self._reusable and self.usable and self._transport.get_write_buffer_size() == 0:
            self._keep(self)
        else:
            self._transport.abort()
        if answer is not None and not answer.done():
            answer.set_result(Response(self._status, self._body))

    def _overflow(self) -> None:
        if self._in_body:
            self._finish()  # the status has said what there is to say; not reusable, as it is not complete
        else:
            self._fail(f"the head of the answer is longer than {_HEAD_LIMIT // 1024} KiB")

    def _fail(self, error: str) -> None:
        answer, self._answer = self._answer, None
        self._transport.abort()
        if answer is not None and not answer.done():
            answer.set_exception(NoAnswerError(error))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
        else:
            self._fail(f"no answer within {self._timeout_s:g} s")
