"""A node that is Dapr's Scheduler service: rooms, servers and peers put together, and their end."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from wakeful import zones
from wakeful.clock import SystemClock
from wakeful.config import ConfigError
from wakeful.engine import Limits
from wakeful.faces.dapr.grpc_server import GrpcServer
from wakeful.faces.dapr.hosts import Hosts
from wakeful.faces.dapr.scheduler_http import health_app, metrics_app
from wakeful.faces.dapr.scheduler_metrics import SchedulerMetrics
from wakeful.faces.dapr.scheduler_service import scheduler_service
from wakeful.faces.dapr.watch import Watch
from wakeful.node import bound_socket, served
from wakeful.presence import Presence
from wakeful.rooms import Rooms, opened
from wakeful.scheduler_config import SchedulerConfig

# How long sidecars may take to answer for what they have when the scheduler stops.
GRACE = timedelta(seconds=5)
_CALLS_END_S = 0.5
# Hundreds of sidecars hold runs without an answer at a time; each costs some kilobytes.
MOST_RUNNING = 20_000


@dataclass(frozen=True, slots=True)
class SchedulerPorts:
    """The ports that were bound, and the address that sidecars are told."""

    grpc: int
    health: int
    metrics: int | None
    broadcast: str


@asynccontextmanager
async def running_scheduler(config: SchedulerConfig) -> AsyncIterator[SchedulerPorts]:
    """A whole scheduler, from its first claim to its last settlement.

    Raises:
        ConfigError: a port is taken.
        WakefulError: the store can't be used.
    """
    async with AsyncExitStack() as stack:
        health = stack.enter_context(bound_socket(config.health_address, config.health_port, "--healthz-port"))
        metrics = _metrics_socket(stack, config)
        rooms = await stack.enter_async_context(opened(config.store, Limits(most_running=MOST_RUNNING), config.name))
        node = _Node(config, rooms)
        await stack.enter_async_context(served(health, health_app(node.well)))
        if metrics is not None:
            await stack.enter_async_context(served(metrics, metrics_app(node.metrics.render)))
        grpc = await node.start()
        try:
            metrics_port = None if metrics is None else metrics.getsockname()[1]
            yield SchedulerPorts(grpc, health.getsockname()[1], metrics_port, node.hosts.own)
        finally:
            await node.stop()


def _metrics_socket(stack: AsyncExitStack, config: SchedulerConfig) -> socket.socket | None:
    if config.metrics_port is None:
        return None
    return stack.enter_context(bound_socket(config.metrics_address, config.metrics_port, "--metrics-port"))


class _Node:
    """The rooms of one scheduler."""

    def __init__(self, config: SchedulerConfig, rooms: Rooms) -> None:
        self.metrics = SchedulerMetrics()
        self.hosts = Hosts()
        self._config = config
        self._stopping = False
        self._engine, self._scheduler = rooms.engine, rooms.scheduler
        self._presence = Presence(rooms.store, SystemClock(), os.urandom, self.hosts)
        self._watch = Watch(self._scheduler, self.hosts, self.metrics, config.required_token)
        service = scheduler_service(self._scheduler, zones.load_zone, self.metrics, self._watch)
        self._server = GrpcServer([service], config.required_token)

    def well(self) -> bool:
        """Whether it claims on time, and is not about to stop."""
        return not self._stopping and self._scheduler.health().ok

    async def start(self) -> int:
        """Serves and claims; the port."""
        config = self._config
        try:
            port = await self._server.start(config.address, config.port)
        except OSError as error:
            raise ConfigError(f"--port {config.port}: {error}") from error
        self.hosts.enter(config.broadcast_address(port, os.environ))
        await self._presence.enter()
        self._engine.start()
        return port

    async def stop(self) -> None:
        """Is unwell first, then gone from the others' lists; what sidecars have they may still answer for."""
        self._stopping = True
        self._engine.drain()
        await self._presence.leave()
        await self._engine.stop(GRACE)
        self._watch.close()
        await self._server.stop(_CALLS_END_S)
