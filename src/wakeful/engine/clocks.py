"""The two clocks beside each other: a step of the wall clock moves when jobs are due, and what runs wait for."""

import logging
from datetime import datetime, timedelta

from wakeful.core.ports import Clock, JobQuery, Store
from wakeful.core.retiming import STEP, Reading, after_step

log = logging.getLogger("wakeful.engine")


class ClockWatch:
    """Looked at before each claim and each settlement: none is made by a clock whose step nobody has reckoned with.

    A step that was made while no node ran is told by the first heartbeat.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen = self._read()

    async def look(self) -> datetime:
        """The wall clock, once a step since the last look is reckoned with."""
        reading = self._read()
        step = reading.booted_at - self._seen.booted_at
        if abs(step) > STEP:
            await self._reckon(step, reading)
        self._seen = reading
        return reading.now

    async def reckon(self, step: timedelta) -> None:
        """Reckons with a step of which the store told, if it is one."""
        if step:
            await self._reckon(step, self._read())

    async def _reckon(self, step: timedelta, reading: Reading) -> None:
        log.warning("the clock was set by %+.1f s", step.total_seconds())
        cursor: str | None = None
        while True:
            page = await self._store.list_jobs(JobQuery(after=cursor))
            moves = [move for record in page.items if (move := after_step(record, reading.now, step)) is not None]
            cursor = page.cursor
            if cursor is None:
                # The runs come last: if this is cut off, the next node finds the step again.
                await self._store.retime(moves, reading)
                return
            if moves:
                await self._store.retime(moves)

    def _read(self) -> Reading:
        boot = self._clock.boot()
        return Reading(self._clock.now(), boot.boot_id, boot.elapsed)
