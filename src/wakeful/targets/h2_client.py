"""An HTTP/2 client for one origin, in clear text with prior knowledge (RFC 9113, 3.3): many streams, one connection.

Its failures are those of ``http_client``: ``NotSentError`` says that the server can't have acted on the request,
``NoAnswerError`` that nobody knows. Nothing is sent twice, and no redirect is followed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import h2.events
from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError

from wakeful.targets.http_client import (
    NoAnswerError,
    NotSentError,
    Response,
    header_lines,
    origin_of,
    request_target,
)

_BODY_KEPT = 64 * 1024
_ANSWER_LIMIT = 1024 * 1024
_CONNECT_TIMEOUT_S = 3.0
# As in http_client: servers close what is idle for 2 to 5 s, and a request that crosses such a close is lost or done.
_IDLE_LIMIT_S = 1.0
# Streams are numbered up to 2^31 - 1 and never again (RFC 9113, 5.1.1): after that the connection is a used one.
_LAST_STREAM = 2**31 - 3
# The type of the frame with which every server begins (RFC 9113, 3.4).
_SETTINGS = b"\x04"

_Head = Sequence[tuple[str, str]]


class H2Client:
    """The one connection to an origin, opened when it is needed. ``headers`` go with every request."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._host = host
        self._port = port
        self._origin = origin_of(host, port)
        header_lines(headers or {})
        self._headers = tuple((headers or {}).items())
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()
        self._sweeper: asyncio.TimerHandle | None = None

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response:
        """Sends one request and waits for its answer. Cancelling resets its stream.

        Raises:
            NotSentError: the server can't have acted on it.
            NoAnswerError: the server may or may not have acted on the request.
            ValueError: a header is not printable ASCII.
        """
        header_lines(headers)
        head = (
            (":method", method),
            (":scheme", "http"),
            (":authority", self._origin),
            (":path", request_target(path)),
            *self._headers,
            *headers.items(),
            ("content-length", str(len(body))),
        )
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connected(timeout_s)
                await connection.room()
        except TimeoutError as error:
            raise NotSentError(f"no free stream to {self._origin} within {timeout_s:g} s") from error
        try:
            async with asyncio.timeout_at(deadline):
                return await connection.ask(head, body)
        except TimeoutError as error:
            raise NoAnswerError(f"no answer within {timeout_s:g} s") from error

    async def connect(self, timeout_s: float) -> None:
        """Opens the connection for the next request.

        Raises:
            NotSentError: the server can't be reached, or does not speak HTTP/2.
        """
        await self._connected(timeout_s)

    async def aclose(self) -> None:
        """Takes no more; the connection closes once what is under way has its answers."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._connection is not None:
            self._connection.retire()
            self._connection = None
        await asyncio.sleep(0)  # a transport closes its socket in the next turn of the loop

    async def _connected(self, timeout_s: float) -> "_Connection":
        async with self._opening:
            if self._connection is None or not self._connection.usable:
                self._give_up(self._connection)
                self._connection = await self._connect(min(timeout_s, _CONNECT_TIMEOUT_S))
                if self._sweeper is None:
                    self._sweeper = asyncio.get_running_loop().call_later(_IDLE_LIMIT_S, self._sweep)
            return self._connection

    async def _connect(self, limit_s: float) -> "_Connection":
        loop = asyncio.get_running_loop()
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(limit_s):
                _, connection = await loop.create_connection(lambda: _Connection(loop), self._host, self._port)
                await connection.ready
        except TimeoutError as error:
            self._give_up(connection)
            what = "no connection to" if connection is None else "no word of HTTP/2 from"
            raise NotSentError(f"{what} {self._origin} within {limit_s:g} s") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that can't be a DNS name
            raise NotSentError(f"no connection to {self._origin}: {error}") from error
        except NoAnswerError as error:
            raise NotSentError(f"no HTTP/2 with {self._origin}: {error}") from error
        except asyncio.CancelledError:
            self._give_up(connection)
            raise
        return connection

    @staticmethod
    def _give_up(connection: "_Connection | None") -> None:
        if connection is not None:
            connection.retire()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        connection, self._sweeper = self._connection, None
        if connection is None:
            return
        if connection.idle_since is not None and connection.idle_since <= loop.time() - _IDLE_LIMIT_S:
            connection.retire()
            self._connection = None
            return
        at = loop.time() if connection.idle_since is None else connection.idle_since
        self._sweeper = loop.call_at(at + _IDLE_LIMIT_S, self._sweep)


class _Patient(H2ConnectionStateMachine):
    """A GOAWAY ends no stream that the server will still answer (RFC 9113, 6.8); h2 closes the connection with it."""

    _transitions = H2ConnectionStateMachine._transitions | {
        (ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (None, ConnectionState.CLIENT_OPEN)
    }


@dataclass(slots=True)
class _Stream:
    """One request: what of its body has not gone out yet, and what has come back so far."""

    answer: "asyncio.Future[Response]"
    unsent: memoryview
    status: int = 0
    received: int = 0
    body: bytearray = field(default_factory=bytearray)


class _Connection(asyncio.Protocol):
    """One TCP connection and its streams. ``ready`` is done once the server has said how it speaks HTTP/2."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready: asyncio.Future[None] = loop.create_future()
        self.idle_since: float | None = loop.time()
        self._loop = loop
        self._transport: asyncio.Transport
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.state_machine = _Patient()
        self._streams: dict[int, _Stream] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._retired = False

    @property
    def usable(self) -> bool:
        """Whether a request can be sent, as far as one can know on this side."""
        used_up = self._h2.highest_outbound_stream_id >= _LAST_STREAM
        return not self._retired and not used_up and not self._transport.is_closing()

    async def room(self) -> None:
        """Returns when the server takes another stream; the caller must then send at once.

        Raises:
            NotSentError: the connection takes none any more.
        """
        while True:
            if not self.usable:
                raise NotSentError("the connection was closed before the request went out")
            if len(self._streams) < self._h2.remote_settings.max_concurrent_streams:
                return
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise

    async def ask(self, head: _Head, body: bytes) -> Response:
        """Sends a request on a stream of its own and waits for the answer. Cancelling resets the stream."""
        number = self._h2.get_next_available_stream_id()
        self._h2.send_headers(number, head, end_stream=not body)
        stream = _Stream(self._loop.create_future(), memoryview(body))
        self._streams[number] = stream
        self.idle_since = None
        self._pump(number, stream)
        self._flush()
        try:
            return await stream.answer
        except asyncio.CancelledError:
            self._reset(number)
            raise

    def retire(self) -> None:
        """Takes no more requests; closes once those that it has are answered."""
        self._retired = True
        self._wake_all()
        if not self._streams:
            self._transport.close()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        # h2 would first wait for all of the "frame" that the words of an HTTP/1.1 server seem to begin.
        if not self.ready.done() and data[3:4] not in (_SETTINGS, b""):
            self._fail("it does not speak HTTP/2")
            return
        try:
            events = self._h2.receive_data(data)
            for event in events:
                self._take(event)
            # Only now: an event may be older than what h2 knows of its stream by the end of these bytes.
            self._pump_all()
            self._flush()
        except ProtocolError as error:
            self._fail(f"malformed answer: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost before the answer was complete: {exc or 'closed by the other side'}")

    # What the frames come to.

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RemoteSettingsChanged():
                if not self.ready.done():
                    self.ready.set_result(None)
                self._wake_all()
            case h2.events.ResponseReceived(stream_id=number, headers=headers):
                if number in self._streams:
                    self._streams[number].status = int(dict(headers)[b":status"])
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                self._take_data(number or 0, data or b"", length or 0)
            case h2.events.StreamEnded(stream_id=number):
                self._complete(number or 0)
            case h2.events.StreamReset(stream_id=number, error_code=code):
                self._cut(number or 0, code)
            case h2.events.ConnectionTerminated(last_stream_id=last):
                self._go(last or 0)

    def _take_data(self, number: int, data: bytes, length: int) -> None:
        if length:
            self._h2.acknowledge_received_data(length, number)
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.received += len(data)
        stream.body += data[: max(0, _BODY_KEPT - len(stream.body))]
        if stream.received > _ANSWER_LIMIT:
            self._complete(number)  # the status has said what there is to say

    def _complete(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            # A server may answer before it has read the request: then nobody wants the rest of either.
            if stream.unsent or stream.received > _ANSWER_LIMIT:
                self._cancel(number)
            self._end(number, Response(stream.status, bytes(stream.body)))

    def _cut(self, number: int, code: object) -> None:
        if code == ErrorCodes.REFUSED_STREAM:  # RFC 9113, 8.7: nothing has been done with it
            self._end(number, NotSentError("the server refused the stream"))
        else:
            name = code.name if isinstance(code, ErrorCodes) else code
            self._end(number, NoAnswerError(f"the server reset the stream: {name}"))

    def _go(self, last: int) -> None:
        """The server takes no more; what it began before, up to the stream ``last``, it will answer."""
        for number in [number for number in self._streams if number > last]:
            self._end(number, NotSentError("the server was going away"))
        self.retire()

    def _end(self, number: int, result: Response | Exception) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None and not stream.answer.done():
            if isinstance(result, Response):
                stream.answer.set_result(result)
            else:
                stream.answer.set_exception(result)
        if not self._streams:
            self.idle_since = self._loop.time()
            if self._retired:
                self._transport.close()
        self._wake()

    def _reset(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        if number in self._streams and not self._transport.is_closing():
            self._cancel(number)
            self._flush()
        self._end(number, NoAnswerError("cancelled"))

    def _cancel(self, number: int) -> None:
        with contextlib.suppress(StreamClosedError):  # the server was faster
            self._h2.reset_stream(number, ErrorCodes.CANCEL)

    def _fail(self, error: str) -> None:
        self._retired = True
        self._transport.abort()
        if not self.ready.done():
            self.ready.set_exception(NoAnswerError(error))
        for number in tuple(self._streams):
            self._end(number, NoAnswerError(error))
        self._wake_all()

    # What goes out.

    def _pump_all(self) -> None:
        for number, stream in self._streams.items():
            if stream.unsent:
                self._pump(number, stream)

    def _pump(self, number: int, stream: _Stream) -> None:
        """Sends as much of a request's body as the server lets."""
        while stream.unsent:
            size = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if size <= 0:
                return
            piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._h2.send_data(number, bytes(piece), end_stream=not stream.unsent)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._transport.write(data)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
