"""Many commands that fork, hide, ignore SIGTERM and print without end, each until its time is over."""

import asyncio
import ctypes
import gc
import os
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.cron.commands import PATH, left, resident_kib, restless
from targets.cron.jobs import Place, cron_claim, result
from wakeful.core.run import Failed
from wakeful.targets.claude import ClaudeMode, ClaudeSettings
from wakeful.targets.sessions import LogLimits, Sessions

TIMEOUT_S = 1.0
_GRACE_S = 0.2
_DOINGS = (
    ("ignore", "fork", "ready", "talk"),
    ("ignore", "fork", "setsid", "daemon", "bare", "ready", "talk"),
    ("fork", "daemon", "ready", "talk"),
    ("ignore", "setsid", "chain", "ready", "talk"),
)


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    memory_kib: int
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> "Held":
        gc.collect()
        # What is free is not held, even where the allocator has not given it back.
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        return cls(resident_kib(), len(os.listdir("/proc/self/fd")), threading.active_count())


class Machine:
    """Runs such commands as cron jobs do."""

    def __init__(self, folder: Path, tag: str) -> None:
        self._tag = tag
        self._number = 0
        self.said: Counter[str] = Counter()
        self.results: list[dict[str, Any]] = []
        mode = ClaudeMode(self._settings, {"PATH": PATH}, grace_s=_GRACE_S)
        self.place = Place(folder, {"claude_cli": mode})
        # Each is full.
        self.place.sessions = Sessions(folder, LogLimits(files=20))
        self.place.renew()

    def _settings(self) -> ClaudeSettings:
        self._number += 1
        return ClaudeSettings(tuple(restless(self._tag, *_DOINGS[self._number % len(_DOINGS)])))

    async def time_out(self, count: int) -> Sequence[int]:
        """Lets so many of them run at once; who is left of them."""
        claims = [cron_claim(f"job-{number}", timeout_s=TIMEOUT_S) for number in range(count)]
        for outcome in await asyncio.gather(*(self.place.sink.deliver(claim) for claim in claims)):
            assert isinstance(outcome, Failed), outcome
            self.said[outcome.error] += 1
            told = result(outcome)
            assert (told["timed_out"], told["success"], told["failure"]) == (True, False, "timeout")
            assert told["exit_code"] in (-15, -9)
            assert len(told["output"].encode()) <= 16 * 1024
            self.results.append({key: told[key] for key in ("truncated", "session_id")})
        return left(self._tag)
