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
from types import FrameType

from starlette.types import Receive, Scope, Send

from ains.node import started
from wakeful.config import ConfigError, store_path
from wakeful.core.errors import WakefulError
from wakeful.rooms import OwnApi

log = logging.getLogger("wakeful")


class _App:
    """One ASGI application; it is a node from its lifespan's startup to its shutdown."""

    def __init__(self) -> None:
        self._api: OwnApi | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or lives."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] != "http":
            raise NotImplementedError("this application speaks HTTP only")
        elif self._api is None:
            await _refuse(send)
        else:
            await self._api(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        _log_somewhere()
        try:
            store = store_path(None, os.environ)
            async with started(store) as api:
                self._api = api
                log.info("a node runs on %s", store)
                with _told_of_signals(api.drain):
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                self._api = None
        except (ConfigError, WakefulError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


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
