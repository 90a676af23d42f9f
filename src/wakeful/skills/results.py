"""What goes into a run of a skill beside its inputs, and what comes out of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Session:
    """On whose behalf a skill runs; ``scheduled_at`` is an ISO instant with its offset."""

    session_id: str
    source: str
    job_name: str
    persona: str
    scheduled_at: str
    run_id: str = ""

    def fields(self) -> dict[str, Any]:
        """What templates reach as ``session.…``."""
        return asdict(self)


# Does one thing for a step; what it raises fails the step. Texts it returns are shown to people.
Tool = Callable[[Mapping[str, Any], Session], Awaitable[Any]]


class StepState(StrEnum):
    """What became of a step; ``CONTINUED``: it failed, and the skill went on."""

    DONE = "done"
    SKIPPED = "skipped"
    CONTINUED = "continued"
    FAILED = "failed"
    MANUAL = "manual"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step as it ran. ``note`` is what a person may want to know: what it printed, what is to be done by hand."""

    name: str
    state: StepState
    error: str | None = None
    attempts: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class SkillResult:
    """What came of a skill. It is a success if no step failed, but for those after which the skill went on."""

    success: bool
    outputs: dict[str, Any]
    text: str
    error: str | None
    steps: tuple[StepRun, ...]
    warnings: tuple[str, ...] = field(default=())
