"""The cron daemon as a process: on a bus of its own, killed and started again, and asked from the command line."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.bus import NAME, PATH, PrivateBus
from support.processes import WAKEFUL, App, alive, eventually, spawn, without_secrets

pytestmark = pytest.mark.slow

CLAUDE = """\
    #!{python}
    import json, os, sys
    with open({calls!r}, "a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\\n")
    print(json.dumps({{"type": "result", "is_error": False, "result": "done\\nWAKEFUL_RESULT: success"}}))
"""
TELL = """\
    name: tell
    description: Tells what is new
    inputs:
      - {name: url, type: string, required: true}
      - {name: _triggered_items, type: array, default: []}
      - {name: _triggered_count, type: integer, default: 0}
    steps:
      - id: say
        tool: run_command
        args: {argv: [printf, "it's %s", "{{ inputs._triggered_items[0].id }}"]}
      - id: hook
        tool: http_request
        args: {method: POST, url: "{{ inputs.url }}", json: {items: "{{ inputs._triggered_count }}", said: "{{ say }}"}}
    outputs:
      - {name: said, value: "{{ say }}"}
"""
LEAVES = """\
    import pathlib, subprocess
    left = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=-3, stderr=-3)
    pathlib.Path("left").write_text(str(left.pid))
"""
SLOW = """\
    import os, pathlib, time
    pathlib.Path("began").write_text(str(os.getpid()))
    time.sleep(600)
"""


@dataclass
class Desktop:
    """A user's files, his session bus, and what he calls."""

    home: Path
    bus: PrivateBus
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    asking: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.home / ".config" / "aa-workflow"
        self.programs = self.home / "programs"
        self.calls = self.home / "calls"
        for folder in (self.state / "scripts", self.state / "skills", self.programs):
            folder.mkdir(parents=True)
        claude = self.programs / "claude"
        claude.write_text(textwrap.dedent(CLAUDE).format(python=sys.executable, calls=str(self.calls)))
        claude.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        plain = without_secrets(self.home, XDG_RUNTIME_DIR=str(self.home))
        return plain | {
            "PATH": f"{self.programs}:{plain['PATH']}",
            "DBUS_SESSION_BUS_ADDRESS": self.bus.address,
            "WAKEFUL_STORE": f"sqlite:///{self.home}/wakeful.db",
        }

    def write(self, *jobs: dict[str, Any], **schedules: Any) -> None:
        text = json.dumps({"schedules": {"timezone": "America/New_York", **schedules, "jobs": jobs}})
        (self.state / "config.json").write_text(text)

    def script(self, name: str, code: str) -> None:
        (self.state / "scripts" / name).write_text(textwrap.dedent(code))

    def daemon(self, *flags: str) -> "subprocess.Popen[bytes]":
        process = spawn([WAKEFUL, "cron", "daemon", *flags], self.home / f"run-{len(self.started)}", self.environment)
        self.started.append(process)
        eventually(lambda: "The cron daemon runs" in self.out() or process.poll() is not None, "the daemon")
        return process

    def out(self) -> str:
        return (self.home / f"run-{len(self.started) - 1}" / "stdout").read_text()

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [WAKEFUL, "cron", *arguments], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def asked(self, *arguments: str) -> Any:
        done = self.call(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def history(self, name: str, **wanted: Any) -> list[dict[str, Any]]:
        rows = self.asked("history", "--limit=1000")
        return [row for row in rows if row["job"] == name and wanted.items() <= row.items()]

    def close(self) -> None:
        for process in self.started + self.asking:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    bus = PrivateBus(tmp_path)
    desktop = Desktop(tmp_path, bus)
    yield desktop
    desktop.close()
    bus.close()


def rows(desktop: Desktop, name: str, **wanted: Any) -> Callable[[], list[dict[str, Any]]]:
    return lambda: desktop.history(name, **wanted)


def test_skills_and_scripts_run_on_time_and_leave_a_history(desktop: Desktop) -> None:
    desktop.script("count.py", 'import json, sys\nprint("got", json.load(sys.stdin)["days"])\n')
    desktop.write(
        {"name": "weekly_summary", "every": "1s", "script": "count.py", "inputs": {"days": 5}, "notify": ["memory"]},
        {
            "name": "daily_standup",
            "every": "1s",
            "skill": "coffee",
            "persona": "developer",
            "inputs": {"x": "it's; $(id)"},
        },
    )
    daemon = desktop.daemon()
    (row, *_) = eventually(rows(desktop, "weekly_summary", status="success"), "a run of the script")
    assert row["output_preview"] == "got 5\n" or row["output_preview"] == "got 5"
    assert row["session_id"].startswith("cron-count.py-")
    (row, *_) = eventually(rows(desktop, "daily_standup", status="success"), "a run of the skill")
    argv = json.loads(desktop.calls.read_text().splitlines()[0])
    assert argv[:3] == ["--print", "--output-format", "json"]
    assert "it's; $(id)" in argv[-1]
    assert (desktop.state / "cron_logs" / f"{row['session_id']}.log").is_file()
    told = desktop.state / "memory" / "state" / "notifications.yaml"
    eventually(lambda: told.exists() and "Scheduled Job: weekly_summary" in told.read_text(), "a notice")
    # Nobody is told of the telling.
    assert "system/notify" not in told.read_text()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    state = json.loads((desktop.state / "cron_state.json").read_text())
    assert state["history"][0]["started_at"] >= state["history"][-1]["started_at"]


def test_s3_56_57_58_the_printed_lines_work(desktop: Desktop) -> None:
    desktop.script("quick.py", "print('quick')\n")
    desktop.write({"name": "daily_standup", "cron": "30 8 * * *", "script": "quick.py"})
    desktop.daemon("--dbus")
    call = ["busctl", "--user", "call", NAME, PATH, NAME]

    def busctl(*arguments: str) -> str:
        done = subprocess.run([*call, *arguments], env=desktop.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "execution_id" in busctl("run_job", "s", "daily_standup")
    eventually(rows(desktop, "daily_standup", status="success"), "the run")
    assert "daily_standup" in busctl("get_history", "i", "10")
    assert '\\"success\\":true' in busctl("toggle_job", "ss", "daily_standup", "false")
    (job,) = desktop.asked("list")
    assert (job["enabled"], job["next_run"]) == (False, None)
    assert desktop.asked("status")["healthy"] is True


def test_after_a_kill_what_was_cut_off_runs_again_and_a_failure_keeps_its_retry(desktop: Desktop) -> None:
    desktop.script("slow.py", SLOW)
    desktop.script("fails.py", "raise SystemExit(3)\n")
    retry = {"max_attempts": 2, "delay_seconds": 4}
    desktop.write(
        {"name": "slow", "cron": "0 3 1 1 *", "script": "slow.py"},
        {"name": "important_job", "cron": "0 3 1 1 *", "script": "fails.py", "retry": retry},
    )
    first = desktop.daemon()
    assert desktop.asked("list")[0]["name"] == "slow"
    for name in ("slow", "important_job"):
        asking = subprocess.Popen([WAKEFUL, "cron", "run", name], env=desktop.environment, stderr=subprocess.DEVNULL)
        desktop.asking.append(asking)
    began = desktop.state / "scripts" / "began"
    eventually(began.exists, "the slow script")
    pid = int(began.read_text() or eventually(began.read_text, "its number"))
    eventually(rows(desktop, "important_job"), "the first attempt")
    first.kill()
    first.wait(10)
    began.unlink()

    desktop.daemon()
    eventually(began.exists, "the slow script, again")
    # What the killed daemon had left is not done beside it.
    assert not alive(pid)
    (row,) = eventually(rows(desktop, "important_job", status="failed"), "the last attempt")
    assert row["attempts"] == 2
    second = int(eventually(began.read_text, "its number"))
    os.kill(second, signal.SIGKILL)
    (row,) = eventually(rows(desktop, "slow", status="failed"), "its end")
    assert row["error"] == "ended by signal 9"


def test_a_failed_run_that_is_switched_off_before_its_retry_is_a_failure_and_told(desktop: Desktop) -> None:
    desktop.script("fails.py", "raise SystemExit(3)\n")
    retry = {"max_attempts": 2, "delay_seconds": 4}
    desktop.write({"name": "fails", "every": "1s", "script": "fails.py", "retry": retry, "notify": ["memory"]})
    desktop.daemon()
    eventually(rows(desktop, "fails"), "the first attempt")
    assert desktop.call("toggle", "fails", "off").returncode == 0
    (row, *_) = eventually(rows(desktop, "fails", status="failed"), "its end")
    assert row["error"] == "exit code 3; not tried again: the job is off: its switch in state.json"
    assert row["session_id"].startswith("cron-fails.py-")
    told = desktop.state / "memory" / "state" / "notifications.yaml"
    eventually(lambda: told.exists() and "not tried again" in told.read_text(), "a notice")
    assert desktop.asked("list")[0]["failure_count"] >= 1


def test_a_program_of_a_skill_that_a_killed_daemon_left_is_not_beside_its_repetition(desktop: Desktop) -> None:
    began = desktop.home / "began"
    steps = [
        {"id": "wait", "tool": "run_command", "args": {"argv": ["sh", "-c", f"echo $$ > {began}; exec sleep 600"]}}
    ]
    (desktop.state / "skills" / "waits.yaml").write_text(json.dumps({"name": "waits", "steps": steps}))
    job = {"name": "waits", "cron": "0 3 1 1 *", "skill": "waits"}
    desktop.write(job, execution_mode="skill_direct", skill_programs=["sh"])
    first = desktop.daemon()
    asking = subprocess.Popen([WAKEFUL, "cron", "run", "waits"], env=desktop.environment, stderr=subprocess.DEVNULL)
    desktop.asking.append(asking)
    eventually(began.exists, "the program")
    pid = int(began.read_text() or eventually(began.read_text, "its number"))
    first.kill()
    first.wait(10)
    began.unlink()

    desktop.daemon()
    eventually(began.exists, "the program, again")
    assert not alive(pid)
    os.kill(int(eventually(began.read_text, "its number")), signal.SIGKILL)
    (row,) = eventually(rows(desktop, "waits", status="failed"), "its end")
    assert "sh: ended by signal 9" in row["error"]


def test_what_an_ended_run_left_on_purpose_survives_a_killed_daemon(desktop: Desktop) -> None:
    desktop.script("leaves.py", LEAVES)
    desktop.write({"name": "leaves", "cron": "0 3 1 1 *", "script": "leaves.py"})
    first = desktop.daemon()
    assert desktop.call("run", "leaves").returncode == 0
    pid = int((desktop.state / "scripts" / "left").read_text())
    try:
        first.kill()
        first.wait(10)
        desktop.daemon()
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_b3_11_a_job_is_run_once_with_a_daemon_and_without_one(desktop: Desktop) -> None:
    desktop.script("quick.py", "print('quick')\n")
    desktop.script("fails.py", "raise SystemExit(3)\n")
    desktop.write(
        {"name": "quick", "cron": "0 3 1 1 *", "script": "quick.py", "enabled": False},
        {"name": "fails", "cron": "0 3 1 1 *", "script": "fails.py", "retry": {"max_attempts": 2, "delay_seconds": 1}},
        {"name": "overdue", "every": "1s", "script": "quick.py"},
        {"name": "past", "at": "2020-01-31T09:00:00Z", "script": "quick.py"},
        {
            "name": "nothing",
            "trigger": "poll",
            "condition": "none",
            "poll_interval": "1d",
            "script": "quick.py",
            "notify": ["memory"],
        },
        poll_sources={"none": {"type": "command", "command": ["true"]}},
    )
    done = desktop.call("daemon", "--run-job", "quick")
    assert (done.returncode, done.stdout) == (0, "quick\n")
    assert "succeeded" in done.stderr
    done = desktop.call("run", "fails")
    assert done.returncode == 1
    assert "failed: exit code 3" in done.stderr
    (row,) = desktop.history("fails")
    assert row["attempts"] == 2
    assert "is told of it" not in done.stderr
    done = desktop.call("run", "past")
    assert done.returncode == 3
    assert "job 'past' runs no more: its last instant has passed" in done.stderr
    done = desktop.call("run", "nothing")
    assert done.returncode == 1
    assert "skipped: any: 0 of 0 items count" in done.stderr
    assert "is told of it" not in done.stderr
    # Nothing else was run by that, however overdue.
    assert desktop.history("overdue") == []
    assert desktop.call("run", "nobody").returncode == 3

    daemon = desktop.daemon()
    done = desktop.call("daemon", "--run-job", "quick")
    assert (done.returncode, done.stdout) == (0, "quick\n")
    done = desktop.call("run", "past")
    assert "job 'past' runs no more: its last instant has passed" in done.stderr
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0


def test_one_config_has_one_daemon(desktop: Desktop) -> None:
    desktop.write()
    assert desktop.asked("status") == {"running": False, "healthy": False}
    first = desktop.daemon()
    second = subprocess.run(
        [WAKEFUL, "cron", "daemon"], env=desktop.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 2
    assert f"a daemon of this config runs already, as process {first.pid}" in second.stderr
    other = desktop.call("daemon", f"--config={desktop.home}/other.json")
    assert other.returncode == 2
    assert f"a daemon with the state folder {desktop.state} runs already" in other.stderr
    assert desktop.call("stop").returncode == 0
    assert first.wait(10) == 0


def test_a_bus_that_must_be_there_and_is_not_is_told_in_a_sentence(desktop: Desktop) -> None:
    desktop.write()
    desktop.bus.close()
    done = desktop.daemon("--dbus")
    assert done.wait(20) == 1
    err = (desktop.home / "run-0" / "stderr").read_text()
    assert "Traceback" not in err
    assert "session bus" in err.splitlines()[-1]


def test_skills_use_what_the_config_gives_them(desktop: Desktop) -> None:
    app = App()
    try:
        (desktop.state / "skills" / "tell.yaml").write_text(textwrap.dedent(TELL))
        text = json.dumps(
            {
                "schedules": {
                    "execution_mode": "skill_direct",
                    "skill_programs": ["printf"],
                    "poll_sources": {
                        "news": {"type": "command", "command": ["printf", '[{"id": 7}]'], "condition": "any"}
                    },
                    "jobs": [
                        {
                            "name": "tell",
                            "skill": "tell",
                            "inputs": {"url": f"http://127.0.0.1:{app.port}/hook"},
                            "trigger": "poll",
                            "poll_interval": "1s",
                            "condition": "news",
                            "notify": ["slack"],
                        }
                    ],
                },
                "notifications": {"slack": {"webhook_url": f"http://127.0.0.1:{app.port}/slack"}},
            }
        )
        (desktop.state / "config.json").write_text(text)
        desktop.daemon("--no-dbus")
        (row,) = eventually(rows(desktop, "tell", status="success"), "a run")
        eventually(lambda: len(app.calls) >= 2, "what it tells")
        hook, slack = sorted(app.calls, key=lambda call: call.path)
        assert (hook.path, hook.body) == ("/hook", b'{"items": 1, "said": "it\'s 7"}')
        assert slack.path == "/slack"
        assert b"Scheduled Job: tell" in slack.body
        assert "it's 7" in row["output_preview"]
        # The condition is looked at again and again; what was dealt with triggers nothing more.
        assert len(desktop.history("tell")) == 1
        assert desktop.asked("list")[0]["run_count"] == 1
    finally:
        app.close()
