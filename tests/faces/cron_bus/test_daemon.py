"""The real daemon behind the bus: rows S3.26–S3.28, S3.44–S3.54, S3.66, S3.67, B3.14 and B3.33, from end to end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faces.cron.conftest import Here, daemon_at, job
from server.state_manager import StateManager
from support.bus import Heard, PrivateBus, hearing, until
from wakeful.core.run import Failed
from wakeful.faces.cron.bus import CronBus
from wakeful.faces.cron.client import DaemonClient

pytestmark = pytest.mark.anyio


@dataclass
class Whole:
    """A daemon, its bus, and a client."""

    here: Here
    client: DaemonClient
    heard: Heard

    async def call(self, name: str, *arguments: Any) -> Any:
        """An answer, while the daemon's time goes on by milliseconds."""
        return await self.meanwhile(self.client.call_method(name, list(arguments), timeout_s=None))

    async def meanwhile(self, work: Awaitable[Any]) -> Any:
        asked = asyncio.ensure_future(work)
        while not asked.done():
            await asyncio.wait([asked], timeout=0.01)
            await self.here.advance(milliseconds=10)
        return asked.result()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def whole(tmp_path: Path, private_bus: PrivateBus, client_of: Callable[..., Any]) -> AsyncIterator[Whole]:
    async with daemon_at(tmp_path / "state") as here:
        here.write(job("daily_standup"), job("flaky", "0 0 1 1 *", retry={"max_attempts": 2, "delay_seconds": 60}))
        await here.start()
        cron = CronBus(here.daemon, lambda: None, private_bus.address)
        await cron.start()
        client = client_of(private_bus)
        assert await client.connect()
        async with hearing(private_bus.address) as heard:
            yield Whole(here, client, heard)
        await client.disconnect()
        await cron.stop()


async def test_s3_44_and_s3_51_to_s3_53_a_run_from_end_to_end(whole: Whole) -> None:
    begun = await whole.call("run_job", "daily_standup")
    assert begun["success"] is True
    await whole.here.advance(seconds=1)
    await until(lambda: whole.heard.named("JobCompleted"), "the end")
    execution = begun["execution_id"]
    assert whole.heard.named("JobStarted") == [["daily_standup", execution]]
    ((name, run, result),) = whole.heard.named("JobCompleted")
    assert (name, run, json.loads(result)) == ("daily_standup", execution, {"output": "done", "success": True})
    (row,) = await whole.call("get_history", 10)
    assert (row["execution_id"], row["status"]) == (execution, "success")


async def test_b3_35_waiting_is_over_after_the_last_attempt(whole: Whole) -> None:
    whole.here.answers["flaky"] = Failed("exit code 3")
    asked = asyncio.ensure_future(whole.client.call_method("RunJobAndWait", ["flaky"], timeout_s=None))
    await whole.meanwhile(until(lambda: len(whole.heard.named("JobFailed")) == 1, "the first attempt"))
    assert not asked.done()
    await whole.here.advance(seconds=61)
    answer = await whole.meanwhile(asked)
    assert (answer["success"], answer["status"], answer["attempts"]) == (False, "failed", 2)
    assert "exit code 3" in answer["error"]
    assert len(whole.heard.named("JobFailed")) == 2


async def test_s3_66_and_b3_14_a_toggle_counts_at_once(whole: Whole) -> None:
    answer = await whole.call("toggle_job", "daily_standup", "false")
    assert (answer["success"], answer["enabled"]) == (True, False)
    await whole.here.advance(minutes=5)
    assert whole.here.names() == []
    assert (await whole.call("SetJobEnabled", "daily_standup", True))["enabled"] is True
    await whole.here.advance(minutes=1)
    assert whole.here.names() == ["daily_standup"]
    assert (await whole.call("ResetJob", "daily_standup"))["success"] is True
    assert (await whole.call("toggle_job", "nobody", "false"))["success"] is False


async def test_s3_67_the_state_api_toggles_the_real_daemon(whole: Whole) -> None:
    await asyncio.to_thread(StateManager(whole.here.paths.state).set_job_enabled, "daily_standup", False)
    await whole.meanwhile(whole.here.daemon.reload_config())
    await whole.here.advance(minutes=5)
    assert whole.here.names() == []
    (row, _) = await whole.call("list_jobs")
    assert (row["name"], row["enabled"]) == ("daily_standup", False)


async def test_s3_47_and_s3_54_the_scheduler_is_toggled(whole: Whole) -> None:
    assert (await whole.call("toggle_scheduler", "off"))["enabled"] is False
    await until(lambda: whole.heard.named("SchedulerToggled"), "the signal")
    assert whole.heard.named("SchedulerToggled") == [[False]]
    await whole.here.advance(minutes=5)
    assert whole.here.names() == []
    assert (await whole.call("CallMethod", "reset_scheduler", "[]"))["enabled"] is True


async def test_s3_49_s3_50_and_b3_8_the_config_is_read_and_changed(whole: Whole) -> None:
    answer = await whole.call("update_config", "schedules", "jobs.daily_standup.cron", "0 0 1 1 *")
    assert answer["success"] is True
    assert await whole.call("get_config", "schedules", "jobs.daily_standup.cron") == "0 0 1 1 *"
    await until(lambda: whole.heard.named("ConfigReloaded"), "the signal")
    refused = await whole.call("update_config", "schedules", "jobs.daily_standup.cron", "never")
    assert refused["success"] is False
    assert (await whole.call("get_config", "jira", ""))["success"] is False


async def test_c2_2_status_stats_health_state_and_properties(whole: Whole) -> None:
    status = await whole.meanwhile(whole.client.get_status())
    assert (status["running"], status["job_count"]) == (True, 2)
    assert status["service_name"] == whole.client.service_name
    assert {"jobs_executed", "enabled", "execution_mode", "timezone", "recent_executions"} <= status.keys()
    assert {"healthy", "checks", "message", "timestamp"} <= (await whole.meanwhile(whole.client.health_check())).keys()
    assert (await whole.meanwhile(whole.client.get_stats()))["jobs_executed"] == 0
    assert await whole.client.get_property("Running") is True
    assert await whole.client.get_property("Uptime") >= 0
    assert (await whole.call("get_state"))["state"]["enabled"] is True
    written = await whole.call("write_state")
    assert written == {"success": True, "file": str(whole.here.paths.snapshot)}
