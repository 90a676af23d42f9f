"""A cron daemon in time that the test turns: real files, store and engine, and a sink that keeps what comes."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from wakeful.core.job import JobKey, JobRecord
from wakeful.core.ports import Attachment, Claim, RunQuery
from wakeful.core.run import Cause, Outcome, Run, Skipped, Succeeded
from wakeful.faces.cron.config_source import Rules
from wakeful.faces.cron.daemon import CronDaemon, Habits
from wakeful.faces.cron.keeping import CronPaths
from wakeful.testing import World, world
from wakeful.zones import load_zone

# A Monday, nine in the morning in New York but for a minute.
START = "2026-01-26T13:59:00Z"


def example() -> dict[str, Any]:
    """A config file with the jobs that the document shows."""
    return {
        "schedules": {
            "enabled": True,
            "timezone": "America/New_York",
            "execution_mode": "claude_cli",
            "jobs": [
                {
                    "name": "daily_standup",
                    "cron": "0 9 * * MON-FRI",
                    "skill": "coffee",
                    "persona": "developer",
                    "inputs": {},
                    "notify": ["slack", "memory"],
                    "enabled": True,
                },
                {"name": "hello_world_test", "cron": "30 8 * * *", "skill": "hello_world", "enabled": False},
                {
                    "name": "weekly_summary",
                    "cron": "0 17 * * FRI",
                    "skill": "weekly_summary",
                    "persona": "workspace",
                    "inputs": {"days": 5},
                    "notify": ["slack"],
                },
                {"name": "env_health", "cron": "0 */4 * * *", "skill": "environment_overview", "persona": "devops"},
                {
                    "name": "nightly_tests",
                    "cron": "0 2 * * *",
                    "skill": "run_tests",
                    "inputs": {"project": "backend"},
                    "notify": ["memory"],
                },
                {
                    "name": "important_job",
                    "cron": "0 10 * * *",
                    "skill": "important",
                    "retry": {"max_attempts": 3, "delay_seconds": 60, "backoff_multiplier": 2.0},
                },
            ],
        },
        "jira": {"url": "https://jira.example.com"},
    }


def job(name: str = "tick", cron: str | None = "* * * * *", **more: Any) -> dict[str, Any]:
    """One job of a file; what is ``...`` is left out."""
    made = {"name": name, "cron": cron, "skill": f"{name}_skill", **more}
    return {key: value for key, value in made.items() if value is not ... and (key != "cron" or value is not None)}


@dataclass(frozen=True)
class Delivered:
    """An attempt that reached the sink, and was not held back there."""

    at: datetime
    name: str
    claim: Claim


class Sink:
    """Keeps what comes; asks the daemon first, as the real one does."""

    def __init__(self, here: "Here") -> None:
        self._here = here

    async def deliver(self, claim: Claim) -> Outcome:
        here = self._here
        held = here.daemon.enabled_now(claim) if claim.run.cause is Cause.SCHEDULE else None
        if held is not None:
            return Skipped(held)
        name = claim.job.key.name
        here.delivered.append(Delivered(here.world.now, name, claim))
        takes = here.takes.get(name, 0.0)
        if takes:
            await here.world.clock.sleep(takes)
        answer = here.answers.get(name, Succeeded(b'{"output":"done","success":true}'))
        outcome = answer(claim) if callable(answer) else answer
        if "poll" in claim.job.target.options and not isinstance(outcome, Skipped):
            here.daemon.begun(claim)
        return outcome

    async def available(self) -> None:
        pass


class Here:
    """A daemon, its files, and a look behind it."""

    def __init__(self, made: World, folder: Path, rules: Rules) -> None:
        self.world = made
        self.rules = rules
        self.config = folder / "config.json"
        self.paths = CronPaths.beside(self.config, folder)
        self.delivered: list[Delivered] = []
        self.heard: list[tuple[Any, ...]] = []
        self.answers: dict[str, Outcome | Callable[[Claim], Outcome]] = {}
        self.takes: dict[str, float] = {}
        self.attachments: list[Attachment] = []
        self.daemon = self._new()

    def _new(self, **habits: Any) -> CronDaemon:
        return CronDaemon(self.world.scheduler, self.paths, self.rules, self._attach, Habits(**habits))

    def _attach(self) -> list[Attachment]:
        queue = f"cron/default/{self.config}"
        self.attachments = [self.world.scheduler.attach(queue, Sink(self), 10)]
        return self.attachments

    def habits(self, **habits: Any) -> None:
        """Another daemon on the same files, not started yet."""
        self.daemon = self._new(**habits)

    async def start(self) -> None:
        self.daemon.listen(lambda name, *arguments: self.heard.append((name, *arguments)))
        await self.daemon.start(watch=False)
        await self.advance(milliseconds=10)

    async def stop(self) -> None:
        for attachment in self.attachments:
            attachment.detach()
        self.attachments = []
        await self.daemon.stop()

    async def restart(self) -> None:
        await self.stop()
        self.daemon = self._new()
        await self.start()

    def write(self, *jobs: Mapping[str, Any], **schedules: Any) -> None:
        """Writes the config file."""
        self.write_text(json.dumps({"schedules": {"jobs": list(jobs), **schedules}}))

    def write_text(self, text: str | bytes) -> None:
        self.config.write_bytes(text if isinstance(text, bytes) else text.encode())

    async def load(self, *jobs: Mapping[str, Any], **schedules: Any) -> dict[str, Any]:
        """Writes the config file and has it read."""
        self.write(*jobs, **schedules)
        return await self.reload()

    async def reload(self) -> dict[str, Any]:
        answer = await self.daemon.reload_config()
        await self.advance(milliseconds=10)
        return answer

    async def advance(self, **units: float) -> None:
        await self.world.advance(**units)

    def names(self) -> list[str]:
        """The names of what was delivered, in order."""
        return [one.name for one in self.delivered]

    async def record(self, name: str = "tick") -> JobRecord:
        found = await self.world.scheduler.get(JobKey("default", f"file/{self.config}", name))
        assert found is not None
        return found

    async def runs(self, name: str = "tick") -> list[Run]:
        """All rows of a job, newest first."""
        key = JobKey("default", f"file/{self.config}", name)
        return list((await self.world.scheduler.runs(RunQuery(key=key, limit=1000))).items)

    async def row(self, name: str = "tick") -> dict[str, Any]:
        """A job as it is listed."""
        return next(row for row in await self.daemon.list_jobs() if row["name"] == name)

    async def live(self) -> set[str]:
        """The names of the jobs that the store has."""
        return {row["name"] for row in await self.daemon.list_jobs() if row["status"] != "completed"}

    def state(self) -> dict[str, Any]:
        """What ``state.json`` holds."""
        return dict(json.loads(self.paths.state.read_text()))

    def events(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of what was told under a name."""
        return [arguments for told, *arguments in self.heard if told == name]


@asynccontextmanager
async def daemon_at(folder: Path, start: str = START, rules: Rules | None = None) -> AsyncIterator[Here]:
    """A daemon that is not started yet."""
    folder.mkdir(exist_ok=True)
    async with world(start, path=folder / "wakeful.db") as made:
        here = Here(made, folder, rules or Rules(load_zone))
        yield here
        await here.daemon.stop()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    """A daemon that was started without a job."""
    async with daemon_at(tmp_path / "state") as made:
        made.write()
        await made.start()
        yield made


@pytest.fixture
async def asleep(tmp_path: Path) -> AsyncIterator[Here]:
    """A daemon that the test starts."""
    async with daemon_at(tmp_path / "state") as made:
        yield made


@pytest.fixture(name="job")
def give_job() -> Callable[..., dict[str, Any]]:
    return job


@pytest.fixture(name="example")
def give_example() -> dict[str, Any]:
    return example()


@pytest.fixture(name="daemon_at")
def give_daemon_at() -> Callable[..., Any]:
    return daemon_at
