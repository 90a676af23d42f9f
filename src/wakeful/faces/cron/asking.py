"""Runs that somebody asks for, beside the schedule: begun, waited for, and told."""

import logging
from collections.abc import Mapping
from uuid import UUID

from wakeful.core.job import JobKey
from wakeful.faces.cron.definitions import NAMESPACE
from wakeful.faces.cron.following import RunFollower
from wakeful.faces.cron.history import HistoryReader, Row
from wakeful.faces.cron.keeping import Keeper
from wakeful.faces.cron.timing import has_passed
from wakeful.scheduler import Scheduler

log = logging.getLogger("wakeful.cron")

_LOOK_AGAIN_S = 1.0


class AskedRuns:
    """Runs of the jobs of one file."""

    def __init__(self, scheduler: Scheduler, keeper: Keeper, history: HistoryReader, follower: RunFollower) -> None:
        self._scheduler = scheduler
        self._keeper = keeper
        self._history = history
        self._follower = follower

    async def run(self, name: str) -> Row:
        """As ``CronDaemon.run_job``."""
        said = {"job": name, "job_name": name}
        key = JobKey(NAMESPACE, self._keeper.source.place.owner, name)
        if await self._scheduler.get(key) is None:
            return {"success": False, **said, "error": self.absent(name)}
        run = await self._scheduler.run_now(key)
        log.info("job %r runs, as asked: %s", name, run.hex)
        return {"success": True, **said, "execution_id": run.hex}

    def absent(self, name: str) -> str:
        """Why there is no such job to run."""
        config = self._keeper.config
        spec = None if config is None else config.jobs.get(name)
        if spec is not None and has_passed(spec.job.schedule, self._scheduler.now()):
            return f"job {name!r} runs no more: its last instant has passed"
        return f"there is no job {name!r} to run"

    async def wait(self, execution_id: str) -> Row:
        """As ``CronDaemon.wait_for_run``."""
        try:
            run_id = UUID(execution_id)
        except ValueError:
            raise ValueError(f"{execution_id!r:.80} is no execution id") from None
        while True:
            run = await self._scheduler.run(run_id)
            row = None if run is None else await self._history.of(run)
            if run is None or row is None:
                raise ValueError(f"there is no execution {execution_id} of a job of this daemon")
            if run.state.ended:
                return row
            await self._follower.next_settled(_LOOK_AGAIN_S)

    async def under_way(self) -> Mapping[str, str]:
        """The runs under way here: without those that were cancelled, of which nobody is told."""
        for execution_id in tuple(self._follower.running):
            run = await self._scheduler.run(UUID(execution_id))
            if run is None or run.state.ended:
                self._follower.running.pop(execution_id, None)
        return dict(self._follower.running)
