"""What the jobs of one file do in this process: told to who listens, counted, and waited for."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from wakeful.core.ports import Claim
from wakeful.core.run import Cause, RunState
from wakeful.core.settlement import Settlement
from wakeful.faces.cron.events import Listeners


class RunFollower:
    """An ``Observer``. ``running`` are the names of the jobs whose runs are under way, by execution id.

    ``executed`` and ``failed`` count the runs that ended here; ``held`` says why a run will not be done.
    """

    def __init__(self, owner: str, listeners: Listeners, held: Callable[[Claim], str | None]) -> None:
        self.running: dict[str, str] = {}
        self.executed = 0
        self.failed = 0
        self._owner = owner
        self._listeners = listeners
        self._held = held
        self._ended = asyncio.Event()

    def started(self, claim: Claim) -> None:
        """An attempt begins: the first of a run is told."""
        job, run = claim.job, claim.run
        if job.key.owner != self._owner or (run.cause is Cause.SCHEDULE and self._held(claim) is not None):
            return
        # What looks for something to do has not begun: the sink tells when it has found it.
        if "poll" not in job.target.options:
            self.begun(claim)

    def begun(self, claim: Claim) -> None:
        """An attempt is really made: the first of a run is told."""
        job, run = claim.job, claim.run
        again = run.id.hex in self.running or run.attempt > 1
        self.running[run.id.hex] = job.key.name
        if not again:
            self._listeners.tell("JobStarted", job.key.name, run.id.hex)

    def settled(self, claim: Claim, settlement: Settlement) -> None:
        """What became of an attempt is written: it is told if it succeeded or failed, be it to be tried again."""
        if claim.job.key.owner != self._owner:
            return
        name, execution = claim.job.key.name, settlement.run_id.hex
        if settlement.state.ended:
            self.running.pop(execution, None)
            self.executed += settlement.state in (RunState.SUCCEEDED, RunState.FAILED)
            self.failed += settlement.state is RunState.FAILED
        if settlement.state is RunState.SUCCEEDED:
            result = b"{}" if settlement.result is None else settlement.result
            self._listeners.tell("JobCompleted", name, execution, result.decode("utf-8", "replace"))
        elif settlement.state is RunState.SKIPPED:
            skipped = {"job": name, "execution_id": execution, "reason": settlement.reason}
            self._listeners.tell("Event", "job_skipped", msgspec.json.encode(skipped).decode())
        elif settlement.error is not None:
            self._listeners.tell("JobFailed", name, execution, settlement.error)
        # Who waits looks anew, and then waits for the next.
        self._ended.set()
        self._ended = asyncio.Event()

    async def next_settled(self, timeout_s: float) -> None:
        """Waits until something has been settled, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
