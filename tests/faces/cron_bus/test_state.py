"""``server.state_manager``: row S3.67, C2.4.1 and C2.4.2, B3.37."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from server.state_manager import StateManager, state
from wakeful.clock import SystemClock
from wakeful.faces.cron.state_file import StateFile
from wakeful.faces.cron.switches import Switch, read_switches


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "aa-workflow" / "state.json"


def test_s3_67_a_job_is_toggled_for_the_daemon(file: Path) -> None:
    state.set_job_enabled("daily_standup", False)
    switches, root = read_switches(file.read_bytes())
    assert switches.jobs["daily_standup"].enabled is False
    assert root["version"] == 1
    assert root["last_updated"].endswith("+00:00")
    assert state.is_job_enabled("daily_standup") is False
    state.set_job_enabled("daily_standup", True, flush=True)
    assert state.get_all_job_states() == {"daily_standup": True}


def test_c2_4_1_nobody_switched_means_services_off_and_jobs_on(file: Path) -> None:
    assert state.is_job_enabled("daily_standup") is True
    assert state.is_service_enabled("scheduler") is False
    assert state.sections() == []
    assert state.get("jobs", default={}) == {}
    # Nothing was asked to be written: nothing says of itself that the scheduler is off.
    assert not file.parent.exists()
    state.set_job_enabled("daily_standup", True)
    assert "services" not in json.loads(file.read_bytes())


def test_c2_4_2_the_whole_api(file: Path) -> None:
    assert state.state_file == file
    state.set_service_enabled("scheduler", True)
    assert state.is_service_enabled("scheduler") is True
    state.set("meetings", "overrides", {"abc": {"status": "skip"}})
    assert state.get("meetings", "overrides") == {"abc": {"status": "skip"}}
    assert state.get("meetings", "nothing", 7) == state.get("nothing", default=7) == state.get("version", "x", 7) == 7
    state.update_section("meetings", {"more": 1})
    assert set(state.get("meetings")) == {"overrides", "more"}
    state.update_section("meetings", {"only": 1}, merge=False, flush=True)
    assert state.get("meetings") == {"only": 1}
    assert state.delete("meetings", "nothing") is False
    assert state.delete("meetings", "only") is True
    assert state.get("meetings") == {}
    assert state.has_section("meetings")
    assert state.delete("meetings") is True
    assert state.delete("meetings") is False
    assert not state.has_section("meetings")
    assert set(state.sections()) == set(state.get_all()) == {"version", "services", "last_updated"}
    state.flush()
    state.reload()
    assert state.is_dirty is False
    assert state.is_service_enabled("scheduler") is True


def test_what_is_got_is_a_copy(file: Path) -> None:
    state.set("jobs", "a", {"enabled": False})
    state.get("jobs")["a"]["enabled"] = True
    assert state.is_job_enabled("a") is False


def test_what_others_write_is_read_and_kept(file: Path) -> None:
    state.set_job_enabled("a", False)
    root = json.loads(file.read_bytes())
    root["jobs"]["b"] = {"enabled": False, "config_enabled": True, "by": "somebody"}
    root["theirs"] = [1]
    file.write_text(json.dumps(root))
    assert state.is_job_enabled("b") is False
    state.set_job_enabled("b", True)
    assert json.loads(file.read_bytes())["jobs"]["b"] == {"enabled": True, "by": "somebody"}
    assert state.get("theirs") == [1]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jobs": 7}', b'{"jobs": {"a": false}}', b"\xff"])
def test_a_damaged_file_is_not_written_over(file: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    state.set_job_enabled("a", False)
    file.write_bytes(content)
    assert state.is_job_enabled("a") is False
    assert state.is_job_enabled("a") is False
    assert len(caplog.records) == 1
    with pytest.raises(ValueError, match=r"state\.json is damaged"):
        state.set_job_enabled("a", True)
    assert file.read_bytes() == content
    file.unlink()
    assert state.is_job_enabled("a") is True


def test_what_the_daemon_could_not_read_is_refused(file: Path) -> None:
    state.set_job_enabled("a", False)
    before = file.read_bytes()
    for wrong in (
        lambda: state.set("jobs", "a", False),
        lambda: state.set("jobs", "a", {"enabled": "false"}),
        lambda: state.set_job_enabled("a", "false"),  # type: ignore[arg-type]
        lambda: state.set("other", "a", float("nan")),
        lambda: state.set("other", "a", "x" * 5_000_000),
    ):
        with pytest.raises(ValueError, match=r"."):
            wrong()
    with pytest.raises(TypeError):
        state.set("other", "a", object())
    assert file.read_bytes() == before
    assert state.is_job_enabled("a") is False


def test_b3_37_writers_lose_nothing_and_readers_see_whole_files(file: Path) -> None:
    state.set_job_enabled("seed", False)
    done = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        while not done.is_set():
            try:
                json.loads(file.read_bytes())["jobs"]["seed"]
            except (ValueError, KeyError) as error:
                wrong.append(error)

    def write(writer: int) -> None:
        own = StateManager()
        for n in range(20):
            own.set_job_enabled(f"{writer}-{n}", False)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not wrong
    assert len(state.get_all_job_states()) == 81


def test_a_lock_that_is_held_for_ever_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.state_manager._MOST_LOOKS", 3)
    file.parent.mkdir()
    with (file.parent / "state.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process has locked"):
            state.set_job_enabled("a", False)
    state.set_job_enabled("a", False)


def test_the_file_is_its_owners(file: Path) -> None:
    state.set_job_enabled("a", False)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_the_import_leaves_no_trace(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", "import server.state_manager as s; print(s.state.state_file)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / ".config/aa-workflow/state.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_the_daemons_own_writing_and_this_do_not_hinder_each_other(file: Path) -> None:
    daemon = StateFile(file, SystemClock().now)

    async def theirs() -> None:
        for n in range(20):
            await daemon.change({("jobs", f"d{n}"): Switch(False, True)})

    def ours() -> None:
        for n in range(20):
            state.set_job_enabled(f"s{n}", False)

    await asyncio.gather(theirs(), asyncio.to_thread(ours))
    assert len(state.get_all_job_states()) == 40
