"""gRPC services on one port: registered by their methods' names, refused in Dapr's words; nothing here knows a job."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from wakeful.core.errors import WakefulError
from wakeful.faces.asgi import log_fault
from wakeful.faces.dapr.answers import clip
from wakeful.protos import rpc, well_known

log = logging.getLogger(__name__)

# Sidecars ping idle streams every ten seconds or less, and a server that minds closes them; these are the settings of
# Dapr's own server (dapr pkg/scheduler/server/server.go). Messages have no limit there; here they have one that a list
# of a hundred jobs with 2 MiB each keeps.
LARGEST_MESSAGE = 256 * 1024 * 1024
_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Of pings without a call; its own default is a minute.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.max_metadata_size", 64 * 1024),
    # Beyond a thousand calls that wait to be taken up, gRPC would cancel some by chance, and a burst is that long
    # (GRPC_ARG_SERVER_MAX_PENDING_REQUESTS in grpc/impl/channel_arg_names.h).
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)
# A job's key in it stays whole: up to four names of 512 bytes. Clients take 8 KiB with all that comes beside it.
_MESSAGE_LIMIT = 2_200


class GrpcError(Exception):
    """Ends a call with a code and a message; ``reason`` and ``metadata`` become its ErrorInfo."""

    def __init__(
        self, code: grpc.StatusCode, message: str, reason: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = metadata or {}


Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Service:
    """One service. ``unary`` has, by method, the request's class and who answers; ``streams`` are ready handlers.

    A ``public`` service asks for no token.
    """

    name: str
    unary: Mapping[str, tuple[Any, Unary]]
    streams: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"] = field(default_factory=dict)
    public: bool = False


class GrpcServer:
    """Services on a port of an address; without a ``token`` anybody may call.

    ``largest`` is the largest message that is taken, in bytes.
    """

    def __init__(self, services: Sequence[Service], token: str | None = None, largest: int = LARGEST_MESSAGE) -> None:
        options = (
            *_OPTIONS,
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
        )
        self._server = grpc.aio.server(options=options)
        for service in services:
            required = token.encode() if token and not service.public else None
            handlers = {
                name: _handler(f"{service.name}/{name}", kind, answer, required)
                for name, (kind, answer) in service.unary.items()
            }
            generic = grpc.method_handlers_generic_handler(service.name, {**handlers, **service.streams})
            self._server.add_generic_rpc_handlers((generic,))

    async def start(self, address: str, port: int) -> int:
        """Listens on a port, 0 for any free one; which it is.

        Raises:
            OSError: it can't.
        """
        host = f"[{address}]" if ":" in address else address
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"can't listen on {host}:{port}") from error
        await self._server.start()
        return bound

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls, and ends those under way after ``grace_s`` at the latest."""
        await self._server.stop(grace_s)


def check_token(context: Context, token: bytes | None) -> None:
    """Lets a call with the token pass.

    Raises:
        GrpcError: UNAUTHENTICATED.
    """
    if token is None:
        return
    given = next((value for key, value in context.invocation_metadata() or () if key == "dapr-api-token"), "")
    if not compare_digest(given if isinstance(given, bytes) else given.encode(), token):
        raise GrpcError(grpc.StatusCode.UNAUTHENTICATED, "invalid api token")


async def end(context: Context, error: GrpcError) -> None:
    """Ends the call with the error; its details travel as ``google.rpc.Status`` does."""
    trailing: tuple[tuple[str, bytes], ...] = ()
    message = clip(error.message, _MESSAGE_LIMIT)
    if error.reason is not None:
        info = rpc.ErrorInfo(reason=error.reason, domain="dapr.io", metadata=dict(error.metadata))
        detail = well_known.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
        number: int = error.code.value[0]
        status = rpc.Status(code=number, message=message, details=[detail])
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(error.code, message, trailing)


def refused(method: str, error: Exception) -> GrpcError:
    """What a caller is told of an error: a fault of ours is one line in the log, and nothing of it goes out."""
    if isinstance(error, GrpcError):
        return error
    if isinstance(error, WakefulError):
        return GrpcError(grpc.StatusCode.UNKNOWN, error.message)
    log_fault(log, method, error)
    return GrpcError(grpc.StatusCode.INTERNAL, "an internal error occurred; the log has its place")


def _handler(method: str, kind: Any, answer: Unary, token: bytes | None) -> "grpc.RpcMethodHandler[Any, Any]":
    async def call(body: bytes, context: Context) -> Any:
        try:
            check_token(context, token)
            return await answer(_read(kind, body))
        except Exception as error:
            await end(context, refused(method, error))

    return grpc.unary_unary_rpc_method_handler(call, response_serializer=_serialized)


def _read(kind: Any, body: bytes) -> Any:
    # Here, and not by gRPC: that would log every such call with its stack.
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise GrpcError(grpc.StatusCode.INTERNAL, f"the request is no {kind.DESCRIPTOR.name}: {error}") from None


def _serialized(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded
