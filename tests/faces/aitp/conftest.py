"""The AITP face as clients and agents meet it: over HTTP, on a node whose engine runs."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import apsw
import httpx2
import pytest
import uvloop

from support.http_server import Server, listening
from support.processes import PLAIN
from wakeful.clock import SystemClock
from wakeful.core.job import task_queue
from wakeful.engine import Engine
from wakeful.faces.aitp.desk import Desk
from wakeful.faces.aitp.http import aitp_app
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.testing import World, world
from wakeful.zones import load_zone

T = TypeVar("T")
NAMESPACE = "default"
# A Friday, as in the document.
START = "2025-11-28T02:45:00Z"


def outside(path: Path, query: str, values: tuple[object, ...]) -> list[dict[str, Any]]:
    """What a second connection to the file reads there; two libraries in one process would break its locks."""
    with closing(apsw.Connection(str(path))) as db:
        cursor = db.execute(query, values)
        names = [name for name, *_ in cursor.get_description()] if query.startswith(("SELECT", "EXPLAIN")) else []
        return [dict(zip(names, row, strict=True)) for row in cursor]


def body(**more: Any) -> dict[str, Any]:
    """The document's example of a schedule, with changes; what is ``...`` is left out."""
    example = {
        "client_id": "client-1",
        "task_type": "daily-report",
        "capability_required": "report-generation",
        "input_data": {"report_type": "daily", "format": "pdf"},
        "priority": 7,
        "cron_expression": "0 9 * * *",
        "description": "Daily report",
        "timezone": "America/New_York",
    }
    return {name: value for name, value in (example | more).items() if value is not ...}


def task_body(**more: Any) -> dict[str, Any]:
    """A task, with changes."""
    task = {"client_id": "client-1", "task_type": "report", "capability_required": "reports", "input_data": {"n": 1}}
    return {name: value for name, value in (task | more).items() if value is not ...}


class Node:
    """A node in real time: its face, and a look behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = listening()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.client = httpx2.Client(base_url=self.url, timeout=30, **PLAIN)
        self.loop: asyncio.AbstractEventLoop
        self.scheduler: Scheduler
        self.server: Server | None = None

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        store = SqliteStore(self.path, load_zone, os.urandom)
        engine = Engine(store, SystemClock(), os.urandom, "tests")
        self.scheduler = Scheduler(store, SystemClock(), os.urandom, engine, records=store.records)
        desk = Desk(NAMESPACE)
        engine.attach(task_queue(NAMESPACE), desk, 1_000)
        engine.start()
        self.app = aitp_app(self.scheduler, NAMESPACE, load_zone, os.urandom)
        server = Server(self.app)
        self.server = server
        try:
            await server.serve(sockets=[self.listener])
        finally:
            await engine.stop(timedelta(seconds=1))
            await store.close()

    def behind(self, work: Awaitable[T]) -> T:
        """What a call of the scheduler's gives."""

        async def done() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(10)

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """What an outsider reads in the file."""
        return outside(self.path, query, values)

    def made(self, **more: Any) -> str:
        """The id of a new task."""
        answer = self.client.post("/aitp/tasks", json=task_body(**more))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    def claim(self, agent_id: str = "agent-1", **more: Any) -> list[dict[str, Any]]:
        """What an agent gets that asks for reports, unless it asks for something else."""
        asked = {"agent_id": agent_id, "capability": "reports", "limit": 10, "wait_seconds": 1, **more}
        answer = self.client.post("/aitp/tasks/claim", json=asked)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["tasks"])

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as it is now."""
        answer = self.client.get(f"/aitp/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextmanager
def running(path: Path) -> Iterator[Node]:
    """A node on that file, for the time of the block."""
    node = Node(path)
    thread = threading.Thread(target=lambda: uvloop.run(node.serve()))
    thread.start()
    try:
        while node.server is None or not node.server.started:
            assert thread.is_alive(), "the node did not start"
            thread.join(0.01)
        yield node
    finally:
        node.client.close()
        if node.server is not None:
            node.server.end()
        thread.join()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for the tests of a module; each uses its own clients and capabilities where others would disturb."""
    with running(tmp_path_factory.mktemp("store") / "wakeful.db") as started:
        yield started


@pytest.fixture(name="running", scope="session")
def give_running() -> Callable[[Path], Any]:
    """For tests that need several."""
    return running


@pytest.fixture
def node_of_its_own(tmp_path: Path) -> Iterator[Node]:
    """One for a test that ends it."""
    with running(tmp_path / "wakeful.db") as started:
        yield started


class Turned:
    """A node in time that the test turns, and a client of it."""

    def __init__(self, here: World, url: str, path: Path) -> None:
        self.world = here
        self.client = httpx2.AsyncClient(base_url=url, timeout=30, **PLAIN)
        self.path = path
        self.body = body

    @property
    def now(self) -> datetime:
        return self.world.now

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """What an outsider reads in the store's file, or does to it."""
        return outside(self.path, query, values)

    def restart(self) -> None:
        """The node that was killed starts again, its desk with it."""
        self.world.restart()
        self.attach()

    def attach(self) -> None:
        self.world.scheduler.attach(task_queue(NAMESPACE), Desk(NAMESPACE), 1_000)

    async def advance(self, **units: float) -> None:
        await self.world.advance(**units)

    async def ask(self, method: str, path: str, status: int = 200, **request: Any) -> Any:
        """An answer that may take time to come into being: time goes on for it by milliseconds."""
        asked = asyncio.ensure_future(self.client.request(method, path, **request))
        while not asked.done():
            await asyncio.wait([asked], timeout=0.05)
            if not asked.done():
                await self.world.advance(milliseconds=10)
        answer = asked.result()
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    async def created(self, **more: Any) -> str:
        """The id of a new schedule."""
        return str((await self.ask("POST", "/aitp/tasks/schedule", json=body(**more)))["schedule_id"])

    async def schedule(self, schedule_id: str) -> dict[str, Any]:
        """A schedule as it is now."""
        return dict(await self.ask("GET", f"/aitp/tasks/schedule/{schedule_id}"))

    async def executions(self, schedule_id: str, **params: Any) -> list[dict[str, Any]]:
        """Its executions, newest first."""
        answer = await self.ask("GET", f"/aitp/tasks/schedule/{schedule_id}/executions", params=params)
        return list(answer["executions"])

    async def claim(self, capability: str = "report-generation", **more: Any) -> list[dict[str, Any]]:
        """What an agent gets now."""
        asked = {"agent_id": "agent-1", "capability": capability, "limit": 100, **more}
        return list((await self.ask("POST", "/aitp/tasks/claim", json=asked))["tasks"])

    async def report(self, task: dict[str, Any], what: str = "complete", status: int = 200, **more: Any) -> Any:
        """What the agent says of a task that it has claimed."""
        said = {"agent_id": "agent-1", "fence": task["fence"], **more}
        return await self.ask("POST", f"/aitp/tasks/{task['task_id']}/{what}", status, json=said)


@asynccontextmanager
async def turned(path: Path, start: str = START) -> AsyncIterator[Turned]:
    """A node on that file whose clock stands still at ``start``."""
    async with world(start, path=path) as here:
        server = Server(aitp_app(here.scheduler, NAMESPACE, load_zone, os.urandom))
        listener = listening()
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        there = Turned(here, f"http://127.0.0.1:{listener.getsockname()[1]}", path)
        try:
            while not server.started:
                await asyncio.sleep(0.001)
            there.attach()
            await here.advance(milliseconds=10)
            yield there
        finally:
            await there.client.aclose()
            server.end()
            await serving


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Turned]:
    """A node of the test's own, in turned time."""
    async with turned(tmp_path / "wakeful.db") as made:
        yield made


@pytest.fixture(name="body")
def give_body() -> Callable[..., dict[str, Any]]:
    return body


@pytest.fixture(name="task_body")
def give_task_body() -> Callable[..., dict[str, Any]]:
    return task_body


@pytest.fixture(name="turned")
def give_turned() -> Callable[..., Any]:
    """For nodes whose clock starts elsewhere."""
    return turned
