"""The Dapr HTTP face as a caller meets it: a real server on a free port, over the real store."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx2
import pytest
import uvloop

from support.http_server import Server
from support.processes import PLAIN
from support.scheduler_door import SchedulerDoor, scheduler_door
from wakeful.core.job import JobKey, JobRecord
from wakeful.core.ports import Alarm, Attachment, BootTime, Health, Sink, Store
from wakeful.faces.dapr.http import DaprHttp
from wakeful.faces.dapr.sidecar import AppConnection, Metadata, Sidecar
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

T = TypeVar("T")
OWN = {"appID": "tests", "namespace": "default"}
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SIDECAR = Sidecar(
    app_id="tests",
    version="1.18.3",
    app=lambda: AppConnection(port=8000),
    scheduler_addresses=("127.0.0.1:50006",),
)


class FixedClock:
    """It is noon, always."""

    def now(self) -> datetime:
        return NOW

    def boot(self) -> BootTime:
        return BootTime("tests", timedelta())

    def alarm(self) -> Alarm:
        raise NotImplementedError


class Idle:
    """An engine that does nothing, and is well as long as a test wants it."""

    well = Health(True)

    def attach(self, queue: str, sink: Sink, limit: int) -> Attachment:
        raise NotImplementedError

    def wake(self, at: datetime) -> None:
        pass

    def health(self) -> Health:
        return self.well


class Door:
    """One running server: a client of it, its address, and a look behind it.

    ``stopped`` counts how often the node was asked to stop.
    """

    def __init__(self, address: tuple[str, int], idle: Idle) -> None:
        self.address = address
        self.idle = idle
        self.client = httpx2.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=10, **PLAIN)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.store: Store | None = None
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1

    def record(self, name: str, app_id: str = "tests") -> JobRecord | None:
        """The job as the store has it."""
        return self.behind(lambda store: store.get_job(JobKey("default", f"app/{app_id}", name)))

    def behind(self, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        """What some work on the store gives."""
        assert self.loop is not None
        assert self.store is not None
        return asyncio.run_coroutine_threadsafe(work(self.store), self.loop).result(10)

    def upsert(self, path: str, fields: Any) -> Any:
        """Schedules a job, whether there is one or not; how it is shown at the same path."""
        response = self.client.put(path, json=fields)
        assert (response.status_code, response.content) == (204, b""), response.text
        return self.client.get(path).json()

    def raw(self, request: bytes, deadline_s: float = 5) -> bytes:
        """What the server answers to these very bytes, up to its first pause."""
        with socket.create_connection(self.address, timeout=deadline_s) as connection:
            connection.sendall(request)
            answer = connection.recv(65536)
            connection.settimeout(0.2)
            with suppress(TimeoutError):
                while more := connection.recv(65536):
                    answer += more
        return answer


def check_error(response: httpx2.Response, status: int, code: str, message: str, metadata: Any = OWN) -> None:
    """An error of Dapr's shape, whose message begins with ``message``; one without ``metadata`` has no details."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["errorCode"] == code
    assert body["message"].startswith(message), body["message"]
    if metadata is None:
        assert set(body) == {"errorCode", "message"}
        return
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    assert body["details"] == [{"@type": kind, "reason": code, "domain": "dapr.io", "metadata": metadata}]


async def _serve(door: Door, sidecar: Sidecar, server: Server, make_store: Callable[[], Store]) -> None:
    door.loop, door.store = asyncio.get_running_loop(), make_store()
    scheduler = Scheduler(door.store, FixedClock(), os.urandom, door.idle)
    server.config.app = DaprHttp(scheduler, sidecar, load_zone, Metadata(sidecar), door.stop)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(door.address)
        await server.serve(sockets=[listener])
    await door.store.close()


@contextmanager
def served(sidecar: Sidecar, make_store: Callable[[], Store]) -> Iterator[Door]:
    """A server for the time of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        door = Door(probe.getsockname(), Idle())
    # The application is put in once there is a loop for the store.
    server = Server("")
    thread = threading.Thread(target=lambda: uvloop.run(_serve(door, sidecar, server, make_store)))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.01)
        yield door
    finally:
        door.client.close()
        server.end()
        thread.join()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Serves a sidecar over a new SQLite file, or over another store."""

    def start(sidecar: Sidecar = SIDECAR, store: object = None) -> Any:
        path: Path = tmp_path_factory.mktemp("store") / "wakeful.db"
        if store is not None:
            return served(sidecar, lambda: cast(Store, store))
        return served(sidecar, lambda: SqliteStore(path, load_zone, os.urandom))

    return start


@pytest.fixture(scope="module")
def dapr(serve: Callable[..., Any]) -> Iterator[Door]:
    """The server of a module, with one store for all of its tests."""
    with serve() as door:
        yield door


@pytest.fixture(params=["v1.0", "v1.0-alpha1"])
def jobs(request: pytest.FixtureRequest) -> str:
    """The path of the jobs, in both versions."""
    return f"/{request.param}/jobs"


@pytest.fixture(name="check_error")
def give_check_error() -> Callable[..., None]:
    """For the tests that meet errors of Dapr's shape."""
    return check_error


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[SchedulerDoor]:
    """The Scheduler service, with a store of the test's own; modules about other servers have doors of theirs."""
    async with scheduler_door(tmp_path / "wakeful.db") as door:
        yield door
