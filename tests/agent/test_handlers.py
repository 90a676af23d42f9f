"""Functions that end in strange ways, and tasks that are none of theirs; the node is one that the test plays."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from wakeful.agent import Agent

pytestmark = pytest.mark.anyio

Report = tuple[str, dict[str, Any]]


class PlayedNode:
    """Has one task of a capability, which it gives out again whenever it is given back; remembers the reports."""

    def __init__(self, capability: str) -> None:
        self.capability = capability
        self.waiting = asyncio.Semaphore(1)
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.fence = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
                body = await reader.readexactly(length)
                answer = json.dumps(await self.answer(head.split()[1].decode(), json.loads(body or b"{}"))).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, said: dict[str, Any]) -> Any:
        what = path.rpartition("/")[2]
        if what == "claim":
            await self.waiting.acquire()
            self.fence += 1
            task = {"task_id": "task-1", "fence": self.fence, "capability_required": self.capability}
            return {"tasks": [task | {"input_data": None}]}
        if what in ("complete", "fail", "release"):
            self.reports.put_nowait((what, said))
            if what == "release":
                self.waiting.release()
        return {}

    async def reported(self) -> Report:
        """The next report."""
        return await asyncio.wait_for(self.reports.get(), 20)


@asynccontextmanager
async def working(capability: str, function: Callable[..., Any], of: str | None = None) -> AsyncIterator[PlayedNode]:
    """An agent that has the function for ``of``, and a node with a task of the capability."""
    node = PlayedNode(capability)
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    agent = Agent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", agent_id="agent-1", grace_s=5)
    agent.task(of or capability)(function)
    serving = asyncio.create_task(agent.serve())
    try:
        yield node
    finally:
        agent.stop()
        await asyncio.wait_for(serving, 20)
        server.close()


async def test_an_async_function_that_cancels_itself_has_failed() -> None:
    async def raises(_: Any) -> None:
        raise asyncio.CancelledError

    async def cancels(_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    for function in (raises, cancels):
        async with working("a", function) as node:
            what, said = await node.reported()
            assert (what, said["retryable"]) == ("fail", True)
            assert "CancelledError" in said["error_message"]


async def test_an_async_function_that_exits_has_failed_and_the_agent_goes_on() -> None:
    async def exits(_: Any) -> None:
        if len(done) == 0:
            done.append(1)
            sys.exit(3)

    done: list[int] = []
    async with working("a", exits) as node:
        what, said = await node.reported()
        assert (what, "SystemExit: 3" in said["error_message"]) == ("fail", True)
        node.waiting.release()
        assert (await node.reported())[0] == "complete"


async def test_what_is_told_to_stop_at_once_gives_its_task_back() -> None:
    begun = asyncio.Event()

    async def hangs(_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    node = PlayedNode("a")
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    agent = Agent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", agent_id="agent-1")
    agent.task("a")(hangs)
    serving = asyncio.create_task(agent.serve())
    await asyncio.wait_for(begun.wait(), 20)
    agent.stop()
    agent.stop()
    assert (await node.reported())[0] == "release"
    await asyncio.wait_for(serving, 20)
    server.close()


async def test_a_task_of_what_it_can_not_do_is_given_back_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "wakeful.agent"):
        async with working("P2", lambda given: given, of="P1") as node:
            assert (await node.reported())[0] == "release"
            # It came back to the same agent: nobody else takes it.
            what, said = await node.reported()
            assert (what, said["retryable"]) == ("fail", True)
            assert said["error_message"] == "this agent has no function for 'P2', only for 'P1'"
    assert "task-1: given back: this agent has no function for 'P2', only for 'P1'" in caplog.messages
