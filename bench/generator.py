"""The load: raw HTTP/1.1 over kept connections, each caller waiting for its answer before it asks again.

Run as a process with one JSON argument; prints one JSON line. ``kind`` says what is sent:

- ``far``: jobs due in a day, for ``seconds``, after ``warm_s``; how many were answered, and how long each took.
- ``at``: ``count`` one-shots, the i-th due at ``start_us + i * step_ns / 1000``.
- ``every``: the same with ``@every 1s`` and ``repeats``.
- ``callback``: what wakeful sends to an app, for ``seconds``; to learn what the receiver can take.
"""

import asyncio
import gc
import json
import sys
import time
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import uvloop

DATA = "x" * 198  # 200 bytes as JSON
_ANSWER_LIMIT_S = 10.0


def _post(path: str, body: str, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def instant(us: int) -> str:
    """RFC 3339 with microseconds."""
    seconds, rest = divmod(us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def requests(spec: dict[str, Any]) -> Iterator[bytes]:
    """What is sent, one after the other; without end where time ends it."""
    kind, prefix, data = spec["kind"], spec.get("prefix", "job"), json.dumps(DATA)
    count = spec.get("count", 1 << 40)
    for i in range(count):
        path = f"/v1.0/jobs/{prefix}-{i}"
        due = instant(spec["start_us"] + i * spec["step_ns"] // 1000) if "start_us" in spec else ""
        if kind == "far":
            yield _post(path, f'{{"dueTime":"24h","data":{data}}}')
        elif kind == "at":
            yield _post(path, f'{{"dueTime":"{due}","data":{data}}}')
        elif kind == "every":
            repeats = spec["repeats"]
            yield _post(path, f'{{"schedule":"@every 1s","dueTime":"{due}","repeats":{repeats},"data":{data}}}')
        else:
            told = f"wakeful-run-id: {i:032x}\r\nwakeful-attempt: 1\r\nwakeful-scheduled-for: 2030-01-01T00:00:00Z\r\n"
            yield _post(f"/job/{prefix}-{i}", data, told)


class Load:
    """What all callers share: the next request, and what came of those before."""

    def __init__(self, spec: dict[str, Any], callers: int) -> None:
        self._requests = requests(spec)
        self._left = callers
        now = time.perf_counter_ns()
        warm_ns = int(spec.get("warm_s", 0) * 1e9)
        self._from = now + warm_ns
        self._until = self._from + int(spec.get("seconds", 1e9) * 1e9)
        self.latencies = array("q")
        self.total = 0
        self.errors = 0
        self.first_error = ""
        self.done = asyncio.Event()
        self.began = now
        self.ended = now

    def next(self) -> bytes | None:
        return next(self._requests, None) if time.perf_counter_ns() < self._until else None

    def answered(self, sent_ns: int, status: bytes, data: bytes) -> None:
        now = time.perf_counter_ns()
        self.ended = now
        self.total += 1
        if not status.startswith(b"2"):
            self.errors += 1
            self.first_error = self.first_error or data[:300].decode("utf-8", "replace")
        elif self._from <= now <= self._until:
            self.latencies.append(now - sent_ns)

    def caller_ended(self, why: str = "") -> None:
        self.errors += bool(why)
        self.first_error = self.first_error or why
        self._left -= 1
        if not self._left:
            self.done.set()

    def result(self) -> dict[str, Any]:
        latencies = sorted(self.latencies)
        counted_s = (min(self.ended, self._until) - max(self.began, self._from)) / 1e9

        def at(part: float) -> float:
            return latencies[min(len(latencies) - 1, int(part * len(latencies)))] / 1e6 if latencies else 0.0

        return {
            "answered": len(latencies),
            "total": self.total,
            "seconds": counted_s,
            "rate": len(latencies) / counted_s if counted_s > 0 else 0.0,
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
            "max_ms": at(1.0),
            "errors": self.errors,
            "first_error": self.first_error,
            "ended_us": time.time_ns() // 1000,
        }


class Caller(asyncio.Protocol):
    """One connection with one request in flight."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = self._load.next()
        if request is None:
            self._open = False
            self._transport.close()
            self._load.caller_ended()
            return
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._got[:end].lower()
        place = head.find(b"\ncontent-length:")
        length = int(head[place + 16 :].split(b"\r", 1)[0]) if place >= 0 else 0
        if len(self._got) < end + 4 + length:
            return
        got, self._got = self._got, b""
        self._load.answered(self._sent_ns, head[9:12], got)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._open = False
            self._load.caller_ended(f"the connection was lost: {exc}")


async def _run(spec: dict[str, Any]) -> dict[str, Any]:
    gc.disable()
    load = Load(spec, spec["callers"])
    loop = asyncio.get_running_loop()
    for _ in range(spec["callers"]):
        await loop.create_connection(lambda: Caller(load), "127.0.0.1", spec["port"])
    limit_s = spec.get("limit_s", spec.get("warm_s", 0) + spec.get("seconds", 120) + _ANSWER_LIMIT_S)
    try:
        await asyncio.wait_for(load.done.wait(), limit_s)
    except TimeoutError:
        load.errors += 1
        load.first_error = load.first_error or f"not done within {limit_s:g} s"
    return load.result()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(json.loads(sys.argv[1])))))
