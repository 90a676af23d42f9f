"""The AITP routes without anything behind them, and tasks without end: what the load alone can do. Prints its port."""

import asyncio
import json
from itertools import count
from typing import Any

import uvloop

_numbers = count()


def _answer(body: Any) -> bytes:
    text = json.dumps(body, separators=(",", ":"))
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()


def _task() -> dict[str, Any]:
    """As long as a real one."""
    made = {"task_id": f"task-{next(_numbers):032x}", "fence": 1, "input_data": {"text": "x" * 180}}
    told = {"client_id": "bench", "task_type": "bench", "capability_required": "bench-v1", "metadata": None}
    at = {"lease_expires_at": "2030-01-01T00:00:00Z", "scheduled_for": "2030-01-01T00:00:00Z", "schedule_id": None}
    return {**made, **told, **at, "priority": 5, "status": "ASSIGNED", "retry_count": 0}


_MADE = _answer({**_task(), "created_at": "2030-01-01T00:00:00Z"})
_COMPLETED = _answer({"task_id": f"task-{0:032x}", "status": "COMPLETED"})


class Null(asyncio.Protocol):
    """Answers each request once it is whole."""

    def __init__(self) -> None:
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        place = got.find(b"content-length:")
        if len(got) < end + 4 + int(got[place + 15 :].split(b"\r", 1)[0]):
            return
        self._got = b""
        self._transport.write(_reply(got))


def _reply(request: bytes) -> bytes:
    if request.startswith(b"POST /aitp/tasks/claim"):
        return _answer({"tasks": [_task() for _ in range(20)]})
    return _COMPLETED if b"/complete " in request[:100] else _MADE


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


uvloop.run(main())
