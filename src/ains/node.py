"""A node without servers of its own: for whoever brings the server, or needs none."""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from wakeful import zones
from wakeful.clock import SystemClock
from wakeful.core.job import task_queue
from wakeful.engine import Engine
from wakeful.faces.aitp.desk import Desk
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore

NAMESPACE = "default"
# How long what is in flight may take to end: tasks are only handed on here.
GRACE = timedelta(seconds=5)
MOST_HANDED_ON = 1_000
# The writer's thread and the event loop hand the interpreter to each other this often.
SWITCH_INTERVAL_S = 0.0005


@asynccontextmanager
async def started(store: Path) -> AsyncIterator[Scheduler]:
    """A node on that file: its engine runs, and makes tasks of schedules.

    Raises:
        WakefulError: the store can't be used.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    opened = SqliteStore(store, zones.load_zone, os.urandom)
    try:
        engine = Engine(opened, SystemClock(), os.urandom, f"{socket.gethostname()}:{os.getpid()}")
        scheduler = Scheduler(opened, SystemClock(), os.urandom, engine, records=opened.records)
        scheduler.attach(task_queue(NAMESPACE), Desk(NAMESPACE), MOST_HANDED_ON)
        await scheduler.use_zone_data(zones.VERSION)
        engine.start()
        try:
            yield scheduler
        finally:
            engine.drain()
            await engine.stop(GRACE)
    finally:
        await opened.close()
