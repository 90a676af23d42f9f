"""How a command asks the scheduler: which store, which job, and how it ends."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cyclopts import Parameter

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobRecord
from wakeful.core.ports import JobQuery
from wakeful.faces.cli import text
from wakeful.faces.cli.doors import Doors
from wakeful.scheduler import Scheduler

T = TypeVar("T")

# Exit codes, the same for every command.
OK, FAILURE, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE = 0, 1, 2, 3, 4, 5
EXIT_CODES = {
    ErrorCode.INVALID_NAME: USAGE,
    ErrorCode.INVALID_SCHEDULE: USAGE,
    ErrorCode.INVALID_JOB: USAGE,
    ErrorCode.JOB_EXISTS: CONFLICT,
    ErrorCode.JOB_NOT_FOUND: NOT_FOUND,
    ErrorCode.RUN_NOT_FOUND: NOT_FOUND,
    ErrorCode.STALE_REVISION: CONFLICT,
    ErrorCode.STORE_UNAVAILABLE: UNREACHABLE,
    ErrorCode.STORE_UNUSABLE: UNREACHABLE,
}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Which:
    """Which job, and where."""

    namespace: str = "default"
    """The job's namespace."""
    app_id: str | None = None
    """The app that owns the job; needed only where two own one of that name."""
    store: str | None = None
    """sqlite:///file.db, as given to run or serve."""
    json: bool = False
    """Print JSON."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Where:
    """Which store."""

    store: str | None = None
    """sqlite:///file.db, as given to run or serve."""
    json: bool = False
    """Print JSON."""


WHICH, WHERE = Which(), Where()


def call(doors: Doors, store: str | None, work: Callable[[Scheduler], Awaitable[int]]) -> int:
    """Does the work with the store open; the exit code."""

    async def opened() -> int:
        async with doors.open_scheduler(store) as scheduler:
            return await work(scheduler)

    return told(lambda: loop(opened()))


def told(work: Callable[[], int]) -> int:
    """Does the work; an error is told on stderr and becomes its exit code."""
    try:
        return work()
    except WakefulError as error:
        return complain(error.message, EXIT_CODES[error.code])


def loop(work: Awaitable[T]) -> T:
    """The result of the work, done on an event loop of its own."""
    import uvloop  # noqa: PLC0415 - only commands that run a loop pay for it

    async def awaited() -> T:
        return await work

    return uvloop.run(awaited())


def answer(json: bool, value: Any, plain: str) -> int:
    """Prints what came of it: as JSON, or plainly."""
    print(text.as_json(value) if json else plain)
    return OK


def complain(message: str, code: int) -> int:
    """Tells the reader what was wrong; the exit code."""
    print(text.printable(f"wakeful: {message}"), file=sys.stderr)
    return code


async def one(scheduler: Scheduler, which: Which, name: str, *, ended: bool = False) -> JobRecord:
    """The job of that name; if none lives and ``ended`` ones will do, the newest of those.

    Raises:
        WakefulError: ``JOB_NOT_FOUND``; ``INVALID_JOB`` where several apps own one.
    """
    owner = owner_of(which.app_id)
    found: list[JobRecord] = list((await scheduler.jobs(JobQuery(which.namespace, owner, name))).items)
    if not found and ended:
        page = await scheduler.jobs(JobQuery(which.namespace, owner, name, ended=True))
        newest = {record.job.key: record for record in sorted(page.items, key=lambda record: record.id)}
        found = list(newest.values())
    if not found:
        raise WakefulError(ErrorCode.JOB_NOT_FOUND, f"there is no job {name!r} in namespace {which.namespace!r}")
    if len(found) > 1:
        owners = ", ".join(sorted(record.job.key.owner.removeprefix("app/") for record in found))
        raise WakefulError(ErrorCode.INVALID_JOB, f"several apps own a job {name!r} ({owners}): say which by --app-id")
    return found[0]


def owner_of(app_id: str | None) -> str | None:
    """The owner that an app is."""
    return None if app_id is None else f"app/{app_id}"
