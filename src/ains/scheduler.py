"""``TaskScheduler`` and ``scheduler_worker``, as the AITP document has them, over wakeful's store."""

import asyncio
import os
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.types import Message

from ains.node import NAMESPACE, started
from wakeful import zones
from wakeful.clock import SystemClock
from wakeful.config import store_path
from wakeful.core.job import JobState
from wakeful.core.ports import JobQuery
from wakeful.faces.aitp.access import Caller
from wakeful.faces.aitp.agents import Agents
from wakeful.faces.aitp.errors import Refused
from wakeful.faces.aitp.ids import SCHEDULE
from wakeful.faces.aitp.schedules import ScheduleRoutes
from wakeful.faces.aitp.views import schedule_detail
from wakeful.faces.aitp.wire import Call
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore

T = TypeVar("T")
_FIELDS = ("client_id", "task_type", "capability_required", "input_data", "cron_expression", "priority", "description")
_PATH = ("aitp", "tasks", "schedule")


class ScheduledTask(dict[str, Any]):
    """A schedule: by key as the API shows it, by attribute as a row has it, with instants as ``datetime``."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(name) from None
        return datetime.fromisoformat(value) if name.endswith("_at") and isinstance(value, str) else value


class TaskScheduler:
    """Schedules on a store: its URL, its file, or by default that of every other node of this user.

    Each call opens the store, does one thing and is durable when it returns; nodes may run on the file meanwhile. The
    document gives a SQLAlchemy session here. One is taken, too, with a warning: schedules are kept in wakeful's store.
    """

    def __init__(self, db: object = None) -> None:
        self._store = _store_of(db)

    def create_schedule(self, *given: Any, **fields: Any) -> ScheduledTask:
        """Makes a schedule of one mapping, or of fields as the API has them.

        By place: client_id, task_type, capability_required, input_data, cron_expression, priority, description.

        Raises:
            ValueError: it can't be; the message says which field is wrong.
            WakefulError: the store can't be used.
        """
        by_place = given[0] if len(given) == 1 and isinstance(given[0], Mapping) else zip(_FIELDS, given, strict=False)
        said = {name: value for name, value in {**dict(by_place), **fields}.items() if value is not None}
        made = self._asked("POST", _PATH, body=msgspec.json.encode(said))
        return ScheduledTask(self._asked("GET", (*_PATH, "*"), made["schedule_id"]))

    def get_due_schedules(self) -> list[ScheduledTask]:
        """Active schedules whose instant has come and that no node has executed yet: usually none."""

        async def due(scheduler: Scheduler) -> list[ScheduledTask]:
            query = JobQuery(NAMESPACE, name_prefix=SCHEDULE, kind="task", states=(JobState.ACTIVE,))
            now = scheduler.now()
            return [
                ScheduledTask(schedule_detail(record, None))
                async for record in scheduler.all_jobs(query)
                if record.next_due_at is not None and record.next_due_at <= now
            ]

        return self._done(due)

    def execute_schedule(self, schedule: "str | Mapping[str, Any]") -> str:
        """Makes a task of a schedule, or of the one of that id, now and beside its instants; the task's id.

        Raises:
            ValueError: there is none.
            WakefulError: the store can't be used.
        """
        named = schedule if isinstance(schedule, str) else schedule["schedule_id"]
        task_id = self._asked("POST", (*_PATH, "*", "execute"), named)["task_id"]
        print(f"executed schedule {named}: task {task_id}")
        return str(task_id)

    def pause_schedule(self, schedule_id: str) -> bool:
        """Keeps a schedule from being executed; whether there is one."""
        return self._exists("pause", schedule_id)

    def resume_schedule(self, schedule_id: str) -> bool:
        """Lets a schedule go on with what comes next; whether there is one."""
        return self._exists("resume", schedule_id)

    def _exists(self, what: str, schedule_id: str) -> bool:
        try:
            self._asked("POST", (*_PATH, "*", what), schedule_id)
        except LookupError:
            return False
        return True

    def _asked(self, method: str, path: tuple[str, ...], part: str = "", body: bytes = b"") -> dict[str, Any]:
        """What the API would answer to somebody who may do everything, as one may who can open the file."""

        async def ask(scheduler: Scheduler) -> dict[str, Any]:
            async def receive() -> Message:
                return {"type": "http.request", "body": body}

            agents = Agents(scheduler.documents, NAMESPACE)
            routes = ScheduleRoutes(scheduler, agents, NAMESPACE, zones.load_zone, os.urandom).handlers()
            _, handler = routes[path][method]
            call = Call({"type": "http", "query_string": b"", "headers": []}, receive, part, Caller())
            answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(await handler(call)))
            return answer

        try:
            return self._done(ask)
        except Refused as refused:
            raise _error(refused) from None

    def _done(self, work: Callable[[Scheduler], Awaitable[T]]) -> T:
        """Does the work with the store open, in a thread of its own: the caller may be in an event loop."""

        async def opened() -> T:
            store = SqliteStore(self._store, zones.load_zone, os.urandom)
            try:
                return await work(Scheduler(store, SystemClock(), os.urandom, records=store.records))
            finally:
                await store.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_in_loop, opened()).result()


async def scheduler_worker(db: object = None) -> None:
    """A node without an API, until it is cancelled: it executes what is due, when it is due.

    ``ains.api:app`` is a node already and needs none.

    Raises:
        WakefulError: the store can't be used.
    """
    async with started(_store_of(db)):
        await asyncio.Event().wait()


def _in_loop(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _store_of(db: object) -> Path:
    if isinstance(db, Path):
        return db
    if db is not None and not isinstance(db, str):
        warnings.warn("schedules are kept in wakeful's store, not where this session leads", stacklevel=3)
    return store_path(db if isinstance(db, str) else None, os.environ)


def _error(refused: Refused) -> Exception:
    """What Python code expects in the place of a status."""
    detail = refused.detail
    if isinstance(detail, list):
        text = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in detail)
        return ValueError(text)
    return _NoScheduleError(str(detail)) if refused.status == 404 else ValueError(str(detail))


class _NoScheduleError(LookupError, ValueError):
    """There is no such schedule."""
