"""A cron daemon in real time, on real files that are watched, in the test's own process."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from wakeful.clock import SystemClock
from wakeful.core.job import JobKey, JobRecord
from wakeful.core.ports import Attachment, Claim, JobQuery
from wakeful.core.run import Cause, Outcome, Skipped, Succeeded
from wakeful.engine import Engine
from wakeful.faces.cron.config_source import Rules
from wakeful.faces.cron.daemon import CronDaemon, Habits
from wakeful.faces.cron.keeping import CronPaths
from wakeful.scheduler import Scheduler
from wakeful.stores.sqlite import SqliteStore
from wakeful.zones import load_zone

DEADLINE_S = 20.0


class Real:
    """A daemon, and what came to its sink: at which wall-clock time, of which job, with which data."""

    def __init__(self, folder: Path, scheduler: Scheduler, poll: timedelta) -> None:
        self.config = folder / "config.json"
        self.paths = CronPaths.beside(self.config, folder)
        self.came: list[tuple[float, str, Mapping[str, Any]]] = []
        self.heard: list[tuple[Any, ...]] = []
        self._scheduler = scheduler
        self.daemon = CronDaemon(scheduler, self.paths, Rules(load_zone), self._attach, Habits(poll=poll))
        self.daemon.listen(lambda name, *arguments: self.heard.append((name, *arguments)))

    def _attach(self) -> list[Attachment]:
        return [self._scheduler.attach(f"cron/default/{self.config}", self, 100)]

    async def deliver(self, claim: Claim) -> Outcome:
        held = self.daemon.enabled_now(claim) if claim.run.cause is Cause.SCHEDULE else None
        if held is not None:
            return Skipped(held)
        assert claim.job.data is not None
        self.came.append((time.time(), claim.job.key.name, json.loads(claim.job.data.body)))
        return Succeeded()

    async def available(self) -> None:
        pass

    def write(self, *jobs: Mapping[str, Any], **schedules: Any) -> None:
        self.config.write_text(json.dumps({"schedules": {"jobs": list(jobs), **schedules}}))

    async def live(self) -> dict[str, dict[str, Any]]:
        """The jobs by name."""
        return {row["name"]: row for row in await self.daemon.list_jobs()}

    async def record(self, name: str) -> JobRecord:
        """A job as the store has it."""
        found = await self._scheduler.get(JobKey("default", f"file/{self.config}", name))
        assert found is not None
        return found

    async def ever(self) -> set[str]:
        """The names of all jobs that the store has ever had of the file."""
        query = JobQuery("default", f"file/{self.config}", ended=True)
        return {record.job.key.name async for record in self._scheduler.all_jobs(query)}

    async def until_live(self, *names: str) -> None:
        """Waits till the jobs are these."""
        end = time.monotonic() + DEADLINE_S
        while (live := await self.live()).keys() != set(names) or any(
            row["status"] == "pending" for row in live.values()
        ):
            assert time.monotonic() < end, f"{set(live)} is not {set(names)}"
            await asyncio.sleep(0.01)

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits till it is true."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, poll: timedelta = timedelta(hours=1), *jobs: Mapping[str, Any]) -> AsyncIterator[Real]:
    """A daemon that has started with these jobs; without a poll, so to speak, unless one is asked for."""
    folder.mkdir(exist_ok=True)
    store = SqliteStore(folder / "wakeful.db", load_zone, os.urandom)
    engine = Engine(store, SystemClock(), os.urandom, "tests")
    scheduler = Scheduler(store, SystemClock(), os.urandom, engine, records=store.records)
    made = Real(folder, scheduler, poll)
    made.write(*jobs)
    try:
        engine.start()
        await made.daemon.start()
        yield made
    finally:
        await made.daemon.stop()
        await engine.stop(timedelta(seconds=1))
        await store.close()
