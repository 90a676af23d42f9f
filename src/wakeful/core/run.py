"""A run: its identity, its states and the only moves between them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

# What is overdue by no more than this is on time: no catch-up policy applies to it, and it goes before what is late.
ON_TIME = timedelta(seconds=5)
_AT_ONCE = timedelta(0)


class RunState(StrEnum):
    """Where a run is. The last six are ends: nothing leaves them."""

    BLOCKED = "blocked"
    WAITING = "waiting"
    CLAIMED = "claimed"
    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def ended(self) -> bool:
        """Whether this is an end."""
        return self not in UNENDED


UNENDED = frozenset({RunState.BLOCKED, RunState.WAITING, RunState.CLAIMED, RunState.OPEN})


class Cause(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"
    RETRY = "retry"


class Move(StrEnum):
    """What can happen to a run that has not ended."""

    CLAIMED = "claimed"
    FREED = "freed"
    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    EXHAUSTED = "exhausted"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    HANDED_ON = "handed_on"
    GIVEN_BACK = "given_back"
    LEASE_LOST = "lease_lost"
    LOST_FOR_GOOD = "lost_for_good"
    DELETED = "deleted"
    REPLACED = "replaced"
    CANCELLED = "cancelled"
    OVERTAKEN = "overtaken"


_B, _W, _C, _O = RunState.BLOCKED, RunState.WAITING, RunState.CLAIMED, RunState.OPEN

MOVES: dict[tuple[RunState, Move], RunState] = {
    (_B, Move.FREED): _W,
    (_B, Move.DELETED): RunState.CANCELLED,
    (_B, Move.REPLACED): RunState.SUPERSEDED,
    (_W, Move.CLAIMED): _C,
    (_W, Move.DELETED): RunState.CANCELLED,
    (_W, Move.REPLACED): RunState.SUPERSEDED,
    (_C, Move.SUCCEEDED): RunState.SUCCEEDED,
    (_C, Move.RETRIED): _W,
    (_C, Move.EXHAUSTED): RunState.FAILED,
    (_C, Move.REJECTED): RunState.FAILED,
    (_C, Move.SKIPPED): RunState.SKIPPED,
    (_C, Move.ACCEPTED): _O,
    (_C, Move.HANDED_ON): _W,
    (_C, Move.GIVEN_BACK): _W,
    (_C, Move.LEASE_LOST): _W,
    (_C, Move.LOST_FOR_GOOD): RunState.FAILED,
    # A run in flight when its job ends may still succeed; what would have become a retry ends with the job.
    (_C, Move.DELETED): RunState.CANCELLED,
    (_C, Move.REPLACED): RunState.SUPERSEDED,
    (_O, Move.GIVEN_BACK): _W,
    (_O, Move.SUCCEEDED): RunState.SUCCEEDED,
    (_O, Move.RETRIED): _W,
    (_O, Move.EXHAUSTED): RunState.FAILED,
    (_O, Move.REJECTED): RunState.FAILED,
    (_O, Move.LEASE_LOST): _W,
    (_O, Move.LOST_FOR_GOOD): RunState.FAILED,
    (_O, Move.DELETED): RunState.CANCELLED,
    (_O, Move.REPLACED): RunState.SUPERSEDED,
    **{(state, Move.CANCELLED): RunState.CANCELLED for state in (_B, _W, _C, _O)},
    # Overlap "replace": the next run of the job takes the place of those before it.
    **{(state, Move.OVERTAKEN): RunState.SUPERSEDED for state in (_B, _W, _C, _O)},
}


# One is made for each attempt, and a structure is made in a twentieth of a dataclass's time.
class Run(Struct, frozen=True):
    """One performing of an occurrence; also, when ``instants`` > 1, a row for many instants of one fate.

    ``run_at`` is when the current attempt was due. ``attempt`` counts from 1 once claimed. ``fence`` grows with each
    claim: a settlement with an older one is refused. A run that no node performs is its ``holder``'s until
    ``lease_until``; one that still waits at ``expires_at`` is cancelled. ``result`` is JSON, where the target gave one.
    """

    id: UUID
    job_id: int
    seq: int | None
    cause: Cause
    scheduled_for: datetime
    state: RunState
    queue: str
    scheduled_to: datetime | None = None
    instants: int = 1
    reason: str | None = None
    run_at: datetime | None = None
    attempt: int = 0
    fence: int = 0
    revision: int = 1
    claimed_by: int | None = None
    holder: str | None = None
    lease_until: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 0
    result: bytes | None = None
    retry_of: UUID | None = None
    errors: tuple[dict[str, Any], ...] = ()
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def wanted_at(self) -> datetime:
        """Since when it should be: from the instant of the schedule on, or since somebody asked for it."""
        asked_at = None if self.cause is Cause.SCHEDULE else self.created_at
        return asked_at or self.scheduled_for

    @property
    def lateness(self) -> timedelta | None:
        """How long after it should be it was begun, by the wall clock; never negative, as that may be set meanwhile."""
        return None if self.started_at is None else max(_AT_ONCE, self.started_at - self.wanted_at)

    @property
    def duration(self) -> timedelta | None:
        """How long it took from its first attempt to its end, as ``lateness``."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(_AT_ONCE, self.ended_at - self.started_at)

    @property
    def left_out(self) -> bool:
        """Whether it is the row of instants that became no run."""
        return self.seq is not None and self.fence == 0


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The target did it; ``result`` is what it gave, as JSON."""

    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The target did not do it, or nobody knows: try again as the policy says. ``result``: as of ``Succeeded``."""

    error: str
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The target will never do it: do not try again. ``result``: as of ``Succeeded``."""

    error: str
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was nothing to do, or it may not be done now: neither a success nor a failure."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer comes later; after ``lease`` without one, the run is tried again."""

    lease: timedelta


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody took it: no byte went out, or the stream broke. It costs no attempt."""

    error: str


@dataclass(frozen=True, slots=True)
class HandedOn:
    """Somebody else does it, who takes it from another ``queue``. It costs no attempt.

    From ``expires_at`` on nobody takes it any more: a run that waits then is cancelled.
    """

    queue: str
    expires_at: datetime | None = None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Outcome = Succeeded | Failed | Rejected | Skipped | Accepted | Unavailable | HandedOn


def run_id(now: datetime, entropy: bytes) -> UUID:
    """A version 7 UUID (RFC 9562, 5.7): 48 bits of milliseconds, then 10 bytes of ``entropy``; sorts by time."""
    return UUID(int=run_number((now - _EPOCH) // _MILLISECOND, entropy))


def run_number(milliseconds: int, entropy: bytes) -> int:
    """The number of such an id, ``milliseconds`` after the epoch."""
    value = milliseconds << 80 | int.from_bytes(entropy[:10], "big")
    return value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
