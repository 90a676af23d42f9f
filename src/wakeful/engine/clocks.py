"""The two clocks beside each other: a step of the wall clock moves the next instants of jobs."""

import logging
from datetime import datetime, timedelta

from wakeful.core.ports import Clock, JobQuery, RunQuery, Store
from wakeful.core.retiming import STEP, after_step

log = logging.getLogger("wakeful.engine")


class ClockWatch:
    """Looked at before each claim: nothing is claimed by a wall clock whose step nobody has reckoned with."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._clocks = (clock.now(), clock.boot().elapsed)

    async def begin(self) -> None:
        """Looks for a step that was made while no node ran: it is like any other."""
        newest = (await self._store.list_runs(RunQuery(limit=1))).items
        if newest and newest[0].created_at is not None and newest[0].created_at > self._clocks[0]:
            self._clocks = (newest[0].created_at, self._clocks[1])

    async def look(self) -> None:
        """Reckons with a step since the last look."""
        wall, boot = self._clock.now(), self._clock.boot().elapsed
        step = (wall - self._clocks[0]) - (boot - self._clocks[1])
        if abs(step) > STEP:
            await self._reckon_anew(wall, step)
        self._clocks = (wall, boot)

    async def _reckon_anew(self, wall: datetime, step: timedelta) -> None:
        log.warning("the clock was set by %+.1f s", step.total_seconds())
        cursor: str | None = None
        while True:
            page = await self._store.list_jobs(JobQuery(after=cursor))
            moves = [move for record in page.items if (move := after_step(record, wall, step)) is not None]
            if moves:
                await self._store.retime(moves)
            cursor = page.cursor
            if cursor is None:
                return
