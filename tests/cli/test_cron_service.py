"""``wakeful cron install-service``: the unit, and what becomes of one that is there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Result
from cli.cron_desk import Desk, desk

__all__ = ["desk"]
Wakeful = Callable[..., Result]

GOLDEN = """\
# Written by `wakeful cron install-service`: run that again with --force to change it, or `systemctl --user edit`.
[Unit]
Description=Cron daemon (wakeful)
After=dbus.socket
Wants=dbus.socket
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} cron daemon --config {state}/config.json --scripts {state}/scripts --skills {state}/skills \
--state-dir {state} --store sqlite:///{home}/wakeful.db
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
WatchdogSec=30
TimeoutStopSec=30
KillMode=mixed
OOMPolicy=continue
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes

[Install]
WantedBy=default.target
"""


@pytest.fixture
def folder(desk: Desk, tmp_path: Path) -> Path:
    return tmp_path / ".config" / "systemd" / "user"


def golden(home: Path) -> str:
    program = Path(sys.executable).parent / "wakeful"
    return GOLDEN.format(program=program, state=home / ".config" / "aa-workflow", home=home)


def test_b3_32_the_unit_is_written_where_the_user_manager_looks(wakeful: Wakeful, folder: Path, tmp_path: Path) -> None:
    told = wakeful("cron", "install-service")
    assert told.code == 0
    assert (folder / "bot-cron.service").read_text() == golden(tmp_path)
    assert [line.strip() for line in told.out.splitlines()][1:6] == [
        "next:",
        "systemctl --user daemon-reload",
        "systemctl --user enable --now bot-cron",
        "systemctl --user status bot-cron",
        "journalctl --user -u bot-cron -f",
    ]


def test_print_prints_and_writes_nothing(wakeful: Wakeful, folder: Path, tmp_path: Path) -> None:
    assert wakeful("cron", "install-service", "--print").out == golden(tmp_path)
    assert not folder.exists()


def test_what_was_given_stands_in_the_command(wakeful: Wakeful, folder: Path, tmp_path: Path) -> None:
    given = [
        "--config=my config.json",
        "--store=sqlite:////a%20b/100%25.db",
        "--no-dbus",
        "--verbose",
        "--name=my-cron",
    ]
    (Path("/a b")).exists()
    given[1] = f"--store=sqlite:///{tmp_path}/a%20b.db"
    told = wakeful("cron", "install-service", *given, "--print")
    (command,) = [line for line in told.out.splitlines() if line.startswith("ExecStart=")]
    assert f'--config "{Path.cwd()}/my config.json"' in command
    assert command.endswith(f'"sqlite:///{tmp_path}/a%%20b.db" --no-dbus --verbose')
    assert wakeful("cron", "install-service", *given).code == 0
    assert (folder / "my-cron.service").exists()


def test_xdg_config_home_is_honoured_if_it_is_absolute(
    wakeful: Wakeful, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    wakeful("cron", "install-service")
    unit = (tmp_path / "elsewhere" / "systemd" / "user" / "bot-cron.service").read_text()
    # The user manager's environment has no such variable: the unit says where everything is.
    assert f"--state-dir {tmp_path}/elsewhere/aa-workflow" in unit


def test_variables_are_given_by_value_or_taken_from_here(
    wakeful: Wakeful, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUND", "a 100% sure")
    told = wakeful("cron", "install-service", "--print", "--environment", "FOUND", "-E", "NAME=x=y")
    lines = told.out.splitlines()
    assert 'Environment="FOUND=a 100%% sure"' in lines
    assert "Environment=NAME=x=y" in lines
    missing = wakeful("cron", "install-service", "--print", "-E", "NOT_HERE")
    assert (missing.code, "NOT_HERE=VALUE" in missing.err) == (2, True)


def test_jobs_may_use_sudo_only_if_that_was_said(wakeful: Wakeful, folder: Path) -> None:
    told = wakeful("cron", "install-service", "--print", "--allow-privileges").out
    assert "NoNewPrivileges" not in told
    assert "LockPersonality" not in told


def test_the_same_unit_again_changes_nothing(wakeful: Wakeful, folder: Path) -> None:
    wakeful("cron", "install-service")
    before = (folder / "bot-cron.service").stat().st_ino
    again = wakeful("cron", "install-service")
    assert (again.code, "already" in again.out) == (0, True)
    assert (folder / "bot-cron.service").stat().st_ino == before


def test_another_unit_is_shown_and_replaced_only_by_force(wakeful: Wakeful, folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / "bot-cron.service"
    path.write_text(golden(tmp_path).replace("RestartSec=10", "RestartSec=99"))
    refused = wakeful("cron", "install-service")
    assert (refused.code, "--force" in refused.err) == (4, True)
    assert {"-RestartSec=99", "+RestartSec=10"} <= set(refused.out.splitlines())
    assert "RestartSec=99" in path.read_text()
    assert wakeful("cron", "install-service", "--force").code == 0
    assert path.read_text() == golden(tmp_path)
    assert [each.name for each in folder.iterdir()] == ["bot-cron.service"]


@pytest.mark.parametrize("name", ["a/b", "../x", ""])
def test_a_name_that_can_not_be_is_refused(wakeful: Wakeful, folder: Path, name: str) -> None:
    assert wakeful("cron", "install-service", f"--name={name}").code == 2
    assert wakeful("cron", "uninstall-service", f"--name={name}").code == 2


def test_where_no_wakeful_is_installed_it_is_said(
    wakeful: Wakeful, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    told = wakeful("cron", "install-service")
    assert (told.code, f"{tmp_path}/wakeful" in told.err) == (2, True)


def test_a_unit_is_removed_if_it_is_ours(wakeful: Wakeful, folder: Path) -> None:
    assert wakeful("cron", "uninstall-service").code == 3
    wakeful("cron", "install-service")
    told = wakeful("cron", "uninstall-service")
    assert (told.code, "systemctl --user disable --now bot-cron.service" in told.out) == (0, True)
    assert not (folder / "bot-cron.service").exists()
    (folder / "bot-cron.service").write_text("[Unit]\n")
    assert wakeful("cron", "uninstall-service").code == 4
    assert (folder / "bot-cron.service").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("more", [(), ("--allow-privileges", "-E", "NAME=a b", "--verbose")])
def test_s3_89_systemd_finds_nothing_wrong_with_it(
    wakeful: Wakeful, folder: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    wakeful("cron", "install-service", *more)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    argv = ["systemd-analyze", "verify", "--user", "--man=no", "./bot-cron.service"]
    done = subprocess.run(argv, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    about = [line for line in done.stderr.splitlines() if "bot-cron" in line]
    assert (done.returncode, about) == (0, [])
