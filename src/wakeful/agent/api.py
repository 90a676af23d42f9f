"""What an agent says to a node, and what may come back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from wakeful.agent.http import Answer, HttpClient, UnreachableError

_LIMIT_S = 15.0
# A claim may ask for so many, and wait so long.
MOST_CLAIMED = 100
LONGEST_WAIT_S = 60.0
_BETWEEN_HEARTBEATS_S = 60.0
_SHOWN = 300
_ERROR_LIMIT = 16_000
# The node takes no error with such characters; coloured output is full of them.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Rejected(Exception):  # noqa: N818 - it says what the task is, not what went wrong here
    """Raised by who does a task: this task can never be done, do not try again."""


class AgentError(Exception):
    """The node refuses this agent; what it said."""


class StaleError(Exception):
    """The task is not this agent's any more."""


class Task(msgspec.Struct, frozen=True):
    """A task that was claimed. ``input_data`` is JSON, as its client gave it; ``fence`` proves the claim."""

    task_id: str
    fence: int
    capability_required: str
    task_type: str = ""
    client_id: str = ""
    schedule_id: str | None = None
    scheduled_for: str | None = None
    retry_count: int = 0
    priority: int = 0
    input_data: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def input(self) -> Any:
        """The input, as Python has it."""
        return msgspec.json.decode(self.input_data)

    @property
    def attempt(self) -> int:
        """From 1."""
        return self.retry_count + 1


class _Claimed(msgspec.Struct):
    tasks: list[Task]


@dataclass(frozen=True, slots=True)
class Completed:
    """It is done; ``result`` is JSON."""

    result: bytes = b"null"


@dataclass(frozen=True, slots=True)
class Failed:
    """It was not done; without ``retryable`` it never will be."""

    error: str
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Somebody else shall do it; it costs no attempt. ``reason`` is for the log here."""

    reason: str = ""


Outcome = Completed | Failed | GivenBack


class Api:
    """One agent's door to a node. Every call but ``claim`` may be made again when its answer was lost.

    Every method raises ``UnreachableError`` when the node can't be asked now, and ``AgentError`` when it refuses.
    """

    def __init__(self, http: HttpClient, agent_id: str) -> None:
        self._http = http
        self._agent_id = agent_id
        self._self = f"/ains/agents/{quote(agent_id, safe='')}"

    async def register(self, capabilities: Sequence[str]) -> float:
        """Says who is here and what it can do; after so many seconds it should say that it still is."""
        answer = await self._ask("/ains/agents", {"agent_id": self._agent_id, "capabilities": capabilities})
        # 409: it has been here before.
        _check(answer, 409)
        return await self.heartbeat()

    async def heartbeat(self, status: str = "ACTIVE") -> float:
        """Says how it is; the seconds until it should do so again, or 0: the node does not know it any more."""
        answer = await self._ask(f"{self._self}/heartbeat", {"status": status})
        _check(answer, 404)
        return 0.0 if answer.status == 404 else _BETWEEN_HEARTBEATS_S

    async def leave(self, *, for_good: bool) -> None:
        """Says that it goes; one that goes for good is forgotten."""
        if for_good:
            _check(await self._http.request("DELETE", self._self, b"", _LIMIT_S), 404)
        else:
            await self.heartbeat("OFFLINE")

    async def claim(self, capabilities: Sequence[str], limit: int, lease_s: float, wait_s: float) -> Sequence[Task]:
        """Takes tasks for so long; waits for one at most so long. Cancelling hangs up."""
        asked = {
            "agent_id": self._agent_id,
            "capabilities": capabilities,
            "limit": min(limit, MOST_CLAIMED),
            "lease_seconds": lease_s,
            "wait_seconds": wait_s,
        }
        answer = await self._ask("/aitp/tasks/claim", asked, wait_s)
        _check(answer)
        return msgspec.json.decode(answer.body, type=_Claimed).tasks

    async def renew(self, task: Task, lease_s: float) -> None:
        """Says that the work goes on, and keeps the task for so long from now on.

        Raises:
            StaleError: it is not this agent's any more.
        """
        await self._of_task(task, "renew", {"lease_seconds": lease_s})

    async def report(self, task: Task, outcome: Outcome) -> None:
        """Says what became of a task.

        Raises:
            StaleError: it is not this agent's any more.
        """
        if isinstance(outcome, Completed):
            await self._of_task(task, "complete", {"result_data": msgspec.Raw(outcome.result)})
        elif isinstance(outcome, Failed):
            error = _CONTROL.sub("�", outcome.error[-_ERROR_LIMIT:]) or "no reason was given"
            await self._of_task(task, "fail", {"error_message": error, "retryable": outcome.retryable})
        else:
            await self._of_task(task, "release", {})

    async def _of_task(self, task: Task, what: str, said: Mapping[str, Any]) -> None:
        said = {"agent_id": self._agent_id, "fence": task.fence, **said}
        answer = await self._ask(f"/aitp/tasks/{quote(task.task_id, safe='')}/{what}", said)
        if answer.status in (404, 409):
            raise StaleError(_said(answer))
        _check(answer)

    async def _ask(self, path: str, said: Mapping[str, Any], wait_s: float = 0.0) -> Answer:
        return await self._http.request("POST", path, msgspec.json.encode(said), _LIMIT_S + wait_s)


def _check(answer: Answer, *expected: int) -> None:
    if 200 <= answer.status < 300 or answer.status in expected:
        return
    # 409: others change the same thing; 429: too often; 5xx: the node has its own trouble.
    if answer.status in (408, 409, 429) or answer.status >= 500:
        raise UnreachableError(_said(answer))
    raise AgentError(_said(answer))


def _said(answer: Answer) -> str:
    text = answer.body[:_SHOWN].decode("utf-8", "replace")
    return f"{answer.status} {text}"
