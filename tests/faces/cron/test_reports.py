"""Status, stats and health (S3.28, S3.94, S3.95, B3.9, B3.10, C2.2)."""

from typing import Any

import pytest
from msgspec.structs import replace

from wakeful.core.run import Failed
from wakeful.faces.cron.reports import stats_of

pytestmark = pytest.mark.anyio


async def test_s3_94_b3_9_health_has_the_keys_of_both_documents(here: Any, job: Any) -> None:
    await here.load(job("a", "0 9 * * *"), job("b", "0 10 * * *"), timezone="America/New_York")
    here.answers["a"] = Failed("no")
    await here.advance(minutes=31)
    health = await here.daemon.health()
    assert (health["healthy"], health["scheduler_running"], health["job_count"]) == (True, True, 2)
    assert health["next_job"] == {"name": "b", "scheduled": "2026-01-26T10:00:00-05:00", "in_seconds": 1799}
    last = health["last_execution"]
    assert (last["job"], last["status"], last["completed_at"][:19]) == ("a", "failed", "2026-01-26T09:00:00")
    assert 1860 <= health["uptime_seconds"] <= 1861
    assert health["stats"] == {"total_executions": 1, "successful": 0, "failed": 1, "success_rate": 0.0}
    assert health["checks"] == {
        "running": True,
        "scheduler_initialized": True,
        "scheduler_running": True,
        "jobs_scheduled": True,
        "acceptable_failure_rate": False,
        "uptime_ok": True,
        "config_ok": True,
        "state_ok": True,
    }
    assert health["message"] == "running with 2 jobs"
    assert health["timestamp"].startswith("2026-01-26T09:30:00")
    assert (health["jobs_executed"], health["jobs_failed"], health["config_error"]) == (1, 1, None)


async def test_health_of_an_idle_daemon(here: Any) -> None:
    health = await here.daemon.health()
    assert (health["next_job"], health["last_execution"], health["job_count"]) == (None, None, 0)
    assert health["stats"]["success_rate"] is None
    assert health["healthy"]


async def test_health_is_red_when_no_claims_are_made(here: Any, job: Any) -> None:
    await here.load(job("a"))
    here.world.kill()
    health = await here.daemon.health()
    assert not health["healthy"]
    assert not health["checks"]["scheduler_running"]
    assert health["message"] == "no node runs"


@pytest.mark.parametrize(
    ("succeeded", "failed", "rate"),
    [
        (150, 6, 0.962),
        (0, 0, None),
        (1, 0, 1.0),
        (0, 3, 0.0),
        (2, 1, 0.667),
        # Half to even: 0.0625, 0.1875 and 0.3125 have four digits.
        (1, 15, 0.062),
        (3, 13, 0.188),
        (5, 11, 0.312),
    ],
)
async def test_s3_95_b3_10_the_success_rate_is_a_fraction_with_three_digits(
    here: Any, job: Any, succeeded: int, failed: int, rate: float | None
) -> None:
    await here.load(job("a"))
    record = replace(await here.record("a"), succeeded=succeeded, failed=failed)
    assert stats_of([record])["success_rate"] == rate


async def test_s3_28_c2_2_status_and_stats(here: Any, job: Any) -> None:
    await here.load(job("a", "0 9 * * *"), job("b", enabled=False), timezone="America/New_York")
    await here.advance(minutes=2)
    status = await here.daemon.status()
    assert (status["running"], status["enabled"], status["execution_mode"]) == (True, True, "claude_cli")
    assert status["jobs"] == [
        {"name": "a", "next_run": "2026-01-27T09:00:00-05:00"},
        {"name": "b", "next_run": None},
    ]
    assert (status["job_count"], status["jobs_executed"], status["jobs_failed"]) == (2, 1, 0)
    assert [row["job"] for row in status["recent_executions"]] == ["a"]
    stats = await here.daemon.stats()
    assert stats["running"] is True
    assert stats["uptime"] >= 120
    await here.stop()
    assert (await here.daemon.stats())["running"] is False
    assert (await here.daemon.health())["message"] == "the daemon is not running"


async def test_the_times_follow_the_zone_of_the_file_or_are_utc(here: Any, job: Any) -> None:
    await here.load(job("a", "0 9 * * *"))
    assert (await here.row("a"))["next_run"] == "2026-01-27T09:00:00+00:00"
    await here.load(job("a", "0 9 * * *", timezone="Asia/Tokyo"), timezone="Europe/Berlin")
    assert (await here.row("a"))["next_run"] == "2026-01-27T01:00:00+01:00"


async def test_a_config_that_never_could_be_used_left_no_jobs_of_before(asleep: Any, job: Any) -> None:
    asleep.write_text("{")
    await asleep.start()
    assert (await asleep.daemon.health())["message"].startswith("running with no jobs, as there are none of before: ")
    await asleep.load(job("a"))
    asleep.write_text("{")
    await asleep.reload()
    assert (await asleep.daemon.health())["message"].startswith("running with the jobs of before: ")


async def test_c2_4_5_what_history_has_is_counted_whatever_became_of_the_jobs(here: Any, job: Any) -> None:
    await here.load(job("a"), job("gone"))
    here.answers["gone"] = Failed("no")
    await here.advance(minutes=3)
    await here.load(job("a"))
    history = await here.daemon.get_history(1000)
    assert {row["job"] for row in history} == {"a", "gone"}
    assert (await here.daemon.get_state())["total_history"] == len(history)
    stats = (await here.daemon.health())["stats"]
    assert (stats["total_executions"], stats["successful"], stats["failed"]) == (6, 3, 3)
