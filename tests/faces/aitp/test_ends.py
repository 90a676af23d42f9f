"""When schedules end, and how their instants are written: through changes of their form and their zone."""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/aitp/tasks/schedule"
ONCE = {"cron_expression": ..., "timezone": ..., "run_at": "2025-11-28T02:50:00Z"}
MINUTELY = {"cron_expression": "* * * * *", "timezone": ...}


async def changed(there: Any, schedule_id: str, status: int = 200, **change: Any) -> Any:
    """A schedule as it is shown after a change; or the refusal."""
    answer = await there.ask("PUT", f"{PATH}/{schedule_id}", status, json=change)
    return answer if status != 200 else await there.schedule(schedule_id)


async def test_a_schedule_keeps_its_end_when_its_form_changes(there: Any) -> None:
    made = await there.created(**ONCE, expires_at="2025-11-28T02:52:30Z")
    assert (await changed(there, made, cron_expression="* * * * *"))["expires_at"] == "2025-11-28T02:52:30Z"
    await there.advance(minutes=12)
    assert await there.claim() == []
    shown = await there.schedule(made)
    assert (shown["total_runs"], shown["next_run_at"], shown["status"]) == (7, None, "COMPLETED")


async def test_there_and_back_is_the_same_end(there: Any) -> None:
    made = await there.created(**MINUTELY, expires_at="2025-11-28T02:47:30Z")
    await changed(there, made, run_at="2025-11-28T02:47:00Z")
    await changed(there, made, cron_expression="* * * * *")
    await there.advance(minutes=10)
    assert len(await there.executions(made)) == 2


async def test_a_local_end_moves_with_the_zone_for_the_schedule_and_for_its_tasks(there: Any) -> None:
    made = await there.created(
        cron_expression="* * * * *", timezone="America/New_York", expires_at="2025-11-27T22:00:00"
    )
    assert (await there.schedule(made))["expires_at"] == "2025-11-28T03:00:00Z"
    # An hour behind: 22:00 there is an hour later.
    assert (await changed(there, made, timezone="America/Chicago"))["expires_at"] == "2025-11-28T04:00:00Z"
    await there.advance(minutes=20)
    # Its tasks are still somebody's.
    assert len(await there.claim(limit=30)) == 20
    await there.advance(minutes=80)
    assert len(await there.executions(made, limit=100)) == 75


async def test_a_local_end_moves_with_the_zone_of_what_is_due_once(there: Any) -> None:
    local = {"run_at": "2025-11-27T22:00:00", "expires_at": "2025-11-27T22:10:00", "timezone": "America/New_York"}
    made = await there.created(cron_expression=..., **local)
    shown = await changed(there, made, timezone="America/Chicago")
    assert (shown["run_at"], shown["expires_at"]) == ("2025-11-28T04:00:00Z", "2025-11-28T04:10:00Z")
    shown = await changed(there, made, cron_expression="*/5 * * * *", timezone="America/New_York", priority=1)
    assert shown["expires_at"] == "2025-11-28T03:10:00Z"


async def test_an_end_that_was_a_duration_stays_where_it_was(there: Any) -> None:
    made = await there.created(**MINUTELY, expires_at="00000600s")
    await there.advance(minutes=5)
    assert (await changed(there, made, cron_expression="*/2 * * * *"))["expires_at"] == "2025-11-28T02:55:00Z"
    await there.advance(minutes=30)
    assert len(await there.executions(made)) == 7


async def test_an_end_that_a_new_zone_puts_into_the_past_is_refused(there: Any) -> None:
    made = await there.created(
        cron_expression="* * * * *", timezone="America/New_York", expires_at="2025-11-27T22:00:00"
    )
    refused = await changed(there, made, 422, timezone="Europe/Berlin")
    assert refused["detail"][0]["loc"] == ["body", "expires_at"]


@pytest.mark.parametrize("run_at", ["2025-12-01T10:00:00", "2025-12-01T10:00"])
async def test_a_local_time_without_a_zone_is_in_the_zone_that_is_shown(there: Any, run_at: str) -> None:
    made = await there.created(cron_expression=..., timezone=..., run_at=run_at, expires_at="2025-12-01T11:00:00")
    shown = await there.schedule(made)
    assert (shown["run_at"], shown["expires_at"]) == ("2025-12-01T10:00:00Z", "2025-12-01T11:00:00Z")
    assert shown["timezone"] == "UTC"


@pytest.mark.parametrize("field", ["run_at", "start_at", "expires_at"])
@pytest.mark.parametrize("text", ["2030-01-01T09:00:00.5", "2030-01-01T09:00:00z", "2030-01-01 09:00:00", "2030-01-01"])
async def test_an_instant_that_is_nearly_right_is_told_how_to_be_written(there: Any, field: str, text: str) -> None:
    form = {"cron_expression": ...} if field == "run_at" else {}
    answer = await there.ask("POST", PATH, 422, json=there.body(**form, **{field: text}))
    (wrong,) = answer["detail"]
    assert wrong["loc"] == ["body", field]
    assert "2030-01-31T09:00:00Z" in wrong["msg"]
    assert "duration" not in wrong["msg"]
