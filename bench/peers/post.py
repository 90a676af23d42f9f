"""What the peers do alike: their jobs make one POST to the far side over a kept connection, the instant in a header.

Standard library only: it runs in the peers' own environments.
"""

import asyncio
import http.client
import json
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

DATA = "x" * 198
BODY = json.dumps(DATA).encode()
_local = threading.local()


def instant(us: int) -> str:
    """RFC 3339 with microseconds."""
    seconds, rest = divmod(us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def post(port: int, name: str, due_us: int) -> None:
    """From a thread."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/json", "wakeful-scheduled-for": instant(due_us)}
    connection.request("POST", f"/job/{name}", BODY, headers)
    connection.getresponse().read()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if b"\r\n\r\n" in data and self.answer is not None and not self.answer.done():
            self.answer.set_result(None)


class Pool:
    """From an event loop: at most so many connections, as few bytes of Python a call as ours."""

    def __init__(self, port: int, most: int = 256) -> None:
        self._port = port
        self._idle: deque[_Connection] = deque()
        self._room = asyncio.Semaphore(most)

    async def post(self, name: str, due_us: int) -> None:
        loop = asyncio.get_running_loop()
        async with self._room:
            if self._idle:
                connection = self._idle.pop()
            else:
                _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
            connection.answer = loop.create_future()
            head = f"POST /job/{name} HTTP/1.1\r\nhost: 127.0.0.1\r\nwakeful-scheduled-for: {instant(due_us)}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
            connection.transport.write(head.encode() + BODY)  # type: ignore[attr-defined]
            await connection.answer
            self._idle.append(connection)


def _told(took: list[float], seconds: float) -> str:
    took.sort()
    at = lambda part: took[min(len(took) - 1, int(part * len(took)))] * 1e3 if took else 0.0  # noqa: E731
    return json.dumps({"rate": len(took) / seconds, "p50_ms": at(0.5), "p99_ms": at(0.99)})


def rate_of_threads(call: Callable[[int], object], callers: int, seconds: float) -> str:
    """How many calls so many threads make; ``call`` gets a number of its own each time."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    def caller(first: int) -> None:
        number = first
        while (begin := time.perf_counter()) < until:
            call(number)
            took.append(time.perf_counter() - begin)
            number += callers

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _told(took, seconds)


def scheduled(command: str, numbers: Sequence[float], add: Callable[[int, str, int], object]) -> None:
    """The commands ``rate`` and ``create`` of a peer that is called from threads; ``add`` takes number, prefix and due.

    Of other commands nothing is done.
    """
    if command == "rate":
        due_us = int((time.time() + 86_400) * 1e6)
        print(rate_of_threads(lambda number: add(number, "far", due_us), int(numbers[0]), numbers[1]), flush=True)
    elif command == "create":
        begin = time.monotonic()
        for i in range(int(numbers[0])):
            add(i, "burst", int(numbers[1]))
        print(json.dumps({"seconds": time.monotonic() - begin}), flush=True)


async def rate_of_tasks(call: Callable[[int], Awaitable[object]], callers: int, seconds: float) -> str:
    """The same with tasks."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def caller(first: int) -> None:
        number = first
        while (begin := time.perf_counter()) < until:
            await call(number)
            took.append(time.perf_counter() - begin)
            number += callers

    await asyncio.gather(*(caller(i) for i in range(callers)))
    return _told(took, seconds)
