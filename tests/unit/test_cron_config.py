"""Where the cron daemon has its things, and that only one daemon has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wakeful.config import ConfigError
from wakeful.cron_config import AlreadyRunningError, Places, cron_settings, holder, locked


def test_every_place_has_its_default(tmp_path: Path) -> None:
    settings = cron_settings(Places(), {"HOME": str(tmp_path), "WAKEFUL_STORE": f"sqlite:///{tmp_path}/w.db"})
    state = tmp_path / ".config" / "aa-workflow"
    assert (settings.config, settings.scripts, settings.skills) == (
        state / "config.json",
        state / "scripts",
        state / "skills",
    )
    assert settings.state == state
    assert settings.lock.parent == tmp_path
    assert settings.store == tmp_path / "w.db"
    assert state.stat().st_mode & 0o077 == 0


def test_places_are_the_users_wherever_their_folders_are(tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "config"
    run.mkdir()
    environment = {"XDG_CONFIG_HOME": str(config), "XDG_RUNTIME_DIR": str(run)}
    places = Places(config="c.json", store=f"sqlite:///{tmp_path}/w.db")
    settings = cron_settings(places, {**environment, "HOME": str(tmp_path)})
    assert settings.state == config / "aa-workflow"
    assert settings.config == Path.cwd() / "c.json"
    assert settings.lock.parent == tmp_path
    other = cron_settings(Places(config="d.json", store=places.store), {**environment, "HOME": str(tmp_path)})
    assert other.lock != settings.lock


def test_a_state_folder_that_cannot_be_is_refused_by_its_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^--state-dir .*file/state: Not a directory$"):
        cron_settings(Places(state=str(tmp_path / "file" / "state")), {"HOME": str(tmp_path)})


def test_b3_38_one_daemon_has_a_config_and_a_second_is_told_who(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert holder(lock) is None
    with locked(lock):
        assert holder(lock) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=f"as process {os.getpid()}$"), locked(lock):
            pass
        assert holder(lock) == os.getpid()
    assert holder(lock) is None


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = "import sys, time\nfrom pathlib import Path\nfrom wakeful.cron_config import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert holder(lock) == other.pid
    other.kill()
    other.communicate()
    assert holder(lock) is None


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    lock, other = tmp_path / "lock", tmp_path / "other"
    other.write_text("precious")
    lock.symlink_to(other)
    with pytest.raises(OSError, match="symbolic"), locked(lock):
        pass
    assert other.read_text() == "precious"


def test_the_lock_is_found_without_a_runtime_folder_and_by_any_way_to_the_config(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    store = f"sqlite:///{tmp_path}/w.db"
    one = cron_settings(Places(config=str(tmp_path / "real" / "c.json"), store=store), {"HOME": str(tmp_path)})
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "real")}
    other = cron_settings(Places(config=str(tmp_path / "link" / "c.json"), store=store), environment)
    assert (one.config, one.lock) == (other.config, other.lock)
