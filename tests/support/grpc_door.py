"""A gRPC server beside a running HTTP server, over the same store; and Dapr's own SDK as its client."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from dapr.proto import api_service_v1
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from wakeful.faces.dapr.grpc_runtime import runtime_services
from wakeful.faces.dapr.grpc_server import GrpcServer
from wakeful.faces.dapr.reminders import Reminders
from wakeful.faces.dapr.sidecar import Metadata, Sidecar
from wakeful.scheduler import Scheduler
from wakeful.testing.clock import VirtualClock
from wakeful.zones import load_zone

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SIDECAR = Sidecar(app_id="tests", version="1.18.3", scheduler_addresses=("127.0.0.1:50006",))


class GrpcDoor:
    """``stub`` is the SDK's; ``stopped`` counts how often the node was asked to stop."""

    def __init__(self, channel: grpc.Channel, metadata: Metadata) -> None:
        self.channel = channel
        self.stub = api_service_v1.DaprStub(channel)
        self.metadata = metadata
        self.stopped = 0

    def call(self, method: str, request: Any, kind: Any = None, **options: Any) -> Any:
        """Calls a method by its whole name, with messages of any pool, or with bytes."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        answer = self.channel.unary_unary(method)(body, timeout=10, **options)
        return answer if kind is None else kind.FromString(answer)


@contextmanager
def grpc_beside(door: Any, sidecar: Sidecar = SIDECAR, *, reminders: bool = True, **options: Any) -> Iterator[GrpcDoor]:
    """A gRPC server for the time of the block; ``door`` has the HTTP server's loop, store and engine."""
    metadata = Metadata(sidecar)
    servers: list[GrpcServer] = []
    held: list[GrpcDoor] = []

    def stop() -> None:
        held[0].stopped += 1

    async def start() -> int:
        scheduler = Scheduler(door.store, VirtualClock(NOON), os.urandom, door.idle)
        known = Reminders(scheduler, sidecar, load_zone) if reminders else None
        services = runtime_services(scheduler, sidecar, metadata, known, load_zone, stop)
        servers.append(GrpcServer(services, sidecar.api_token, **options))
        return await servers[0].start("127.0.0.1", 0)

    port = asyncio.run_coroutine_threadsafe(start(), door.loop).result(10)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        held.append(GrpcDoor(channel, metadata))
        yield held[0]
    asyncio.run_coroutine_threadsafe(servers[0].stop(0), door.loop).result(10)


def error_of(call: Any, request: Any, **options: Any) -> tuple[str, str, str | None, dict[str, str]]:
    """What a call fails with: its code, its message, and its ErrorInfo's reason and metadata, read by foreign code."""
    try:
        answer = call(request, **options)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        if status is None:
            return error.code().name, error.details(), None, {}
        assert (status.code, status.message) == (error.code().value[0], error.details())
        (detail,) = status.details
        info = error_details_pb2.ErrorInfo()
        assert detail.Unpack(info)
        assert info.domain == "dapr.io"
        return error.code().name, error.details(), info.reason, dict(info.metadata)
    raise AssertionError(f"it did not fail: {answer}")
