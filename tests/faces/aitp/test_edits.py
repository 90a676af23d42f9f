"""Changes of schedules: none is lost beside another, and tasks that exist stay what they were (S2.64)."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

MINUTELY = {"cron_expression": "* * * * *", "timezone": ..., "max_retries": 0}
SCHEDULE = "/aitp/tasks/schedule"


async def put(there: Any, made: str, **change: Any) -> Any:
    return await there.ask("PUT", f"{SCHEDULE}/{made}", json=change)


async def told_alike(there: Any, task_id: str) -> Mapping[str, Any]:
    """A task as the API shows it; its row of the view says the same."""
    shown = dict(await there.ask("GET", f"/aitp/tasks/{task_id}"))
    (row,) = there.sql("SELECT task_type, capability_required, input_data FROM tasks WHERE task_id = ?", task_id)
    assert (row["task_type"], row["capability_required"]) == (shown["task_type"], shown["capability_required"])
    assert json.loads(row["input_data"]) == shown["input_data"]
    return shown


async def test_a_finished_task_stays_what_it_was(there: Any) -> None:
    made = await there.created(**MINUTELY, input_data="old", capability_required="p1", task_type="t1")
    await there.advance(minutes=1)
    (task,) = await there.claim("p1")
    await there.report(task)
    await put(there, made, input_data={"much": "n" * 5_000}, capability_required="p2", task_type="t2", max_retries=7)
    shown = await told_alike(there, task["task_id"])
    was = ("old", "p1", "t1", 0, "COMPLETED")
    names = ("input_data", "capability_required", "task_type", "max_retries", "status")
    assert tuple(shown[name] for name in names) == was
    listed = (await there.ask("GET", "/aitp/tasks", params={"capability": "p1"}))["tasks"]
    assert [one["task_id"] for one in listed] == [task["task_id"]]
    assert listed[0]["input_data"] == "old"
    assert (await there.ask("GET", "/aitp/tasks", params={"capability": "p2"}))["total"] == 0
    many = await there.ask("POST", "/aitp/tasks/batch/status", json={"task_ids": [task["task_id"]]})
    assert many["tasks"][0]["input_data"] == "old"
    await there.advance(minutes=1)
    (new,) = await there.claim("p2")
    assert new["task_type"] == "t2"
    assert (await told_alike(there, new["task_id"]))["input_data"] == {"much": "n" * 5_000}
    await put(there, made, input_data="third")
    assert [(await told_alike(there, one["task_id"]))["task_type"] for one in (task, new)] == ["t1", "t2"]


async def test_a_waiting_task_is_claimed_as_it_was_made(there: Any) -> None:
    made = await there.created(**MINUTELY, capability_required="p1", timeout_seconds=500)
    await there.advance(minutes=1)
    await put(there, made, capability_required="p2", timeout_seconds=50, max_retries=5)
    assert await there.claim("p2") == []
    (task,) = await there.claim("p1")
    assert (task["capability_required"], task["lease_expires_at"]) == ("p1", "2025-11-28T02:54:20Z")
    renewed = await there.report(task, "renew")
    assert renewed["lease_expires_at"] == "2025-11-28T02:54:20Z"
    assert (await there.report(task, "fail"))["status"] == "FAILED"
    assert (await told_alike(there, task["task_id"]))["max_retries"] == 0


async def test_total_runs_are_those_that_were_asked_for_too(there: Any) -> None:
    made = await there.created(**MINUTELY)
    await there.advance(minutes=1)
    await there.ask("POST", f"{SCHEDULE}/{made}/execute")
    await there.advance(seconds=1)
    first, second = await there.claim()
    await there.report(first, "fail")
    await there.report(second)
    await there.ask("POST", f"/aitp/tasks/{first['task_id']}/retry")
    await there.advance(seconds=1)
    shown = await there.schedule(made)
    assert (shown["total_runs"], shown["failed_runs"], shown["successful_runs"]) == (3, 1, 1)
    assert there.sql("SELECT total_runs t, failed_runs f FROM scheduled_tasks") == [{"t": 3, "f": 1}]
    assert (await there.ask("GET", f"{SCHEDULE}/{made}/executions"))["total"] == 3


@pytest.mark.parametrize(
    "change", [{"max_runs": 2}, {"max_runs": 1}, {"max_runs": 2, "cron_expression": "*/2 * * * *"}]
)
async def test_max_runs_counts_the_runs_of_before(there: Any, change: dict[str, Any]) -> None:
    made = await there.created(**MINUTELY, max_runs=5)
    await there.advance(minutes=2)
    answer = await put(there, made, **change)
    assert (answer["status"], answer["next_run_at"]) == ("ACTIVE", None)
    for task in await there.claim():
        await there.report(task)
    await there.advance(minutes=10)
    shown = await there.schedule(made)
    assert (shown["status"], shown["total_runs"]) == ("COMPLETED", 2)


async def test_what_was_made_once_is_not_made_again_by_another_expression(there: Any) -> None:
    made = await there.created(**MINUTELY, max_runs=1)
    await there.advance(minutes=1)
    assert (await put(there, made, cron_expression="*/2 * * * *"))["next_run_at"] is None


async def test_a_schedule_that_an_edit_completes_is_not_paused_as_well(there: Any) -> None:
    made = await there.created(**MINUTELY, max_runs=5)
    await there.advance(minutes=1)
    (task,) = await there.claim()
    await there.report(task)
    assert (await put(there, made, max_runs=1, status="PAUSED"))["status"] == "COMPLETED"


async def test_instants_that_an_edit_left_out_are_no_tasks(there: Any) -> None:
    made = await there.created(**MINUTELY)
    there.world.kill()
    await there.advance(minutes=10)
    await put(there, made, cron_expression="0 9 * * *")
    there.restart()
    await there.advance(seconds=1)
    shown = await there.schedule(made)
    assert (shown["total_runs"], shown["last_run_at"], shown["next_run_at"]) == (0, None, "2025-11-28T09:00:00Z")
    assert (await there.ask("GET", f"{SCHEDULE}/{made}/executions"))["total"] == 0
    (left,) = await there.executions(made, include="skipped")
    assert (left["status"], left["instants"], left["task_id"], left["error_message"]) == ("SKIPPED", 10, None, "edited")
    assert (await there.ask("GET", "/aitp/tasks"))["total"] == 0
    task_id = "task-" + left["execution_id"].removeprefix("exec-")
    await there.ask("GET", f"/aitp/tasks/{task_id}", 404)
    for view in ("tasks", "schedule_executions"):
        assert there.sql(f"SELECT count(*) n FROM {view}") == [{"n": 0}]


async def test_a_task_of_its_own_has_the_timeout_that_it_was_given_last(there: Any, task_body: Any) -> None:
    made = (await there.ask("POST", "/aitp/tasks", json=task_body()))["task_id"]
    await there.ask("PUT", f"/aitp/tasks/{made}/timeout", params={"timeout_seconds": 77})
    assert (await there.ask("GET", f"/aitp/tasks/{made}"))["timeout_seconds"] == 77
    (task,) = await there.claim("reports")
    assert task["lease_expires_at"] == "2025-11-28T02:46:17Z"


def test_of_changes_at_once_none_is_lost(node: Any, body: Any) -> None:
    made = node.client.post(SCHEDULE, json=body(client_id="editor")).json()["schedule_id"]
    for turn in range(20):
        changes = [
            {"cron_expression": f"{turn} 4 * * *"},
            {"priority": turn % 10 + 1},
            {"description": f"turn {turn}"},
            {"max_retries": turn},
        ]
        answers: list[int] = []

        def change(said: dict[str, Any], answers: list[int] = answers) -> None:
            answers.append(node.client.put(f"{SCHEDULE}/{made}", json=said).status_code)

        threads = [threading.Thread(target=change, args=(said,)) for said in changes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 4
        shown = node.client.get(f"{SCHEDULE}/{made}").json()
        for said in changes:
            assert {name: shown[name] for name in said} == said


def test_a_timeout_and_another_at_once_are_both_answered(node: Any) -> None:
    made = node.made(client_id="editor", capability_required="slow")
    answers: list[int] = []

    def change(seconds: int) -> None:
        asked = node.client.put(f"/aitp/tasks/{made}/timeout", params={"timeout_seconds": seconds})
        answers.append(asked.status_code)

    threads = [threading.Thread(target=change, args=(seconds,)) for seconds in range(10, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert 10 <= node.task(made)["timeout_seconds"] < 14
