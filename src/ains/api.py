"""``uvicorn ains.api:app --port 8000``: a whole node with the AITP face, in any ASGI server that has lifespans.

The store is ``WAKEFUL_STORE`` (``sqlite:///file.db``), or the file that ``wakeful serve`` uses. Several such processes,
as by ``--workers 2``, are nodes on one file.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import apsw
from starlette.types import ASGIApp, Receive, Scope, Send

from ains.node import NAMESPACE, started
from wakeful import __version__, zones
from wakeful.config import ConfigError, store_path
from wakeful.core.errors import WakefulError
from wakeful.faces.aitp.http import PREFIXES, AitpHttp, aitp_app
from wakeful.faces.rest.http import rest_app
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful")


class _App:
    """One ASGI application; it is a node from its lifespan's startup to its shutdown."""

    def __init__(self) -> None:
        self._aitp: AitpHttp | None = None
        self._rest: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or lives."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] != "http":
            raise NotImplementedError("this application speaks HTTP only")
        elif self._aitp is None or self._rest is None:
            await _refuse(send)
        elif scope["path"].lstrip("/").partition("/")[0] in PREFIXES:
            await self._aitp(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        _log_somewhere()
        try:
            store = store_path(None, os.environ)
            async with started(store) as scheduler:
                drain = self._open(scheduler, store)
                with _told_of_signals(drain):
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                self._aitp = self._rest = None
        except (ConfigError, WakefulError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self, scheduler: Scheduler, store: Path) -> Callable[[], None]:
        facts = {"version": __version__, "tzdata": zones.VERSION, "sqlite": apsw.sqlite_lib_version()}
        self._aitp = aitp_app(scheduler, NAMESPACE, zones.load_zone, os.urandom)
        self._rest = rest_app(scheduler, {**facts, "store": str(store)})
        log.info("a node runs on %s", store)
        return self._aitp.drain


@contextmanager
def _told_of_signals(stopping: Callable[[], None]) -> Iterator[None]:
    """ASGI tells of a shutdown only after all answers are given; the server's signals come before that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mine = threading.current_thread() is threading.main_thread()
    loop = asyncio.get_running_loop()

    def tell(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        # What is no function is not the server's: the default, or nothing.
        if mine and callable(handler):
            signal.signal(number, tell)
    try:
        yield
    finally:
        stopping()
        for number, handler in before.items():
            if mine and signal.getsignal(number) is tell:
                signal.signal(number, handler)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    body = b'{"detail":"this node does not run: it stops, or was not started"}'
    await send({"type": "http.response.body", "body": body})


def _log_somewhere() -> None:
    """uvicorn's own log is all that its command sets up: what a node does should be seen as well."""
    if not log.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


app = _App()
