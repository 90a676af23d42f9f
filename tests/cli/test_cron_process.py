"""``wakeful cron`` as people use it: a daemon of a process of its own, on a session bus of the test's own."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.bus import PrivateBus
from support.processes import BIN, WAKEFUL, eventually, without_secrets

pytestmark = pytest.mark.slow


class Desktop:
    """A user's home, with a session bus."""

    def __init__(self, home: Path, bus: PrivateBus) -> None:
        self.home = home
        self.state = home / ".config" / "aa-workflow"
        (self.state / "scripts").mkdir(parents=True)
        (home / "runtime").mkdir()
        self.environment = without_secrets(
            home, XDG_RUNTIME_DIR=str(home / "runtime"), DBUS_SESSION_BUS_ADDRESS=bus.address, TZ="Europe/Rome"
        )
        self.daemon: subprocess.Popen[bytes] | None = None

    def cron(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.run(WAKEFUL, "cron", *arguments)

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            argv, check=False, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=60
        )

    def start(self, *argv: str) -> None:
        with (self.home / "log").open("wb") as log:
            self.daemon = subprocess.Popen(argv, cwd=self.home, env=self.environment, stdout=log, stderr=log)
        eventually(lambda: self.cron("status").returncode == 0, "a healthy daemon")

    def configure(self, **scripts: str) -> None:
        jobs = [{"name": name, "script": f"{name}.py", "cron": "0 9 * * *"} for name in scripts]
        for name, text in scripts.items():
            (self.state / "scripts" / f"{name}.py").write_text(text)
        (self.state / "config.json").write_text(json.dumps({"schedules": {"timezone": "Europe/Rome", "jobs": jobs}}))

    def close(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait(10)


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    bus = PrivateBus(tmp_path)
    desktop = Desktop(tmp_path, bus)
    yield desktop
    desktop.close()
    bus.close()


def test_a_daemon_from_its_start_to_its_end(desktop: Desktop) -> None:
    desktop.configure(good="print('hello')", bad="raise SystemExit(3)")
    assert desktop.cron("status").returncode == 1
    desktop.start(WAKEFUL, "cron", "daemon", "--dbus", "--verbose")

    health = json.loads(desktop.cron("daemon", "--status", "--json").stdout)
    assert desktop.daemon is not None
    assert (health["healthy"], health["job_count"], health["pid"]) == (True, 2, desktop.daemon.pid)
    second = desktop.cron("daemon")
    assert (second.returncode, str(desktop.daemon.pid) in second.stderr) == (2, True)

    off = desktop.cron("toggle", "good", "off")
    assert off.stdout.startswith("good: off: ")
    assert "off: the job is off" in desktop.cron("list").stdout
    assert "next run" in desktop.cron("toggle", "good", "reset").stdout

    good, bad = desktop.cron("run", "good"), desktop.cron("daemon", "--run-job", "bad")
    assert (good.returncode, "hello" in good.stdout) == (0, True)
    assert bad.returncode not in (0, 2)
    history = json.loads(desktop.cron("history", "--json").stdout)
    assert [(row["job"], row["status"]) for row in history] == [("bad", "failed"), ("good", "success")]

    stopped = desktop.run(sys.executable, "-m", "scripts.cron_daemon", "--stop")
    assert (stopped.returncode, desktop.daemon.wait(10)) == (0, 0)
    # Without a daemon, a job is run in the foreground.
    assert desktop.cron("run", "good").stdout == "hello\n"
    assert desktop.cron("run", "bad").returncode not in (0, 2)


def test_the_installed_unit_starts_a_daemon_that_takes_a_crontab_over(desktop: Desktop) -> None:
    desktop.configure()
    assert desktop.cron("install-service", "--dbus").returncode == 0
    unit = (desktop.home / ".config" / "systemd" / "user" / "bot-cron.service").read_text()
    (command,) = [line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")]
    desktop.start(*shlex.split(command))

    (desktop.home / "crontab").write_text('GREETING=hello\n@monthly echo "$GREETING $(cat)" > out.txt%from cron\n')
    imported = desktop.run(WAKEFUL, "import", "crontab", "crontab")
    assert imported.returncode == 0, imported.stderr
    job = json.loads((desktop.state / "config.json").read_text())["schedules"]["jobs"][0]
    eventually(lambda: job["name"] in desktop.cron("list").stdout, "the daemon's look at its config")
    done = eventually(lambda: _ran(desktop, job["name"]), "the imported job")
    assert done.returncode == 0, done.stderr
    assert (desktop.home / "out.txt").read_text() == "hello from cron\n"
    assert Path(shlex.split(command)[0]) == BIN / "wakeful"


def _ran(desktop: Desktop, name: str) -> "subprocess.CompletedProcess[str] | None":
    """A run of the job; nothing as long as no daemon knows it."""
    done = desktop.cron("run", name)
    return None if "not found" in done.stderr else done
