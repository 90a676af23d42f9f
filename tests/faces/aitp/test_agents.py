"""Agents by the source's rows C1.1: registered, alive, stale, found; in turned time."""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

AGENTS = "/ains/agents"
AGENT = {
    "agent_id": "translator-1",
    "public_key": "ab" * 32,
    "display_name": "Translator",
    "description": "German and French",
    "endpoint": "http://127.0.0.1:9000",
    "signature": "cd" * 64,
    "tags": ["nlp", "fast"],
}


async def test_c1_1_1_an_agent_registers_once(there: Any) -> None:
    made = await there.ask("POST", AGENTS, json=AGENT)
    assert {name: made[name] for name in AGENT if name != "signature"} == {
        name: value for name, value in AGENT.items() if name != "signature"
    }
    assert (made["status"], made["registered"]) == ("AVAILABLE", True)
    assert "translator-1" in (await there.ask("POST", AGENTS, 409, json=AGENT))["detail"]
    for field, value in (("public_key", "xyz"), ("signature", "0"), ("agent_id", "a/b"), ("agent_id", ""), ("age", 1)):
        answer = await there.ask("POST", AGENTS, 422, json={**AGENT, field: value})
        assert answer["detail"][0]["loc"] == ["body", field]


async def test_c1_1_1_a_client_that_was_only_met_may_register(there: Any) -> None:
    await there.created(client_id="translator-1")
    assert (await there.ask("POST", AGENTS, json=AGENT))["registered"] is True


async def test_c1_1_2_the_record_is_a_row(there: Any) -> None:
    await there.ask("POST", AGENTS, json=AGENT)
    (row,) = there.sql("SELECT * FROM agents")
    assert (row["agent_id"], row["display_name"], row["status"]) == ("translator-1", "Translator", "AVAILABLE")


@pytest.mark.parametrize(
    ("health", "becomes"), [("ACTIVE", "AVAILABLE"), ("DEGRADED", "BUSY"), ("OFFLINE", "INACTIVE"), (None, "AVAILABLE")]
)
async def test_c1_1_3_a_heartbeat_says_how_the_agent_is(there: Any, health: str | None, becomes: str) -> None:
    await there.ask("POST", AGENTS, json=AGENT)
    await there.advance(seconds=90)
    pulse = {"status": health, "timestamp": "2025-11-28T02:46:30Z", "uptime_ms": 5, "metrics": {"load": 0.5}}
    answer = await there.ask("POST", f"{AGENTS}/translator-1/heartbeat", json=pulse)
    assert answer == {
        "acknowledged": True,
        "next_heartbeat_in": 300,
        "agent_health_status": health or "ACTIVE",
        "agent_status": becomes,
        "last_heartbeat": "2025-11-28T02:46:30Z",
    }
    assert (await there.ask("GET", f"{AGENTS}/translator-1"))["status"] == becomes
    await there.ask("POST", f"{AGENTS}/nobody/heartbeat", 404, json=pulse)


async def test_c1_1_4_an_agent_without_heartbeats_is_inactive_after_ten_minutes(there: Any) -> None:
    await there.ask("POST", AGENTS, json=AGENT)
    for passed, status in ((9, "AVAILABLE"), (2, "INACTIVE")):
        await there.advance(minutes=passed)
        assert (await there.ask("GET", f"{AGENTS}/translator-1"))["status"] == status
    await there.ask("POST", f"{AGENTS}/translator-1/heartbeat")
    assert (await there.ask("GET", f"{AGENTS}/translator-1"))["status"] == "AVAILABLE"
    # To ask for work is a sign of life, too.
    await there.advance(minutes=11)
    await there.claim("any", agent_id="translator-1")
    assert (await there.ask("GET", f"{AGENTS}/translator-1"))["status"] == "AVAILABLE"


async def test_c1_1_4_an_agent_that_asks_what_is_assigned_to_it_is_alive(there: Any) -> None:
    await there.ask("POST", AGENTS, json={**AGENT, "capabilities": ["polled"]})
    assigned = {"assigned_agent_id": "translator-1", "status": "ASSIGNED"}
    for _ in range(3):
        await there.advance(minutes=9)
        await there.ask("GET", "/aitp/tasks", params=assigned)
        assert (await there.ask("GET", f"{AGENTS}/translator-1"))["status"] == "AVAILABLE"


async def test_who_was_away_and_claims_is_back(there: Any) -> None:
    await there.ask("POST", AGENTS, json={**AGENT, "capabilities": ["polled"]})
    pulse = f"{AGENTS}/translator-1/heartbeat"
    for health, status in (("OFFLINE", "AVAILABLE"), ("DEGRADED", "BUSY"), ("OFFLINE", "AVAILABLE")):
        await there.ask("POST", pulse, json={"status": health})
        await there.claim("polled", agent_id="translator-1")
        assert (await there.ask("GET", f"{AGENTS}/translator-1"))["status"] == status


async def test_an_agents_document_has_room_for_a_hundred_capabilities(there: Any) -> None:
    for turn in range(3):
        names = [f"{turn}-{number}" for number in range(40)]
        await there.ask("POST", "/aitp/tasks/claim", json={"agent_id": "grows", "capabilities": names})
    able = [one["name"] for one in (await there.ask("GET", f"{AGENTS}/grows"))["capabilities"]]
    assert len(able) == 100
    assert {f"1-{number}" for number in range(40)} < set(able)
    assert "100" in (await there.ask("POST", f"{AGENTS}/grows/capabilities", 409, json={"name": "more"}))["detail"]
    # What it registers goes before what it only claimed once.
    registered = [f"own-{number}" for number in range(60)]
    shown = await there.ask("POST", AGENTS, json={"agent_id": "grows", "capabilities": registered})
    assert set(registered) < {one["name"] for one in shown["capabilities"]}
    assert len(shown["capabilities"]) == 100


async def test_claims_beyond_that_are_not_written_down_each_time(there: Any) -> None:
    many = {"agent_id": "grows", "capabilities": [f"{number}" for number in range(100)]}
    more = {"agent_id": "grows", "capabilities": ["beyond"]}
    for asked in (many, more):
        await there.ask("POST", "/aitp/tasks/claim", json=asked)
    (before,) = there.sql("SELECT revision FROM records WHERE kind = 'agent'")
    for _ in range(3):
        await there.ask("POST", "/aitp/tasks/claim", json=more)
    assert there.sql("SELECT revision FROM records WHERE kind = 'agent'") == [before]


async def test_c1_1_5_an_agent_says_what_it_can_do(there: Any) -> None:
    await there.ask("POST", AGENTS, json={**AGENT, "capabilities": ["old:v1"]})
    able = {
        "name": "translation:v1",
        "description": "text",
        "input_schema": {"type": "object"},
        "output_schema": {},
        "pricing_model": "per_request",
        "price": 0.01,
        "latency_p99_ms": 100,
        "availability_percent": 99.5,
        "signature": "ab",
    }
    path = f"{AGENTS}/translator-1/capabilities"
    await there.ask("POST", path, json=able)
    await there.ask("POST", path, json={"name": "old:v1", "deprecated": True})
    assert (await there.ask("GET", path))["capabilities"] == [{"name": "old:v1", "deprecated": True}, able]
    await there.ask("POST", path, 422, json={**able, "price": -1})
    await there.ask("POST", f"{AGENTS}/nobody/capabilities", 404, json=able)


async def test_c1_1_6_agents_are_listed_got_and_searched(there: Any) -> None:
    for name, tags, price in (("a", ["x", "y"], 3), ("b", ["x"], 1), ("c", [], 2)):
        able = {"name": f"translation:{name}", "price": price}
        await there.ask("POST", AGENTS, json={"agent_id": name, "tags": tags, "capabilities": [able]})
    await there.ask("POST", f"{AGENTS}/c/heartbeat", json={"status": "OFFLINE"})

    async def ids(path: str, **params: Any) -> list[str]:
        return [agent["agent_id"] for agent in (await there.ask("GET", path, params=params))["agents"]]

    assert await ids(AGENTS) == ["a", "b", "c"]
    assert await ids(AGENTS, status="AVAILABLE", limit=1, offset=1) == ["b"]
    assert await ids("/ains/search", capability="translation", sort_by="price") == ["b", "c", "a"]
    assert await ids("/ains/search", tags="x,y") == ["a"]
    assert await ids("/ains/search", capability=":b") == ["b"]
    assert await ids("/ains/search", status="INACTIVE") == ["c"]
    assert await ids("/ains/search", capability="none") == []
    assert await there.ask("GET", f"{AGENTS}/nobody", 404) == {"detail": "Agent not found"}
    await there.ask("DELETE", f"{AGENTS}/a")
    await there.ask("DELETE", f"{AGENTS}/a", 404)
    assert await ids(AGENTS) == ["b", "c"]
