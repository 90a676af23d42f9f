"""Claims of cron jobs, and a sink to give them to."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from support.claims import claim
from wakeful.core.job import Data, TargetSpec
from wakeful.core.ports import Claim
from wakeful.core.run import Cause, Failed, Outcome, Rejected, Succeeded
from wakeful.targets.cron_sink import CronSink, Surroundings
from wakeful.targets.sessions import CronSession, Sessions
from wakeful.targets.work import Perform, Work

NEW_YORK = ZoneInfo("America/New_York")
# 09:00 in New York.
NINE = datetime(2026, 1, 26, 14, tzinfo=UTC)
RUN = UUID(int=7)


def cron_claim(
    skill: str = "coffee",
    inputs: Mapping[str, Any] | None = None,
    *,
    name: str = "daily_standup",
    kind: str = "skill",
    attempt: int = 1,
    cause: Cause = Cause.SCHEDULE,
    timeout_s: float = 20,
    **options: str,
) -> Claim:
    """A run of a job from a file that was due at nine; the options are its target's."""
    data = None if inputs is None else Data("json", json.dumps(inputs).encode())
    target = TargetSpec(kind, skill, {"persona": "developer", **options})
    made = claim(
        name, data, owner="file//home/u/config.json", target=target, timeout=timedelta(seconds=timeout_s),
        scheduled_for=NINE,
    )  # fmt: skip
    return Claim(msgspec.structs.replace(made.run, id=RUN, attempt=attempt, cause=cause), made.job)


def script_claim(script: str, *arguments: str, **more: Any) -> Claim:
    """A run of a script."""
    return cron_claim(script, kind="command", args=json.dumps(arguments), **more)


def work(claim: Claim, session_id: str = "cron-coffee-20260126-090000") -> Work:
    """One attempt, as a mode is given it."""
    job = claim.job
    inputs = {} if job.data is None else json.loads(job.data.body)
    persona = job.target.options.get("persona", "")
    session = CronSession(session_id, job.key.name, persona, "2026-01-26T09:00:00-05:00", claim.run.id.hex)
    return Work(claim, session, inputs, job.timeout or timedelta(seconds=20))


def result(outcome: Outcome) -> dict[str, Any]:
    """The result that an outcome carries."""
    assert isinstance(outcome, Succeeded | Failed | Rejected)
    assert outcome.result is not None
    return msgspec.json.decode(outcome.result)  # type: ignore[no-any-return]


@dataclass
class Place:
    """A sink with its logs in a folder, and what it told others."""

    folder: Path
    modes: dict[str, Perform]
    disabled: str | None = None
    redact: Callable[[str], str] = str
    poll: Callable[[Claim], Awaitable[Any]] | None = None
    noted: list[tuple[str, str]] = field(default_factory=list)
    now: datetime = NINE
    begun: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.folder)
        self.renew()

    def renew(self) -> None:
        """Makes the sink anew, of the parts as they are now."""
        around = Surroundings(
            now=lambda: self.now,
            enabled=lambda _: self.disabled,
            poll=self.poll,
            begins=lambda claim: self.begun.append(claim.run.id),
            log_run=self.note,
            redact=self.redact,
            zone=lambda _: NEW_YORK,
        )
        self.sink = CronSink(self.modes, self.sessions, around)

    async def note(self, action: str, details: str) -> None:
        self.noted.append((action, details))

    def logs(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*")) if self.folder.exists() else []

    def log(self) -> str:
        (name,) = self.logs()
        return (self.folder / name).read_text()
