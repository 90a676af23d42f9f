"""``wakeful cron``: what is asked of the daemon, and how it is told. The daemon's own doors are the desk's."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import NOW, Result
from cli.cron_desk import Desk, desk, job, state
from scripts import cron_daemon
from support.stores import finish
from wakeful.clock import SystemClock
from wakeful.core.ports import Put, Room
from wakeful.core.run import Failed, Succeeded
from wakeful.faces.cron.config_source import ConfigSource, Rules
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

__all__ = ["desk", "state"]
Wakeful = Callable[..., Result]

HEALTH = {
    "healthy": True,
    "scheduler_running": True,
    "job_count": 2,
    "next_job": {"name": "standup", "scheduled": "2026-03-03T09:00:00+01:00", "in_seconds": 68_400},
    "last_execution": {"job": "weekly", "status": "success", "completed_at": "2026-03-02T12:00:00+01:00"},
    "uptime_seconds": 7_260,
    "stats": {"total_executions": 156, "successful": 150, "failed": 6, "success_rate": 0.962},
    "message": "running with 2 jobs",
}


@pytest.fixture
def config(state: Path) -> Path:
    """A config file with three jobs."""
    path = state / "config.json"
    jobs = [job(), job("off", enabled=False), job("script", skill=None, script="a.py", cron="*/5 * * * *")]
    path.write_text(json.dumps({"schedules": {"timezone": "Europe/Rome", "jobs": jobs}}))
    return path


def test_without_a_flag_the_daemon_is_served_with_its_options(wakeful: Wakeful, desk: Desk) -> None:
    desk.code = 7
    flags = ["--config=c.json", "--scripts=s", "--skills=k", "--state-dir=d", "--store=sqlite:///x.db", "-v"]
    assert wakeful("cron", "daemon", *flags, "--no-dbus").code == 7
    ((what, options),) = desk.asked
    assert what == "serve"
    given = options.config, options.scripts, options.skills, options.state_dir, options.store
    assert given == ("c.json", "s", "k", "d", "sqlite:///x.db")
    assert (options.verbose, options.dbus) == (True, False)


@pytest.mark.parametrize(("flags", "dbus"), [([], None), (["--dbus"], True), (["--no-dbus"], False)])
def test_the_session_bus_is_needed_forbidden_or_used_if_there_is_one(
    wakeful: Wakeful, desk: Desk, flags: list[str], dbus: bool | None
) -> None:
    wakeful("cron", "daemon", *flags)
    assert desk.asked[0][1].dbus is dbus


@pytest.mark.parametrize("arguments", [("daemon", "--run-job", "standup"), ("run", "standup")])
def test_s3_97_a_jobs_result_is_the_exit_code(wakeful: Wakeful, desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.code = 3
    assert wakeful("cron", *arguments).code == 3
    ((what, _, name),) = desk.asked
    assert (what, name) == ("run_job", "standup")


def test_two_wishes_are_refused(wakeful: Wakeful, desk: Desk) -> None:
    refused = wakeful("cron", "daemon", "--status", "--stop")
    assert (refused.code, desk.asked) == (2, [])
    assert "--status and --stop" in refused.err


@pytest.mark.parametrize("arguments", [("daemon", "--list-jobs"), ("list",)])
def test_the_jobs_are_listed_with_why_each_is_off_and_its_next_run_with_the_zones_offset(
    wakeful: Wakeful, desk: Desk, config: Path, arguments: tuple[str, ...]
) -> None:
    desk.keep()
    head, *lines = wakeful("cron", *arguments).out.splitlines()
    assert head.split() == ["NAME", "SKILL", "WHEN", "ON", "NEXT", "RUN", "LAST"]
    standup, off, script = lines
    assert [standup.split()[0], "2026-03-03T09:00:00+01:00" in standup, " on " in standup] == ["standup", True, True]
    assert "off: the job is off: enabled in the config file" in off
    assert script.split()[:2] == ["script", "a.py"]
    rows = wakeful("cron", *arguments, "--json").json
    assert [row["name"] for row in rows] == ["standup", "off", "script"]
    assert len(rows[0]["next_runs"]) == 5


def test_jobs_that_no_daemon_has_seen_yet_are_listed_as_well(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    lines = wakeful("cron", "list").out.splitlines()
    assert [" on, once a daemon runs " in line for line in lines] == [False, True, False, True]


def test_c2_3_1_status_of_none_is_exit_code_1(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    told = wakeful("cron", "daemon", "--status")
    assert (told.code, str(config) in told.out) == (1, True)
    assert wakeful("cron", "status", "--json").json == {"running": False, "healthy": False}


@pytest.mark.parametrize("arguments", [("daemon", "--status"), ("status",)])
def test_s3_94_status_tells_health_and_the_json_has_every_key(
    wakeful: Wakeful, desk: Desk, config: Path, arguments: tuple[str, ...]
) -> None:
    desk.answers["HealthCheck"] = HEALTH
    with desk.running():
        told, document = wakeful("cron", *arguments), wakeful("cron", *arguments, "--json").json
    assert told.code == 0
    lines = dict(line.split(None, 1) for line in told.out.splitlines())
    assert lines["health"] == "healthy"
    assert lines["next"] == "standup at 2026-03-03T09:00:00+01:00"
    assert lines["last"] == "weekly: success at 2026-03-02T12:00:00+01:00"
    assert lines["runs"] == "150 of 156 succeeded (0.962)"
    assert lines["up"] == "2:01:00"
    assert document == {**HEALTH, "running": True, "pid": os.getpid()}


def test_status_of_one_that_is_not_well_is_exit_code_1(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    # The engine of the desk's daemon was never started: it makes no claims.
    with desk.running():
        told = wakeful("cron", "status")
    assert told.code == 1
    assert "not healthy" in told.out


def test_status_of_one_that_can_not_be_asked_is_neither(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    desk.on_bus = False
    with desk.running():
        told = wakeful("cron", "status")
    assert (told.code, str(os.getpid()) in told.out) == (5, True)


def test_a_switch_is_set_by_the_daemon_that_runs(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    with desk.running():
        off = wakeful("cron", "toggle", "standup", "off")
        on = wakeful("cron", "toggle", "off", "on", "--json").json
        wakeful("cron", "toggle", "standup", "reset")
        unknown = wakeful("cron", "toggle", "nobody", "on")
    assert off.out.startswith("standup: off: the job is off: its switch in state.json")
    assert (on["enabled"], on["active"]) == (True, True)
    assert desk.asked[0] == ("toggle_job", "standup", "false")
    assert desk.asked[2] == ("ResetJob", "standup")
    assert (unknown.code, "nobody" in unknown.err) == (3, True)
    switches = json.loads((config.parent / "state.json").read_text())["jobs"]
    assert {name: switch["enabled"] for name, switch in switches.items()} == {"off": True}


@pytest.mark.parametrize("runs", [True, False])
def test_a_switch_is_written_where_no_daemon_can_be_asked(
    wakeful: Wakeful, desk: Desk, config: Path, runs: bool
) -> None:
    desk.on_bus = False
    path = config.parent / "state.json"
    if runs:
        with desk.running():
            told = wakeful("cron", "toggle", "standup", "off")
    else:
        told = wakeful("cron", "toggle", "standup", "off")
    assert (told.code, str(path) in told.out) == (0, True)
    assert json.loads(path.read_text())["jobs"] == {"standup": {"enabled": False, "config_enabled": True}}
    desk.keep()
    assert "off: the job is off: its switch in state.json" in wakeful("cron", "list").out
    assert wakeful("cron", "toggle", "standup", "reset").code == 0
    assert json.loads(path.read_text())["jobs"] == {}
    assert wakeful("cron", "toggle", "nobody", "off").code == 3


def test_a_switch_of_a_file_that_can_not_be_used_is_refused(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    config.write_text("{")
    refused = wakeful("cron", "toggle", "standup", "off")
    assert refused.code != 0
    assert str(config) in refused.err


def test_history_is_read_from_the_store_newest_first(wakeful: Wakeful, desk: Desk, config: Path, path: Path) -> None:
    assert wakeful("cron", "history").out == "No runs.\n"
    _ran(config, path)
    head, first, second = wakeful("cron", "history").out.splitlines()
    assert head.split()[:3] == ["STARTED", "JOB", "STATUS"]
    assert first.split()[1:3] == ["standup", "failed"]
    assert "no coffee" in first
    assert second.split()[1:3] == ["standup", "success"]
    (row,) = wakeful("cron", "history", "--limit=1", "--json").json
    assert (row["status"], row["started_at"][-6:]) == ("failed", "+01:00")


def _ran(config: Path, path: Path) -> None:
    """Two runs of the file's first job."""
    read = ConfigSource(config, Rules(load_zone), SystemClock().now).read(config.read_bytes())
    spec = read.jobs["standup"]

    async def work() -> None:
        store = SqliteStore(path, load_zone, os.urandom)
        await store.put_job(spec.job, Put.CREATE, NOW)
        for day, outcome in ((1, Succeeded()), (2, Failed("no coffee"))):
            at = NOW + timedelta(days=day)
            claimed = await store.claim_due(1, {spec.job.queue: Room(10, 10)}, at)
            for claim in claimed.claims:
                await finish(store, claim, at + timedelta(seconds=5), outcome)
        await store.close()

    asyncio.run(work())


_HOLDER = """
import signal, sys, time
from pathlib import Path
from wakeful.cron_config import locked
stubborn = sys.argv[2] == "stubborn"
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    while True:
        signal.pause()
"""


@pytest.fixture
def started(desk: Desk, config: Path, tmp_path: Path) -> Any:
    """Starts a process that has the daemon's lock."""
    processes: list[subprocess.Popen[str]] = []

    def start(kind: str) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", _HOLDER, str(desk.settings().lock), kind]
        processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout is not None
        assert processes[-1].stdout.readline() == "held\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("daemon", "--stop"), ("stop",)])
def test_stop_ends_the_daemon_and_waits_for_its_end(wakeful: Wakeful, started: Any, arguments: tuple[str, ...]) -> None:
    process = started("gentle")
    told = wakeful("cron", *arguments)
    assert (told.code, told.out) == (0, f"stopped: process {process.pid}\n")
    assert process.wait(10) == 0


@pytest.mark.slow
def test_one_that_does_not_end_is_told(wakeful: Wakeful, started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wakeful.faces.cli.cron_stopping.stop_daemon.__defaults__", (0.2,))
    process = started("stubborn")
    told = wakeful("cron", "stop")
    assert (told.code, f"kill -KILL {process.pid}" in told.err) == (1, True)
    assert process.poll() is None


def test_there_is_none_to_stop(wakeful: Wakeful, desk: Desk, config: Path) -> None:
    told = wakeful("cron", "stop")
    assert (told.code, str(config) in told.err) == (1, True)


def test_s3_97_the_documents_script_has_the_same_flags(
    desk: Desk, wakeful: Wakeful, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.code = 3
    monkeypatch.setattr(sys, "argv", ["cron_daemon.py", "--run-job", "standup", "--no-dbus", "--verbose"])
    with pytest.raises(SystemExit) as ended:
        cron_daemon.main()
    ((what, options, name),) = desk.asked
    assert (ended.value.code, what, name, options.dbus, options.verbose) == (3, "run_job", "standup", False, True)
