"""The worker: asks for tasks while it has room, keeps their leases while it works, and reports."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wakeful.agent.api import AgentError, Api, Failed, GivenBack, Outcome, StaleError, Task
from wakeful.agent.http import UnreachableError

log = logging.getLogger("wakeful.agent")

# Does one task, whatever happens; cancelled, it stops the work and lets that be seen.
Perform = Callable[[Task], Awaitable[Outcome]]

# Work that is done sooner is never seen to be under way: that spares a request for each short task.
SEEN_AFTER_S = 0.5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LEAVE_LIMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What an agent does and on which terms: at most ``limit`` tasks at a time, each under a lease of ``lease_s``.

    A claim waits for a task up to ``wait_s``. Told to stop, the agent goes on with its tasks for ``grace_s``, then
    gives them back. One that is ``temporary`` is forgotten when it goes.
    """

    capabilities: tuple[str, ...]
    limit: int = 1
    lease_s: float = 60.0
    wait_s: float = 20.0
    grace_s: float = 30.0
    temporary: bool = False


class Worker:
    """One agent at work."""

    def __init__(self, api: Api, terms: Terms, perform: Perform) -> None:
        self._api = api
        self._terms = terms
        self._perform = perform
        self._tasks: dict[asyncio.Task[None], asyncio.Future[Outcome]] = {}
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._ended = asyncio.Event()

    def stop(self) -> None:
        """Takes no more tasks and ends; asked again, gives back at once what is under way."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    async def run(self) -> None:
        """Works until it is told to stop.

        Raises:
            AgentError: the node refuses this agent; what was under way is finished.
        """
        pulse = asyncio.create_task(self._pulse())
        try:
            while not self._stopping.is_set():
                await self._take()
        finally:
            pulse.cancel()
            await self._finish()
            with suppress(AgentError, UnreachableError, TimeoutError):
                async with asyncio.timeout(_LEAVE_LIMIT_S):
                    await self._api.leave(for_good=self._terms.temporary)

    async def _pulse(self) -> None:
        """Registers, and says again and again that it is still here."""
        next_s, pause = 0.0, Pause()
        while True:
            try:
                next_s = await (self._api.heartbeat() if next_s else self._api.register(self._terms.capabilities))
                pause = Pause()
                await asyncio.sleep(next_s)
            except AgentError as error:
                # Who may claim need not be allowed to register: a claim makes an agent known as well.
                log.warning("the node does not want to hear how this agent is: %s", error)
                return
            except UnreachableError as error:
                await pause.after(f"the node can't be reached: {error}")

    async def _take(self) -> None:
        """One claim, once there is room; what it brings is begun."""
        stopping = asyncio.create_task(self._stopping.wait())
        pause = Pause()
        try:
            while not self._stopping.is_set() and len(self._tasks) >= self._terms.limit:
                self._ended.clear()
                await first_done(asyncio.create_task(self._ended.wait()), stopping)
            while not self._stopping.is_set():
                claim = asyncio.create_task(self._claim())
                await first_done(claim, stopping)
                try:
                    # A claim that was cancelled has hung up, and the node keeps what it might have given.
                    for task in () if claim.cancelled() else claim.result():
                        self._begin(task)
                    return
                except UnreachableError as error:
                    await first_done(asyncio.create_task(pause.after(f"no tasks can be claimed: {error}")), stopping)
        finally:
            stopping.cancel()

    async def _claim(self) -> "tuple[Task, ...]":
        terms = self._terms
        free = terms.limit - len(self._tasks)
        return tuple(await self._api.claim(terms.capabilities, free, terms.lease_s, terms.wait_s))

    # ── one task ──

    def _begin(self, task: Task) -> None:
        work = asyncio.ensure_future(self._perform(task))
        whole = asyncio.create_task(self._see_through(task, work), name=task.task_id)
        self._tasks[whole] = work
        whole.add_done_callback(self._end)

    def _end(self, whole: "asyncio.Task[None]") -> None:
        del self._tasks[whole]
        self._ended.set()
        if not whole.cancelled() and whole.exception() is not None:
            log.error("%s: %r", whole.get_name(), whole.exception())

    async def _see_through(self, task: Task, work: "asyncio.Future[Outcome]") -> None:
        """The work, its lease beside it, and the report."""
        keeping = asyncio.create_task(self._keep(task))
        either: set[asyncio.Future[Any]] = {work, keeping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            # Whoever has the task now may have begun: here it must end.
            work.cancel()
            await asyncio.wait({work})
            log.warning("%s was lost: %s", task.task_id, keeping.result())
            return
        keeping.cancel()
        await self._report(task, self._outcome_of(work))

    def _outcome_of(self, work: "asyncio.Future[Outcome]") -> Outcome:
        if work.cancelled():
            # Work that cancels itself would do so again and again if it were only given back.
            return GivenBack() if self._hurried.is_set() else Failed("CancelledError: the work cancelled itself")
        error = work.exception()
        return work.result() if error is None else Failed(f"{type(error).__name__}: {error}")

    async def _keep(self, task: Task) -> str:
        """Renews the lease until that fails for good: why."""
        lease_s = self._terms.lease_s
        loop = asyncio.get_running_loop()
        until = loop.time() + lease_s
        await asyncio.sleep(min(SEEN_AFTER_S, lease_s / 3))
        while True:
            asked_at = loop.time()
            try:
                await self._api.renew(task, lease_s)
            except (StaleError, AgentError) as error:
                return str(error)
            except UnreachableError as error:
                if loop.time() >= until:
                    return f"its lease ran out, and the node can't be reached: {error}"
                await asyncio.sleep(min(1.0, lease_s / 10))
            else:
                until = asked_at + lease_s
                await asyncio.sleep(lease_s / 3)

    async def _report(self, task: Task, outcome: Outcome) -> None:
        """Tells the node; for as long as the task may still be this agent's, if it does not hear."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + max(self._terms.lease_s, 60.0), Pause()
        while True:
            try:
                await self._api.report(task, outcome)
                log.info("%s: %s", task.task_id, _shown(outcome))
                return
            except StaleError as error:
                log.warning("%s was lost: %s", task.task_id, error)
                return
            except AgentError as error:
                if isinstance(outcome, Failed):
                    log.error("%s can't be reported: %s", task.task_id, error)
                    return
                # The result is what is wrong: it is too large, say.
                outcome = Failed(f"the node refuses the result: {error}", retryable=False)
            except UnreachableError as error:
                if loop.time() >= until or self._hurried.is_set():
                    log.error("%s can't be reported: %s", task.task_id, error)
                    return
                await pause.after(f"{task.task_id} can't be reported yet: {error}")

    # ── the end ──

    async def _finish(self) -> None:
        """Lets what is under way end in its time, then gives it back."""
        if self._tasks:
            log.info("finishing %d tasks; another signal gives them back at once", len(self._tasks))
        hurried = asyncio.create_task(self._hurried.wait())
        ended = asyncio.create_task(self._all_ended())
        await asyncio.wait({hurried, ended}, timeout=self._terms.grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        self._hurried.set()
        for work in self._tasks.values():
            work.cancel()
        await ended

    async def _all_ended(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))


class Pause:
    """Between two tries: each longer than the last, none as long as another agent's."""

    def __init__(self) -> None:
        self._seconds = _FIRST_PAUSE_S

    async def after(self, trouble: str) -> None:
        """Waits; tells why, the first time."""
        if self._seconds == _FIRST_PAUSE_S:
            log.warning("%s", trouble)
        share = 0.5 + os.urandom(1)[0] / 512
        await asyncio.sleep(self._seconds * share)
        self._seconds = min(self._seconds * 2, _LONGEST_PAUSE_S)


async def first_done(work: "asyncio.Future[Any]", *others: "asyncio.Future[Any]") -> None:
    """Waits for the work or one of the others, then cancels the work if it is not done."""
    await asyncio.wait({work, *others}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
        await asyncio.wait({work})


def _shown(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return f"failed: {outcome.error[:200]}"
    if isinstance(outcome, GivenBack):
        return f"given back: {outcome.reason}" if outcome.reason else "given back"
    return "completed"
