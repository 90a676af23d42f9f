"""The file's jobs in the store: by the difference, and nothing else is touched (B3.16, S3.70–S3.72)."""

import json
from typing import Any

import pytest

from wakeful.core.job import JobState
from wakeful.core.ports import JobQuery
from wakeful.core.run import RunState

pytestmark = pytest.mark.anyio


async def test_b3_16_unchanged_jobs_keep_their_row_and_their_next_run(here: Any, job: Any) -> None:
    jobs = [job("a", "0 9 * * *"), job("b", None, every="90s"), job("c", None, at="2026-02-01T09:00:00")]
    await here.load(*jobs)
    before = {name: await here.record(name) for name in "abc"}
    await here.advance(seconds=30)
    answer = await here.load(*jobs, job("d"))
    assert answer["changes"] == "1 added"
    assert (await here.reload())["changes"] == "no difference"
    for name in "abc":
        after = await here.record(name)
        assert (after.id, after.revision, after.next_due_at, after.updated_at) == (
            before[name].id,
            before[name].revision,
            before[name].next_due_at,
            before[name].updated_at,
        )


async def test_b3_16_a_changed_job_keeps_its_row_and_where_its_schedule_is_the_same_its_next_run(
    here: Any, job: Any
) -> None:
    await here.load(job("a", None, every="90s"), job("b", "0 9 * * *"))
    a, b = await here.record("a"), await here.record("b")
    await here.advance(seconds=30)
    answer = await here.load(job("a", None, every="90s", inputs={"n": 2}), job("b", "30 9 * * *"))
    assert answer["changes"] == "2 changed"
    a2, b2 = await here.record("a"), await here.record("b")
    assert (a2.id, a2.seq, a2.next_due_at, a2.revision) == (a.id, a.seq, a.next_due_at, a.revision + 1)
    assert a2.job.data is not None
    assert a2.job.data.body == b'{"n":2}'
    assert (b2.id, b2.revision) == (b.id, b.revision + 1)
    assert b.next_due_at is not None
    assert (b2.next_due_at - b.next_due_at).total_seconds() % 86400 == 30 * 60


async def test_s3_71_a_job_that_is_gone_from_the_file_runs_no_more_and_the_change_is_logged(
    here: Any, job: Any, caplog: Any
) -> None:
    await here.load(job("a"), job("b"))
    await here.advance(minutes=1)
    with caplog.at_level("INFO", "wakeful.cron"):
        answer = await here.load(job("b"))
    assert answer["changes"] == "1 removed"
    assert f"{here.config}: 1 removed" in caplog.messages
    here.delivered.clear()
    await here.advance(minutes=3)
    assert set(here.names()) == {"b"}
    assert await here.live() == {"b"}


async def test_only_the_jobs_of_the_file_itself_are_touched(here: Any, job: Any) -> None:
    await here.world.put("other", "0 0 * * *")
    await here.load(job("a"))
    await here.load()
    assert await here.world.job("other") is not None
    assert await here.live() == set()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "null",
        "[]",
        "{",
        '{"schedules": {"jobs": [{"name": "a", "cron": "* * * *',
        "{}",
        '{"jira": {}}',
        '{"schedules": []}',
        '{"schedules": {"jobs": {}}}',
        '{"schedules": {}}',
        '{"schedules": {"jobs": null}}',
        '{"schedules": {"jobs": [{"name": "a", "cron": "0 0 30 2 *", "skill": "s"}]}}',
        '{"schedules": {"jobs": [{"name": "a", "cron": "61 * * * *", "skill": "s"}, {"name": "b"}]}}',
        b'{"schedules": {"jobs": [\xff]}}',
    ],
)
async def test_s3_72_an_invalid_file_leaves_the_old_set_firing_and_is_reported(
    here: Any, job: Any, text: str | bytes
) -> None:
    await here.load(job("a"))
    here.write_text(text)
    answer = await here.reload()
    assert not answer["success"]
    assert answer["error"]
    await here.advance(minutes=2)
    assert here.names().count("a") >= 2
    health = await here.daemon.health()
    assert health["config_error"] == answer["error"]
    assert health["healthy"]
    assert (await here.daemon.get_state())["config_error"] == answer["error"]
    assert [json.loads(text)["error"] for kind, text in here.events("Event") if kind == "config_error"] == [
        answer["error"]
    ]
    assert (await here.load(job("a")))["success"]
    assert (await here.daemon.health())["config_error"] is None


async def test_a_deleted_file_changes_nothing_and_is_reported(here: Any, job: Any) -> None:
    await here.load(job("a"))
    here.config.unlink()
    assert "there is no file" in (await here.reload())["error"]
    await here.advance(minutes=2)
    assert here.names().count("a") >= 2


async def test_a_daemon_that_starts_with_an_invalid_file_goes_on_with_the_last_valid_one(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b", enabled=False))
    here.write_text("{")
    await here.restart()
    assert await here.live() == {"a", "b"}
    assert (await here.row("b"))["enabled"] is False
    await here.advance(minutes=2)
    assert set(here.names()) == {"a"}
    assert (await here.daemon.health())["config_error"]


async def test_what_went_from_the_file_while_the_daemon_was_down_does_not_fire_when_it_is_back(
    here: Any, job: Any
) -> None:
    await here.load(job("a"), job("b"))
    await here.stop()
    await here.advance(hours=1)
    here.write(job("b"))
    here.delivered.clear()
    await here.restart()
    await here.advance(seconds=5)
    assert set(here.names()) == {"b"}


async def test_interrupted_anywhere_it_is_completed_by_doing_it_again(here: Any, job: Any) -> None:
    scheduler, put = here.world.scheduler, here.world.scheduler.put
    await here.load(*(job(f"old{n}") for n in range(5)), job("kept", "0 9 * * *"))
    kept = await here.record("kept")
    for survives in range(8):
        left = survives

        async def fragile(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError("the daemon dies here")
            return await put(*arguments)

        scheduler.put = fragile
        new = [job(f"new{survives}-{n}", enabled=n % 2 == 0) for n in range(6)]
        here.write(*new, job("kept", "0 9 * * *"))
        if survives < 6:
            with pytest.raises(OSError, match="dies"):
                await here.daemon.reload_config()
        scheduler.put = put
        assert (await here.reload())["success"]
        assert await here.live() == {"kept"} | {each["name"] for each in new}
        paused = {row["name"] for row in await here.daemon.list_jobs() if row["status"] == "paused"}
        assert paused == {each["name"] for each in new if not each["enabled"]}
    after = await here.record("kept")
    assert (after.revision, after.next_due_at) == (kept.revision, kept.next_due_at)


async def test_a_job_at_one_instant_runs_once_and_not_again_when_the_file_is_read_anew(here: Any, job: Any) -> None:
    once = job("once", None, at="2026-01-26T09:00:30", timezone="America/New_York")
    await here.load(once)
    await here.advance(minutes=5)
    assert here.names() == ["once"]
    assert here.delivered[0].at.isoformat().startswith("2026-01-26T14:00:30")
    await here.reload()
    await here.restart()
    await here.advance(minutes=5)
    assert here.names() == ["once"]
    row = await here.row("once")
    assert (row["status"], row["next_run"], row["run_count"]) == ("completed", None, 1)
    assert row["reason"] == "its last instant has passed"
    await here.load({**once, "at": "2026-01-26T09:30:00"})
    await here.advance(hours=1)
    assert here.names() == ["once", "once"]


async def test_an_instant_that_had_passed_when_the_job_came_or_was_edited_does_not_fire(here: Any, job: Any) -> None:
    await here.load(job("late", None, at="2026-01-26T13:00:00Z"), job("edited", None, at="2026-01-26T20:00:00Z"))
    await here.load(job("late", None, at="2026-01-26T13:00:00Z"), job("edited", None, at="2026-01-26T13:00:00Z"))
    await here.advance(hours=12)
    assert here.names() == []
    assert (await here.row("late"))["status"] == "completed"


async def test_what_an_instant_that_has_passed_means_is_told_by_what_became_of_it(
    here: Any, job: Any, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = job("late", None, at="2026-01-26T13:00:00Z"), job("once", None, at="2026-01-26T14:00:00Z")
    late = "2026-01-26 13:00:00 UTC has passed: it will not run"
    assert (await here.load(*jobs))["warnings"] == [f"job 'late': {late}"]
    await here.advance(minutes=5)
    assert here.names() == ["once"]
    assert (await here.load(*jobs))["warnings"] == [f"job 'late': {late}"]
    assert (await here.row("late"))["warnings"] == [late]
    assert (await here.row("once"))["warnings"] == []
    assert [record.getMessage() for record in caplog.records].count(f"job 'late': {late}") == 1
    assert (await here.load(jobs[1]))["warnings"] == []


async def test_an_instant_that_passed_while_nobody_could_run_it_is_caught_up(here: Any, job: Any) -> None:
    await here.load(job("once", None, at="2026-01-26T14:10:00Z"))
    await here.stop()
    await here.advance(hours=1)
    await here.restart()
    assert here.names() == ["once"]


async def test_a_thousand_jobs_are_applied_and_left_alone(here: Any, job: Any) -> None:
    jobs = [job(f"job{n}", "0 9 * * *", inputs={"n": n}) for n in range(1000)]
    assert (await here.load(*jobs))["changes"] == "1000 added"
    jobs[500]["inputs"] = {"n": -1}
    assert (await here.load(*jobs))["changes"] == "1 changed"
    assert (await here.load())["changes"] == "1000 removed"


async def test_a_job_that_somebody_paused_by_other_means_stays_paused(here: Any, job: Any) -> None:
    await here.load(job("a"))
    key = (await here.record("a")).job.key
    await here.world.scheduler.pause(key, "by hand")
    await here.load(job("a"), job("b"))
    assert (await here.record("a")).state is JobState.PAUSED
    assert (await here.row("a"))["reason"] == "paused: by hand"
    await here.daemon.toggle_job("a", True)
    assert (await here.record("a")).state is JobState.ACTIVE


async def test_a_removed_jobs_waiting_runs_are_cancelled_and_its_history_stays(here: Any, job: Any) -> None:
    await here.load(job("a"))
    await here.advance(minutes=2)
    await here.load()
    rows = await here.runs("a")
    assert [run.state for run in rows] == [RunState.SUCCEEDED] * len(rows)
    assert [row["job"] for row in await here.daemon.get_history(10)] == ["a"] * len(rows)
    query = JobQuery("default", f"file/{here.config}", "a", ended=True)
    assert [one.state for one in (await here.world.scheduler.jobs(query)).items] == [JobState.DELETED]
