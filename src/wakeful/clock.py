"""The one module that reads the clock; and the wake-up of the engine."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wakeful.core.ports import BootTime

# A sleeper looks at the wall clock again at least this often: it may have been set, or the machine suspended.
LONGEST_SLEEP_S = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemAlarm:
    """A wake-up on the running event loop."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Ends the wait under way, or the next one at once."""
        self._rung.set()

    async def wait(self, until: datetime) -> None:
        """Returns at ``until``, when rung, or after a second: whichever is first."""
        if not self._rung.is_set():
            delay = min((until - datetime.now(UTC)).total_seconds(), LONGEST_SLEEP_S)
            if delay > 0:
                # The loop's timers are rounded to whole milliseconds: rather a little late than early and twice.
                delay += 0.0005
                timer = asyncio.get_running_loop().call_later(delay, self._rung.set)
                try:
                    await self._rung.wait()
                finally:
                    timer.cancel()
        self._rung.clear()


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        # Without the kernel's id, a start of this process is all that boot times can be compared within.
        self._boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else f"start-{time.time_ns()}"

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        return datetime.now(UTC)

    def boot(self) -> BootTime:
        """CLOCK_BOOTTIME, which goes on while the machine sleeps."""
        return BootTime(self._boot_id, timedelta(microseconds=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000))

    def awake(self) -> timedelta:
        """CLOCK_MONOTONIC, which stands still while the machine sleeps."""
        return timedelta(microseconds=time.monotonic_ns() // 1000)

    def alarm(self) -> SystemAlarm:
        """A new wake-up."""
        return SystemAlarm()
