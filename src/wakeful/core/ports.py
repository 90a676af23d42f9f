"""The contracts between the rooms: what a store, a sink and a clock promise."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from wakeful.core.job import Job, JobKey, JobRecord, JobState
from wakeful.core.run import Outcome, Run
from wakeful.core.settlement import Settlement

NodeId = int
# So many random bytes; from the operating system, or from a seed.
Entropy = Callable[[int], bytes]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BootTime:
    """Time since the machine started, suspend included; comparable only under the same ``boot_id``."""

    boot_id: str
    elapsed: timedelta


@dataclass(frozen=True, slots=True)
class Node:
    """One process start of wakeful. ``queues`` are those it serves now; ``boot`` is when it says so.

    With ``holding``, every run that it has claimed and that is not among them goes back.
    """

    id: NodeId
    label: str
    queues: tuple[str, ...]
    boot: BootTime
    lease: timedelta = timedelta(seconds=6)
    holding: frozenset[UUID] | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a node learns when it renews its lease.

    ``alive`` is false when the lease had already gone: the node must stop every delivery and come back under a new id.
    ``reclaimed`` runs came back from dead nodes. ``peers`` are the other living nodes.
    """

    alive: bool
    reclaimed: int
    peers: tuple[Node, ...]


class Put(StrEnum):
    """How ``put_job`` treats a name that is taken: refuse it, start anew, or change the definition and go on."""

    CREATE = "create"
    REPLACE = "replace"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Room:
    """Free slots of one queue; at most ``late`` of them for what is overdue by more than ``run.ON_TIME``."""

    free: int
    late: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One run, taken by this node, with the job as it is now."""

    run: Run
    job: Job


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claims of one turn; ``wake_at`` is the next instant at which one of the queues has something to claim."""

    claims: Sequence[Claim]
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """``stale`` ones came too late: their run had been taken. From ``wake_at`` on there is something to claim."""

    stale: Sequence[UUID]
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs: every field narrows. ``name`` is exact; ``after`` is the cursor of the page before."""

    namespace: str | None = None
    owner: str | None = None
    name: str | None = None
    name_prefix: str | None = None
    ended: bool = False
    after: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, newest first: those of the job ids given, or of every incarnation of ``key``."""

    key: JobKey | None = None
    job_id: int | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items in order; ``cursor`` asks for the next page, ``None`` after the last."""

    items: Sequence[T]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that a caller asks for beside the schedule."""

    id: UUID
    scheduled_for: datetime


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history stays: per job, by age, and in all."""

    runs_per_job: int = 1_000
    age: timedelta = timedelta(days=30)
    runs: int = 1_000_000


class Store(Protocol):
    """Keeps jobs and runs. A call that returned is durable. ``now`` is always passed in, never read.

    Every method raises ``STORE_UNAVAILABLE`` when the store can't write or read now; nothing of that call is kept.
    """

    async def put_job(self, job: Job, how: Put, now: datetime) -> JobRecord:
        """Stores a definition; ``JOB_EXISTS`` on CREATE of a taken name, ``JOB_NOT_FOUND`` on EDIT of a free one."""
        ...

    async def get_job(self, key: JobKey) -> JobRecord | None:
        """The unended job of that key."""
        ...

    async def list_jobs(self, query: JobQuery) -> Page[JobRecord]:
        """In byte order of (namespace, owner, name), then id."""
        ...

    async def end_jobs(self, query: JobQuery, state: JobState, now: datetime) -> int:
        """Ends every job that the query names and cancels its waiting runs; how many there were."""
        ...

    async def set_state(self, key: JobKey, state: JobState, now: datetime) -> JobRecord:
        """Pauses or resumes; resuming records what passed as skipped and goes on strictly after ``now``."""
        ...

    async def add_runs(self, key: JobKey, runs: Sequence[NewRun], now: datetime) -> Sequence[UUID]:
        """Adds manual runs: waiting at once where the job has room, else blocked behind those before them."""
        ...

    async def get_run(self, run: UUID) -> Run | None:
        """The run of that id."""
        ...

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        """Newest first."""
        ...

    async def heartbeat(self, node: Node, now: datetime) -> Heartbeat:
        """Renews the node's lease, and takes the claimed runs of dead nodes back."""
        ...

    async def leave(self, node: NodeId, now: datetime) -> None:
        """Gives back what the node still holds, at once, and forgets the node."""
        ...

    async def claim_due(self, node: NodeId, rooms: Mapping[str, Room], now: datetime) -> Claimed:
        """Takes what is due in these queues, at most what there is room for; the runs are durable before it returns."""
        ...

    async def settle(self, settlements: Sequence[Settlement], now: datetime) -> Settled:
        """Writes what became of runs, each only if its fence still holds, and frees their jobs."""
        ...

    async def prune(self, keep: Retention, now: datetime) -> int:
        """Removes a bounded number of the oldest ended rows beyond ``keep``; how many."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """A hint: another process wrote something."""
        ...

    async def close(self) -> None:
        """Waits for what is being written and lets the files go."""
        ...


class Sink(Protocol):
    """The live place where a queue's runs go now."""

    async def deliver(self, claim: Claim) -> Outcome:
        """Hands the run over and waits for what came of it. Cancelling stops the sending."""
        ...

    async def available(self) -> None:
        """Returns once the place can be tried (again)."""
        ...


class Alarm(Protocol):
    """The wake-up of one sleeper."""

    def ring(self) -> None:
        """Ends the wait under way, or the next one at once."""
        ...

    async def wait(self, until: datetime) -> None:
        """Returns at ``until``, when rung, or after a second: whichever is first."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def boot(self) -> BootTime:
        """The time since the machine started."""
        ...

    def alarm(self) -> Alarm:
        """A new wake-up."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """``ok`` is whether claims are made on time; ``reason`` says why not."""

    ok: bool
    reason: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


class Attachment(Protocol):
    """A sink's place among a queue's sinks."""

    @property
    def attached(self) -> bool:
        """Whether the sink can be delivered to now."""
        ...

    def detach(self) -> None:
        """Takes the sink out; what it holds is cancelled and waits again."""
        ...


class Runner(Protocol):
    """What the scheduler asks of the engine."""

    def attach(self, queue: str, sink: Sink, limit: int) -> Attachment:
        """Lets at most ``limit`` runs of the queue be in flight to the sink."""
        ...

    def wake(self, at: datetime) -> None:
        """Something may be claimable at ``at``."""
        ...

    def health(self) -> Health:
        """Whether claims are made on time."""
        ...
