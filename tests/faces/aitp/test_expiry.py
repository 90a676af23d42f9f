"""Tasks that nobody takes in time, and agents that are silent: in turned time."""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def made(there: Any, **more: Any) -> str:
    """The id of a new task."""
    task = {"client_id": "client-1", "task_type": "t", "capability_required": "reports", "input_data": 1, **more}
    return str((await there.ask("POST", "/aitp/tasks", json=task))["task_id"])


async def status(there: Any, task_id: str) -> tuple[str, str | None]:
    """A task's status, and its error."""
    shown = await there.ask("GET", f"/aitp/tasks/{task_id}")
    return shown["status"], shown["error_message"]


async def test_a_task_that_is_not_claimed_in_time_is_cancelled(there: Any) -> None:
    expires = {"expires_at": "2025-11-28T03:00:00Z"}
    lost, kept = await made(there, **expires), await made(there, priority=9, **expires)
    (task,) = await there.claim("reports", limit=1, lease_seconds=3600)
    assert task["task_id"] == kept
    await there.advance(minutes=14)
    assert await status(there, lost) == ("PENDING", None)
    await there.advance(minutes=2)
    assert await status(there, lost) == ("CANCELLED", "expired")
    await there.report(task)
    assert (await status(there, kept))[0] == "COMPLETED"


async def test_what_has_expired_is_not_given_out_before_it_is_cancelled(there: Any) -> None:
    task = await made(there, expires_at="2025-11-28T03:00:00Z")
    there.world.set_clock(minutes=15, seconds=1)
    assert await there.claim("reports") == []
    assert await status(there, task) == ("CANCELLED", "expired")


async def test_a_time_that_is_past_is_no_expiry(there: Any) -> None:
    task = {"client_id": "c", "task_type": "t", "capability_required": "r", "input_data": 1}
    for past in ("2025-11-28T02:44:00Z", "tomorrow", 5):
        answer = await there.ask("POST", "/aitp/tasks", 422, json={**task, "expires_at": past})
        assert answer["detail"][0]["loc"] == ["body", "expires_at"]


async def test_a_silent_agent_loses_its_task_after_the_timeout_and_the_last_time_the_task_fails(there: Any) -> None:
    task = await made(there, timeout_seconds=60, max_retries=1)
    for attempt in (0, 1):
        (claimed,) = await there.claim("reports")
        assert claimed["retry_count"] == attempt
        await there.advance(seconds=55)
        assert (await status(there, task))[0] == "ASSIGNED"
        await there.advance(seconds=15)
    assert await status(there, task) == ("FAILED", "no answer in time")


async def test_what_is_done_again_expires_as_it_did(there: Any) -> None:
    first = await made(there, expires_at="2025-11-28T03:00:00Z", max_retries=0)
    (claimed,) = await there.claim("reports")
    await there.report(claimed, "fail", error_message="no")
    again = (await there.ask("POST", f"/aitp/tasks/{first}/retry"))["task_id"]
    assert (await there.ask("GET", f"/aitp/tasks/{again}"))["expires_at"] == "2025-11-28T03:00:00Z"
    await there.advance(minutes=16)
    assert await status(there, again) == ("CANCELLED", "expired")
    refused = await there.ask("POST", f"/aitp/tasks/{first}/retry", 400)
    assert "expired at 2025-11-28T03:00:00Z" in refused["detail"]


async def test_a_failed_task_of_a_deleted_schedule_is_not_done_again(there: Any) -> None:
    schedule = await there.created(cron_expression="* * * * *", timezone=..., max_retries=0)
    await there.advance(minutes=1)
    (claimed,) = await there.claim()
    await there.report(claimed, "fail", error_message="no")
    await there.ask("DELETE", f"/aitp/tasks/schedule/{schedule}")
    refused = await there.ask("POST", f"/aitp/tasks/{claimed['task_id']}/retry", 409)
    assert refused["detail"] == f"its schedule {schedule} was deleted: make a task of its own"


async def test_retries_are_one_two_four_seconds_apart(there: Any) -> None:
    task = await made(there)
    for pause in (1, 2, 4):
        (claimed,) = await there.claim("reports")
        answer = await there.report(claimed, "fail", error_message="\x1b[31mno\x00")
        assert answer["status"] == "PENDING"
        await there.advance(seconds=pause - 0.1)
        assert await there.claim("reports") == []
        await there.advance(seconds=0.2)
    (claimed,) = await there.claim("reports")
    assert (await there.report(claimed, "fail", error="no 😀"))["status"] == "FAILED"
    assert await status(there, task) == ("FAILED", "no 😀")


async def test_a_change_of_clocks_and_a_dead_node_lose_nothing(there: Any) -> None:
    task = await made(there)
    (claimed,) = await there.claim("reports", lease_seconds=3600)
    there.world.kill()
    await there.advance(minutes=1)
    there.restart()
    await there.advance(seconds=10)
    # The lease is the agent's, not the node's.
    await there.report(claimed)
    assert (await status(there, task))[0] == "COMPLETED"
