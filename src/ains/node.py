"""A node without servers of its own: for whoever brings the server, or needs none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from wakeful.rooms import OwnApi, opened

NAMESPACE = "default"
# How long what is in flight may take to end: tasks are only handed on here.
GRACE = timedelta(seconds=5)


@asynccontextmanager
async def started(store: Path) -> AsyncIterator[OwnApi]:
    """A node on that file, as what answers its requests: its engine runs, and makes tasks of schedules.

    Raises:
        WakefulError: the store can't be used.
    """
    async with opened(store) as rooms:
        api = OwnApi(rooms, NAMESPACE)
        rooms.engine.start()
        try:
            yield api
        finally:
            rooms.engine.drain()
            await rooms.engine.stop(GRACE)
