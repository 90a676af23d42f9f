"""Agents and clients: documents of the kind ``agent``. Who only makes tasks is one without capabilities."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.ports import Records
from wakeful.faces.aitp.errors import Refused

AGENT = "agent"
# Without a heartbeat for so long an agent is inactive (C1.1.4).
STALE = timedelta(minutes=10)
MOST_AGENTS = 10_000
MOST_CAPABILITIES = 100
# What is asked with every task may be so old.
_LOOK_AGAIN = timedelta(seconds=2)
_SEEN_AGAIN = timedelta(minutes=1)
_TRIES = 5


class Agent(msgspec.Struct, kw_only=True):
    """An agent as its document has it; ``registered`` is false for one that was only met. Times are ISO 8601."""

    agent_id: str
    display_name: str | None = None
    description: str | None = None
    endpoint: str | None = None
    public_key: str | None = None
    signature: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    capabilities: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    status: str = "AVAILABLE"
    registered: bool = False
    last_heartbeat: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def status_at(self, now: datetime) -> str:
        """``AVAILABLE``, ``BUSY`` or ``INACTIVE``: stale agents are inactive, whatever they said last."""
        fresh = self.last_heartbeat is not None and now - self.last_heartbeat <= STALE
        return self.status if fresh else "INACTIVE"

    def live_capabilities(self) -> list[str]:
        """The names of what it can do, without what it has deprecated."""
        return [name for name, about in self.capabilities.items() if not about.get("deprecated")]


@dataclass(slots=True)
class _Known:
    """What was read last: who can do what."""

    able: Mapping[str, Mapping[str, Agent]]
    at: datetime


@dataclass(frozen=True, slots=True)
class _Seen:
    """When an agent asked for work last, and what of that is not written down: it has deprecated it, or too many."""

    at: datetime
    unwritten: frozenset[str]


class Agents:
    """The agents of one namespace."""

    def __init__(self, documents: Records, namespace: str) -> None:
        self._documents = documents
        self._prefix = f"{namespace}/"
        self._met: set[str] = set()
        self._seen: dict[str, _Seen] = {}
        self._known = _Known({}, datetime.min.replace(tzinfo=UTC))
        # Who comes for the first time often comes several times at once.
        self._changing = asyncio.Lock()

    async def all(self) -> Sequence[Agent]:
        """All of them, in byte order of their ids."""
        return [_decode(record.value) for record in await self._documents.list(AGENT, self._prefix)]

    async def get(self, agent_id: str) -> Agent | None:
        """The agent of that id."""
        record = await self._documents.get(AGENT, self._prefix + agent_id)
        return None if record is None else _decode(record.value)

    async def register(self, agent: Agent, now: datetime) -> Agent:
        """Keeps a new agent, or what one that was only met says of itself.

        Raises:
            Refused: 409, it is known.
        """

        def become(known: Agent | None) -> Agent:
            if known is not None and known.registered:
                raise Refused(409, f"agent {agent.agent_id!r} is registered already")
            agent.capabilities = _with_room(agent.capabilities, known.capabilities if known else {})
            agent.registered, agent.last_heartbeat = True, now
            agent.created_at = known.created_at if known else now
            return agent

        return await self._change(agent.agent_id, now, become)

    async def meet(self, agent_id: str, now: datetime, capabilities: Sequence[str] = ()) -> None:
        """Makes sure that a client, or an agent with these capabilities, is known: it comes here for the first time."""
        if agent_id in self._met and not capabilities:
            return

        def become(known: Agent | None) -> Agent:
            met = known or Agent(agent_id=agent_id, created_at=now)
            # Who only makes tasks has no pulse.
            if capabilities:
                met.capabilities = _with_room(met.capabilities, {name: {} for name in capabilities})
                met.last_heartbeat = now
                met.status = "AVAILABLE" if met.status == "INACTIVE" else met.status
            return met

        if capabilities or await self.get(agent_id) is None:
            await self._change(agent_id, now, become)
        if len(self._met) >= MOST_AGENTS:
            self._met.clear()
        self._met.add(agent_id)

    async def claims(self, agent_id: str, now: datetime, capabilities: Sequence[str]) -> None:
        """An agent asks for work, which is a sign of life; written down once a minute, or if it can do more now."""
        seen, unwritten = self._seen.get(agent_id), self._unwritten(agent_id, capabilities)
        if seen is not None and abs(now - seen.at) < _SEEN_AGAIN and unwritten <= seen.unwritten:
            return
        await self.meet(agent_id, now, capabilities)
        if len(self._seen) >= MOST_AGENTS:
            self._seen.clear()
        await self._look(now)
        self._seen[agent_id] = _Seen(now, self._unwritten(agent_id, capabilities))

    async def heartbeat(self, agent_id: str, status: str, now: datetime) -> Agent:
        """An agent says how it is.

        Raises:
            Refused: 404.
        """

        def become(known: Agent | None) -> Agent:
            if known is None:
                raise Refused(404, "Agent not found")
            known.status, known.last_heartbeat = status, now
            return known

        agent = await self._change(agent_id, now, become)
        if status == "INACTIVE":
            # Its next claim is to be written down, however soon it comes: it is back.
            self._seen.pop(agent_id, None)
        return agent

    async def add_capability(self, agent_id: str, name: str, about: dict[str, Any], now: datetime) -> Agent:
        """An agent can do something more, or something else by that name.

        Raises:
            Refused: 404; 409, it has too many.
        """

        def become(known: Agent | None) -> Agent:
            if known is None:
                raise Refused(404, "Agent not found")
            if name not in known.capabilities and len(known.capabilities) >= MOST_CAPABILITIES:
                raise Refused(409, f"an agent has {MOST_CAPABILITIES} capabilities at most")
            known.capabilities[name] = about
            return known

        return await self._change(agent_id, now, become)

    async def delete(self, agent_id: str) -> bool:
        """Forgets an agent; whether there was one."""
        self._met.discard(agent_id)
        self._seen.pop(agent_id, None)
        self._known.at = datetime.min.replace(tzinfo=UTC)
        return await self._documents.delete(AGENT, self._prefix + agent_id)

    async def offering(self, capability: str, now: datetime) -> bool:
        """Whether some agent that is not stale can do that; what was said in the last seconds may not count yet."""
        if abs(now - self._known.at) >= _LOOK_AGAIN:
            # Who comes meanwhile need not look as well.
            self._known.at = now
            await self._look(now)
        return any(agent.status_at(now) != "INACTIVE" for agent in self._known.able.get(capability, {}).values())

    def _unwritten(self, agent_id: str, capabilities: Sequence[str]) -> frozenset[str]:
        """Those of them that the agent did not offer when that was read last."""
        able = self._known.able
        return frozenset(name for name in capabilities if agent_id not in able.get(name, ()))

    async def _look(self, now: datetime) -> None:
        able: dict[str, dict[str, Agent]] = {}
        for agent in await self.all():
            for name in agent.live_capabilities():
                able.setdefault(name, {})[agent.agent_id] = agent
        self._known = _Known(able, now)

    async def _change(self, agent_id: str, now: datetime, become: Callable[[Agent | None], Agent]) -> Agent:
        """Reads, changes and writes; again, if another process wrote meanwhile."""
        async with self._changing:
            return await self._changed(agent_id, now, become)

    async def _changed(self, agent_id: str, now: datetime, become: Callable[[Agent | None], Agent]) -> Agent:
        key = self._prefix + agent_id
        for _ in range(_TRIES):
            record = await self._documents.get(AGENT, key)
            if record is None and len(await self._documents.list(AGENT, self._prefix)) >= MOST_AGENTS:
                raise Refused(409, f"there are {MOST_AGENTS} agents and clients already: delete some")
            agent = become(None if record is None else _decode(record.value))
            agent.updated_at = now
            try:
                await self._documents.put(AGENT, key, _encode(agent), 0 if record is None else record.revision)
            except WakefulError as error:
                if error.code is not ErrorCode.STALE_REVISION:
                    raise
                continue
            self._known.at = datetime.min.replace(tzinfo=UTC)
            return agent
        raise Refused(409, f"agent {agent_id!r} is being changed by others: try again")


def _with_room(first: dict[str, dict[str, Any]], more: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Capabilities, and as many others as there is room for beside them."""
    others = [name for name in more if name not in first]
    return {**first, **{name: more[name] for name in others[: max(0, MOST_CAPABILITIES - len(first))]}}


def _encode(agent: Agent) -> str:
    return msgspec.json.encode(agent).decode()


def _decode(text: str) -> Agent:
    return msgspec.json.decode(text, type=Agent)
