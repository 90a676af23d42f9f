"""What every node is made of: a store, an engine and a scheduler; and what is on a node's own port."""

import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
from starlette.types import Receive, Scope, Send

from wakeful import __version__, zones
from wakeful.clock import SystemClock
from wakeful.core.job import task_queue
from wakeful.engine import Engine, Limits
from wakeful.faces.aitp.desk import Desk
from wakeful.faces.aitp.http import PREFIXES, aitp_app
from wakeful.faces.rest.http import rest_app
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore

log = logging.getLogger("wakeful")

# The writer's thread and the event loop hand the interpreter to each other this often.
SWITCH_INTERVAL_S = 0.0005
# Runs of schedules that are on their way to a queue of agents; they stay there for milliseconds.
DESK_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Rooms:
    """One node's, on one store; the engine is still to be started, and is to be stopped before the store closes."""

    path: Path
    store: SqliteStore
    engine: Engine
    scheduler: Scheduler


@asynccontextmanager
async def opened(path: Path, limits: Limits | None = None, host: str | None = None) -> AsyncIterator[Rooms]:
    """The rooms of a node that calls itself by ``host`` and its process; jobs follow the zone data in use.

    Raises:
        WakefulError: the store can't be used.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    store = SqliteStore(path, zones.load_zone, os.urandom)
    try:
        clock = SystemClock()
        engine = Engine(store, clock, os.urandom, f"{host or socket.gethostname()}:{os.getpid()}", limits)
        scheduler = Scheduler(store, clock, os.urandom, engine, records=store.records)
        await _use_zone_data(scheduler)
        yield Rooms(path, store, engine, scheduler)
    finally:
        await store.close()


async def _use_zone_data(scheduler: Scheduler) -> None:
    moved = await scheduler.use_zone_data(zones.VERSION)
    if moved:
        log.warning(
            "tzdata %s has other rules than were used before: %d jobs have another next run", zones.VERSION, moved
        )


def facts(store: Path) -> dict[str, str]:
    """What is in use."""
    sqlite = apsw.sqlite_lib_version()
    return {"version": __version__, "tzdata": zones.VERSION, "sqlite": sqlite, "store": str(store)}


class OwnApi:
    """What is on a node's own port: the doors of others by the beginning of their paths, and ours."""

    def __init__(self, rooms: Rooms, namespace: str) -> None:
        self._aitp = aitp_app(rooms.scheduler, namespace, zones.load_zone, os.urandom)
        self._rest = rest_app(rooms.scheduler, facts(rooms.path))
        rooms.scheduler.attach(task_queue(namespace), Desk(namespace), DESK_LIMIT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        door = scope["path"].lstrip("/").partition("/")[0]
        await (self._aitp if door in PREFIXES else self._rest)(scope, receive, send)

    def drain(self) -> None:
        """Lets nobody wait for work any more."""
        self._aitp.drain()
