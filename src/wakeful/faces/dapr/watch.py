"""The streams over which sidecars are told of due jobs, and of schedulers that come and go."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from wakeful.faces.dapr.answers import clip
from wakeful.faces.dapr.gatekeeper import Gatekeeper
from wakeful.faces.dapr.gates import gate_key
from wakeful.faces.dapr.grpc_server import Context, GrpcError, check_token, end, refused
from wakeful.faces.dapr.hosts import Hosts
from wakeful.faces.dapr.scheduler_metrics import SchedulerMetrics
from wakeful.faces.dapr.watch_stream import ProtocolError, Watched, WatchStream
from wakeful.protos import scheduler as messages
from wakeful.scheduler import Scheduler

log = logging.getLogger(__name__)

# Types of actors that one stream may name, and limits.
MOST_TYPES = 1_000
_JOB, _ACTOR_REMINDER = 0, 1
_TYPE_NAMES = {_JOB: "JOB_TARGET_TYPE_JOB", _ACTOR_REMINDER: "JOB_TARGET_TYPE_ACTOR_REMINDER"}


class Watch:
    """The two streaming methods of the Scheduler service; made once, with the event loop running."""

    def __init__(self, scheduler: Scheduler, hosts: Hosts, metrics: SchedulerMetrics, token: str | None = None) -> None:
        self._scheduler = scheduler
        self._hosts = hosts
        self._metrics = metrics
        self._token = token.encode() if token else None
        self._keepers: dict[str, Gatekeeper] = {}
        self._streams: set[WatchStream] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self._closing = False
        hosts.listen(self._share)
        metrics.gates = lambda: [keeper.gates for keeper in self._keepers.values()]

    def methods(self) -> "Mapping[str, grpc.RpcMethodHandler[Any, Any]]":
        """By name; messages are bytes on both sides."""
        return {
            "WatchJobs": grpc.stream_stream_rpc_method_handler(self.watch_jobs),
            "WatchHosts": grpc.unary_stream_rpc_method_handler(self.watch_hosts),
        }

    def close(self) -> None:
        """Ends every stream, those too that have not said anything yet."""
        self._closing = True
        for call in tuple(self._calls):
            call.cancel()

    async def watch_jobs(self, _: object, context: Context) -> None:
        """Sends the runs of the queues that the first message names, and takes what came of them."""
        async with self._call(context, "server is closing"):
            watched = self._understood(await context.read())
            keeper = self._keeper(watched.namespace)
            stream = WatchStream(watched, keeper, self._metrics)
            self._streams.add(stream)
            stream.open(self._scheduler)
            try:
                await self._converse(stream, context)
            finally:
                self._streams.discard(stream)
                stream.close()
                if keeper.idle:
                    self._keepers.pop(watched.namespace, None)

    async def watch_hosts(self, _: bytes, context: Context) -> None:
        """Sends the schedulers that there are, at once and after each change."""
        async with self._call(context, "cron closed"):
            async for addresses in self._hosts.changes():
                hosts = [messages.Host(address=address) for address in addresses]
                await context.write(messages.WatchHostsResponse(hosts=hosts).SerializeToString())

    async def _converse(self, stream: WatchStream, context: Context) -> None:
        """Until either side ends it: who can't be written to is gone, though the reading side may not know yet."""
        reading = asyncio.create_task(self._read(stream, context))
        writing = asyncio.create_task(self._write(stream, context))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            writing.cancel()

    async def _read(self, stream: WatchStream, context: Context) -> None:
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                stream.take(message)
        except ProtocolError as error:
            self._metrics.sidecar_errors["recv_failed"] += 1
            raise GrpcError(grpc.StatusCode.UNKNOWN, str(error)) from None

    async def _write(self, stream: WatchStream, context: Context) -> None:
        try:
            await stream.write(context)
        except Exception as error:
            self._metrics.sidecar_errors["send_failed"] += 1
            log.info("a sidecar can't be written to: %s", clip(str(error)))

    @asynccontextmanager
    async def _call(self, context: Context, closed: str) -> AsyncIterator[None]:
        """A call under way: its errors go to the caller, and so does the server's end."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - gRPC runs each call in a task
        self._calls.add(task)
        try:
            if self._closing:
                raise GrpcError(grpc.StatusCode.UNKNOWN, closed)
            self._check(context)
            yield
        except asyncio.CancelledError:
            if not self._closing:
                raise
            task.uncancel()
            await end(context, GrpcError(grpc.StatusCode.UNKNOWN, closed))
        except Exception as error:
            await end(context, refused("a stream", error))
        finally:
            self._calls.discard(task)

    def _check(self, context: Context) -> None:
        try:
            check_token(context, self._token)
        except GrpcError:
            self._metrics.sidecar_errors["auth_failed"] += 1
            raise

    def _understood(self, message: Any) -> Watched:
        """The first message of a stream."""
        try:
            request: Any = messages.WatchJobsRequest()
            if message is not grpc.aio.EOF:
                request = messages.WatchJobsRequest.FromString(message)
        except DecodeError as error:
            raise GrpcError(grpc.StatusCode.INTERNAL, f"the request is no WatchJobsRequest: {error}") from None
        if not request.HasField("initial"):
            raise GrpcError(grpc.StatusCode.UNKNOWN, "initial request is required on stream connection")
        initial = request.initial
        if not initial.namespace or not initial.app_id:
            self._metrics.sidecar_errors["auth_failed"] += 1
            raise GrpcError(grpc.StatusCode.INVALID_ARGUMENT, "missing namespace or appID in request")
        return _watched(initial)

    def _keeper(self, namespace: str) -> Gatekeeper:
        if namespace not in self._keepers:
            self._keepers[namespace] = Gatekeeper(self._metrics)
            self._keepers[namespace].share_with(*self._hosts.place)
        return self._keepers[namespace]

    def _share(self) -> None:
        for keeper in self._keepers.values():
            keeper.share_with(*self._hosts.place)
        for stream in self._streams:
            stream.fit(self._scheduler)


def _watched(initial: Any) -> Watched:
    counted = Counter(initial.accept_job_types)
    twice = next((kind for kind, times in counted.items() if times > 1), None)
    if twice is not None:
        name = _TYPE_NAMES.get(twice, str(twice))
        raise GrpcError(grpc.StatusCode.UNKNOWN, f"duplicate target type specified: {name}")
    if max(len(initial.actor_types), len(initial.concurrency_limits)) > MOST_TYPES:
        message = f"at most {MOST_TYPES} actor types and as many limits are allowed on a stream"
        raise GrpcError(grpc.StatusCode.INVALID_ARGUMENT, message)
    accepted: Collection[int] = counted or _TYPE_NAMES
    actor_types = tuple(dict.fromkeys(initial.actor_types)) if _ACTOR_REMINDER in accepted else ()
    limits = {
        gate_key(limit.actor.type, limit.name if limit.HasField("name") else None): limit.max_concurrent
        for limit in initial.concurrency_limits
        if limit.max_concurrent > 0 and limit.HasField("actor")
    }
    return Watched(initial.namespace, initial.app_id, _JOB in accepted, actor_types, limits)
