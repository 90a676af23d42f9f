"""Switches in ``state.json`` over the config file's ``enabled`` (S3.15, S3.35, S3.66, S3.67, B3.12–B3.14, C2.4)."""

import json
from typing import Any

import pytest

from wakeful.core.job import JobState
from wakeful.core.run import Cause, RunState
from wakeful.faces.cron.config_source import Rules
from wakeful.zones import load_zone

pytestmark = pytest.mark.anyio


def set_state(here: Any, **root: Any) -> None:
    """What another program writes."""
    here.paths.state.write_text(json.dumps(root))


async def fired(here: Any, **units: float) -> set[str]:
    """The names of what is delivered meanwhile."""
    here.delivered.clear()
    await here.advance(**units)
    return set(here.names())


async def test_b3_14_s3_66_a_toggled_jobs_next_firing_is_suppressed(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b"))
    answer = await here.daemon.toggle_job("a", False)
    assert (answer["success"], answer["enabled"], answer["active"]) == (True, False, False)
    assert (await here.record("a")).state is JobState.PAUSED
    assert await fired(here, minutes=3) == {"b"}
    assert (await here.daemon.toggle_job("a", True))["active"]
    assert await fired(here, minutes=1) == {"a", "b"}
    # What passed while it was off is not made up for.
    assert [run.instants for run in await here.runs("a") if run.state is RunState.SKIPPED] == [3]


async def test_s3_35_the_switch_is_looked_at_when_a_run_is_due(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b"))
    # Nobody has noticed yet that the file was changed.
    set_state(here, jobs={"a": {"enabled": False}})
    assert await fired(here, minutes=1) == {"b"}
    (run,) = await here.runs("a")
    assert (run.state, run.reason) == (RunState.SKIPPED, "the job is off: its switch in state.json")
    assert ("JobStarted", "a", run.id.hex) not in here.heard
    assert [json.loads(text)["job"] for kind, text in here.events("Event") if kind == "job_skipped"] == ["a"]


async def test_s3_35_who_asks_for_a_run_gets_it_all_the_same(here: Any, job: Any) -> None:
    await here.load(job("a", enabled=False), enabled=False)
    answer = await here.daemon.run_job("a")
    assert answer["success"]
    assert await fired(here, seconds=1) == {"a"}
    assert here.delivered[0].claim.run.cause is Cause.MANUAL


async def test_s3_15_s3_67_a_switch_in_state_json_is_read_and_applied(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b", enabled=False))
    set_state(here, version=1, jobs={"a": {"enabled": False}, "b": {"enabled": True}, "gone": {"enabled": False}})
    await here.daemon._look()
    assert await fired(here, minutes=2) == {"b"}
    assert (await here.row("a"))["reason"] == "the job is off: its switch in state.json"
    assert (await here.row("b"))["reason"] == "its switch in state.json"
    assert here.state()["jobs"]["gone"] == {"enabled": False}


async def test_b3_12_a_switch_goes_over_the_file_until_it_is_reset(here: Any, job: Any) -> None:
    await here.load(job("a"))
    await here.daemon.toggle_job("a", False)
    await here.load(job("a", inputs={"n": 1}))
    assert (await here.row("a"))["enabled"] is False
    assert here.state()["jobs"] == {"a": {"enabled": False, "config_enabled": True}}
    answer = await here.daemon.reset_job("a")
    assert (answer["enabled"], answer["reason"]) == (True, "enabled in the config file")
    assert here.state()["jobs"] == {}
    assert await fired(here, minutes=1) == {"a"}


async def test_b3_12_editing_the_files_value_after_the_switch_was_set_takes_it_away(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b", enabled=False))
    # One by the daemon, one by a program that knows nothing of what the file says.
    await here.daemon.toggle_job("a", False)
    set_state(here, **{**here.state(), "jobs": {**here.state()["jobs"], "b": {"enabled": True, "more": 5}}})
    await here.daemon._look()
    await here.load(job("a", enabled=False), job("b", enabled=False))
    assert here.state()["jobs"] == {"b": {"more": 5, "enabled": True, "config_enabled": False}}
    await here.load(job("a", enabled=True), job("b", enabled=True))
    assert await fired(here, minutes=1) == {"a", "b"}
    assert here.state()["jobs"] == {"b": {"more": 5}}
    await here.load(job("a", enabled=False), job("b", enabled=False))
    assert await fired(here, minutes=1) == set()


async def test_b3_12_also_where_the_edit_was_made_while_the_daemon_was_down(here: Any, job: Any) -> None:
    await here.load(job("a"))
    await here.daemon.toggle_job("a", False)
    await here.stop()
    here.write(job("a", enabled=False))
    await here.restart()
    assert here.state()["jobs"] == {}
    await here.load(job("a"))
    assert await fired(here, minutes=1) == {"a"}


async def test_s3_2_the_whole_scheduler_is_off_and_on_again_and_nothing_is_made_up_for(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b", enabled=False), enabled=False)
    assert await fired(here, minutes=3) == set()
    row = await here.row("a")
    assert (row["enabled"], row["active"], row["next_run"]) == (True, False, None)
    assert row["reason"] == "the scheduler is off: schedules.enabled in the config file"
    assert (await here.record("a")).note == f"held: {row['reason']}"
    await here.load(job("a"), job("b", enabled=False))
    here.delivered.clear()
    await here.advance(minutes=1)
    assert here.names() == ["a"]
    assert ("SchedulerToggled", True) in here.heard


async def test_s3_47_toggle_scheduler_takes_effect_is_kept_and_is_told(here: Any, job: Any) -> None:
    await here.load(job("a"))
    answer = await here.daemon.toggle_scheduler(False)
    assert (answer["success"], answer["enabled"]) == (True, False)
    assert here.state()["services"] == {"scheduler": {"enabled": False, "config_enabled": True}}
    assert await fired(here, minutes=2) == set()
    await here.restart()
    assert await fired(here, minutes=2) == set()
    assert (await here.daemon.get_state())["enabled"] is False
    await here.daemon.reset_scheduler()
    assert await fired(here, minutes=1) == {"a"}
    assert here.events("SchedulerToggled") == [[False], [True]]
    await here.daemon.toggle_scheduler(False)
    await here.load(job("a"), enabled=False)
    await here.load(job("a"), enabled=True)
    assert await fired(here, minutes=1) == {"a"}


async def test_c2_4_1_what_others_keep_in_the_file_stays(here: Any, job: Any) -> None:
    await here.load(job("a"))
    others = {
        "version": 1,
        "services": {"sprint_bot": {"enabled": True}},
        "meetings": {"overrides": {"x": 1}},
        "jobs": {"other": {"enabled": False, "note": "mine"}},
    }
    set_state(here, **others)
    await here.daemon.toggle_job("a", False)
    await here.daemon.toggle_scheduler(False)
    state = here.state()
    assert state.pop("last_updated")
    assert state.pop("jobs") == {**others["jobs"], "a": {"enabled": False, "config_enabled": True}}
    assert state.pop("services")["sprint_bot"] == {"enabled": True}
    assert state == {"version": 1, "meetings": others["meetings"]}


async def test_c2_9_6_a_toggle_of_an_unknown_job_is_refused_and_nothing_is_written(here: Any, job: Any) -> None:
    await here.load(job("a"))
    answer = await here.daemon.toggle_job("b", False)
    assert answer["success"] is False
    assert "no job 'b'" in answer["error"]
    assert not here.paths.state.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"jobs": {"a": {"enabled": "false"}}}', '{"jobs": [1]}', "\0"])
async def test_a_damaged_state_file_is_reported_and_the_switches_stay_as_they_were(
    here: Any, job: Any, text: str
) -> None:
    await here.load(job("a"), job("b"))
    await here.daemon.toggle_job("a", False)
    here.paths.state.write_text(text)
    await here.daemon._look()
    assert await fired(here, minutes=1) == {"b"}
    assert "damaged" in (await here.daemon.health())["state_error"]
    assert here.paths.state.read_text() == text
    # Also by a daemon that never saw it whole.
    await here.restart()
    assert await fired(here, minutes=1) == {"b"}
    await here.daemon.toggle_job("b", False)
    assert here.paths.state.with_name("state.json.bad").read_text() == text
    assert here.state()["jobs"].keys() == {"a", "b"}
    assert await fired(here, minutes=1) == set()
    assert (await here.daemon.health())["state_error"] is None


async def test_a_state_file_that_was_damaged_all_along_holds_no_switches(asleep: Any, job: Any) -> None:
    asleep.write(job("a"))
    asleep.paths.state.write_text("{")
    await asleep.start()
    assert await fired(asleep, minutes=1) == {"a"}
    assert "damaged" in (await asleep.daemon.health())["state_error"]


async def test_a_state_file_that_vanishes_while_the_daemon_runs_changes_nothing(here: Any, job: Any) -> None:
    await here.load(job("a"))
    await here.daemon.toggle_job("a", False)
    here.paths.state.unlink()
    await here.daemon._look()
    assert await fired(here, minutes=1) == set()
    assert "no file" in (await here.daemon.health())["state_error"]
    here.paths.state.write_text("{}")
    await here.daemon._look()
    assert await fired(here, minutes=1) == {"a"}


async def test_b3_31_a_job_with_wrong_inputs_is_listed_as_invalid_and_does_not_run(
    daemon_at: Any, tmp_path: Any, job: Any
) -> None:
    def validate(skill: str, inputs: Any, _: str) -> list[tuple[str, str]]:
        return [] if "namespace" in inputs else [("error", f"{skill} needs the input namespace")]

    async with daemon_at(tmp_path / "state", rules=Rules(load_zone, validate=validate)) as here:
        here.write(job("env_health"), job("fine", inputs={"namespace": "x"}))
        await here.start()
        assert await fired(here, minutes=2) == {"fine"}
        row = await here.row("env_health")
        assert row["problems"] == ["env_health_skill needs the input namespace"]
        assert row["reason"] == "its inputs are wrong: env_health_skill needs the input namespace"
        assert (row["enabled"], row["active"], row["status"]) == (True, False, "paused")
        await here.load(job("env_health", inputs={"namespace": "y"}))
        assert await fired(here, minutes=1) == {"env_health"}


async def test_b3_31_a_job_whose_skill_is_mended_runs_without_an_edit_of_the_file(
    daemon_at: Any, tmp_path: Any, job: Any
) -> None:
    mended = False

    def validate(skill: str, _: Any, __: str) -> list[tuple[str, str]]:
        if not mended:
            raise ValueError(f"there is no skill {skill}")
        return []

    async with daemon_at(tmp_path / "state", rules=Rules(load_zone, validate=validate)) as here:
        here.write(job("a"))
        await here.start()
        await here.advance(minutes=1)
        await here.daemon._look()
        assert (await here.row("a"))["problems"] == ["there is no skill a_skill"]
        mended = True
        await here.daemon._look()
        assert await fired(here, minutes=1) == set()
        await here.daemon._look()
        assert await fired(here, minutes=1) == {"a"}


async def test_a_disabled_job_with_a_switch_fires_at_no_time_whatever_is_edited(here: Any, job: Any) -> None:
    await here.load(job("a", "* * * * * *", enabled=False))
    for n in range(5):
        await here.load(job("a", "* * * * * *", enabled=False, inputs={"n": n}))
        await here.advance(seconds=3)
        await here.load(job(f"b{n}", "* * * * * *", enabled=False), job("a", "* * * * * *", enabled=False))
        await here.advance(seconds=3)
    assert here.names() == []
