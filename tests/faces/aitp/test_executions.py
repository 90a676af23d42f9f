"""What becomes of schedules by the document's rows S2.7, S2.8 and S2.56–S2.70: executions, tasks, the worker."""

import logging
import re
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/aitp/tasks/schedule"
MINUTELY = {"cron_expression": "* * * * *", "timezone": ...}


async def minutely(there: Any, minutes: int = 1, **more: Any) -> str:
    """A schedule of each minute, after so many."""
    made = str(await there.created(**MINUTELY, **more))
    await there.advance(minutes=minutes)
    return made


async def test_s2_7_what_is_due_executes_by_itself(there: Any) -> None:
    made = await there.created()
    await there.advance(hours=11, minutes=15, seconds=1)
    (execution,) = await there.executions(made)
    assert (execution["executed_at"], execution["status"]) == ("2025-11-28T14:00:00Z", "PENDING")


async def test_s2_8_the_status_is_followed_to_an_end(there: Any) -> None:
    made = await minutely(there)
    (task,) = await there.claim()
    assert [one["status"] for one in await there.executions(made)] == ["PENDING"]
    await there.report(task, "start")
    assert [one["status"] for one in await there.executions(made)] == ["PENDING"]
    await there.report(task)
    assert [one["status"] for one in await there.executions(made)] == ["COMPLETED"]


async def test_s2_56_an_execution_has_the_documented_keys(there: Any) -> None:
    (execution,) = await there.executions(await minutely(there))
    keys = {"execution_id", "task_id", "executed_at", "status", "result_data", "error_message"}
    assert keys <= set(execution)
    shown = await there.ask("GET", f"/aitp/tasks/{execution['task_id']}")
    assert (shown["status"], shown["task_type"]) == ("PENDING", "daily-report")


async def test_s2_57_the_limit_is_50_unless_it_is_given(there: Any) -> None:
    made = await minutely(there, 60)
    assert len(await there.executions(made)) == 50
    assert len(await there.executions(made, limit=3)) == 3
    page = await there.ask("GET", f"{PATH}/{made}/executions", params={"limit": 40, "offset": 40})
    assert (len(page["executions"]), page["total"]) == (20, 60)


async def test_s2_58_the_newest_comes_first(there: Any) -> None:
    times = [one["executed_at"] for one in await there.executions(await minutely(there, 3))]
    assert times == ["2025-11-28T02:48:00Z", "2025-11-28T02:47:00Z", "2025-11-28T02:46:00Z"]


async def test_s2_59_a_finished_one_has_its_result_and_a_current_one_nulls(there: Any) -> None:
    made = await minutely(there, 2)
    first, _ = await there.claim()
    await there.report(first, result_data={"pages": [1, 2.50], "é": None})
    current, finished = await there.executions(made)
    assert (finished["status"], finished["result_data"]) == ("COMPLETED", {"pages": [1, 2.5], "é": None})
    assert (current["status"], current["result_data"], current["error_message"]) == ("PENDING", None, None)


async def test_s2_60_ids_begin_with_exec_and_task(there: Any) -> None:
    (execution,) = await there.executions(await minutely(there))
    assert re.fullmatch(r"exec-[0-9a-f]{32}", execution["execution_id"])
    assert re.fullmatch(r"task-[0-9a-f]{32}", execution["task_id"])


async def test_s2_61_the_worker_runs_with_the_api(there: Any) -> None:
    assert await there.ask("GET", "/health") == {"status": "healthy", "reason": None}


async def test_s2_62_what_is_due_is_not_late_by_a_poll(there: Any) -> None:
    # The document's worker looks every 30 s; this one wakes when something is due (B2.9).
    made = await there.created(cron_expression="*/10 * * * * *", timezone=...)
    await there.advance(seconds=61)
    times = [one["executed_at"][-3:-1] for one in await there.executions(made)]
    assert times == ["00", "50", "40", "30", "20", "10"]


async def test_s2_63_due_is_what_is_active_and_not_in_the_future(there: Any) -> None:
    active, paused = await there.created(**MINUTELY), await there.created(**MINUTELY)
    later = await there.created(cron_expression="0 0 1 1 *", timezone=...)
    await there.ask("PUT", f"{PATH}/{paused}", json={"status": "PAUSED"})
    await there.advance(minutes=1)
    assert [len(await there.executions(one)) for one in (active, paused, later)] == [1, 0, 0]


async def test_s2_64_an_execution_makes_a_pending_task_with_the_schedules_fields(there: Any) -> None:
    made = await minutely(there)
    (execution,) = await there.executions(made)
    task = await there.ask("GET", f"/aitp/tasks/{execution['task_id']}")
    copied = ("client_id", "task_type", "capability_required", "input_data", "priority")
    schedule = await there.schedule(made)
    assert {name: task[name] for name in copied} == {name: schedule[name] for name in copied}
    assert (task["status"], task["schedule_id"]) == ("PENDING", made)


async def test_s2_65_an_execution_is_pending_at_first(there: Any) -> None:
    made = await minutely(there)
    page = await there.ask("GET", f"{PATH}/{made}/executions")
    assert ([one["status"] for one in page["executions"]], page["schedule_id"]) == (["PENDING"], made)


async def test_s2_66_an_execution_counts_and_is_the_last_run(there: Any) -> None:
    made = await minutely(there, 3)
    shown = await there.schedule(made)
    assert (shown["total_runs"], shown["last_run_at"]) == (3, "2025-11-28T02:48:00Z")
    (item,) = (await there.ask("GET", PATH))["schedules"]
    assert (item["total_runs"], item["last_run_at"]) == (3, "2025-11-28T02:48:00Z")


async def test_s2_67_the_next_run_follows_from_the_scheduled_instant(there: Any) -> None:
    made = await there.created(cron_expression=..., timezone=..., schedule_type="interval", interval_seconds=600)
    there.world.kill()
    await there.advance(minutes=25)
    there.restart()
    # Not from the moment of the late execution: an interval does not drift (B2.11).
    await there.advance(seconds=30)
    assert (await there.schedule(made))["next_run_at"] == "2025-11-28T03:15:00Z"


async def test_s2_68_a_schedule_that_fails_does_not_stop_the_others(there: Any) -> None:
    bad = await there.created(**MINUTELY, capability_required="bad", max_retries=0)
    good = await there.created(**MINUTELY)
    await there.advance(minutes=1)
    (task,) = await there.claim("bad")
    await there.report(task, "fail", error_message="out of paper")
    await there.advance(minutes=1)
    shown = await there.schedule(bad)
    assert (shown["failed_runs"], shown["total_runs"], shown["status"]) == (1, 2, "ACTIVE")
    assert len(await there.executions(good)) == 2


async def test_s2_69_one_that_can_not_be_understood_is_told_and_the_worker_goes_on(there: Any) -> None:
    broken, good = await there.created(**MINUTELY), await there.created(**MINUTELY)
    there.sql("UPDATE jobs SET definition = json_set(definition, '$.given.schedule', 'x') WHERE id = 1")
    await there.advance(minutes=2)
    assert len(await there.executions(good)) == 2
    shown = {one["schedule_id"]: one for one in (await there.ask("GET", PATH))["schedules"]}
    assert (shown[broken]["status"], shown[good]["status"]) == ("FAILED", "ACTIVE")
    assert "'x'" in (await there.schedule(broken))["status_reason"]
    (row,) = there.sql("SELECT status FROM scheduled_tasks WHERE schedule_id = ?", broken)
    assert row["status"] == "FAILED"
    repaired = await there.ask("PUT", f"{PATH}/{broken}", json={"cron_expression": "* * * * *"})
    assert repaired["status"] == "ACTIVE"
    await there.advance(minutes=2)
    assert len(await there.executions(broken)) == 2


async def test_s2_70_each_execution_is_logged_with_its_schedule_and_task(
    there: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "wakeful.aitp"):
        made = await minutely(there)
    (execution,) = await there.executions(made)
    assert f"schedule {made} executes as {execution['task_id']}" in caplog.messages


async def test_a_schedule_executes_now_when_it_is_asked_to(there: Any) -> None:
    made = await there.created()
    answer = await there.ask("POST", f"{PATH}/{made}/execute")
    await there.advance(seconds=1)
    (task,) = await there.claim()
    assert task["task_id"] == answer["task_id"]
    assert (await there.schedule(made))["next_run_at"] == "2025-11-28T14:00:00Z"
