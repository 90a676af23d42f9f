"""History and the snapshot (S3.40, S3.60–S3.65, S3.69, B3.34, B3.37, C2.4.5, C2.4.6)."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from wakeful.core.run import Failed, Skipped, Succeeded
from wakeful.faces.cron.snapshot import Snapshot
from wakeful.faces.cron.watching import FileWatch

pytestmark = pytest.mark.anyio

RESULT = {"session_id": "cron-coffee-20260126-090000", "exit_code": 0, "output": "x" * 600, "success": True}


async def test_s3_60_to_s3_65_the_snapshot_as_the_document_prints_it(here: Any, example: Any) -> None:
    here.answers["daily_standup"] = Succeeded(json.dumps(RESULT).encode())
    here.takes["daily_standup"] = 150
    here.write_text(json.dumps(example))
    await here.reload()
    await here.advance(minutes=5)
    answer = await here.daemon.write_state()
    assert answer == {"success": True, "file": str(here.paths.snapshot)}
    assert here.paths.snapshot.name == "cron_state.json"
    state = json.loads(here.paths.snapshot.read_text())
    assert (state["enabled"], state["timezone"], state["execution_mode"]) == (True, "America/New_York", "claude_cli")
    assert state["updated_at"].endswith("-05:00")
    rows = {row["name"]: row for row in state["jobs"]}
    assert list(rows) == [each["name"] for each in example["schedules"]["jobs"]]
    row = rows["daily_standup"]
    expected = {
        "name": "daily_standup",
        "skill": "coffee",
        "cron": "0 9 * * MON-FRI",
        "enabled": True,
        "next_run": "2026-01-27T09:00:00-05:00",
        "last_run": "2026-01-26T09:00:00-05:00",
        "last_status": "success",
        "run_count": 1,
        "failure_count": 0,
        "description": None,
        "trigger": "cron",
        "persona": "developer",
        "notify": ["slack", "memory"],
    }
    assert {key: row[key] for key in expected} == expected
    assert rows["hello_world_test"]["next_run"] is None
    assert rows["hello_world_test"]["enabled"] is False
    (entry,) = state["history"]
    assert entry["job"] == entry["job_name"] == "daily_standup"
    assert (entry["started_at"][:19], entry["completed_at"][:19]) == ("2026-01-26T09:00:00", "2026-01-26T09:02:30")
    assert entry["started_at"].endswith("-05:00")
    assert (entry["status"], entry["duration_ms"], entry["session_id"]) == ("success", 150_000, RESULT["session_id"])
    assert len(entry["execution_id"]) == 32
    assert (entry["output_preview"], entry["error"]) == ("x" * 500, None)
    assert state["total_history"] == 1
    assert await here.daemon.get_state() == {**state, "updated_at": (await here.daemon.get_state())["updated_at"]}


async def test_s3_65_a_duration_is_exactly_the_difference_of_the_times_beside_it(here: Any, job: Any) -> None:
    here.takes["a"] = 1.2345678
    await here.load(job("a", "*/7 * * * * *"))
    await here.advance(minutes=1)
    rows = [row for row in await here.daemon.get_history(50) if row["completed_at"]]
    assert len(rows) >= 5
    for row in rows:
        started, ended = (datetime.fromisoformat(row[key]) for key in ("started_at", "completed_at"))
        assert row["duration_ms"] == (ended - started) / timedelta(milliseconds=1)


async def test_a_duration_is_not_negative_though_the_clock_was_set_back_meanwhile(here: Any, job: Any) -> None:
    here.takes["a"] = 30
    await here.load(job("a", "* * * * *"))
    await here.advance(seconds=70)
    here.world.set_clock(hours=-1)
    await here.advance(seconds=60)
    rows = [row for row in await here.daemon.get_history(50) if row["completed_at"]]
    assert rows
    assert {row["duration_ms"] for row in rows} <= {0, 30_000}


async def test_s3_69_b3_34_the_newest_come_first_and_the_snapshot_has_twenty(here: Any, job: Any) -> None:
    await here.load(job("a"))
    await here.advance(minutes=30)
    history = await here.daemon.get_history(1000)
    times = [row["scheduled_for"] for row in history]
    assert times == sorted(times, reverse=True)
    assert len(times) == 30
    state = await here.daemon.get_state()
    assert state["history"] == history[:20]
    assert state["total_history"] == 30
    assert await here.daemon.get_history(5) == history[:5]
    assert await here.daemon.get_history(0) == await here.daemon.get_history(-3) == []
    assert len(await here.daemon.get_history(10**9)) == 30


async def test_b3_3_b3_40_attempts_are_of_one_execution_and_a_timeout_is_a_failure(here: Any, job: Any) -> None:
    result = {
        "session_id": "cron-a-attempt2",
        "error": "timed out after 600 s",
        "timed_out": True,
        "failure": "timeout",
    }
    here.answers["a"] = Failed("timed out after 600 s", json.dumps(result).encode())
    await here.load(job("a", "0 9 * * *", timezone="America/New_York", retry={"max_attempts": 2, "delay_seconds": 10}))
    await here.advance(minutes=2)
    (row,) = await here.daemon.get_history(10)
    assert (row["status"], row["timed_out"], row["attempts"]) == ("failed", True, 2)
    assert row["retry"] == {"attempts": 2, "retried": True, "failure_type": "timeout"}
    assert row["error"] == "timed out after 600 s"
    assert (await here.row("a"))["failure_count"] == 1


async def test_d2_what_was_skipped_or_missed_is_listed_only_when_asked_for(here: Any, job: Any) -> None:
    here.answers["a"] = Skipped("the condition does not hold: 0 items")
    await here.load(job("a"))
    await here.advance(minutes=1)
    assert await here.daemon.get_history(10) == []
    (row,) = await here.daemon.get_history(10, include_skipped=True)
    assert (row["status"], row["error"]) == ("skipped", "the condition does not hold: 0 items")
    assert (await here.row("a"))["run_count"] == 0


async def test_a_run_whose_result_is_no_object_has_a_row_all_the_same(here: Any, job: Any) -> None:
    await here.load(job("a"), job("b"), job("c"))
    here.answers |= {"a": Succeeded(b"[1]"), "b": Succeeded(b"no json"), "c": Succeeded()}
    await here.advance(minutes=1)
    assert {row["status"] for row in await here.daemon.get_history(10)} == {"success"}


async def test_the_history_of_a_job_that_is_gone_stays_and_others_are_not_in_it(here: Any, job: Any) -> None:
    await here.world.put("other", "* * * * *")
    await here.load(job("a"))
    await here.advance(minutes=2)
    await here.load()
    assert {row["job"] for row in await here.daemon.get_history(10)} == {"a"}


async def test_b3_37_the_snapshot_is_whole_at_every_moment_and_leaves_nothing_behind(here: Any, job: Any) -> None:
    await here.load(*(job(f"job{n}", "0 9 * * *") for n in range(50)))
    await here.daemon.write_state()
    inode = here.paths.snapshot.stat().st_ino
    here.paths.snapshot.chmod(0o640)
    await here.daemon.write_state()
    assert here.paths.snapshot.stat().st_ino != inode
    assert here.paths.snapshot.stat().st_mode & 0o777 == 0o640
    assert not [path for path in here.paths.snapshot.parent.iterdir() if path.suffix == ".tmp"]


async def test_a_snapshot_that_can_not_be_written_stops_nothing(here: Any, job: Any) -> None:
    here.paths.snapshot.mkdir()
    with pytest.raises(OSError, match="directory"):
        await here.daemon.write_state()
    await here.load(job("a"))
    await here.advance(minutes=1)
    assert here.names() == ["a"]


@pytest.mark.parametrize("turns", range(6))
async def test_an_end_is_heard_in_the_moment_of_a_change_too(tmp_path: Path, turns: int) -> None:
    async def state() -> dict[str, Any]:
        return {}

    async def look() -> None:
        pass

    snapshot = Snapshot(tmp_path / "snapshot.json", state, timedelta(hours=1))
    writing = asyncio.create_task(snapshot.run())
    watch = FileWatch((tmp_path / "file",), look, timedelta(hours=1))
    watching = asyncio.create_task(watch.run())
    await asyncio.sleep(0.05)
    snapshot.changed()
    watch._changed.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in (writing, watching):
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done, "it went on"
