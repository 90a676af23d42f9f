"""A node: the rooms opened and connected, its servers, and their end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from wakeful import __version__, zones
from wakeful.app_link import APP_HOST, AppLink
from wakeful.clock import SystemClock
from wakeful.config import Config, ConfigError
from wakeful.core.job import task_queue
from wakeful.engine import Engine, Limits
from wakeful.faces.aitp.desk import Desk
from wakeful.faces.aitp.http import PREFIXES, aitp_app
from wakeful.faces.dapr.grpc_runtime import runtime_services
from wakeful.faces.dapr.grpc_server import GrpcServer
from wakeful.faces.dapr.http import DaprHttp
from wakeful.faces.dapr.reminders import Reminders
from wakeful.faces.dapr.sidecar import AppConnection, AppHealthCheck, Metadata, Sidecar
from wakeful.faces.rest.http import rest_app
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore

log = logging.getLogger("wakeful")

# How long what is in flight may take to end after SIGTERM.
GRACE = timedelta(seconds=10)
# daprd's own limit: --max-body-size, 4Mi.
LARGEST_REQUEST = 4 * 1024 * 1024
# How long gRPC calls under way may take then.
CALLS_END_S = 5.0
# Runs of schedules that are on their way to a queue of agents; they stay there for milliseconds.
DESK_LIMIT = 256
# The writer's thread and the event loop hand the interpreter to each other this often.
SWITCH_INTERVAL_S = 0.0005


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
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with contextlib.ExitStack() as sockets:
        http = sockets.enter_context(bound_socket(config.address, config.http_port, "--dapr-http-port"))
        own = sockets.enter_context(bound_socket(config.address, config.port, "--port"))
        store = SqliteStore(config.store, zones.load_zone, os.urandom)
        engine = Engine(
            store,
            SystemClock(),
            os.urandom,
            f"{socket.gethostname()}:{os.getpid()}",
            Limits(late_per_s=config.late_rate),
        )
        scheduler = Scheduler(store, SystemClock(), os.urandom, engine, records=store.records)
        app = None if config.app_port is None else AppLink(scheduler, config, config.app_port)
        sidecar = _sidecar(config, app)
        dapr, grpc = _dapr(scheduler, sidecar, stop)
        servers = served(http, dapr)
        aitp = aitp_app(scheduler, config.namespace, zones.load_zone, os.urandom)
        own_servers = served(own, _own_api(rest_app(scheduler, facts(config.store)), aitp))
        scheduler.attach(task_queue(config.namespace), Desk(config.namespace), DESK_LIMIT)
        if app is not None:
            app.attach()
        await _use_zone_data(scheduler)
        try:
            grpc_port = await _start(grpc, config)
            engine.start()
            async with servers, own_servers:
                yield Ports(http.getsockname()[1], grpc_port, own.getsockname()[1])
                # No more is claimed and no request taken; then what is in flight ends.
                engine.drain()
                aitp.drain()
            await grpc.stop(CALLS_END_S)
            await engine.stop(GRACE)
        finally:
            if app is not None:
                await app.aclose()
            await store.close()


def _dapr(scheduler: Scheduler, sidecar: Sidecar, stop: Callable[[], None]) -> tuple[DaprHttp, GrpcServer]:
    """The sidecar's API by both of its doors."""
    metadata = Metadata(sidecar)
    reminders = Reminders(scheduler, sidecar, zones.load_zone)
    services = runtime_services(scheduler, sidecar, metadata, reminders, zones.load_zone, stop)
    http = DaprHttp(scheduler, sidecar, zones.load_zone, metadata)
    return http, GrpcServer(services, sidecar.api_token, LARGEST_REQUEST)


async def _use_zone_data(scheduler: Scheduler) -> None:
    moved = await scheduler.use_zone_data(zones.VERSION)
    if moved:
        log.warning(
            "tzdata %s has other rules than were used before: %d jobs have another next run", zones.VERSION, moved
        )


def _own_api(rest: ASGIApp, aitp: ASGIApp) -> ASGIApp:
    """What is on the own port: the doors of others by the beginning of their paths, and ours."""

    async def own_api(scope: Scope, receive: Receive, send: Send) -> None:
        door = scope["path"].lstrip("/").partition("/")[0]
        await (aitp if door in PREFIXES else rest)(scope, receive, send)

    return own_api


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


def facts(store: Path) -> dict[str, str]:
    """What is in use."""
    sqlite = apsw.sqlite_lib_version()
    return {"version": __version__, "tzdata": zones.VERSION, "sqlite": sqlite, "store": str(store)}


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
