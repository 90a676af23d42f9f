"""The daemon as its callers meet it (S3.25–S3.29, S3.33, S3.40, S3.41, S3.44–S3.46, B3.20, B3.35)."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Outcome, Rejected, RunState, Skipped

pytestmark = pytest.mark.anyio


async def until_done(here: Any, waiting: "asyncio.Future[Any]") -> Any:
    """What comes of it while time goes on."""
    while not waiting.done():
        await asyncio.wait([waiting], timeout=0.05)
        await here.advance(milliseconds=200)
    return waiting.result()


async def test_s3_26_what_the_daemon_offers(here: Any, job: Any) -> None:
    await here.load(job("a"))
    assert [row["name"] for row in await here.daemon.list_jobs()] == ["a"]
    assert (await here.daemon.run_job("a"))["success"]
    assert (await here.daemon.toggle_job("a", False))["success"]
    assert (await here.daemon.reload_config())["success"]
    await here.advance(seconds=1)
    assert len(await here.daemon.get_history(5)) == 1
    await here.daemon.stop()


async def test_s3_44_b3_35_run_job_answers_at_once_with_the_execution_id(here: Any, job: Any) -> None:
    await here.load(job("a", "0 0 1 1 *"))
    here.takes["a"] = 300
    answer = await here.daemon.run_job("a")
    assert answer == {"success": True, "job": "a", "job_name": "a", "execution_id": answer["execution_id"]}
    await here.advance(seconds=1)
    assert (await here.daemon.status())["running_jobs"] == {answer["execution_id"]: "a"}
    (row,) = await here.daemon.get_history(1)
    assert (row["execution_id"], row["status"], row["cause"]) == (answer["execution_id"], "running", "manual")
    await here.advance(seconds=300)
    (row,) = await here.daemon.get_history(1)
    assert (row["status"], row["duration_ms"]) == ("success", 300_000)
    assert (await here.daemon.status())["running_jobs"] == {}


async def test_a_run_that_is_cancelled_is_not_under_way_any_more(here: Any, job: Any) -> None:
    await here.load(job("a", "0 0 1 1 *"))
    here.takes["a"] = 300
    execution_id = (await here.daemon.run_job("a"))["execution_id"]
    await here.advance(seconds=1)
    await here.world.scheduler.cancel(UUID(execution_id))
    assert (await here.daemon.status())["running_jobs"] == {}
    assert (await here.daemon.wait_for_run(execution_id))["status"] == "failed"


async def test_b3_35_a_run_of_an_unknown_job_is_refused(here: Any) -> None:
    answer = await here.daemon.run_job("nobody")
    assert answer["success"] is False
    assert "no job 'nobody'" in answer["error"]


async def test_a_run_of_a_job_whose_only_instant_has_passed_is_refused_by_that(here: Any, job: Any) -> None:
    await here.load(job("past", None, at="2026-01-26T13:00:00Z"), job("once", None, at="2026-01-26T14:00:00Z"))
    await here.advance(minutes=5)
    assert here.names() == ["once"]
    for name in ("past", "once"):
        answer = await here.daemon.run_job(name)
        assert answer["error"] == f"job {name!r} runs no more: its last instant has passed"


async def test_b3_35_a_caller_may_wait_for_what_became_of_a_run_after_its_last_attempt(here: Any, job: Any) -> None:
    await here.load(job("a", "0 0 1 1 *", retry={"max_attempts": 2, "delay_seconds": 5}))
    here.answers["a"] = Failed("no luck", b'{"session_id":"cron-a-1","output":"x","error":"no luck"}')
    run = (await here.daemon.run_job("a"))["execution_id"]
    row = await until_done(here, asyncio.ensure_future(here.daemon.wait_for_run(run)))
    assert (row["status"], row["attempts"], row["error"], row["session_id"]) == ("failed", 2, "no luck", "cron-a-1")
    for wrong in ("nonsense", "0" * 32):
        with pytest.raises(ValueError, match="execution"):
            await here.daemon.wait_for_run(wrong)


async def test_s3_33_s3_41_starts_successes_and_failures_are_told(here: Any, job: Any) -> None:
    await here.load(job("good"), job("bad", retry={"max_attempts": 3, "delay_seconds": 10}))
    here.answers["bad"] = Failed("it broke")
    await here.advance(minutes=1)
    (good,) = await here.runs("good")
    (bad,) = await here.runs("bad")
    assert sorted(here.events("JobStarted")) == [["bad", bad.id.hex], ["good", good.id.hex]]
    assert here.events("JobCompleted") == [["good", good.id.hex, '{"output":"done","success":true}']]
    # On failure a signal, then a retry.
    assert here.events("JobFailed") == [["bad", bad.id.hex, "it broke"]]
    assert bad.state is RunState.WAITING
    await here.advance(seconds=35)
    assert here.events("JobFailed") == [["bad", bad.id.hex, "it broke"]] * 3
    assert len(here.events("JobStarted")) == 2
    # Scheduled again.
    assert (await here.row("bad"))["status"] == "scheduled"


async def test_of_a_poll_that_finds_nothing_no_start_is_told(here: Any, job: Any) -> None:
    polls = job("a", None, trigger="poll", poll_interval="1m", condition="mrs")
    await here.load(polls, poll_sources={"mrs": {"type": "command", "command": ["true"]}})
    here.answers["a"] = Skipped("any: 0 of 0 items count")
    await here.advance(minutes=3)
    assert here.names() == ["a"] * len(here.names())
    assert (here.events("JobStarted"), (await here.daemon.status())["running_jobs"]) == ([], {})
    here.answers["a"] = Failed("it broke")
    await here.advance(minutes=1)
    run = (await here.runs("a"))[0].id.hex
    assert (here.events("JobStarted"), here.events("JobFailed")) == ([["a", run]], [["a", run, "it broke"]])


@dataclass
class Nobody:
    """A sink of notices that can't be sent."""

    outcome: Outcome

    async def deliver(self, claim: Claim) -> Outcome:
        return self.outcome

    async def available(self) -> None:
        pass


@pytest.mark.parametrize("outcome", [Rejected("no such channel"), Failed("no server")])
async def test_b3_17_a_notice_that_nobody_gets_is_told(
    here: Any, job: Any, caplog: pytest.LogCaptureFixture, outcome: Outcome
) -> None:
    here.world.scheduler.attach(f"notify/default/{here.config}", Nobody(outcome), 4)
    await here.load(job("a", "0 9 * * *", timezone="America/New_York", notify=["email"]))
    await here.advance(minutes=5)
    (run,) = await here.runs("a")
    told = [json.loads(text) for kind, text in here.events("Event") if kind == "notice_failed"]
    # What may still come is no failure yet.
    assert bool(told) == isinstance(outcome, Rejected)
    await here.advance(hours=1)
    told = [json.loads(text) for kind, text in here.events("Event") if kind == "notice_failed"]
    assert told == [{"job": "a", "execution_id": run.id.hex, "target": "email", "error": outcome.error}]
    sentence = f"nobody could be told by email of run {run.id.hex} of job 'a': {outcome.error}"
    assert [record.getMessage() for record in caplog.records].count(sentence) == 1
    # That is no failure of the job, and nobody is told of it as of one.
    assert (here.events("JobFailed"), (await here.daemon.stats())["jobs_failed"]) == ([], 0)


async def test_b3_17_a_notice_that_became_too_old_while_no_daemon_ran_is_told(here: Any, job: Any) -> None:
    await here.load(job("a", "0 9 * * *", timezone="America/New_York", notify=["email"]))
    await here.advance(minutes=5)
    await here.restart()
    assert not [kind for kind, _ in here.events("Event") if kind == "notice_failed"]
    await here.stop()
    await here.advance(hours=1)
    await here.restart()
    (told,) = [json.loads(text) for kind, text in here.events("Event") if kind == "notice_failed"]
    assert (told["job"], told["target"], told["error"]) == ("a", "email", "it is too old")


async def test_a_listener_that_fails_keeps_nobody_from_working(here: Any, job: Any) -> None:
    def broken(name: str, /, *arguments: object) -> None:
        raise RuntimeError(name)

    end = here.daemon.listen(broken)
    await here.load(job("a"))
    await here.advance(minutes=1)
    assert here.names() == ["a"]
    assert here.events("JobCompleted")
    end()
    end()


async def test_b3_20_a_retry_survives_a_restart_and_does_not_block_the_next_firing(here: Any, job: Any) -> None:
    await here.load(job("a", "0 10 * * *", timezone="America/New_York", retry={"max_retries": 1, "delay_seconds": 600}))
    here.answers["a"] = Failed("no")
    await here.advance(minutes=62)
    assert here.names() == ["a"]
    await here.restart()
    await here.advance(minutes=10)
    assert [one.claim.run.attempt for one in here.delivered] == [1, 2]
    assert len({one.claim.run.id for one in here.delivered}) == 1


async def test_s3_29_on_sleep_nothing_new_begins_and_on_wake_each_job_has_one_catch_up(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b", "*/30 * * * *"))
    await here.advance(minutes=1)
    here.delivered.clear()
    await here.daemon.on_system_sleep()
    await here.advance(seconds=90)
    assert here.names() == []
    assert (await here.daemon.health())["sleeping"]
    here.world.suspend(hours=8)
    await here.daemon.on_system_wake()
    await here.advance(seconds=2)
    assert sorted(here.names()) == ["a", "b"]
    assert not (await here.daemon.health())["sleeping"]
    kinds = {kind: json.loads(text) for kind, text in here.events("Event")}
    assert kinds["system_sleep"]["sleeps"] == kinds["system_wake"]["sleeps"] == 1
    assert kinds["system_wake"]["slept_seconds"] == 8 * 3600 + 90
    missed = [run for run in await here.runs("a") if run.state is RunState.MISSED]
    assert sum(run.instants for run in missed) == 480
    await here.advance(minutes=2)
    assert here.names().count("a") == 3


async def test_b3_33_a_catch_up_beyond_the_grace_time_is_recorded_and_not_run(here: Any, job: Any) -> None:
    await here.load(job("a", "0 18 * * *", misfire_grace_time=300))
    await here.daemon.on_system_sleep()
    here.world.suspend(hours=8)
    await here.daemon.on_system_wake()
    await here.advance(seconds=2)
    assert here.names() == []
    (run,) = await here.runs("a")
    assert (run.state, run.reason) == (RunState.MISSED, "outside_window")


async def test_a_sleep_that_nobody_announced_is_recorded_too(here: Any) -> None:
    await here.daemon.on_system_wake(timedelta(hours=2))
    kinds = {kind: json.loads(text) for kind, text in here.events("Event")}
    assert kinds["system_wake"]["slept_seconds"] == 7200
    assert (await here.daemon.stats())["sleeps"] == 1
    for _ in range(2):
        await here.daemon.on_system_sleep()
    await here.daemon.on_system_wake()
    assert (await here.daemon.stats())["sleeps"] == 2


async def test_c2_3_4_a_daemon_whose_scheduler_is_off_or_whose_file_is_missing_starts_and_idles(
    asleep: Any, job: Any
) -> None:
    await asleep.start()
    assert "there is no file" in (await asleep.daemon.health())["config_error"]
    assert (await asleep.daemon.health())["healthy"]
    assert await asleep.daemon.list_jobs() == []
    assert (await asleep.load(job("a"), enabled=False))["success"]
    await asleep.advance(minutes=2)
    assert asleep.names() == []
    assert (await asleep.daemon.health())["message"] == "the scheduler is off"


async def test_the_sections_of_others_are_there_for_them(asleep: Any) -> None:
    asleep.write_text('{"schedules": {"jobs": [], "claude": {"command": ["claude"]}}, "notifications": {"memory": {}}}')
    assert asleep.daemon.config is None
    await asleep.start()
    assert asleep.daemon.config.claude == {"command": ["claude"]}
    assert asleep.daemon.config.notifications == {"memory": {}}
    asleep.write_text('{"schedules": {"jobs": [], "claude": {"command": ["other"]}}, "notifications": {"memory": {}}}')
    await asleep.reload()
    assert asleep.daemon.config.claude == {"command": ["other"]}


async def test_list_jobs_tells_everything_of_a_job(here: Any, job: Any) -> None:
    await here.load(
        job(
            "a",
            "0 9 * * MON-FRI",
            description="talks",
            persona="developer",
            notify=["slack"],
            retry={"max_attempts": 3},
        ),
        timezone="America/New_York",
    )
    row = await here.row("a")
    expected = {
        "name": "a",
        "description": "talks",
        "skill": "a_skill",
        "persona": "developer",
        "cron": "0 9 * * MON-FRI",
        "trigger": "cron",
        "timezone": "America/New_York",
        "execution_mode": "claude_cli",
        "enabled": True,
        "active": True,
        "reason": "enabled in the config file",
        "status": "scheduled",
        "next_run": "2026-01-26T09:00:00-05:00",
        "last_run": None,
        "last_status": None,
        "run_count": 0,
        "failure_count": 0,
        "max_attempts": 3,
        "notify": ["slack"],
        "problems": [],
    }
    assert {key: row[key] for key in expected} == expected
    assert row["next_runs"] == [f"2026-01-{day}T09:00:00-05:00" for day in (26, 27, 28, 29, 30)]
    await here.advance(minutes=2)
    row = await here.row("a")
    assert (row["last_run"], row["last_status"], row["run_count"]) == ("2026-01-26T09:00:00-05:00", "success", 1)
    assert row["next_run"] == row["next_runs"][0] == "2026-01-27T09:00:00-05:00"


async def test_c2_6_a_poll_job_comes_to_the_sink_with_its_source(here: Any, job: Any) -> None:
    source = {"type": "url", "url": "https://example.com/mrs"}
    await here.load(job("a", None, trigger="poll", poll_interval="5m", condition="mrs"), poll_sources={"mrs": source})
    await here.advance(minutes=11)
    assert here.names() == ["a", "a"]
    assert json.loads(here.delivered[0].claim.job.target.options["poll"]) == source
    assert (await here.row("a"))["trigger"] == "poll"


async def test_after_a_restart_beside_a_broken_file_the_notices_settings_are_those_of_before(
    here: Any, job: Any
) -> None:
    slack = {"slack": {"token_env": "SLACK_TOKEN", "channel": "#ops"}}
    here.config.write_text(json.dumps({"schedules": {"jobs": [job("tick")]}, "notifications": slack}))
    assert (await here.daemon.reload_config())["success"]
    here.write_text('{"notific')
    await here.restart()
    assert here.daemon.config.notifications == slack
    assert list(here.daemon.config.jobs) == ["tick"]


async def test_a_job_that_may_run_only_once_says_so(here: Any, job: Any) -> None:
    await here.load(job("tick", at_most_once=True, retry={"max_attempts": 3}))
    record = await here.record()
    assert record.job.at_most_once
    assert record.job.retry.max_retries == 0


async def test_an_instant_that_is_to_come_is_no_past_one(asleep: Any, job: Any) -> None:
    asleep.write(job("once", None, at="2027-03-14T09:00:00"), job("gone", None, at="2020-03-14T09:00:00"))
    await asleep.daemon.look()
    rows = {row["name"]: row["status"] for row in await asleep.daemon.list_jobs()}
    assert rows["once"] == "pending"
    assert rows["gone"] != "pending"
