"""HTTP/1.1 to one server: a few kept connections, whole answers, and certificates that are verified."""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# A hundred tasks with all the data that they may have are less.
ANSWER_LIMIT = 256 * 1024 * 1024
CONNECT_LIMIT_S = 5.0
# Well before a server might close it: a request that crosses such a close on the wire would be lost.
IDLE_LIMIT_S = 1.0
_PIECE = 256 * 1024


class UnreachableError(Exception):
    """There was no answer; the server may have got the request, or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    idle_since: float = 0.0


class _Reading:
    """An answer that is being read; the parser calls it."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.body = bytearray()
        self.complete = False
        self.keep_alive = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece
        if len(self.body) > ANSWER_LIMIT:
            raise UnreachableError(f"the answer is longer than {ANSWER_LIMIT} bytes")

    def on_message_complete(self) -> None:
        self.complete = True
        # Once it looks for the next message, the parser has forgotten.
        self.keep_alive = self.parser.should_keep_alive()


class HttpClient:
    """The connections to the server of a URL, whose path goes before each request's.

    Raises:
        ValueError: the URL is none of a server, or the token can't be a header.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError(f"{url!r} is not http://host:port or https://host:port")
        key = "" if token is None else f"x-api-key: {token}\r\n"
        if not key.replace("\r\n", "").isascii() or not key.replace("\r\n", "").isprintable():
            raise ValueError("the token is not printable ASCII")
        self._host, self._port = parts.hostname, port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/")
        self._head = f"host: {parts.netloc}\r\ncontent-type: application/json\r\n{key}"
        # Oldest first; the newest is used first.
        self._idle: deque[_Connection] = deque()

    async def request(self, method: str, path: str, body: bytes, timeout_s: float) -> Answer:
        """Asks once, and waits for the whole answer. Cancelling hangs up.

        Raises:
            UnreachableError: there is no answer.
        """
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n"
        connection = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = self._kept() or await self._connect()
                connection.writer.write(head.encode("ascii") + body)
                answer, keep = await _read(connection.reader)
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {timeout_s:g} s") from error
        except (OSError, HttpParserError, HttpParserUpgrade) as error:
            raise UnreachableError(str(error) or type(error).__name__) from error
        else:
            if keep:
                connection.idle_since = asyncio.get_running_loop().time()
                self._idle.append(connection)
                connection = None
            return answer
        finally:
            if connection is not None:
                connection.writer.transport.abort()

    async def aclose(self) -> None:
        """Closes what is idle."""
        while self._idle:
            self._idle.pop().writer.transport.abort()
        await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop

    def _kept(self) -> _Connection | None:
        too_old = asyncio.get_running_loop().time() - IDLE_LIMIT_S
        while self._idle and self._idle[0].idle_since < too_old:
            self._idle.popleft().writer.transport.abort()
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.transport.abort()
        return None

    async def _connect(self) -> _Connection:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_PIECE)
        if writer.get_extra_info("peername") == writer.get_extra_info("sockname"):
            # The kernel may pick the very port that is called to call from: the socket then talks to itself.
            writer.transport.abort()
            raise UnreachableError("nobody listens there")
        return _Connection(reader, writer)


async def _read(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    """One answer, and whether the connection can be used again."""
    reading = _Reading()
    while not reading.complete:
        piece = await reader.read(_PIECE)
        if not piece:
            raise UnreachableError("the connection was closed before the answer was complete")
        reading.parser.feed_data(piece)
    return Answer(reading.parser.get_status_code(), bytes(reading.body)), reading.keep_alive
