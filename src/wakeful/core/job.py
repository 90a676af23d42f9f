"""A job: what to invoke, when, and by which policies. Values only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from msgspec import Struct

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.schedule import Schedule

NAME_LIMIT = 512
DATA_LIMIT = 2 * 1024 * 1024
# Surrogates stand for bytes that were no UTF-8.
_FORBIDDEN = re.compile(r"[/\\#?\x00-\x1f\x7f\ud800-\udfff]")


class Overlap(StrEnum):
    """What becomes of the instants that pass while the job has ``max_running`` runs."""

    QUEUE_ALL = "queue_all"
    QUEUE_ONE = "queue_one"
    SKIP = "skip"
    ALLOW = "allow"
    REPLACE = "replace"


class Catchup(StrEnum):
    """What becomes of the instants that passed while nobody could run them."""

    ALL = "all"
    LATEST = "latest"
    NONE = "none"


class CountedFrom(StrEnum):
    """The moment from which a retry's interval is counted."""

    DUE = "due"
    FAILURE = "failure"


class NotifyOn(StrEnum):
    """Of which ends of runs somebody is told."""

    FAILURE = "failure"
    SUCCESS = "success"
    ALWAYS = "always"


class JobState(StrEnum):
    """``active``, ``paused`` and ``parked`` (can't be understood) hold the name; the others have ended and freed it."""

    ACTIVE = "active"
    PAUSED = "paused"
    PARKED = "parked"
    COMPLETED = "completed"
    DELETED = "deleted"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class JobKey:
    """The identity that callers use. ``owner`` is typed: ``app/x``, ``client/c``, ``file/…``, ``api``."""

    namespace: str
    owner: str
    name: str


@dataclass(frozen=True, slots=True)
class Data:
    """What goes to the target: ``type`` is ``json`` or the type URL of a protobuf message, ``body`` its bytes."""

    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What is invoked: a kind, an address that the kind understands, and options."""

    kind: str
    address: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``max_retries`` follow the first attempt (``None``: no bound), each ``interval`` after ``counted_from``.

    With each retry the interval grows by ``multiplier`` and by ``step``, up to ``max_interval``; ``jitter`` (0 to 1)
    takes off up to that part of it, differently for each run. No retry begins later than ``max_age`` after the run was
    due, or was asked for.
    """

    max_retries: int | None = 3
    interval: timedelta = timedelta(seconds=1)
    counted_from: CountedFrom = CountedFrom.FAILURE
    multiplier: float = 1.0
    max_interval: timedelta | None = None
    jitter: float = 0.0
    max_age: timedelta | None = None
    step: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is told when a run ends, once no retry follows: each target, as the sinks of ``queue`` understand it."""

    targets: tuple[str, ...]
    queue: str
    on: NotifyOn = NotifyOn.ALWAYS


@dataclass(frozen=True, slots=True)
class Calendar:
    """Named dates: those on which nothing runs, or, with ``keep``, the only ones on which anything does."""

    name: str
    dates: frozenset[date]
    keep: bool = False

    def excludes(self, day: date) -> bool:
        """Whether nothing runs on that day."""
        return (day in self.dates) is not self.keep


@dataclass(frozen=True, slots=True)
class Job:
    """The definition, as a caller gave it and as it was understood.

    Late instants older than ``catchup_window``, and beyond the newest ``catchup_limit``, become no runs. Each run is
    due up to ``jitter`` after its instant, always as much for one job. An attempt without an outcome after ``timeout``
    has failed. After ``pause_after`` failed runs in a row the job pauses itself. Of what is due, higher ``priority``
    goes first.
    """

    key: JobKey
    schedule: Schedule
    target: TargetSpec
    queue: str
    data: Data | None = None
    retry: RetryPolicy = RetryPolicy()
    overlap: Overlap = Overlap.QUEUE_ONE
    catchup: Catchup = Catchup.LATEST
    max_running: int = 1
    at_most_once: bool = False
    priority: int = 0
    timeout: timedelta | None = None
    jitter: timedelta = timedelta(0)
    catchup_window: timedelta | None = None
    catchup_limit: int | None = None
    pause_after: int | None = None
    calendars: tuple[Calendar, ...] = ()
    notify: Notify | None = None
    # How long after its instant each run of this job is due: this job's own share of the jitter.
    delay: timedelta = field(init=False, repr=False, compare=False, default=timedelta(0))

    def __post_init__(self) -> None:
        if self.jitter:
            name = f"{self.key.namespace}\0{self.key.owner}\0{self.key.name}".encode("utf-8", "surrogatepass")
            share = int.from_bytes(blake2b(name, digest_size=6).digest(), "big") / (1 << 48)
            object.__setattr__(self, "delay", self.jitter * share)
        # What may run only once is not tried again, whatever else was said.
        if self.at_most_once and self.retry.max_retries != 0:
            object.__setattr__(self, "retry", replace(self.retry, max_retries=0))

    def excluded_by(self, instant: datetime) -> str | None:
        """The calendar that excludes an instant's day, in the schedule's zone."""
        if not self.calendars:
            return None
        day = instant.astimezone(self.schedule.zone).date()
        return next((calendar.name for calendar in self.calendars if calendar.excludes(day)), None)


# These two are made whenever a job is read: structures are made quickly.
class LastRun(Struct, frozen=True):
    """The newest ended run of a job."""

    scheduled_for: datetime
    state: str
    attempts: int
    ended_at: datetime


class JobRecord(Struct, frozen=True):
    """A job as the store keeps it. ``id`` is the incarnation: a replaced job is another record.

    ``seq`` numbers the occurrences consumed so far; ``not_run`` of them became no run. ``active`` counts the runs
    that wait or are in flight. The job was last busy, with ``max_running`` runs, from ``busy_at`` to ``free_at``.
    """

    id: int
    job: Job
    revision: int
    state: JobState
    next_due_at: datetime | None
    seq: int
    active: int
    succeeded: int
    failed: int
    not_run: int
    busy_at: datetime | None
    free_at: datetime | None
    last_run: LastRun | None
    created_at: datetime
    ended_at: datetime | None
    note: str | None = None
    # When the definition, or whether it is paused, was changed last; the end of a job is a change too.
    updated_at: datetime | None = None
    # The last pause: what was due in it is not run.
    paused_at: datetime | None = None
    resumed_at: datetime | None = None
    # Runs that were asked for beside the schedule.
    asked: int = 0
    # When it was busy before that, with something of then still to be planned; in between nobody could run it.
    busy_before: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def remaining(self) -> int | None:
        """Runs that ``repeats`` still allows; ``None`` where it sets no bound."""
        repeats = self.job.schedule.repeats
        return None if repeats is None else max(0, repeats - (self.seq - self.not_run))


def app_queue(namespace: str, app_id: str) -> str:
    """The queue that an app's sinks serve."""
    return f"app/{namespace}/{app_id}"


def actor_queue(namespace: str, actor_type: str) -> str:
    """The queue that the sinks of all who host a type of actors serve."""
    return f"actor/{namespace}/{actor_type}"


def task_queue(namespace: str) -> str:
    """The queue of tasks that are still to be handed on to the agents of their capability."""
    return f"task/{namespace}"


def agent_queue(namespace: str, capability: str) -> str:
    """The queue from which agents with a capability take runs."""
    return f"agent/{namespace}/{capability}"


def check_name(name: str) -> str:
    """The name itself, if it may name a job.

    The forbidden characters and names are those of Dapr's ``ValidateName`` (dapr pkg/messaging/method/normalize.go).

    Raises:
        WakefulError: ``INVALID_NAME``.
    """
    if not name.strip():
        raise WakefulError(ErrorCode.INVALID_NAME, "Name is empty")
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > NAME_LIMIT:
        raise WakefulError(ErrorCode.INVALID_NAME, f"name is {size} bytes long: at most {NAME_LIMIT} are allowed")
    bad = _FORBIDDEN.search(name)
    if bad is not None:
        raise WakefulError(
            ErrorCode.INVALID_NAME,
            f"name {name!r} contains {bad[0]!r}: '/', '\\', '#', '?' and control characters are not allowed",
        )
    if name in (".", ".."):
        raise WakefulError(ErrorCode.INVALID_NAME, f"name {name!r} is not allowed: '.' and '..' are path segments")
    return name
