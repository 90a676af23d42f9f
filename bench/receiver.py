"""The far side of every delivery: answers at once and notes when each call arrived.

Run as a process. It prints its port, then obeys lines on standard input: ``reset``; ``wait COUNT SECONDS``, answered
with the number of calls so far, at the latest after so many seconds; ``dump FILE``. It ends with standard input.
With ``--null`` it answers 204 and notes nothing: what is left is the cost of the harness.
"""

import asyncio
import gc
import re
import sys
import time
from array import array
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
import uvloop

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\ncontent-length:[ \t]*([0-9]+)")
_HEADERS = re.compile(rb"(?i)\nwakeful-(run-id|attempt|scheduled-for):[ \t]*([^\r\n]*)")


class Log:
    """What arrived: the instant, and the head as it was; read only when somebody asks."""

    def __init__(self) -> None:
        self.times = array("q")
        self.heads: list[bytes] = []
        self.wanted = 0
        self.enough = asyncio.Event()

    def note(self, now_ns: int, head: bytes) -> None:
        self.times.append(now_ns)
        self.heads.append(head)
        if len(self.heads) == self.wanted:
            self.enough.set()

    def reset(self) -> None:
        self.times = array("q")
        self.heads = []

    async def wait(self, count: int, seconds: float) -> int:
        self.wanted = count
        self.enough.clear()
        if len(self.heads) < count:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.enough.wait(), seconds)
        return len(self.heads)

    def dump(self, path: Path) -> int:
        rows = [_arrival(at, head) for at, head in zip(self.times, self.heads, strict=True)]
        path.write_bytes(msgspec.msgpack.encode(rows))
        return len(rows)


def _arrival(at_ns: int, head: bytes) -> tuple[str, int, int, str, int]:
    """Name, arrival and nominal instant in microseconds, run id, attempt."""
    path = head.split(b" ", 2)[1]
    told = {name.lower(): value.decode() for name, value in _HEADERS.findall(head)}
    due = told.get(b"scheduled-for")
    due_us = round(datetime.fromisoformat(due).timestamp() * 1e6) if due else 0
    name = path.rsplit(b"/", 1)[-1].decode()
    return name, at_ns // 1000, due_us, told.get(b"run-id", ""), int(told.get(b"attempt", "1"))


class FarSide(asyncio.Protocol):
    """One connection; requests may come in pieces or several at once."""

    def __init__(self, log: Log | None) -> None:
        self._log = log
        self._answer = _NO_CONTENT if log is None else _OK
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now_ns = time.time_ns()
        if self._rest:
            data = self._rest + data
        begin = answered = 0
        while (end := data.find(b"\r\n\r\n", begin)) >= 0:
            head = data[begin:end]
            length = _LENGTH.search(head)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(data) < stop:
                break
            if self._log is not None:
                self._log.note(now_ns, head)
            answered += 1
            begin = stop
        self._rest = data[begin:]
        if answered:
            self._transport.write(self._answer * answered)


async def _obey(log: Log | None, line: str) -> str:
    match line.split():
        case ["reset"] if log:
            log.reset()
            return "0"
        case ["wait", count, seconds] if log:
            return str(await log.wait(int(count), float(seconds)))
        case ["dump", path] if log:
            return str(log.dump(Path(path)))
    return "?"


async def _serve(null: bool) -> None:
    gc.disable()
    log = None if null else Log()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FarSide(log), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(await _obey(log, line.decode()), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve("--null" in sys.argv))
