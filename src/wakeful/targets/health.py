"""Whether an app says that it is well; what is meant for it waits while it does not."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from wakeful.core.ports import Claim, Sink
from wakeful.core.run import Outcome, Unavailable

log = logging.getLogger("wakeful.app")

Sleep = Callable[[float], Awaitable[None]]


class AppHealth:
    """Asks an app at an interval: one good answer makes it well, ``threshold`` bad ones in a row make it unwell.

    It is taken for unwell until it has said otherwise (dapr pkg/apphealth/health.go). ``recovered`` is called each
    time that it becomes well.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[bool]],
        interval: timedelta,
        threshold: int,
        *,
        recovered: Callable[[], None] = lambda: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._probe = probe
        self._interval_s = interval.total_seconds()
        self._threshold = threshold
        self._recovered = recovered
        self._sleep = sleep
        self._failures = threshold
        self._well = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def well(self) -> bool:
        """Whether the app can be given work."""
        return self._well.is_set()

    def start(self) -> None:
        """Begins to ask, at once; needs the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._ask_again_and_again(), name="wakeful-app-health")

    async def until_well(self) -> None:
        """Returns while the app is well, or once it is."""
        await self._well.wait()

    async def aclose(self) -> None:
        """Asks no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _ask_again_and_again(self) -> None:
        while True:
            try:
                answered = await self._probe()
            except Exception:
                # A probe's bug must not leave the app in the state that it happened to be in.
                log.exception("the app's health can't be asked for")
                answered = False
            self._note(answered)
            await self._sleep(self._interval_s)

    def _note(self, answered: bool) -> None:
        if answered:
            self._failures = 0
            if not self.well:
                log.info("the app is healthy")
                self._well.set()
                self._recovered()
            return
        self._failures += 1
        if self._failures >= self._threshold and self.well:
            log.warning("the app is unhealthy: %d probes in a row failed; its jobs wait", self._failures)
            self._well.clear()


class WhileWell:
    """A sink that takes nothing while the app is unwell; what it has taken before may end."""

    def __init__(self, sink: Sink, health: AppHealth) -> None:
        self._sink = sink
        self._health = health

    async def deliver(self, claim: Claim) -> Outcome:
        """Delivers, or gives the run back unsent: other nodes can take it, and no attempt is spent."""
        if not self._health.well:
            return Unavailable("the app is unhealthy")
        return await self._sink.deliver(claim)

    async def available(self) -> None:
        """Returns once the app is well and can be tried."""
        while True:
            await self._health.until_well()
            await self._sink.available()
            if self._health.well:
                return
