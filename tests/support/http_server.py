"""uvicorn as tests need it: it leaves the signals to them, and ends without pauses of a tenth of a second."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


class Server(uvicorn.Server):
    """Serves until ``end``, which any thread may call."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", interface="asgi3", access_log=False, log_level="error"
        )
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.001)

    def end(self) -> None:
        """Requests that have begun are answered, and no others."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)


def listening() -> socket.socket:
    """A socket on a free port."""
    # asyncio sends without delay only where the protocol is named.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener
