"""A node: the rooms opened and connected, its servers, and their end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn

from wakeful import __version__, zones
from wakeful.app_link import APP_HOST, AppLink
from wakeful.clock import SystemClock
from wakeful.config import Config, ConfigError
from wakeful.engine import Limits
from wakeful.faces.dapr.grpc_runtime import runtime_services
from wakeful.faces.dapr.grpc_server import GrpcServer
from wakeful.faces.dapr.http import DaprHttp
from wakeful.faces.dapr.reminders import Reminders
from wakeful.faces.dapr.sidecar import AppConnection, AppHealthCheck, Metadata, Sidecar
from wakeful.rooms import OwnApi, opened
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore

log = logging.getLogger("wakeful")

# How long what is in flight may take to end after SIGTERM.
GRACE = timedelta(seconds=10)
# daprd's own limit: --max-body-size, 4Mi.
LARGEST_REQUEST = 4 * 1024 * 1024
# How long gRPC calls under way may take then.
CALLS_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that were bound."""

    http: int
    grpc: int
    own: int


class _Server(uvicorn.Server):
    """A server that leaves the signals to the node."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def open_scheduler(path: Path) -> AsyncIterator[Scheduler]:
    """A scheduler without an engine: for looking, and for changing what other nodes run."""
    store = SqliteStore(path, zones.load_zone, os.urandom)
    try:
        yield Scheduler(store, SystemClock(), os.urandom, records=store.records)
    finally:
        await store.close()


@asynccontextmanager
async def running(config: Config, stop: Callable[[], None]) -> AsyncIterator[Ports]:
    """A whole node, from its first claim to its last settlement; ``stop`` is called when the app asks for the end.

    Raises:
        ConfigError: a port is taken.
        WakefulError: the store can't be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        http = stack.enter_context(bound_socket(config.address, config.http_port, "--dapr-http-port"))
        own = stack.enter_context(bound_socket(config.address, config.port, "--port"))
        rooms = await stack.enter_async_context(opened(config.store, Limits(late_per_s=config.late_rate)))
        engine, scheduler = rooms.engine, rooms.scheduler
        app = None if config.app_port is None else AppLink(scheduler, config, config.app_port)
        sidecar = _sidecar(config, app)
        dapr, grpc = _dapr(scheduler, sidecar, stop)
        servers = served(http, dapr)
        own_api = OwnApi(rooms, config.namespace)
        own_servers = served(own, own_api)
        if app is not None:
            app.attach()
        try:
            grpc_port = await _start(grpc, config)
            engine.start()
            async with servers, own_servers:
                yield Ports(http.getsockname()[1], grpc_port, own.getsockname()[1])
                # No more is claimed and no request taken; then what is in flight ends.
                engine.drain()
                own_api.drain()
            await grpc.stop(CALLS_END_S)
            await engine.stop(GRACE)
        finally:
            if app is not None:
                await app.aclose()


def _dapr(scheduler: Scheduler, sidecar: Sidecar, stop: Callable[[], None]) -> tuple[DaprHttp, GrpcServer]:
    """The sidecar's API by both of its doors."""
    metadata = Metadata(sidecar)
    reminders = Reminders(scheduler, sidecar, zones.load_zone)
    services = runtime_services(scheduler, sidecar, metadata, reminders, zones.load_zone, stop)
    http = DaprHttp(scheduler, sidecar, zones.load_zone, metadata, stop)
    return http, GrpcServer(services, sidecar.api_token, LARGEST_REQUEST)


async def _start(server: GrpcServer, config: Config) -> int:
    try:
        return await server.start(config.address, config.grpc_port)
    except OSError as error:
        raise ConfigError(f"--dapr-grpc-port {config.grpc_port}: {error}") from None


def _sidecar(config: Config, app: AppLink | None) -> Sidecar:
    sidecar = Sidecar(config.app_id, config.namespace, __version__, config.api_token)
    if app is None or config.app_port is None:
        return sidecar
    connection = _connection(config, config.app_port)
    return replace(sidecar, app=lambda: connection, actor_types=app.actor_types, ask_app=app.ask_again)


def _connection(config: Config, port: int) -> AppConnection:
    check = config.app_health
    health = None if check is None else AppHealthCheck(check.path, check.interval, check.timeout, check.threshold)
    return AppConnection(port, config.app_protocol, APP_HOST, config.app_max_concurrency, health)


@contextmanager
def bound_socket(address: str, port: int, flag: str) -> Iterator[socket.socket]:
    """A socket that listens on a port, 0 for any free one; ``flag`` is where it came from.

    Raises:
        ConfigError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((address, port))
        except OSError as error:
            raise ConfigError(f"{flag} {port}: can't listen on {address}: {error.strerror}") from error
        bound.listen(1024)
        yield bound


@asynccontextmanager
async def served(bound: socket.socket, app: Any) -> AsyncIterator[None]:
    """Serves an ASGI application on a socket."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="off",
        loop="none",
        http="httptools",
        ws="none",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def told_to_stop() -> asyncio.Future[str]:
    """From now on SIGINT and SIGTERM end nothing by themselves: the first one's name is this future's result."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell, told, number.name)
    return told


def tell(told: "asyncio.Future[str]", name: str) -> None:
    """Says why it is time to stop; the first reason counts."""
    if not told.done():
        told.set_result(name)
