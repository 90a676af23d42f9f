"""The cron daemon's doors for tests of the command line: those of main, but for what a running daemon answers."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wakeful import main as main_module
from wakeful.cron_config import CronSettings, locked
from wakeful.cron_main import settings_of
from wakeful.faces.cli.app import build
from wakeful.faces.cli.cron_doors import CronDoors
from wakeful.faces.cli.cron_options import CRON, CronOptions
from wakeful.faces.cli.doors import Doors
from wakeful.faces.cron.config_source import Rules
from wakeful.faces.cron.daemon import CronDaemon
from wakeful.faces.cron.keeping import CronPaths
from wakeful.rooms import opened
from wakeful.zones import load_zone


class Desk:
    """``serve`` and ``run_job`` only note what was asked, and answer with ``code``.

    ``call`` goes to a ``CronDaemon`` on the store, made for this one question; ``answers`` go before.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.code = 0
        self.on_bus = True
        self.answers: dict[str, Any] = {}

    def settings(self, options: CronOptions = CRON) -> CronSettings:
        return settings_of(options)

    @contextmanager
    def running(self) -> Iterator[None]:
        """As long as a daemon runs, which is this process."""
        with locked(self.settings().lock):
            yield

    def keep(self) -> None:
        """A daemon starts and stops: the store's jobs are those of the file."""
        asyncio.run(self._ask(CRON, "list_jobs"))

    def instead_of(self, doors: CronDoors) -> CronDoors:
        """The doors that main lends, but for those that this desk has."""
        return replace(doors, serve=self._serve, run_job=self._run_job, call=self._call)

    async def _serve(self, options: CronOptions) -> int:
        self.asked.append(("serve", options))
        return self.code

    async def _run_job(self, options: CronOptions, name: str) -> int:
        self.asked.append(("run_job", options, name))
        return self.code

    async def _call(self, options: CronOptions, method: str, arguments: Sequence[object]) -> Any:
        self.asked.append((method, *arguments))
        if not self.on_bus:
            return None
        if method in self.answers:
            return self.answers[method]
        if method == "toggle_job":
            return await self._ask(options, "toggle_job", arguments[0], arguments[1] == "true")
        return await self._ask(options, {"HealthCheck": "health", "ResetJob": "reset_job"}[method], *arguments)

    async def _ask(self, options: CronOptions, name: str, *arguments: object) -> Any:
        settings = self.settings(options)
        async with opened(settings.store) as rooms:
            paths = CronPaths.beside(settings.config, settings.state)
            daemon = CronDaemon(rooms.scheduler, paths, Rules(load_zone))
            await daemon.start(watch=False)
            answer = await getattr(daemon, name)(*arguments)
            await daemon.stop()
            return answer


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    """What main lends is this desk's."""
    desk = Desk()
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("TZ", "Europe/Rome")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def built(doors: Doors, command: tuple[str, ...]) -> object:
        return build(replace(doors, cron=desk.instead_of(doors.cron)), command)

    monkeypatch.setattr(main_module, "build", built)
    return desk


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The daemon's state folder, at its usual place below the test's home."""
    folder = tmp_path / ".config" / "aa-workflow"
    folder.mkdir(parents=True)
    return folder


def job(name: str = "standup", **more: Any) -> Mapping[str, Any]:
    """A job of the file."""
    return {"name": name, "skill": "coffee", "cron": "0 9 * * MON-FRI", **more}
