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
