"""An app that speaks gRPC, served by foreign code; the test decides each answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from dapr.proto import appcallback_service_v1, appcallback_v1
from google.protobuf.empty_pb2 import Empty

from support.claims import claim
from wakeful.core.run import Unavailable
from wakeful.targets.grpc import GrpcApp

# A code with a text; or an answer, at once or once something has happened; or none at all, ever.
Answer = tuple[grpc.StatusCode, str] | bool | asyncio.Event | None
OK = True


@dataclass
class Received:
    method: str
    request: Any
    metadata: dict[str, str]
    peer: str


@dataclass
class GrpcFarSide:
    """It gives one answer after the other, one to each call, and the last one ever again.

    ``methods`` are which of ``OnJobEvent`` and ``OnJobEventAlpha1`` it has; ``key`` makes it speak TLS.
    """

    answers: Sequence[Answer] = (OK,)
    methods: Sequence[str] = ("OnJobEvent",)
    key: tuple[bytes, bytes] | None = None
    well: bool | None = True
    port: int = 0
    received: list[Received] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    server: grpc.aio.Server | None = None

    async def listen(self, port: int = 0) -> None:
        # One server after the other on one port, never two at once.
        self.server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        self._serve("AppCallback", "OnJobEvent", self.server)
        self._serve("AppCallbackAlpha", "OnJobEventAlpha1", self.server)
        if self.well is not None:
            health = type("Health", (appcallback_service_v1.AppCallbackHealthCheckServicer,), {})()
            health.HealthCheck = self._health
            appcallback_service_v1.add_AppCallbackHealthCheckServicer_to_server(health, self.server)
        address = f"127.0.0.1:{port}"
        if self.key is None:
            self.port = self.server.add_insecure_port(address)
        else:
            self.port = self.server.add_secure_port(address, grpc.ssl_server_credentials([self.key]))
        await self.server.start()

    async def close(self) -> None:
        assert self.server is not None
        await self.server.stop(0)

    async def client_left(self) -> None:
        """Returns once the client has cancelled a call."""
        await asyncio.wait_for(self.left.wait(), 2)

    def _serve(self, service: str, method: str, server: grpc.aio.Server) -> None:
        if method not in self.methods:
            return
        servicer = getattr(appcallback_service_v1, f"{service}Servicer")()

        async def on_job(request: Any, context: Any) -> Any:
            return await self._on_job(method, request, context)

        setattr(servicer, method, on_job)
        getattr(appcallback_service_v1, f"add_{service}Servicer_to_server")(servicer, server)

    async def _on_job(self, method: str, request: Any, context: Any) -> Any:
        metadata = {key: value for key, value in context.invocation_metadata() if key != "user-agent"}
        self.received.append(Received(method, request, metadata, context.peer()))
        answer = self.answers[min(len(self.received), len(self.answers)) - 1]
        if answer is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        if isinstance(answer, tuple):
            await context.abort(*answer)
        return appcallback_v1.JobEventResponse()

    async def _health(self, request: Any, context: Any) -> Any:
        assert request == Empty()
        if not self.well:
            await context.abort(grpc.StatusCode.INTERNAL, "unwell")
        return appcallback_v1.HealthCheckResponse()


def self_signed() -> tuple[bytes, bytes]:
    """A key and a certificate, made by nobody, for another name."""
    pem = Path(__file__).with_name("self_signed.pem").read_bytes()
    end = b"-----END PRIVATE KEY-----\n"
    key, certificate = pem.split(end)
    return key + end, certificate


@asynccontextmanager
async def far_sides() -> AsyncIterator[Callable[..., Awaitable[GrpcFarSide]]]:
    """What opens far sides that give these answers; they are closed in the end."""
    opened: list[GrpcFarSide] = []

    async def open_far_side(*answers: Answer, port: int = 0, **fields: Any) -> GrpcFarSide:
        opened.append(GrpcFarSide(answers or (OK,), **fields))
        await opened[-1].listen(port)
        return opened[-1]

    yield open_far_side
    for far in opened:
        await far.close()


@asynccontextmanager
async def app_on(port: int, timeout_s: float = 5, **options: Any) -> AsyncIterator[GrpcApp]:
    """The app on a port."""
    app = GrpcApp("127.0.0.1", port, timedelta(seconds=timeout_s), **options)
    yield app
    await app.aclose()


async def gone(app: GrpcApp) -> None:
    """Returns once the app is found to be away: gRPC may be a moment late to know that a connection has ended."""
    while not isinstance(await app.deliver(claim()), Unavailable):
        pass


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
