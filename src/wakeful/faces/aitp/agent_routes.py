"""The routes of agents: register, be alive, say what one can do, and be found (AINS)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from wakeful.faces.aitp.agents import MOST_CAPABILITIES, Agent, Agents
from wakeful.faces.aitp.errors import Refused, WrongFieldError
from wakeful.faces.aitp.forms import (
    Fields,
    flag,
    identifier,
    integer,
    list_of,
    number,
    one_of,
    read_object,
    read_query,
    small_list,
    small_object,
    text,
)
from wakeful.faces.aitp.ids import time_text
from wakeful.faces.aitp.views import View
from wakeful.faces.aitp.wire import Call, Handler
from wakeful.scheduler import Scheduler

# How an agent feels, and what that makes it (C1.1.3).
_HEALTH = {"ACTIVE": "AVAILABLE", "DEGRADED": "BUSY", "OFFLINE": "INACTIVE"}
NEXT_HEARTBEAT_S = 300
_STATUSES = ("AVAILABLE", "BUSY", "INACTIVE")


def _hexadecimal(raw: Any) -> str:
    value = str(text(8_192)(raw))
    try:
        bytes.fromhex(value)
    except ValueError:
        raise WrongFieldError("must be hexadecimal digits") from None
    return value


_CAPABILITY: Fields = {
    "name": identifier,
    "description": text(2_000),
    "input_schema": small_object,
    "output_schema": small_object,
    "pricing_model": text(64),
    "price": number(0, 1e12),
    "latency_p99_ms": number(0, 1e9),
    "availability_percent": number(0, 100),
    "signature": _hexadecimal,
    "deprecated": flag,
}


def _capability(raw: Any) -> dict[str, Any]:
    body = bytes(raw)
    if body.startswith(b'"'):
        return {"name": identifier(raw)}
    if not body.startswith(b"{"):
        raise WrongFieldError("must be a name, or an object with one")
    return _about(body)


_listed = list_of(_capability, MOST_CAPABILITIES)


def _capabilities(raw: Any) -> dict[str, dict[str, Any]]:
    """A list of names, or of objects with a name."""
    return {about.pop("name"): about for about in _listed(raw)}


def _about(body: bytes) -> dict[str, Any]:
    said = read_object(body, _CAPABILITY, ("name",))
    return {name: msgspec.json.decode(value) if name.endswith("_schema") else value for name, value in said.items()}


_AGENT: Fields = {
    "agent_id": identifier,
    "display_name": text(256),
    "description": text(2_000),
    "endpoint": text(2_000),
    "public_key": _hexadecimal,
    "signature": _hexadecimal,
    "tags": small_list(text(64, least=1), 50, least=0),
    "capabilities": _capabilities,
}
_PULSE: Fields = {
    "status": one_of(*_HEALTH, fold=True),
    "timestamp": text(64),
    "uptime_ms": number(0, 1e15),
    "metrics": small_object,
}
_PAGE: Fields = {"status": one_of(*_STATUSES, fold=True), "limit": integer(1, 100), "offset": integer(0, 10_000_000)}
_SEARCH: Fields = {
    "capability": text(128),
    "tags": text(50 * 65),
    "status": one_of(*_STATUSES, fold=True),
    "sort_by": one_of("agent_id", "price", "latency"),
    "limit": integer(1, 100),
    "offset": integer(0, 10_000_000),
}


class AgentRoutes:
    """What is asked of and about agents."""

    def __init__(self, scheduler: Scheduler, agents: Agents) -> None:
        self._scheduler = scheduler
        self._agents = agents

    def handlers(self) -> Mapping[tuple[str, ...], Mapping[str, tuple[str, Handler]]]:
        """The handlers by path and method, each with the scope that it needs."""
        read, write = "agent:read", "agent:write"
        one = ("ains", "agents", "*")
        return {
            ("ains", "agents"): {"POST": (write, self._register), "GET": (read, self._list)},
            one: {"GET": (read, self._get), "DELETE": (write, self._delete)},
            (*one, "heartbeat"): {"POST": (write, self._heartbeat)},
            (*one, "capabilities"): {"POST": (write, self._add_capability), "GET": (read, self._list_capabilities)},
            ("ains", "search"): {"GET": (read, self._search)},
        }

    async def _register(self, call: Call) -> View:
        said = read_object(await call.body(), _AGENT, ("agent_id",))
        call.caller.check_client(said["agent_id"])
        agent = await self._agents.register(Agent(**said), self._scheduler.now())
        return self._shown(agent)

    async def _list(self, call: Call) -> View:
        asked = read_query(call.query(), _PAGE)
        found = [self._shown(agent) for agent in await self._agents.all()]
        return _page([one for one in found if asked.get("status") in (None, one["status"])], asked, 10)

    async def _get(self, call: Call) -> View:
        return self._shown(await self._found(call.part))

    async def _delete(self, call: Call) -> View:
        call.caller.check_client(call.part)
        if not await self._agents.delete(call.part):
            raise Refused(404, "Agent not found")
        return {"agent_id": call.part, "status": "DELETED"}

    async def _heartbeat(self, call: Call) -> View:
        call.caller.check_client(call.part)
        body = await call.body()
        said = read_object(body or b"{}", _PULSE)
        now = self._scheduler.now()
        health = said.get("status", "ACTIVE")
        agent = await self._agents.heartbeat(call.part, _HEALTH[health], now)
        return {
            "acknowledged": True,
            "next_heartbeat_in": NEXT_HEARTBEAT_S,
            "agent_health_status": health,
            "agent_status": agent.status_at(now),
            "last_heartbeat": time_text(now),
        }

    async def _add_capability(self, call: Call) -> View:
        call.caller.check_client(call.part)
        about = _about(await call.body())
        name = about.pop("name")
        await self._agents.add_capability(call.part, name, about, self._scheduler.now())
        return {"agent_id": call.part, "name": name, **about}

    async def _list_capabilities(self, call: Call) -> View:
        agent = await self._found(call.part)
        return {"agent_id": call.part, "capabilities": _capability_list(agent)}

    async def _search(self, call: Call) -> View:
        asked = read_query(call.query(), _SEARCH)
        wanted, tags = asked.get("capability", ""), asked.get("tags", "")
        found: list[tuple[Any, View]] = []
        for agent in await self._agents.all():
            shown = self._shown(agent)
            able = [each for each in shown["capabilities"] if wanted in each["name"] and not each.get("deprecated")]
            if (able or not wanted) and _tagged(agent, tags) and asked.get("status") in (None, shown["status"]):
                found.append((_rank(asked.get("sort_by", "agent_id"), able), shown))
        found.sort(key=lambda one: (one[0], one[1]["agent_id"]))
        return _page([shown for _, shown in found], asked, 10)

    async def _found(self, agent_id: str) -> Agent:
        agent = await self._agents.get(agent_id)
        if agent is None:
            raise Refused(404, "Agent not found")
        return agent

    def _shown(self, agent: Agent) -> View:
        return {
            "agent_id": agent.agent_id,
            "display_name": agent.display_name,
            "description": agent.description,
            "endpoint": agent.endpoint,
            "public_key": agent.public_key,
            "tags": agent.tags,
            "capabilities": _capability_list(agent),
            "status": agent.status_at(self._scheduler.now()),
            "registered": agent.registered,
            "last_heartbeat": time_text(agent.last_heartbeat),
            "created_at": time_text(agent.created_at),
            "updated_at": time_text(agent.updated_at),
        }


def _capability_list(agent: Agent) -> list[View]:
    return [{"name": name, **about} for name, about in agent.capabilities.items()]


def _tagged(agent: Agent, tags: str) -> bool:
    """Whether an agent has all these tags; or the one, if that has commas itself."""
    return not tags or tags in agent.tags or {tag.strip() for tag in tags.split(",")} <= set(agent.tags)


def _rank(by: str, able: list[View]) -> float:
    """The best of what an agent offers; what says nothing comes last."""
    field = {"price": "price", "latency": "latency_p99_ms"}.get(by)
    return 0.0 if field is None else min((each.get(field, 1e15) for each in able), default=1e15)


def _page(found: list[View], asked: Mapping[str, Any], usual: int) -> View:
    limit, offset = asked.get("limit", usual), asked.get("offset", 0)
    return {"agents": found[offset : offset + limit], "total": len(found), "limit": limit, "offset": offset}
