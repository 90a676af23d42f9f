"""An app that is called over gRPC: one ``OnJobEvent`` a run."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import grpc
import grpc.aio

from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded, Unavailable
from wakeful.protos import common, runtime
from wakeful.protos.values import packed
from wakeful.targets.grpc_tls import NoCertificateError, trusted
from wakeful.targets.telling import run_metadata, told

# The second is what the first was called before it was stable; apps have the one, the other, or both.
_ON_JOB = (
    "/dapr.proto.runtime.v1.AppCallback/OnJobEvent",
    "/dapr.proto.runtime.v1.AppCallbackAlpha/OnJobEventAlpha1",
)
_HEALTH = "/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck"

_CONNECT_TIMEOUT_S = 3.0
_FIRST_LOOK_S = 0.001
_SLOWEST_LOOK_S = 0.05
_LOOK_GROWTH = 1.5
_TEXT_TOLD = 200
_ADDRESS_TOLD = 100

_OPTIONS = (
    # The app is a neighbour: a proxy of the environment is not for it.
    ("grpc.enable_http_proxy", 0),
    # An app that comes back is to be found at once; by default gRPC pauses for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # This one is also how long a connection may take to come about.
    ("grpc.min_reconnect_backoff_ms", int(_CONNECT_TIMEOUT_S * 1000)),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
)
# What gRPC itself says of a call that no connection has ever taken. An app may pass such words on, of its own calls.
_NEVER_SENT = "failed to connect to all addresses"
# An app that does not know a method can't say anything else, and one that is not there neither: all other codes tell
# that it knows it.
_SAYS_NOTHING = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_Method = Callable[..., Awaitable[bytes]]
_POST = common.HTTPExtension(verb=common.HTTPExtension.Verb.Value("POST"))


class GrpcApp:
    """The sink of an app that serves Dapr's ``AppCallback`` on a port.

    With ``tls`` its certificate is taken, whichever it is. What the app says about a failure is kept, but never
    ``api_token``.
    """

    def __init__(
        self, host: str, port: int, timeout: timedelta, api_token: str | None = None, *, tls: bool = False
    ) -> None:
        self._host = host
        self._port = port
        self._origin = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timeout_s = timeout.total_seconds()
        self._token = (("dapr-api-token", _printable(api_token)),) if api_token else ()
        self._secret = api_token
        self._tls = tls
        self._line: _Line | None = None
        self._opening = asyncio.Lock()

    async def deliver(self, claim: Claim) -> Outcome:
        """Calls the app with the run and waits for its answer. Cancelling ends the call."""
        target = claim.job.target
        if target.kind != "app":
            return Rejected(f"an app can't be the target of kind {target.kind!r}")
        try:
            request = await _request(claim)
        except ValueError as error:
            return Rejected(f"the run can't be told as a message: {told(str(error), _TEXT_TOLD)}")
        line = self._line
        if line is None or not line.ready:
            try:
                line = await self._connected(_CONNECT_TIMEOUT_S)
            except _NoConnectionError as error:
                return Unavailable(str(error))
        line.calls += 1
        try:
            return await self._call(line, request, claim)
        finally:
            line.calls -= 1
            if line.retired:
                await line.close_if_idle()

    async def _call(self, line: "_Line", request: bytes, claim: Claim) -> Outcome:
        timeout_s = self._timeout_s
        if claim.job.timeout is not None:
            timeout_s = min(timeout_s, claim.job.timeout.total_seconds())
        metadata = (*self._token, *run_metadata(claim))
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        had = line.had
        first = had.method
        for method in (first, 1 - first):
            try:
                await line.on_job[method](request, timeout=max(0.0, deadline - clock()), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED and method == first:
                    # So Dapr goes on to the older name (dapr pkg/channel/grpc/grpc_channel.go).
                    continue
                if error.code() not in _SAYS_NOTHING:
                    had.method = method
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    self._retire(line)
                return self._outcome(line, error, claim, timeout_s)
            except grpc.aio.UsageError:
                return Unavailable(f"the connection to {self._origin} was closed")
            had.method = method
            return Succeeded()
        raise AssertionError("both methods were called")

    def _retire(self, line: "_Line") -> None:
        # It may be broken, and gRPC may be late to know: what comes next gets a new one.
        line.retired = True
        if self._line is line:
            self._line = None

    def _outcome(self, line: "_Line", error: grpc.aio.AioRpcError, claim: Claim, timeout_s: float) -> Outcome:
        """What a call's failure means for the run (dapr pkg/runtime/scheduler/internal/cluster/streamer.go)."""
        code, said = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE and said.startswith(_NEVER_SENT) and not line.ready:
            return Unavailable(f"no connection to {self._origin}: {told(said, _TEXT_TOLD)}")
        call = f"OnJobEvent {told(claim.job.target.address, _ADDRESS_TOLD)}"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and said == "Deadline Exceeded":
            return Failed(f"{call}: no answer within {timeout_s:g} s")
        if self._secret is not None:
            said = said.replace(self._secret, "***")
        text = f"{code.name} from {call}" + (f": {told(said, _TEXT_TOLD)}" if said else "")
        # Not tried again: the app has no such handler.
        return Rejected(text) if code is grpc.StatusCode.NOT_FOUND else Failed(text)

    async def healthy(self, timeout_s: float) -> bool:
        """Whether the app's own health check answers in time (dapr pkg/channel/grpc/grpc_channel.go)."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        try:
            line = await self._connected(timeout_s)
            await line.health(b"", timeout=max(0.0, deadline - clock()), metadata=self._token)
        except (_NoConnectionError, grpc.aio.AioRpcError):
            return False
        return True

    async def available(self) -> None:
        """Returns once the app takes calls; the connection that showed it is kept for the next run."""
        while True:
            try:
                await self._connected(_CONNECT_TIMEOUT_S)
            except _NoConnectionError:
                await asyncio.sleep(_SLOWEST_LOOK_S)
            else:
                return

    async def aclose(self) -> None:
        """Closes the connection, once what is under way has its answers."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _connected(self, timeout_s: float) -> "_Line":
        """The connection, made if there is none.

        Raises:
            _NoConnectionError: nobody took it.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        line = self._line or await self._open(timeout_s)
        if await line.connect(deadline - clock()):
            return line
        if self._tls:
            # The app may come back with another certificate.
            self._retire(line)
            await line.close_if_idle()
        raise _NoConnectionError(f"no connection to {self._origin}")

    async def _open(self, timeout_s: float) -> "_Line":
        # One for all who wait; without TLS there is nothing to wait for.
        async with self._opening:
            if self._line is None:
                self._line = await self._new_line(timeout_s)
            return self._line

    async def _new_line(self, timeout_s: float) -> "_Line":
        if not self._tls:
            return _Line(grpc.aio.insecure_channel(self._origin, options=_OPTIONS))
        try:
            credentials, name = await trusted(self._host, self._port, timeout_s)
        except NoCertificateError as error:
            raise _NoConnectionError(f"no connection to {self._origin}: {error}") from None
        options = (*_OPTIONS, ("grpc.ssl_target_name_override", name))
        return _Line(grpc.aio.secure_channel(self._origin, credentials, options=options))


class _NoConnectionError(Exception):
    """No connection came about: nothing was sent."""


class _Had:
    """Which of the two methods the app at the other end of one connection had last."""

    method = 0


class _Line:
    """A channel to the app, and what is called on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._closed = False
        # Calls under way; who is retired is closed with the last of them.
        self.calls = 0
        self.retired = False
        # Of the connection that there is now. Who still waits for an answer by the one before keeps that one's.
        self.had = _Had()
        self.on_job: Sequence[_Method] = [channel.unary_unary(method) for method in _ON_JOB]
        self.health: _Method = channel.unary_unary(_HEALTH)

    @property
    def ready(self) -> bool:
        """Whether a call would be sent now."""
        return not self._closed and self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def connect(self, timeout_s: float) -> bool:
        """Waits until a call would be sent; whether it would."""
        clock = asyncio.get_running_loop().time
        deadline, pause_s = clock() + timeout_s, _FIRST_LOOK_S
        # Looked at again and again: a wait for a change that is cut off leaves its watcher behind in gRPC's core.
        while not self._closed:
            state = self._channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                return True
            # What comes next is a new connection, and may be a new app.
            self.had = _Had()
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE or clock() > deadline:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * _LOOK_GROWTH, _SLOWEST_LOOK_S)
        return False

    async def close_if_idle(self) -> None:
        """Ends it, unless it still has calls."""
        if not self.calls and not self._closed:
            await self.close()

    async def close(self) -> None:
        """Ends it, and all calls that it still has."""
        self._closed = True
        await self._channel.close()


async def _request(claim: Claim) -> bytes:
    """The message of Dapr's (dapr pkg/channel/grpc/grpc_channel.go, TriggerJob).

    Raises:
        ValueError: the data is JSON that no ``google.protobuf.Value`` holds.
    """
    job = claim.job
    request = runtime.JobEventRequest(name=job.key.name, method=job.target.address, http_extension=_POST)
    if job.data is not None:
        data = await packed(job.data)
        request.data.CopyFrom(data)
        request.content_type = data.type_url
    encoded: bytes = request.SerializeToString()
    return encoded


def _printable(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the value of dapr-api-token is not printable ASCII")
    return token
