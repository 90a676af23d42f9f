"""Tokens: while there are none everybody may do everything; then a client sees and changes only its own things."""

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from wakeful.core.ports import Records
from wakeful.faces.aitp.access import LOOK_AGAIN, Access
from wakeful.faces.aitp.errors import Refused
from wakeful.faces.aitp.tokens import create_token, list_tokens, revoke_token

pytestmark = pytest.mark.anyio

SCHEDULES = "/aitp/tasks/schedule"
TASK = {"task_type": "t", "capability_required": "reports", "input_data": 1}


class Guarded:
    """A node with tokens: those of two clients, an agent and an administrator."""

    def __init__(self, there: Any) -> None:
        self.there = there
        self.tokens: dict[str, str] = {}

    @property
    def documents(self) -> Records:
        documents: Records = self.there.world.scheduler.documents
        return documents

    async def token(self, client_id: str, scopes: Sequence[str] = (), name: str | None = None) -> str:
        """A new token, known on the node."""
        made, text = await create_token(self.documents, (client_id, scopes, name), self.there.now, os.urandom)
        self.tokens[client_id] = text
        await self.there.advance(seconds=LOOK_AGAIN.total_seconds())
        return made.id

    async def ask(self, who: str, method: str, path: str, status: int = 200, **request: Any) -> Any:
        """An answer to the holder of a token."""
        return await self.there.ask(method, path, status, headers={"X-API-Key": self.tokens[who]}, **request)

    async def schedule(self, who: str) -> str:
        """The id of a new schedule."""
        answer = await self.ask(who, "POST", SCHEDULES, json=self.there.body(client_id=who))
        return str(answer["schedule_id"])

    async def task(self, who: str) -> str:
        """The id of a new task."""
        return str((await self.ask(who, "POST", "/aitp/tasks", json={**TASK, "client_id": who}))["task_id"])


@pytest.fixture
async def guarded(there: Any) -> Guarded:
    made = Guarded(there)
    for client, scopes in (("alice", ()), ("bob", ()), ("worker", ()), ("root", ("admin",))):
        await made.token(client, scopes)
    return made


async def test_without_tokens_everybody_may_do_everything(there: Any) -> None:
    await there.ask("POST", SCHEDULES, json=there.body())
    await there.ask("POST", SCHEDULES, json=there.body(), headers={"X-API-Key": "whatever"})


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "node.localhost:1", "127.0.0.1", "127.8.8.8:80", "[::1]:1"]
)
async def test_without_tokens_every_name_of_this_machine_is_answered(there: Any, host: str) -> None:
    await there.ask("GET", SCHEDULES, headers={"host": host})
    await there.ask("GET", SCHEDULES, headers={"origin": f"http://{host}"})


@pytest.mark.parametrize(
    "headers",
    [
        # A name that somebody else's name server leads here, and a page of somebody else's.
        {"host": "evil.example:8000"},
        {"host": "localhost.evil.example"},
        {"host": "10.0.0.1"},
        {"host": "[::1"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost@evil.example"},
        {"origin": "null"},
    ],
)
async def test_without_tokens_what_is_asked_in_the_name_of_others_is_refused(
    there: Any, headers: dict[str, str]
) -> None:
    given = json.dumps({**TASK, "client_id": "c"})
    request = {"content": given, "headers": {"content-type": "text/plain", **headers}}
    refused = await there.ask("POST", "/aitp/tasks", 403, **request)
    assert "wakeful token create" in refused["detail"]
    assert repr(next(iter(headers.values()))) in refused["detail"]
    # With a token it is the token that counts.
    _, token = await create_token(there.world.scheduler.documents, ("c", (), None), there.now, os.urandom)
    await there.advance(seconds=LOOK_AGAIN.total_seconds())
    await there.ask("POST", "/aitp/tasks", content=given, headers={**headers, "X-API-Key": token})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wakeful_x_y"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eA"},
    ],
)
async def test_with_tokens_who_has_none_is_refused(guarded: Guarded, headers: dict[str, str]) -> None:
    for method, path in (("POST", SCHEDULES), ("GET", "/aitp/tasks"), ("GET", "/ains/agents")):
        answer = await guarded.there.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "token" in answer.json()["detail"]
    assert (await guarded.there.client.get("/health")).status_code == 200


async def test_a_token_is_taken_from_either_header(guarded: Guarded) -> None:
    token = guarded.tokens["alice"]
    for headers in ({"X-API-Key": token}, {"Authorization": f"Bearer {token}"}, {"authorization": f"bearer {token}"}):
        await guarded.there.ask("GET", SCHEDULES, headers=headers)


async def test_only_the_hash_of_a_token_is_kept(guarded: Guarded) -> None:
    stored = "".join(str(row) for row in guarded.there.sql("SELECT * FROM records"))
    assert all(text.rpartition("_")[2] not in stored for text in guarded.tokens.values())
    # A token whose end was changed is another one.
    guarded.tokens["alice"] = guarded.tokens["alice"][:-1] + ("0" if guarded.tokens["alice"][-1] != "0" else "1")
    await guarded.ask("alice", "GET", SCHEDULES, 401)


async def test_a_client_speaks_for_itself_only(guarded: Guarded) -> None:
    answer = await guarded.ask("alice", "POST", SCHEDULES, 403, json=guarded.there.body(client_id="bob"))
    assert "'alice'" in answer["detail"]
    await guarded.ask("alice", "POST", "/aitp/tasks", 403, json={**TASK, "client_id": "bob"})
    await guarded.ask("alice", "POST", "/aitp/tasks/batch", 403, json={"client_id": "bob", "tasks": [TASK]})
    await guarded.ask("alice", "GET", SCHEDULES, 403, params={"client_id": "bob"})
    await guarded.ask("alice", "GET", "/aitp/tasks", 403, params={"client_id": "bob"})
    await guarded.ask("root", "POST", SCHEDULES, json=guarded.there.body(client_id="bob"))


async def test_a_client_sees_and_changes_only_its_own_schedules(guarded: Guarded) -> None:
    mine, other = await guarded.schedule("alice"), await guarded.schedule("bob")
    listed = await guarded.ask("alice", "GET", SCHEDULES)
    assert ([one["schedule_id"] for one in listed["schedules"]], listed["total"]) == ([mine], 1)
    assert (await guarded.ask("root", "GET", SCHEDULES))["total"] == 2
    for method, tail in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/executions"), ("POST", "/pause")):
        request = {"json": {"priority": 1}} if method == "PUT" else {}
        await guarded.ask("alice", method, f"{SCHEDULES}/{other}{tail}", 404, **request)
    await guarded.ask("root", "GET", f"{SCHEDULES}/{other}")
    await guarded.ask("alice", "DELETE", f"{SCHEDULES}/{mine}")


async def test_a_client_sees_and_changes_only_its_own_tasks(guarded: Guarded) -> None:
    mine, other = await guarded.task("alice"), await guarded.task("bob")
    listed = await guarded.ask("alice", "GET", "/aitp/tasks")
    assert [one["task_id"] for one in listed["tasks"]] == [mine]
    assert (await guarded.ask("alice", "GET", "/aitp/queue/stats"))["queue"]["total_pending"] == 1
    for method, tail in (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("PUT", "/priority?new_priority=1")):
        await guarded.ask("alice", method, f"/aitp/tasks/{other}{tail}", 404)
    status = await guarded.ask("alice", "POST", "/aitp/tasks/batch/status", json={"task_ids": [mine, other]})
    assert (status["total"], status["not_found"]) == (1, [other])
    cancelled = await guarded.ask("alice", "POST", "/aitp/tasks/batch/cancel", json={"task_ids": [mine, other]})
    assert cancelled["task_ids"] == [mine]


async def test_an_agent_reports_only_on_its_own_claims(guarded: Guarded) -> None:
    task = await guarded.task("alice")
    asked = {"agent_id": "worker", "capability": "reports"}
    await guarded.ask("bob", "POST", "/aitp/tasks/claim", 403, json=asked)
    (claimed,) = (await guarded.ask("worker", "POST", "/aitp/tasks/claim", json=asked))["tasks"]
    said = {"agent_id": "worker", "fence": claimed["fence"]}
    await guarded.ask("bob", "POST", f"/aitp/tasks/{task}/complete", 403, json=said)
    # The agent sees what it holds, and is not its client.
    assert (await guarded.ask("worker", "GET", f"/aitp/tasks/{task}"))["client_id"] == "alice"
    assert (await guarded.ask("worker", "GET", "/aitp/tasks", params={"assigned_agent_id": "worker"}))["total"] == 1
    await guarded.ask("worker", "DELETE", f"/aitp/tasks/{task}", 403)
    await guarded.ask("worker", "POST", f"/aitp/tasks/{task}/complete", json=said)
    await guarded.ask("bob", "GET", "/aitp/tasks", 403, params={"assigned_agent_id": "worker", "client_id": "alice"})


async def test_an_administrator_that_looks_claims_nothing(guarded: Guarded) -> None:
    await guarded.ask("worker", "POST", "/ains/agents", json={"agent_id": "worker", "capabilities": ["reports"]})
    await guarded.task("alice")
    asked = {"assigned_agent_id": "worker", "status": "ASSIGNED"}
    assert (await guarded.ask("root", "GET", "/aitp/tasks", params=asked))["total"] == 0
    assert (await guarded.ask("worker", "GET", "/aitp/tasks", params=asked))["total"] == 1


async def test_an_agent_is_registered_by_itself(guarded: Guarded) -> None:
    await guarded.ask("bob", "POST", "/ains/agents", 403, json={"agent_id": "worker"})
    await guarded.ask("worker", "POST", "/ains/agents", json={"agent_id": "worker"})
    for tail in ("heartbeat", "capabilities"):
        await guarded.ask("bob", "POST", f"/ains/agents/worker/{tail}", 403, json={})
    await guarded.ask("bob", "DELETE", "/ains/agents/worker", 403)
    await guarded.ask("bob", "GET", "/ains/agents/worker")


async def test_a_scope_that_is_lacking_is_named(guarded: Guarded) -> None:
    await guarded.token("reader", ("schedule:read",))
    await guarded.ask("reader", "GET", SCHEDULES)
    answer = await guarded.ask("reader", "POST", SCHEDULES, 403, json=guarded.there.body(client_id="reader"))
    assert answer == {"detail": "this token lacks the scope schedule:write"}
    await guarded.ask("reader", "GET", "/aitp/tasks", 403)
    await guarded.token("writer", ("task:write",))
    await guarded.ask("writer", "GET", "/aitp/tasks")
    with pytest.raises(ValueError, match="no scope"):
        await guarded.token("x", ("everything",))


async def test_a_revoked_token_is_refused_within_a_second(guarded: Guarded) -> None:
    token = await guarded.token("gone", name="for the weekend")
    assert {one.client_id: one.name for one in await list_tokens(guarded.documents)}["gone"] == "for the weekend"
    await guarded.ask("gone", "GET", SCHEDULES)
    assert await revoke_token(guarded.documents, token)
    assert not await revoke_token(guarded.documents, token)
    await guarded.there.advance(seconds=LOOK_AGAIN.total_seconds())
    await guarded.ask("gone", "GET", SCHEDULES, 401)


async def test_a_clock_that_was_set_back_keeps_no_revoked_token_alive(guarded: Guarded) -> None:
    token = await guarded.token("gone")
    await guarded.ask("gone", "GET", SCHEDULES)
    await revoke_token(guarded.documents, token)
    guarded.there.world.set_clock(-timedelta(hours=1))
    await guarded.ask("gone", "GET", SCHEDULES, 401)


async def test_b2_21_without_tokens_only_this_machine_may_use_it(there: Any) -> None:
    access = Access(there.world.scheduler)
    for host in ("127.0.0.1", "::1", "127.8.9.1"):
        assert (await access.caller({"type": "http", "headers": [], "server": (host, 1)})).token is None
    for host in ("192.0.2.7", "0.0.0.0", "2001:db8::1"):
        with pytest.raises(Refused) as refused:
            await access.caller({"type": "http", "headers": [], "server": (host, 1)})
        assert refused.value.status == 401
