"""The contracts between the rooms: what a store, a sink and a clock promise."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from wakeful.core.job import Job, JobKey, JobRecord, JobState
from wakeful.core.retiming import Reading, Retime
from wakeful.core.run import Cause, Outcome, Run, RunState
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

    ``holding`` are the runs that it knows to have claimed; ``None``: whatever it has claimed.
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
    ``reclaimed`` runs came back: those of dead nodes, and those of this one that it does not hold. ``peers`` are the
    other living nodes. ``lost`` are runs that the node holds and that are no longer its own: cancelled or taken.
    ``step`` is how far the clock was set since the store last reckoned with it: until ``retime``, nothing comes back.
    """

    alive: bool
    reclaimed: int
    peers: tuple[Node, ...]
    lost: tuple[UUID, ...] = ()
    step: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class StateChange:
    """To pause or to resume a job, with a note; ``replay`` leaves what passed meanwhile to the catch-up policy."""

    key: JobKey
    state: JobState
    note: str | None = None
    replay: bool = False


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


class Claim(Struct, frozen=True):
    """One run, taken by this node, with the job as it is now."""

    run: Run
    job: Job


@dataclass(frozen=True, slots=True)
class Hold:
    """For whom runs are taken that no node performs, and for how long, unless the holder asks for more time.

    With ``by_timeout`` a job's own timeout goes before ``lease``. At most ``limit`` are taken from all queues together.
    """

    holder: str
    lease: timedelta
    by_timeout: bool = False
    limit: int | None = None


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
    """Which jobs: every field narrows. Prefixes count bytes; ``after`` is the cursor of the page before.

    ``kind`` is of the target. ``failing`` are those that paused themselves after failures, or can't be understood.
    ``as_of`` are ids with revisions: of each a record with what its runs are made of. ``count``: how many in all.
    """

    namespace: str | None = None
    owner: str | None = None
    name: str | None = None
    job_id: int | None = None
    name_prefix: str | None = None
    owner_prefix: str | None = None
    kind: str | None = None
    states: tuple[JobState, ...] = ()
    job_ids: tuple[int, ...] | None = None
    as_of: tuple[tuple[int, int], ...] | None = None
    failing: bool | None = None
    ended: bool = False
    after: str | None = None
    offset: int = 0
    limit: int = 1000
    count: bool = False


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, newest first: of one job id, or of every incarnation of ``key``; with ``at``, of that instant.

    The fields from ``owner`` on narrow the runs of all jobs: ``namespace``, ``kind`` and ``options`` are of the job and
    its target, ``held``: is there a holder, ``left_out``: are they instants without a run. ``count``: how many in all.
    """

    key: JobKey | None = None
    job_id: int | None = None
    after: str | None = None
    limit: int = 100
    at: datetime | None = None
    owner: str | None = None
    kind: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    states: tuple[RunState, ...] = ()
    holder: str | None = None
    held: bool | None = None
    left_out: bool | None = None
    namespace: str | None = None
    offset: int = 0
    count: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items in order, and how many in ``total`` if asked; ``cursor`` is for the next page, ``None`` at the end."""

    items: Sequence[T]
    cursor: str | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that a caller asks for beside the schedule; one that still waits at ``expires_at`` is cancelled."""

    id: UUID
    scheduled_for: datetime
    cause: Cause = Cause.MANUAL
    retry_of: UUID | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A small document: agents, tokens, toggles, calendars. ``revision`` counts its changes from 1."""

    key: str
    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history stays: per job, by age, and in all.

    Of a job, so many runs and so many rows of what did not run: the one does not push the other out.
    """

    runs_per_job: int = 1_000
    age: timedelta = timedelta(days=30)
    runs: int = 1_000_000


class Store(Protocol):
    """Keeps jobs and runs. A call that returned is durable. ``now`` is always passed in, never read.

    Every method raises ``STORE_UNAVAILABLE`` when the store can't write or read now; nothing of that call is kept.
    """

    async def put_job(self, job: Job, how: Put, now: datetime, revision: int | None = None) -> JobRecord:
        """Stores a definition; ``JOB_EXISTS``, or on EDIT ``JOB_NOT_FOUND``, or ``STALE_REVISION`` if at another."""

    async def put_run(self, job: Job, run: NewRun, now: datetime) -> JobRecord:
        """Stores a new job with the one run that it has, which waits in its queue at once; ``JOB_EXISTS``."""

    async def get_job(self, key: JobKey) -> JobRecord | None:
        """The unended job of that key."""

    async def list_jobs(self, query: JobQuery) -> Page[JobRecord]:
        """In byte order of (namespace, owner, name), then id."""

    async def end_jobs(self, query: JobQuery, state: JobState, now: datetime) -> int:
        """Ends every job that the query names, with ``ended`` also complete ones, and its waiting runs; how many."""

    async def set_state(self, change: StateChange, now: datetime) -> JobRecord:
        """Pauses or resumes; unless it is to be replayed, what passed is skipped and recorded."""

    async def add_runs(self, key: JobKey, runs: Sequence[NewRun], now: datetime) -> Sequence[UUID]:
        """Adds runs beside the schedule: waiting where the job has room, else blocked behind those before them."""

    async def cancel_runs(self, runs: Sequence[UUID], reason: str, now: datetime) -> Sequence[UUID]:
        """Ends runs that have not ended; which of them. Who performs one learns of it by its next heartbeat."""

    async def prioritise(self, run: UUID, priority: int) -> bool:
        """Gives a run that has not ended another priority among those that wait; whether there is such a run."""

    async def retime(self, moves: Sequence[Retime], reading: Reading | None = None) -> int:
        """Moves the next instants of jobs; how many still stood where they were read.

        With a reading of the clocks, what runs wait for moves by the step since the store last reckoned with one.
        """

    async def get_run(self, run: UUID) -> Run | None:
        """The run of that id."""

    async def list_runs(self, query: RunQuery) -> Page[Run]:
        """Newest first."""

    async def heartbeat(self, node: Node, now: datetime) -> Heartbeat:
        """Renews the node's lease, takes the claimed runs of dead nodes back, and ends what has expired."""

    async def leave(self, node: NodeId, now: datetime) -> None:
        """Gives back what the node still holds, at once, and forgets the node."""

    async def claim_due(self, node: NodeId, rooms: Mapping[str, Room], now: datetime) -> Claimed:
        """Takes what is due in these queues, at most what there is room for; the runs are durable before it returns."""

    async def claim_for(self, hold: Hold, rooms: Mapping[str, int], now: datetime) -> Claimed:
        """Takes runs that wait in these queues for a holder, at most so many: by priority, then the oldest first."""

    async def settle(self, settlements: Sequence[Settlement], now: datetime) -> Settled:
        """Writes what became of runs, each only if its fence still holds, and frees their jobs."""

    async def audit(self) -> Sequence[str]:
        """What of the ledger does not add up, in sentences; nothing, unless there is a bug or a damaged file."""

    async def prune(self, keep: Retention, now: datetime) -> int:
        """Removes a bounded number of the oldest ended rows beyond ``keep``; how many."""

    def changes(self) -> AsyncIterator[None]:
        """A hint: another process wrote something."""

    async def close(self) -> None:
        """Waits for what is being written and lets the files go."""


class Records(Protocol):
    """Keeps small documents by kind and key, beside the jobs."""

    async def get(self, kind: str, key: str) -> Record | None:
        """The document of that key."""

    async def put(self, kind: str, key: str, value: str, expected: int | None = None) -> int:
        """Keeps a document; its revision. ``STALE_REVISION`` if it is not at ``expected`` (0: it must be new)."""

    async def list(self, kind: str, prefix: str = "") -> Sequence[Record]:
        """In byte order of their keys."""

    async def delete(self, kind: str, key: str) -> bool:
        """Forgets a document; whether there was one."""


class Sink(Protocol):
    """The live place where a queue's runs go now."""

    async def deliver(self, claim: Claim) -> Outcome:
        """Hands the run over and waits for what came of it. Cancelling stops the sending."""

    async def available(self) -> None:
        """Returns once the place can be tried (again)."""


class Alarm(Protocol):
    """The wake-up of one sleeper."""

    def ring(self) -> None:
        """Ends the wait under way, or the next one at once."""

    async def wait(self, until: datetime) -> None:
        """Returns at ``until``, when rung, or after a second: whichever is first."""


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""

    def boot(self) -> BootTime:
        """The time since the machine started."""

    def alarm(self) -> Alarm:
        """A new wake-up."""


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

    def detach(self) -> None:
        """Takes the sink out; what it holds is cancelled and waits again."""

    def hold(self) -> None:
        """Gives the sink nothing new until ``resume``; what it has goes on."""

    def resume(self) -> None:
        """Ends ``hold``."""


class Observer(Protocol):
    """Hears of what one node performs. What it raises is logged, and harms nobody else."""

    def started(self, claim: Claim) -> None:
        """An attempt begins."""

    def settled(self, claim: Claim, settlement: Settlement) -> None:
        """What became of the attempt is written."""


class Runner(Protocol):
    """What the scheduler asks of the engine."""

    def attach(self, queue: str, sink: Sink, limit: int) -> Attachment:
        """Lets at most ``limit`` runs of the queue be in flight to the sink."""

    def wake(self, at: datetime) -> None:
        """Something may be claimable at ``at``."""

    def listen(self, queues: Collection[str], alarm: Alarm) -> Callable[[], None]:
        """Rings the alarm when runs come to wait in one of the queues; call what it returns to end that."""

    def arrived(self, queue: str) -> None:
        """A run has come to wait in a queue, other than by a settlement of this node's."""

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Lets somebody hear of what is performed here; call what it returns to end that."""

    def cut(self, run: UUID) -> None:
        """Stops the delivery of a run that has been cancelled, if it is under way here."""

    def health(self) -> Health:
        """Whether claims are made on time."""
