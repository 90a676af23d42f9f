"""``cron_state.json``: what the daemon knows, in a file for everybody who likes to read it."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from wakeful.faces.cron.history import Row
from wakeful.files import write

log = logging.getLogger("wakeful.cron")

HISTORY = 20
# Changes that come so close together are written together; with many jobs, so that a tenth of the time is enough.
_TOGETHER_S = 0.25
_SHARE = 10


class Snapshot:
    """The file at ``path``: written soon after each ``changed``, and every so often anyway, for the times to come."""

    def __init__(self, path: Path, state: Callable[[], Awaitable[Row]], every: timedelta) -> None:
        self._path = path
        self._state = state
        self._every_s = every.total_seconds()
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._problem = ""

    def changed(self) -> None:
        """Something of it is otherwise now."""
        self._changed.set()

    async def run(self) -> None:
        """Writes until it is cancelled."""
        loop, took_s = asyncio.get_running_loop(), 0.0
        while True:
            # Not wait_for, which in Python 3.11 may lose a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._changed.wait()
                await asyncio.sleep(max(_TOGETHER_S, _SHARE * took_s))
            self._changed.clear()
            began = loop.time()
            await self.try_to_write()
            took_s = loop.time() - began

    async def try_to_write(self) -> None:
        """As ``write``; what fails is logged, once as long as it stays the same."""
        try:
            await self.write()
            self._problem = ""
        except Exception as error:
            # Whatever it is, the jobs go on without the file.
            if str(error) != self._problem:
                log.warning("%s can't be written: %s", self._path, error)
            self._problem = str(error)

    async def write(self) -> Path:
        """Writes it now; where.

        Raises:
            OSError: it can't be written.
            WakefulError: the store can't be read.
        """
        async with self._writing:
            state = await self._state()
            await asyncio.to_thread(self._write, state)
        return self._path

    def _write(self, state: Row) -> None:
        write(self._path, (json.dumps(state, indent=2, ensure_ascii=False) + "\n").encode())
