"""How the document's contradictions are resolved: B2.1–B2.26, as far as no other module here shows it."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/aitp/tasks/schedule"
MINUTELY = {"cron_expression": "* * * * *", "timezone": ...}
ONCE = {"cron_expression": ..., "timezone": ..., "run_at": "2025-11-28T02:46:00Z"}


async def wrong(there: Any, method: str = "POST", path: str = PATH, **fields: Any) -> dict[str, str]:
    """The wrong fields of a request, each with its kind."""
    answer = await there.ask(method, path, 422, json=fields)
    return {entry["loc"][-1]: entry["type"] for entry in answer["detail"]}


@pytest.mark.parametrize(
    ("start", "expression", "due"),
    [
        # A time that the change of clocks leaves out is the first instant after the gap; a repeated one comes once.
        ("2026-03-08T00:00:00Z", "30 2 * * *", ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]),
        pytest.param(
            "2026-11-01T00:00:00Z",
            "30 1 * * *",
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
            marks=pytest.mark.slow,
        ),
    ],
)
async def test_b2_1_daylight_saving(tmp_path: Path, turned: Any, start: str, expression: str, due: list[str]) -> None:
    async with turned(tmp_path / "wakeful.db", start) as there:
        made = await there.created(cron_expression=expression)
        first = (await there.schedule(made))["next_run_at"]
        await there.advance(hours=12)
        assert [first, (await there.schedule(made))["next_run_at"]] == due


async def test_b2_4_exactly_one_trigger_form(there: Any) -> None:
    both = there.body(run_at="2026-01-01T00:00:00Z")
    assert await wrong(there, **both) == {"run_at": "value_error"}
    both = there.body(recurrence={"type": "daily"})
    assert await wrong(there, **both) == {"recurrence": "value_error"}
    assert await wrong(there, **there.body(schedule_type="once", cron_expression=...)) == {"run_at": "value_error"}
    assert await wrong(there, **there.body(schedule_type="daily")) == {"schedule_type": "value_error"}
    assert await wrong(there, **there.body(cron_expression=..., time="09:00")) == {"time": "value_error"}
    assert await wrong(there, **there.body(cron_expression=..., schedule_type="weekly")) == {
        "day_of_week": "value_error"
    }
    assert await wrong(there, **there.body(cron_expression="2026-01-01T00:00:00Z")) == {
        "cron_expression": "value_error"
    }


async def test_b2_4_what_is_due_once_is_complete_after_it(there: Any) -> None:
    made = await there.created(**ONCE)
    await there.advance(minutes=2)
    assert (await there.schedule(made))["status"] == "ACTIVE"
    await there.report((await there.claim())[0])
    shown = await there.schedule(made)
    assert (shown["status"], shown["next_run_at"], shown["total_runs"]) == ("COMPLETED", None, 1)
    await there.ask("PUT", f"{PATH}/{made}", 409, json={"priority": 1})
    await there.ask("DELETE", f"{PATH}/{made}")
    assert (await there.schedule(made))["status"] == "DELETED"


async def test_b2_4_an_instant_in_the_past_is_refused(there: Any) -> None:
    past = there.body(cron_expression=..., timezone=..., run_at="2025-01-01T00:00:00Z")
    assert await wrong(there, **past) == {"run_at": "value_error"}


async def test_b2_5_failures_in_a_row_stop_a_schedule_which_can_be_resumed(there: Any) -> None:
    made = await there.created(**MINUTELY, max_retries=0, pause_after=2)
    for _ in range(2):
        await there.advance(minutes=1)
        await there.report((await there.claim())[0], "fail", error_message="no")
    shown = await there.schedule(made)
    assert (shown["status"], shown["next_run_at"]) == ("FAILED", None)
    assert shown["status_reason"] == "paused itself after 2 failed runs in a row"
    await there.advance(minutes=3)
    assert (await there.schedule(made))["total_runs"] == 2
    await there.ask("PUT", f"{PATH}/{made}", json={"status": "ACTIVE"})
    await there.advance(minutes=1)
    shown = await there.schedule(made)
    assert (shown["status"], shown["status_reason"], shown["total_runs"]) == ("ACTIVE", None, 3)


async def test_b2_6_what_becomes_of_a_task_is_counted(there: Any) -> None:
    made = await there.created(**MINUTELY, max_retries=1)
    await there.advance(minutes=2)
    good, bad = await there.claim()
    await there.report(good)
    await there.report(bad, "fail", error_message="once")
    assert [one["status"] for one in await there.executions(made)] == ["PENDING", "COMPLETED"]
    await there.advance(seconds=2)
    await there.report((await there.claim())[0], "fail", error_message="twice")
    newest, _ = await there.executions(made)
    assert (newest["status"], newest["error_message"]) == ("FAILED", "twice")
    shown = await there.schedule(made)
    assert (shown["successful_runs"], shown["failed_runs"]) == (1, 1)


async def test_b2_7_two_nodes_execute_each_instant_once(there: Any) -> None:
    there.world.restart(1)
    made = await there.created(**MINUTELY)
    await there.advance(minutes=10)
    assert len(await there.executions(made)) == 10
    first, second = await asyncio.gather(there.claim(limit=6), there.claim(agent_id="agent-2", limit=6))
    ids = [task["task_id"] for task in (*first, *second)]
    assert len(set(ids)) == len(ids) == 10


@pytest.mark.parametrize(
    ("policy", "runs", "skipped"),
    [({}, 1, 9), ({"misfire_policy": "run_once"}, 1, 9), ({"misfire_policy": "run_all"}, 10, 0),
     ({"misfire_policy": "run_all", "misfire_limit": 3}, 3, 7), ({"misfire_policy": "skip"}, 0, 10)],
)  # fmt: skip
async def test_b2_10_what_passed_while_nobody_ran(there: Any, policy: dict[str, Any], runs: int, skipped: int) -> None:
    made = await there.created(**MINUTELY, **policy)
    there.world.kill()
    await there.advance(minutes=10, seconds=30)
    there.restart()
    await there.advance(seconds=20)
    executions = await there.executions(made, include="skipped")
    assert sum(one["instants"] for one in executions if one["status"] == "SKIPPED") == skipped
    assert len(await there.executions(made)) == runs
    assert [one["task_id"] for one in executions if one["status"] == "SKIPPED"] == [None] * (skipped > 0)


async def test_b2_12_only_what_may_be_changed_is_changed(there: Any) -> None:
    made = await there.created()
    change = {"schedule_id": "x", "client_id": "y", "total_runs": 5, "created_at": "z", "metadata_": 1, "priority": 99}
    assert await wrong(there, "PUT", f"{PATH}/{made}", **change) == {
        "schedule_id": "read_only",
        "client_id": "read_only",
        "total_runs": "read_only",
        "created_at": "read_only",
        "metadata_": "extra_forbidden",
        "priority": "value_error",
    }
    for status in ("COMPLETED", "DELETED", "", 1):
        assert await wrong(there, "PUT", f"{PATH}/{made}", status=status) == {"status": "value_error"}


async def test_b2_13_resuming_catches_up_only_when_it_is_asked_to(there: Any) -> None:
    made = await there.created(**MINUTELY)
    await there.ask("POST", f"{PATH}/{made}/pause")
    await there.advance(minutes=5)
    await there.ask("POST", f"{PATH}/{made}/resume", params={"catch_up": "true"})
    await there.advance(seconds=1)
    assert len(await there.executions(made)) == 1


async def test_b2_14_waiting_tasks_end_with_their_schedule_and_those_that_agents_hold_when_asked(there: Any) -> None:
    kept, cancelled = await there.created(**MINUTELY), await there.created(**MINUTELY, capability_required="other")
    await there.advance(minutes=1)
    (held,), (lost,) = await there.claim(), await there.claim("other")
    await there.ask("DELETE", f"{PATH}/{kept}")
    await there.ask("DELETE", f"{PATH}/{cancelled}", params={"cancel_pending": "true"})
    await there.report(held)
    await there.report(lost, status=409)
    assert [one["status"] for one in await there.executions(kept)] == ["COMPLETED"]


async def test_b2_15_a_wrong_expression_is_422_with_its_reason(there: Any) -> None:
    for expression in ("99 9 * * *", "x", "", "0 9 * *", "0 0 30 2 *", 5, None):
        answer = await there.ask("POST", PATH, 422, json=there.body(cron_expression=expression))
        assert answer["detail"][0]["loc"] == ["body", "cron_expression"]
        assert len(answer["detail"][0]["msg"]) > 10
    valid = await there.ask("POST", f"{PATH}/validate", params={"cron_expression": "0 9 * * *"})
    assert (valid["valid"], valid["next_run_at"]) == (True, "2025-11-28T09:00:00Z")
    invalid = await there.ask("POST", f"{PATH}/validate", params={"cron_expression": "61 * * * *"})
    assert (invalid["valid"], invalid["next_run_at"]) == (False, None)


async def test_b2_17_executions_of_an_unknown_schedule_are_404(there: Any) -> None:
    unknown = f"{PATH}/sched-000000000000000000000000000000ff/executions"
    assert await there.ask("GET", unknown, 404) == {"detail": "Schedule not found"}


async def test_b2_18_a_client_is_registered_on_its_first_use(there: Any) -> None:
    await there.ask("GET", "/ains/agents/client-1", 404)
    await there.created()
    assert (await there.ask("GET", "/ains/agents/client-1"))["registered"] is False


async def test_b2_22_static_paths_are_no_task_ids(there: Any) -> None:
    assert "schedules" in await there.ask("GET", "/aitp/tasks/schedule")
    assert await there.ask("GET", "/aitp/tasks/schedule/", 200) == await there.ask("GET", "/aitp/tasks/schedule")
    for path in ("/aitp/tasks/batch", "/aitp/tasks/claim", "/aitp/tasks/schedule/validate"):
        assert await there.ask("GET", path, 405) == {"detail": "Method Not Allowed"}
    assert await there.ask("GET", "/aitp/tasks/other", 404) == {"detail": "Task not found"}


async def test_b2_23_who_asks_for_what_nobody_can_do_is_warned(there: Any) -> None:
    made = await there.ask("POST", PATH, json=there.body())
    assert "'report-generation'" in made["warnings"][0]
    await there.ask("POST", "/ains/agents", json={"agent_id": "a", "capabilities": ["report-generation"]})
    assert "warnings" not in await there.ask("POST", PATH, json=there.body())
    await there.advance(minutes=11)
    assert "warnings" in await there.ask("POST", PATH, json=there.body())


@pytest.mark.parametrize(
    ("policy", "alive", "counts"),
    [
        ({}, 3, {"PENDING": 3}),
        ({"concurrency_policy": "allow", "max_concurrent": 2}, 2, {"PENDING": 2}),
        ({"concurrency_policy": "forbid"}, 1, {"PENDING": 1}),
        ({"concurrency_policy": "replace"}, 1, {"PENDING": 1, "FAILED": 2}),
    ],
)
async def test_b2_24_a_slow_task_and_the_next_instant(
    there: Any, policy: dict[str, Any], alive: int, counts: dict[str, int]
) -> None:
    made = await there.created(**MINUTELY, **policy)
    await there.advance(minutes=3)
    statuses = [one["status"] for one in await there.executions(made)]
    assert {status: statuses.count(status) for status in set(statuses)} == counts
    assert len(await there.claim()) == alive


async def test_b2_26_priorities_are_from_1_to_10_and_the_highest_goes_first(there: Any) -> None:
    for priority in (0, 11, "x", 1.5, True):
        assert await wrong(there, **there.body(priority=priority)) == {"priority": "value_error"}
    for priority in (1, 10, 5):
        await there.created(**MINUTELY, priority=priority)
    await there.advance(minutes=1)
    assert [task["priority"] for task in await there.claim()] == [10, 5, 1]


async def test_a_schedule_ends_with_its_expiry_and_its_number_of_runs(there: Any) -> None:
    until = await there.created(**MINUTELY, expires_at="2025-11-28T02:47:30Z")
    twice = await there.created(**MINUTELY, max_runs=2, capability_required="twice")
    await there.advance(minutes=2, seconds=1)
    for task in (await there.claim())[:1] + await there.claim("twice"):
        await there.report(task)
    await there.advance(minutes=5)
    shown = await there.schedule(until)
    assert (shown["total_runs"], shown["expires_at"]) == (2, "2025-11-28T02:47:30Z")
    assert (await there.schedule(twice))["status"] == "COMPLETED"
    for past in ("2025-11-28T02:47:00Z", "x"):
        assert await wrong(there, **there.body(expires_at=past)) == {"expires_at": "value_error"}


async def test_a_task_that_is_due_once_expires_unclaimed(there: Any) -> None:
    made = await there.created(**ONCE, expires_at="2025-11-28T03:00:00Z")
    await there.advance(minutes=20)
    (execution,) = await there.executions(made)
    assert (execution["status"], execution["error_message"]) == ("FAILED", "expired")
    assert await there.claim() == []
    assert (await there.schedule(made))["status"] == "COMPLETED"


def test_the_sqlite_of_whoever_reads_the_views_can_do_so() -> None:
    # The views use ->>, which came with 3.38.
    assert sqlite3.sqlite_version_info >= (3, 38)
