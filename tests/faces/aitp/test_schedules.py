"""Schedules by the document's rows S2.1–S2.6 and S2.33–S2.55: made, listed, shown, changed, deleted."""

import re
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/aitp/tasks/schedule"
UNKNOWN = f"{PATH}/sched-000000000000000000000000000000ff"


async def next_run(there: Any, **more: Any) -> str:
    """When a new schedule is due first; it has no cron expression unless it is given one."""
    made = {"cron_expression": ..., "timezone": ..., **more}
    return str((await there.schedule(await there.created(**made)))["next_run_at"])


async def refused(there: Any, status: int = 422, **more: Any) -> dict[str, str]:
    """The wrong fields of a schedule that is refused, with what is wrong with them."""
    from_example = there.body(**more)
    answer = await there.ask("POST", PATH, status, json=from_example)
    return {entry["loc"][-1]: entry["msg"] for entry in answer["detail"]}


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("0 9 * * 1-5", "2025-11-28T09:00:00Z"),
        ("*/15 * * * *", "2025-11-28T03:00:00Z"),
        ("@daily", "2025-11-29T00:00:00Z"),
        ("0 0 1 jan *", "2026-01-01T00:00:00Z"),
        ("0 12 * * 7", "2025-11-30T12:00:00Z"),
        # Day of the month or day of the week, as in crontab (B2.25).
        ("0 12 1 * 6", "2025-11-29T12:00:00Z"),
    ],
)
async def test_s2_1_cron_expressions_are_accepted(there: Any, expression: str, due: str) -> None:
    assert await next_run(there, cron_expression=expression) == due


async def test_s2_2_a_task_at_one_date_and_time_is_accepted(there: Any) -> None:
    assert await next_run(there, run_at="2025-12-01T10:00:00Z") == "2025-12-01T10:00:00Z"
    assert await next_run(there, run_at="2025-12-01T10:00:00", timezone="Asia/Tokyo") == "2025-12-01T01:00:00Z"


async def test_s2_3_a_daily_recurrence_is_accepted(there: Any) -> None:
    assert await next_run(there, schedule_type="daily", time="09:30") == "2025-11-28T09:30:00Z"
    assert await next_run(there, recurrence={"type": "daily", "time": "02:00"}) == "2025-11-29T02:00:00Z"
    assert await next_run(there, recurrence={"type": "daily", "time": "02:00", "interval": 3}) == "2025-12-01T02:00:00Z"


async def test_s2_4_a_weekly_recurrence_is_accepted(there: Any) -> None:
    assert await next_run(there, schedule_type="weekly", day_of_week="sunday") == "2025-11-30T00:00:00Z"
    monday_and_friday = {"type": "weekly", "day_of_week": ["mon", 5], "time": "01:00"}
    assert await next_run(there, recurrence=monday_and_friday) == "2025-12-01T01:00:00Z"


@pytest.mark.parametrize(
    ("day", "due"),
    [
        ({"day_of_month": 15}, "2025-12-15T06:00:00Z"),
        ({"day_of_month": "last"}, "2025-11-30T06:00:00Z"),
        ({"last_day": True}, "2025-11-30T06:00:00Z"),
        ({"day_of_month": 31}, "2025-12-31T06:00:00Z"),
        ({"day_of_month": 31, "last_day": True}, "2025-11-30T06:00:00Z"),
        ({"day_of_month": [3, 20]}, "2025-12-03T06:00:00Z"),
    ],
)
async def test_s2_5_a_monthly_recurrence_is_accepted(there: Any, day: dict[str, Any], due: str) -> None:
    assert await next_run(there, schedule_type="monthly", time="06:00", **day) == due


async def test_s2_6_the_time_zone_of_a_schedule_is_honoured(there: Any) -> None:
    nine = {"cron_expression": "0 9 * * *"}
    assert await next_run(there, **nine, timezone="Asia/Kolkata") == "2025-11-28T03:30:00Z"
    assert await next_run(there, **nine) == "2025-11-28T09:00:00Z"
    assert "unknown time zone" in (await refused(there, timezone="Mars/Olympus"))["timezone"]


async def test_s2_33_the_body_is_one_json_object(there: Any) -> None:
    assert (await there.ask("POST", PATH, json=there.body()))["schedule_id"]
    for wrong in (b"", b"[]", b"{", b"null", b"\xff"):
        answer = await there.ask("POST", PATH, 422, content=wrong)
        assert answer["detail"][0]["type"] == "json_invalid"


async def test_s2_34_what_is_required_is_named_and_the_priority_is_5(there: Any) -> None:
    missing = await there.ask("POST", PATH, 422, json={})
    assert [entry["loc"] for entry in missing["detail"]] == [
        ["body", field] for field in ("client_id", "task_type", "capability_required", "input_data")
    ]
    assert "cron_expression" in await refused(there, cron_expression=...)
    assert (await there.schedule(await there.created(priority=...)))["priority"] == 5


async def test_s2_35_the_description_comes_back(there: Any) -> None:
    made = await there.ask("POST", PATH, json=there.body(description="Früh am Morgen"))
    assert made["description"] == "Früh am Morgen"
    assert (await there.schedule(made["schedule_id"]))["description"] == "Früh am Morgen"


async def test_s2_36_the_time_zone_is_accepted_and_shown(there: Any) -> None:
    assert (await there.schedule(await there.created()))["timezone"] == "America/New_York"
    assert (await there.schedule(await there.created(timezone=...)))["timezone"] == "UTC"


async def test_s2_37_the_answer_has_the_documented_keys(there: Any) -> None:
    made = await there.ask("POST", PATH, json=there.body())
    keys = {"schedule_id", "status", "cron_expression", "next_run_at", "description", "created_at"}
    assert set(made) - {"warnings"} == keys
    assert (made["status"], made["cron_expression"]) == ("ACTIVE", "0 9 * * *")
    assert made["created_at"] == "2025-11-28T02:45:00Z"


async def test_s2_38_the_id_begins_with_sched_and_is_not_guessable(there: Any) -> None:
    ids = {await there.created() for _ in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch(r"sched-[0-9a-f]{32}", each) for each in ids)


async def test_s2_39_times_are_utc_with_z_and_whole_seconds(there: Any) -> None:
    shown = await there.schedule(await there.created())
    for field in ("next_run_at", "created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown[field]), shown


async def test_s2_40_nine_in_new_york_in_november_is_14_utc(there: Any) -> None:
    # The document's own example says the 29th: B2.3.
    assert await next_run(there, cron_expression="0 9 * * *", timezone="America/New_York") == "2025-11-28T14:00:00Z"


async def test_s2_41_a_one_time_schedule_has_its_instant_and_no_cron_expression(there: Any) -> None:
    shown = await there.schedule(await there.created(cron_expression=..., timezone=..., run_at="2025-12-24T18:00:00Z"))
    assert (shown["cron_expression"], shown["run_at"]) == (None, "2025-12-24T18:00:00Z")
    assert shown["schedule_type"] == "once"


async def test_s2_42_the_list_is_filtered_and_paged(there: Any) -> None:
    mine = []
    for _ in range(3):
        mine.append(await there.created(client_id="c1"))
        # The list is in the order of their making, by the millisecond.
        await there.advance(milliseconds=1)
    await there.created(client_id="c2")
    await there.ask("PUT", f"{PATH}/{mine[1]}", json={"status": "PAUSED"})

    async def ids(**params: Any) -> list[str]:
        return [one["schedule_id"] for one in (await there.ask("GET", PATH, params=params))["schedules"]]

    assert await ids(client_id="c1") == mine
    assert await ids(client_id="c1", limit=1, offset=2) == mine[2:]
    assert await ids(client_id="c1", status="PAUSED") == [mine[1]]
    assert await ids(client_id="c1", status="active") == [mine[0], mine[2]]
    assert await ids(client_id="nobody") == []
    for wrong in ({"limit": 0}, {"limit": 101}, {"offset": -1}, {"status": "x"}, {"client": "c1"}):
        assert (await there.ask("GET", PATH, 422, params=wrong))["detail"][0]["loc"][0] == "query"


async def test_s2_43_total_counts_all_and_not_the_page(there: Any) -> None:
    for _ in range(3):
        await there.created()
    page = await there.ask("GET", PATH, params={"limit": 2, "offset": 1})
    assert (len(page["schedules"]), page["total"], page["limit"], page["offset"]) == (2, 3, 2, 1)
    assert (await there.ask("GET", PATH))["limit"] == 20


async def test_s2_44_an_item_has_the_documented_keys(there: Any) -> None:
    await there.created()
    (item,) = (await there.ask("GET", PATH))["schedules"]
    keys = "schedule_id task_type status cron_expression next_run_at last_run_at total_runs failed_runs"
    # `client_id` is in the source's items (C1.5.3).
    assert set(item) == {*keys.split(), "client_id"}


async def test_s2_45_the_details_have_the_documented_keys(there: Any) -> None:
    shown = await there.schedule(await there.created())
    documented = {**there.body(), "status": "ACTIVE", "total_runs": 0, "failed_runs": 0, "last_run_at": None}
    assert {name: shown[name] for name in documented} == documented
    assert {"schedule_id", "next_run_at", "created_at", "updated_at"} <= set(shown)


async def test_s2_46_an_unknown_schedule_is_404(there: Any) -> None:
    there_is = await there.created()
    for unknown in (UNKNOWN, f"{PATH}/sched-abc123", f"{PATH}/x", f"{PATH}/{there_is}0", f"{PATH}/{there_is[:-1]}9"):
        assert await there.ask("GET", unknown, 404) == {"detail": "Schedule not found"}


async def test_s2_47_any_part_can_be_changed_alone(there: Any) -> None:
    made = await there.created()
    for change in (
        {"cron_expression": "0 10 * * *"},
        {"priority": 9},
        {"status": "PAUSED"},
        {"description": "new"},
        {"input_data": [1]},
        {"task_type": "t"},
        {"capability_required": "c"},
        {"timeout_seconds": 60},
        {"metadata": {"a": 1}},
    ):
        before = await there.schedule(made)
        await there.ask("PUT", f"{PATH}/{made}", json=change)
        after = await there.schedule(made)
        assert {name: after[name] for name in change} == change
        touched = {*change, "next_run_at", "updated_at"}
        assert {name for name in after if after[name] != before[name]} <= touched


async def test_s2_48_the_answer_to_a_change_has_the_documented_keys(there: Any) -> None:
    made = await there.created()
    answer = await there.ask("PUT", f"{PATH}/{made}", json={"priority": 8, "cron_expression": "30 9 * * *"})
    documented = {"schedule_id": made, "status": "ACTIVE", "cron_expression": "30 9 * * *", "priority": 8}
    assert {name: answer[name] for name in documented} == documented


async def test_s2_49_a_paused_schedule_does_not_run(there: Any) -> None:
    made = await there.created(cron_expression="* * * * *", timezone=...)
    answer = await there.ask("PUT", f"{PATH}/{made}", json={"status": "PAUSED"})
    assert (answer["status"], answer["next_run_at"]) == ("PAUSED", None)
    await there.advance(minutes=5)
    shown = await there.schedule(made)
    assert (shown["status"], shown["total_runs"]) == ("PAUSED", 0)
    assert await there.executions(made) == []


async def test_s2_50_an_active_status_resumes_with_what_comes_next(there: Any) -> None:
    made = await there.created(cron_expression="* * * * *", timezone=...)
    assert (await there.ask("POST", f"{PATH}/{made}/pause"))["status"] == "PAUSED"
    await there.advance(minutes=5)
    assert (await there.ask("PUT", f"{PATH}/{made}", json={"status": "ACTIVE"}))["status"] == "ACTIVE"
    # Nothing of the pause is caught up: B2.13.
    assert (await there.schedule(made))["next_run_at"] == "2025-11-28T02:51:00Z"
    await there.advance(minutes=1)
    assert len(await there.executions(made)) == 1
    assert (await there.ask("POST", f"{PATH}/{made}/resume"))["message"] == "Schedule resumed successfully"


@pytest.mark.parametrize(("method", "tail"), [("PUT", ""), ("PATCH", ""), ("POST", "/pause"), ("POST", "/resume")])
async def test_s2_51_a_change_of_an_unknown_schedule_is_404(there: Any, method: str, tail: str) -> None:
    request = {"json": {"priority": 1}} if not tail else {}
    assert await there.ask(method, UNKNOWN + tail, 404, **request) == {"detail": "Schedule not found"}


async def test_s2_52_a_new_expression_or_zone_gives_another_next_run(there: Any) -> None:
    made = await there.created()
    await there.advance(minutes=1)
    await there.ask("PUT", f"{PATH}/{made}", json={"cron_expression": "0 10 * * *"})
    shown = await there.schedule(made)
    assert (shown["next_run_at"], shown["updated_at"]) == ("2025-11-28T15:00:00Z", "2025-11-28T02:46:00Z")
    await there.ask("PUT", f"{PATH}/{made}", json={"timezone": "UTC"})
    assert (await there.schedule(made))["next_run_at"] == "2025-11-28T10:00:00Z"
    await there.ask("PUT", f"{PATH}/{made}", json={"run_at": "2025-11-28T11:00:00Z"})
    shown = await there.schedule(made)
    assert (shown["next_run_at"], shown["cron_expression"]) == ("2025-11-28T11:00:00Z", None)


async def test_s2_53_a_deleted_schedule_says_so(there: Any) -> None:
    made = await there.created()
    assert await there.ask("DELETE", f"{PATH}/{made}") == {
        "schedule_id": made,
        "status": "DELETED",
        "message": "Schedule cancelled successfully",
    }


async def test_s2_54_an_unknown_schedule_can_not_be_deleted(there: Any) -> None:
    assert await there.ask("DELETE", UNKNOWN, 404) == {"detail": "Schedule not found"}


async def test_s2_55_delete_cancels_and_keeps_the_history(there: Any) -> None:
    made = await there.created(cron_expression="* * * * *", timezone=...)
    await there.advance(minutes=2)
    await there.ask("DELETE", f"{PATH}/{made}")
    await there.advance(minutes=5)
    executions = await there.executions(made)
    assert [(one["status"], one["error_message"]) for one in executions] == [("FAILED", "deleted")] * 2
    assert (await there.schedule(made))["status"] == "DELETED"
    assert (await there.ask("GET", PATH))["schedules"] == []
    assert (await there.ask("GET", PATH, params={"status": "DELETED"}))["total"] == 1
    # The second time there is none: B2.14.
    await there.ask("DELETE", f"{PATH}/{made}", 404)
    await there.ask("PUT", f"{PATH}/{made}", 404, json={"status": "ACTIVE"})
