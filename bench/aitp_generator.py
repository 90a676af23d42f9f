"""Clients that make tasks and agents that claim and complete them: raw HTTP/1.1, one process, one JSON argument.

``kind`` is ``make``, ``work`` (what was made before) or ``all`` (both at once); prints one JSON line. Every maker and
every agent has a connection of its own and waits for each answer. An agent claims ``limit`` tasks, completes each by a
request of its own, and claims again.
"""

import asyncio
import gc
import json
import sys
import time
from typing import Any

import uvloop

MAKE = json.dumps(
    {"client_id": "bench", "task_type": "bench", "capability_required": "bench-v1", "input_data": {"text": "x" * 180}}
)
RESULT = '"result_data":{"ok":true}'


class RefusedError(Exception):
    """An answer that is no success."""


class Caller(asyncio.Protocol):
    """One connection with one request in flight."""

    def __init__(self) -> None:
        self._got = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def post(self, path: str, body: str) -> bytes:
        """The body of the answer."""
        self._answer = asyncio.get_running_loop().create_future()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self._transport.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        return await self._answer

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        head = got[:end].lower()
        place = head.find(b"\ncontent-length:")
        length = int(head[place + 16 :].split(b"\r", 1)[0])
        if len(got) < end + 4 + length:
            return
        self._got = b""
        answer, self._answer = self._answer, None
        if answer is not None and head[9:10] == b"2":
            answer.set_result(got[end + 4 :])
        elif answer is not None:
            answer.set_exception(RefusedError(got[:300].decode("utf-8", "replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RefusedError(f"the connection was lost: {exc}"))

    def close(self) -> None:
        self._transport.close()


class Load:
    """What is still to be made and to be completed, and how long it all took."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.to_make = spec["count"] if spec["kind"] != "work" else 0
        self.to_complete = spec["count"] if spec["kind"] != "make" else 0
        self.limit = spec.get("limit", 20)
        self.completed = 0
        self.seen: set[str] = set()
        self.calls = 0
        self.ended = 0.0
        self.claims: list[float] = []
        self.completes: list[float] = []
        self.makes: list[float] = []

    async def make(self, caller: Caller) -> None:
        while self.to_make > 0:
            self.to_make -= 1
            began = time.perf_counter()
            await caller.post("/aitp/tasks", MAKE)
            self.ended = time.perf_counter()
            self.makes.append(self.ended - began)
            self.calls += 1

    async def work(self, caller: Caller, agent_id: str) -> None:
        claim = json.dumps(
            {
                "agent_id": agent_id,
                "capability": "bench-v1",
                "limit": self.limit,
                "lease_seconds": 60,
                "wait_seconds": 1,
            }
        )
        while self.completed < self.to_complete:
            began = time.perf_counter()
            tasks = json.loads(await caller.post("/aitp/tasks/claim", claim))["tasks"]
            self.calls += 1
            # One that waited for tasks in vain says nothing of how long a claim takes.
            if tasks:
                self.claims.append(time.perf_counter() - began)
            for task in tasks:
                task_id, fence = task["task_id"], task["fence"]
                began = time.perf_counter()
                said = f'{{"agent_id":"{agent_id}","fence":{fence},{RESULT}}}'
                await caller.post(f"/aitp/tasks/{task_id}/complete", said)
                self.ended = time.perf_counter()
                self.completes.append(self.ended - began)
                self.calls += 1
                self.seen.add(task_id)
                self.completed += 1
                if self.completed >= self.to_complete:
                    return


def _at(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1e3 if ordered else 0.0


async def _run(spec: dict[str, Any]) -> dict[str, Any]:
    gc.disable()
    load = Load(spec)
    loop = asyncio.get_running_loop()
    count = spec["makers"] * (load.to_make > 0) + spec["agents"] * (load.to_complete > 0)
    callers = [(await loop.create_connection(Caller, "127.0.0.1", spec["port"]))[1] for _ in range(count)]
    makers = callers[: spec["makers"]] if load.to_make else []
    agents = callers[len(makers) :]
    began = time.perf_counter()
    async with asyncio.timeout(spec["limit_s"]), asyncio.TaskGroup() as group:
        for caller in makers:
            group.create_task(load.make(caller))
        for number, caller in enumerate(agents):
            group.create_task(load.work(caller, f"agent-{number}"))
    for caller in callers:
        caller.close()
    return {"seconds": load.ended - began, "calls": load.calls, "completed": load.completed, **_figures(load)}


def _figures(load: Load) -> dict[str, Any]:
    return {
        "duplicates": load.completed - len(load.seen),
        "make_p50_ms": _at(load.makes, 0.5),
        "make_p99_ms": _at(load.makes, 0.99),
        "claim_p50_ms": _at(load.claims, 0.5),
        "claim_p99_ms": _at(load.claims, 0.99),
        "complete_p50_ms": _at(load.completes, 0.5),
        "complete_p99_ms": _at(load.completes, 0.99),
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(json.loads(sys.argv[1])))))
