"""Sessions of cron runs: their ids, what a skill is told of them, and the logs that are named after them."""

import os
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from wakeful.core.ports import Claim
from wakeful.targets.telling import told

# What a file's name may not have, or had better not.
_UNSAFE = re.compile(r"[^\w.-]+")
_SKILL_LIMIT = 100
_HEADER_LIMIT = 1_000
# A name holds its second: older sessions can only come again when the clock is set back, and then there is the log.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class CronSession:
    """What a skill can know of the run that it is in. ``scheduled_at`` is ISO 8601 with the zone's offset."""

    session_id: str
    job_name: str
    persona: str
    scheduled_at: str
    run_id: str
    source: str = "cron"


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much stays: so many bytes of a stream in one log, so many logs, and none that is older than ``age``."""

    stream: int = 1024 * 1024
    files: int = 1_000
    age: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SessionLog:
    """One log: what it says of the run, in this order, and what the run said. All of it is redacted already."""

    header: Mapping[str, object]
    stdout: str
    stderr: str


class Sessions:
    """The ids and the logs of sessions, in one folder that is their owner's alone."""

    def __init__(self, folder: Path, limits: LogLimits = LogLimits()) -> None:
        self._folder = folder
        self._limits = limits
        self._given: deque[str] = deque(maxlen=_REMEMBERED)

    def begin(self, claim: Claim, now: datetime, zone: tzinfo) -> CronSession:
        """A session for an attempt that begins ``now``: its id tells the zone's local time, and nobody else has it."""
        job = claim.job
        name = f"cron-{_safe(job.target.address)}-{now.astimezone(zone):%Y%m%d-%H%M%S}"
        if claim.run.attempt > 1:
            name += f"-attempt{claim.run.attempt}"
        session_id, number = name, 1
        while session_id in self._given or self.path(session_id).exists():
            number += 1
            session_id = f"{name}-{number}"
        self._given.append(session_id)
        scheduled_at = claim.run.scheduled_for.astimezone(zone).isoformat()
        return CronSession(
            session_id, job.key.name, job.target.options.get("persona", ""), scheduled_at, claim.run.id.hex
        )

    def path(self, session_id: str) -> Path:
        """Where the log of that session is, or will be."""
        return self._folder / f"{session_id}.log"

    def write(self, session_id: str, log: SessionLog, now: datetime) -> None:
        """Writes a log, whole or not at all, and removes those that are too many or too old.

        Raises:
            OSError: it can't be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        head = "".join(f"{key}: {told(str(value), _HEADER_LIMIT)}\n" for key, value in log.header.items())
        out, err = (self._cut(text) for text in (log.stdout, log.stderr))
        text = f"{head}\n--- stdout ---\n{out}\n--- stderr ---\n{err}\n"
        draft = self._folder / f".{session_id}.tmp"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        draft.replace(self.path(session_id))
        self._tidy(now)

    def _cut(self, text: str) -> str:
        data = text.encode("utf-8", "replace")
        over = len(data) - self._limits.stream
        if over <= 0:
            return text.rstrip("\n")
        kept = data[over:].decode("utf-8", "ignore").rstrip("\n")
        return f"[the first {over} bytes are left out]\n{kept}"

    def _tidy(self, now: datetime) -> None:
        oldest = (now - self._limits.age).timestamp()
        logs: list[tuple[float, Path]] = []
        for path in (*self._folder.glob("cron-*.log"), *self._folder.glob(".cron-*.tmp")):
            # Another run may be tidying up, too.
            with suppress(OSError):
                logs.append((path.stat().st_mtime, path))
        logs.sort(reverse=True)
        for place, (written, path) in enumerate(logs):
            if place >= self._limits.files or written < oldest:
                with suppress(OSError):
                    path.unlink()


def _safe(skill: str) -> str:
    """A skill's or a script's name as part of a file's name."""
    safe = _UNSAFE.sub("-", skill).strip("-") or "job"
    return safe.encode("utf-8", "replace")[:_SKILL_LIMIT].decode("utf-8", "ignore")
