"""Tasks by the source's rows C1.2: made, listed, claimed, reported, changed, cancelled; over HTTP, in real time."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from wakeful.core.ports import RunQuery

UNKNOWN = "task-" + "0" * 32


def holding(agent_id: str, task: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a holder says with every report."""
    return {"agent_id": agent_id, "fence": task["fence"], **more}


def report(node: Any, task: dict[str, Any], what: str, status: int = 200, **more: Any) -> Any:
    """A report of agent-1's on a task that it has claimed."""
    said = {**holding("agent-1", task), **more}
    answer = node.client.post(f"/aitp/tasks/{task['task_id']}/{what}", json=said)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_c1_2_1_a_task_is_made_with_its_fields_and_claimable_at_once(node: Any) -> None:
    answer = node.client.post(
        "/aitp/tasks",
        json={
            "client_id": "maker",
            "task_type": "translate",
            "capability_required": "translation:v1",
            "input_data": {"text": "Guten Tag", "n": 1.50},
            "priority": 8,
            "metadata": {"trace": "x"},
            "timeout_seconds": 120,
            "max_retries": 1,
            "retry_policy": "fixed",
            "description": "short",
        },
    )
    made = answer.json()
    assert (answer.status_code, made["status"], made["priority"]) == (200, "PENDING", 8)
    (task,) = node.claim(capability="translation:v1", wait_seconds=0)
    assert (task["task_id"], task["metadata"]) == (made["task_id"], {"trace": "x"})
    shown = node.task(made["task_id"])
    assert (shown["status"], shown["assigned_agent_id"], shown["max_retries"]) == ("ASSIGNED", "agent-1", 1)
    assert (shown["timeout_seconds"], shown["retry_delay_seconds"]) == (120, 10)
    assert '{"text":"Guten Tag","n":1.5}' in node.client.get(f"/aitp/tasks/{made['task_id']}").text


def test_c1_2_2_tasks_are_listed_newest_first_with_filters(node: Any) -> None:
    of_list = {"client_id": "lister", "capability_required": "listing"}
    ids = [node.made(**of_list, task_type=kind) for kind in ("a", "b", "a")]
    (claimed,) = node.claim("holder", capability="listing", limit=1)

    def found(**params: Any) -> set[str]:
        answer = node.client.get("/aitp/tasks", params={"client_id": "lister", **params}).json()
        assert answer["total"] >= len(answer["tasks"])
        return {task["task_id"] for task in answer["tasks"]}

    assert found() == set(ids)
    assert found(task_type="a") == {ids[0], ids[2]}
    assert found(capability="listing", status="PENDING") == set(ids) - {claimed["task_id"]}
    assert found(status="ASSIGNED") == {claimed["task_id"]}
    assert found(assigned_agent_id="holder") == {claimed["task_id"]}
    assert found(status="COMPLETED") == set()
    page = node.client.get("/aitp/tasks", params={"client_id": "lister", "limit": 1, "offset": 1}).json()
    assert (len(page["tasks"]), page["total"]) == (1, 3)
    assert node.client.get("/aitp/tasks", params={"limit": 101}).status_code == 422


def test_c1_2_3_an_agent_that_only_asks_what_is_assigned_gets_its_tasks(node: Any) -> None:
    node.client.post("/ains/agents", json={"agent_id": "poller", "capabilities": ["polling"]})
    ids = [node.made(capability_required="polling", priority=priority) for priority in (1, 9, 5, 5, 5, 5, 5)]
    asked = {"assigned_agent_id": "poller", "status": "ASSIGNED"}
    assigned = node.client.get("/aitp/tasks", params=asked).json()["tasks"]
    # Five at a time, the most urgent ones (C1.2.8).
    assert len(assigned) == 5
    assert ids[1] in {task["task_id"] for task in assigned}
    assert ids[0] not in {task["task_id"] for task in assigned}
    assert len(node.client.get("/aitp/tasks", params=asked).json()["tasks"]) == 5
    path = f"/aitp/tasks/{ids[1]}/status"
    assert node.client.put(path, params={"agent_id": "other"}, json={"status": "ACTIVE"}).status_code == 403
    assert node.client.put(path, json={"status": "ACTIVE"}).status_code == 422
    for status, more in (("ACTIVE", {}), ("COMPLETED", {"result_data": {"ok": 1}})):
        answer = node.client.put(path, params={"agent_id": "poller"}, json={"status": status, **more})
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert node.task(ids[1])["result_data"] == {"ok": 1}
    again = node.client.put(path, params={"agent_id": "poller"}, json={"status": "FAILED"})
    assert again.status_code == 409


def test_c1_2_4_a_failure_is_tried_again_until_none_is_left(node: Any) -> None:
    made = node.made(max_retries=1, retry_policy={"backoff": "fixed", "delay_seconds": 0})
    for attempt, status in enumerate(("PENDING", "FAILED")):
        (task,) = node.claim()
        assert task["retry_count"] == attempt
        assert report(node, task, "fail", error_message=f"error {attempt}")["status"] == status
    shown = node.task(made)
    assert (shown["status"], shown["error_message"], shown["retry_count"]) == ("FAILED", "error 1", 1)
    assert shown["completed_at"] is not None


def test_what_is_not_retryable_fails_at_once(node: Any) -> None:
    node.made()
    (task,) = node.claim()
    assert report(node, task, "fail", error_message="invalid input", retryable=False)["status"] == "FAILED"


def test_who_starts_is_active_and_who_renews_stays_so(node: Any) -> None:
    made = node.made()
    (task,) = node.claim(lease_seconds=60)
    started = report(node, task, "start")
    assert (started["status"], node.task(made)["status"]) == ("ACTIVE", "ACTIVE")
    renewed = report(node, task, "renew", lease_seconds=3600)
    assert renewed["lease_expires_at"] > started["lease_expires_at"] > task["lease_expires_at"]
    report(node, task, "complete", result_data=None)
    assert node.task(made)["result_data"] is None


@pytest.mark.slow
def test_a_fence_shuts_out_who_is_late(node: Any) -> None:
    made = node.made(retry_policy={"delay_seconds": 0})
    (lost,) = node.claim("slow", lease_seconds=0.1)
    # The heartbeat of the node finds that the lease has ended.
    (task,) = node.claim(wait_seconds=20)
    assert (task["task_id"], task["retry_count"]) == (made, 1)
    assert task["fence"] > lost["fence"]
    for what in ("start", "renew", "complete", "fail", "release"):
        late = node.client.post(f"/aitp/tasks/{made}/{what}", json=holding("slow", lost))
        assert late.status_code == 409, (what, late.text)
    report(node, task, "complete", 403, agent_id="slow")
    report(node, task, "complete")
    # Whose first answer was lost says it again.
    report(node, task, "complete")
    report(node, task, "fail", 409)


def test_what_is_given_back_costs_no_attempt(node: Any) -> None:
    node.made()
    (task,) = node.claim()
    assert report(node, task, "release")["status"] == "PENDING"
    (again,) = node.claim()
    assert (again["task_id"], again["retry_count"]) == (task["task_id"], 0)
    report(node, again, "complete")


def test_claims_take_by_priority_and_age_from_several_capabilities(node: Any) -> None:
    ids = [
        node.made(capability_required=capability, priority=priority)
        for capability, priority in (("left", 5), ("right", 9), ("left", 9), ("right", 5), ("left", 1))
    ]
    asked = {"capability": ["left", "right"], "limit": 3}
    assert [task["task_id"] for task in node.claim(**asked)] == [ids[1], ids[2], ids[0]]
    assert [task["task_id"] for task in node.claim(**asked)] == [ids[3], ids[4]]
    assert node.claim(**asked, wait_seconds=0) == []


def test_a_claim_waits_for_a_task_and_gets_it_at_once(node: Any) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(node.claim, "waiter", capability="awaited", wait_seconds=30)
        while node.client.get("/ains/agents/waiter").status_code != 200:
            threading.Event().wait(0.01)
        made = node.made(capability_required="awaited")
        (task,) = waiting.result(10)
    assert task["task_id"] == made


def test_what_comes_for_an_agent_that_has_hung_up_goes_to_another_without_an_attempt(node: Any) -> None:
    said = json.dumps({"agent_id": "hasty", "capability": "hung-up", "wait_seconds": 60}).encode()
    with socket.create_connection(node.listener.getsockname()) as connection:
        head = b"POST /aitp/tasks/claim HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(said)
        connection.sendall(head + said)
        while node.client.get("/ains/agents/hasty").status_code != 200:
            threading.Event().wait(0.01)
    made = node.made(capability_required="hung-up")
    (task,) = node.claim(capability="hung-up", wait_seconds=10)
    assert (task["task_id"], task["retry_count"]) == (made, 0)


@pytest.mark.slow
def test_who_waits_has_its_answer_when_the_node_drains(node_of_its_own: Any) -> None:
    node = node_of_its_own
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(node.claim, "waiter", wait_seconds=60)
        while node.client.get("/ains/agents/waiter").status_code != 200:
            threading.Event().wait(0.01)
        node.app.drain()
        assert waiting.result(10) == []


def test_two_agents_never_get_the_same_task(node: Any) -> None:
    ids = {node.made(capability_required="many") for _ in range(60)}
    with ThreadPoolExecutor(6) as pool:
        claims = [
            pool.submit(node.claim, f"a{number}", capability="many", limit=10, wait_seconds=0) for number in range(6)
        ]
        taken = [task["task_id"] for claim in claims for task in claim.result()]
    assert len(taken) == 60
    assert set(taken) == ids


def test_a_claim_without_a_capability_is_by_those_that_are_registered(node: Any) -> None:
    refused = node.client.post("/aitp/tasks/claim", json={"agent_id": "blank"})
    assert refused.status_code == 422
    node.client.post("/ains/agents", json={"agent_id": "able", "capabilities": [{"name": "known", "price": 1}]})
    made = node.made(capability_required="known")
    answer = node.client.post("/aitp/tasks/claim", json={"agent_id": "able"})
    assert [task["task_id"] for task in answer.json()["tasks"]] == [made]


def test_the_lease_is_the_tasks_timeout_unless_the_agent_names_one(node: Any) -> None:
    for timeout in (100, 1_000, 10_000):
        node.made(capability_required="timed", timeout_seconds=timeout)
    claimed = node.claim(capability="timed")
    runs = node.behind(node.scheduler.runs(RunQuery(kind="task", options=(("capability", "timed"),))))
    leases = sorted((run.lease_until - run.started_at).total_seconds() for run in runs.items)
    assert leases == [100, 1_000, 10_000]
    for task in claimed:
        report(node, task, "release")
    node.claim(capability="timed", lease_seconds=5)
    runs = node.behind(node.scheduler.runs(RunQuery(kind="task", options=(("capability", "timed"),))))
    assert len({run.lease_until for run in runs.items}) == 1


def test_c1_2_5_a_task_is_cancelled_by_its_client(node: Any) -> None:
    waiting, held = node.made(capability_required="cancel", priority=1), node.made(capability_required="cancel")
    (task,) = node.claim(capability="cancel", limit=1)
    assert task["task_id"] == held
    assert node.client.delete(f"/aitp/tasks/{held}", params={"client_id": "other"}).status_code == 403
    for one in (waiting, held):
        answer = node.client.delete(f"/aitp/tasks/{one}", params={"client_id": "client-1", "reason": "too dear"})
        assert (answer.status_code, answer.json()["status"], answer.json()["reason"]) == (200, "CANCELLED", "too dear")
        shown = node.task(one)
        assert (shown["status"], shown["error_message"]) == ("CANCELLED", "too dear")
        assert node.client.delete(f"/aitp/tasks/{one}").status_code == 400
    report(node, task, "complete", 409)


def test_c1_2_5_a_failed_task_is_done_again_as_a_new_one(node: Any) -> None:
    made = node.made(capability_required="again", max_retries=0)
    assert node.client.post(f"/aitp/tasks/{made}/retry").status_code == 400
    (task,) = node.claim(capability="again")
    report(node, task, "fail", error_message="no")
    answer = node.client.post(f"/aitp/tasks/{made}/retry").json()
    assert (answer["retry_of"], answer["status"]) == (made, "PENDING")
    (task,) = node.claim(capability="again")
    assert task["task_id"] == answer["task_id"]
    report(node, task, "complete")
    assert node.task(answer["task_id"])["retry_of"] == made
    assert node.task(made)["status"] == "FAILED"


def test_c1_2_5_the_priority_of_a_task_that_waits_is_changed(node: Any) -> None:
    first, second = (node.made(capability_required="urgent") for _ in range(2))
    answer = node.client.put(f"/aitp/tasks/{second}/priority", params={"new_priority": 9, "client_id": "client-1"})
    assert answer.json() == {"task_id": second, "old_priority": 5, "new_priority": 9, "status": "PENDING"}
    assert [task["task_id"] for task in node.claim(capability="urgent")] == [second, first]
    assert node.task(second)["priority"] == 9
    assert node.client.put(f"/aitp/tasks/{second}/priority", params={"new_priority": 11}).status_code == 422
    node.client.delete(f"/aitp/tasks/{second}")
    assert node.client.put(f"/aitp/tasks/{second}/priority", params={"new_priority": 1}).status_code == 400


def test_c1_2_5_the_timeout_of_a_task_is_changed(node: Any) -> None:
    made = node.made(capability_required="patient")
    answer = node.client.put(f"/aitp/tasks/{made}/timeout", params={"timeout_seconds": 600})
    assert (answer.json()["timeout_seconds"], node.task(made)["timeout_seconds"]) == (600, 600)
    (task,) = node.claim(capability="patient")
    report(node, task, "start")
    before = node.task(made)["lease_expires_at"]
    node.client.put(f"/aitp/tasks/{made}/timeout", params={"timeout_seconds": 6_000})
    assert node.task(made)["lease_expires_at"] > before
    report(node, task, "complete")
    assert node.client.put(f"/aitp/tasks/{made}/timeout", params={"timeout_seconds": 6}).status_code == 400


def test_c1_2_5_a_batch_is_made_looked_at_and_cancelled(node: Any) -> None:
    spec = {"task_type": "t", "capability_required": "batch", "input_data": {}}
    batch = {"client_id": "batcher", "tasks": [{**spec, "input_data": number} for number in range(10)]}
    answer = node.client.post("/aitp/tasks/batch", json=batch).json()
    assert (answer["success"], answer["created"], len(answer["task_ids"])) == (True, 10, 10)
    (task,) = node.claim(capability="batch", limit=1)
    ids = answer["task_ids"]
    for asked in ({"params": {"task_ids": ",".join([*ids, UNKNOWN])}}, {"json": {"task_ids": [*ids, UNKNOWN]}}):
        method = "GET" if "params" in asked else "POST"
        status = node.client.request(method, "/aitp/tasks/batch/status", **asked).json()
        assert (status["total"], status["not_found"]) == (10, [UNKNOWN])
        assert status["status_counts"] == {"PENDING": 9, "ASSIGNED": 1}
    report(node, task, "complete")
    cancelled = node.client.post(
        "/aitp/tasks/batch/cancel", params={"task_ids": ",".join(ids), "client_id": "batcher", "reason": "enough"}
    ).json()
    assert (cancelled["cancelled"], [one["task_id"] for one in cancelled["failed"]]) == (9, [task["task_id"]])
    assert node.claim(capability="batch", wait_seconds=0) == []


def test_c1_2_5_a_batch_is_made_as_a_whole_or_not_at_all(node: Any) -> None:
    spec = {"task_type": "t", "capability_required": "whole", "input_data": {}}
    wrong = {"client_id": "batcher", "tasks": [spec, {**spec, "priority": 0}, {"x": 1}]}
    answer = node.client.post("/aitp/tasks/batch", json=wrong)
    assert answer.status_code == 422
    assert [entry["loc"][1:] for entry in answer.json()["detail"]][:2] == [["tasks", 1, "priority"], ["tasks", 2, "x"]]
    for tasks in ([], [spec] * 101, "x", None):
        assert node.client.post("/aitp/tasks/batch", json={"client_id": "b", "tasks": tasks}).status_code == 422
    assert node.claim(capability="whole", wait_seconds=0) == []


def test_the_tasks_of_a_batch_go_in_its_order(node: Any) -> None:
    spec = {"task_type": "t", "capability_required": "ordered", "input_data": {}}
    batch = {"client_id": "batcher", "tasks": [{**spec, "input_data": number} for number in range(50)]}
    assert node.client.post("/aitp/tasks/batch", json=batch).status_code == 200
    taken = [task["input_data"] for _ in range(5) for task in node.claim(capability="ordered")]
    assert taken == list(range(50))


def test_c1_2_5_the_queue_tells_its_depth(node: Any) -> None:
    for priority in (2, 5, 8, 10):
        node.made(capability_required="depth", priority=priority)
    queue = node.client.get("/aitp/queue/stats").json()["queue"]
    assert queue["by_capability"]["depth"] == 4
    assert queue["total_pending"] >= 4
    assert queue["high_priority"] >= 2
    assert len(node.claim(capability="depth")) == 4
    assert node.client.get("/aitp/queue/stats").json()["queue"]["total_assigned"] >= 4


def test_c1_2_5_health(node: Any) -> None:
    for path in ("/health", "/health/aitp"):
        answer = node.client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


def test_c1_2_9_a_task_and_its_result_can_be_got(node: Any) -> None:
    made = node.made(capability_required="result")
    path = f"/aitp/tasks/{made}/result"
    assert node.client.get(path).json()["status"] == "PENDING"
    (task,) = node.claim(capability="result")
    report(node, task, "complete", result_data=[1, {"ü": "é"}])
    shown = node.client.get(path).json()
    assert (shown["status"], shown["result_data"], shown["error_message"]) == ("COMPLETED", [1, {"ü": "é"}], None)
    for method, tail in (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("POST", "/retry")):
        answer = node.client.request(method, f"/aitp/tasks/{UNKNOWN}{tail}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Task not found"})


def test_nothing_of_all_this_leaves_the_store_in_disorder(node: Any) -> None:
    assert node.behind(node.scheduler.audit()) == []
