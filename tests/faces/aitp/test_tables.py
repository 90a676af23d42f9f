"""The document's tables, rows S2.9–S2.32: read with SQL in the store's file, by their names and columns."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

MINUTELY = {"cron_expression": "* * * * *", "timezone": ...}


async def row(there: Any, **more: Any) -> Mapping[str, Any]:
    """A new schedule's row."""
    made = await there.created(**more)
    (found,) = there.sql("SELECT * FROM scheduled_tasks WHERE schedule_id = ?", made)
    return dict(found)


async def execution(there: Any) -> Mapping[str, Any]:
    """The row of the one execution."""
    (found,) = there.sql("SELECT * FROM schedule_executions")
    return dict(found)


async def test_s2_9_schedule_id_is_the_key(there: Any) -> None:
    ids = [await there.created() for _ in range(3)]
    assert [one["schedule_id"] for one in there.sql("SELECT schedule_id FROM scheduled_tasks")] == ids


async def test_s2_10_client_id_is_an_agent(there: Any) -> None:
    assert (await row(there))["client_id"] == "client-1"
    joined = "SELECT a.agent_id FROM scheduled_tasks s JOIN agents a ON a.agent_id = s.client_id"
    assert there.sql(joined) == [{"agent_id": "client-1"}]


async def test_s2_11_task_type(there: Any) -> None:
    assert (await row(there))["task_type"] == "daily-report"


async def test_s2_12_capability_required(there: Any) -> None:
    assert (await row(there))["capability_required"] == "report-generation"


@pytest.mark.parametrize("data", [{"report_type": "daily"}, [1, "ü"], {"much": "x" * 5_000}, 0])
async def test_s2_13_input_data_is_json(there: Any, data: Any) -> None:
    assert json.loads((await row(there, input_data=data))["input_data"]) == data


async def test_s2_14_priority_is_5_unless_given(there: Any) -> None:
    assert (await row(there, priority=...))["priority"] == 5
    assert (await row(there))["priority"] == 7


async def test_s2_15_a_one_time_schedule_has_no_cron_expression(there: Any) -> None:
    assert (await row(there))["cron_expression"] == "0 9 * * *"
    assert (await row(there, cron_expression=..., run_at="2026-01-01T00:00:00Z"))["cron_expression"] is None


async def test_s2_16_next_run_at_is_null_when_nothing_comes(there: Any) -> None:
    assert (await row(there))["next_run_at"] == "2025-11-28T14:00:00Z"
    made = await there.created(cron_expression=..., timezone=..., run_at="2025-11-28T03:00:00Z")
    await there.advance(hours=1)
    assert there.sql("SELECT next_run_at n FROM scheduled_tasks WHERE schedule_id = ?", made) == [{"n": None}]


async def test_s2_17_last_run_at_is_null_until_the_first_run(there: Any) -> None:
    assert (await row(there, **MINUTELY))["last_run_at"] is None
    await there.advance(seconds=90)
    assert there.sql("SELECT last_run_at n FROM scheduled_tasks") == [{"n": "2025-11-28T02:46:00Z"}]


async def test_s2_18_the_four_statuses(there: Any) -> None:
    assert (await row(there))["status"] == "ACTIVE"
    paused = await there.created()
    await there.ask("PUT", f"/aitp/tasks/schedule/{paused}", json={"status": "PAUSED"})
    once = await there.created(
        cron_expression=..., timezone=..., run_at="2025-11-28T02:46:00Z", capability_required="once"
    )
    failing = await there.created(**MINUTELY, capability_required="bad", max_retries=0, pause_after=1)
    await there.advance(minutes=1, seconds=1)
    await there.report((await there.claim("once"))[0])
    await there.report((await there.claim("bad"))[0], "fail")
    statuses = {one["schedule_id"]: one["status"] for one in there.sql("SELECT * FROM scheduled_tasks")}
    assert [statuses[one] for one in (paused, once, failing)] == ["PAUSED", "COMPLETED", "FAILED"]
    for status, one in (("PAUSED", paused), ("COMPLETED", once), ("FAILED", failing)):
        found = await there.ask("GET", "/aitp/tasks/schedule", params={"status": status})
        assert [each["schedule_id"] for each in found["schedules"]] == [one]


async def test_s2_19_total_runs(there: Any) -> None:
    assert (await row(there, **MINUTELY))["total_runs"] == 0
    await there.advance(minutes=2)
    assert there.sql("SELECT total_runs n FROM scheduled_tasks") == [{"n": 2}]


async def test_s2_20_failed_runs(there: Any) -> None:
    assert (await row(there, **MINUTELY, max_retries=0))["failed_runs"] == 0
    await there.advance(minutes=1)
    await there.report((await there.claim())[0], "fail")
    assert there.sql("SELECT failed_runs n FROM scheduled_tasks") == [{"n": 1}]


async def test_s2_21_created_at(there: Any) -> None:
    assert (await row(there))["created_at"] == "2025-11-28T02:45:00Z"


async def test_s2_22_updated_at_changes_with_each_update(there: Any) -> None:
    made = await there.created()
    seen = set()
    for change in ({"priority": 1}, {"status": "PAUSED"}, {"status": "ACTIVE"}, {"cron_expression": "1 1 * * *"}):
        await there.advance(seconds=10)
        await there.ask("PUT", f"/aitp/tasks/schedule/{made}", json=change)
        (found,) = there.sql("SELECT updated_at, created_at FROM scheduled_tasks")
        assert (await there.schedule(made))["updated_at"] == found["updated_at"] > found["created_at"]
        seen.add(found["updated_at"])
    assert len(seen) == 4


async def test_s2_23_what_is_due_next_is_found_by_an_index(there: Any) -> None:
    plan = there.sql(
        "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE queue = 'task/default' AND priority = 5 AND plan_at IS NOT NULL "
        "AND plan_at <= 1 ORDER BY plan_at"
    )
    assert "jobs_plan" in plan[0]["detail"]


async def test_s2_24_a_clients_schedules_are_found_by_an_index(there: Any) -> None:
    plan = there.sql(
        "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE namespace = 'default' AND owner = 'client/c' AND ended_at IS NULL"
    )
    assert "jobs_key" in plan[0]["detail"]


async def executed(there: Any) -> tuple[str, dict[str, Any]]:
    made = await there.created(**MINUTELY, max_retries=0)
    await there.advance(minutes=1)
    return made, (await there.claim())[0]


async def test_s2_25_execution_id(there: Any) -> None:
    await executed(there)
    assert (await execution(there))["execution_id"].startswith("exec-")


async def test_s2_26_schedule_id_of_an_execution(there: Any) -> None:
    made, _ = await executed(there)
    assert (await execution(there))["schedule_id"] == made


async def test_s2_27_task_id_of_an_execution(there: Any) -> None:
    _, task = await executed(there)
    assert (await execution(there))["task_id"] == task["task_id"]
    assert there.sql("SELECT task_id FROM tasks") == [{"task_id": task["task_id"]}]


async def test_s2_28_executed_at(there: Any) -> None:
    await executed(there)
    assert (await execution(there))["executed_at"] == "2025-11-28T02:46:00Z"


async def test_s2_29_status_of_an_execution(there: Any) -> None:
    _, task = await executed(there)
    assert (await execution(there))["status"] == "PENDING"
    await there.report(task)
    assert (await execution(there))["status"] == "COMPLETED"


async def test_s2_30_result_data_is_null_until_done(there: Any) -> None:
    _, task = await executed(there)
    assert (await execution(there))["result_data"] is None
    await there.report(task, result_data={"ok": True})
    assert json.loads((await execution(there))["result_data"]) == {"ok": True}


async def test_s2_31_error_message_is_null_unless_failed(there: Any) -> None:
    _, task = await executed(there)
    assert (await execution(there))["error_message"] is None
    await there.report(task, "fail", error_message="no toner")
    found = await execution(there)
    assert (found["status"], found["error_message"]) == ("FAILED", "no toner")


async def test_s2_32_agents_and_tasks_are_tables(there: Any) -> None:
    _, task = await executed(there)
    assert {one["agent_id"] for one in there.sql("SELECT agent_id FROM agents")} == {"client-1", "agent-1"}
    (found,) = there.sql("SELECT * FROM tasks")
    assert (found["status"], found["assigned_agent_id"], found["priority"]) == ("ASSIGNED", "agent-1", 7)
    shown = await there.ask("GET", f"/aitp/tasks/{task['task_id']}")
    assert {name: shown[name] for name in found if "data" not in name} == {
        name: value for name, value in found.items() if "data" not in name
    }
