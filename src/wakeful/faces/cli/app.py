"""The commands, and what each prints; the work behind them comes in from main."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, TypeVar

from cyclopts import App, Group, Parameter
from cyclopts.validators import Number

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobRecord
from wakeful.core.ports import JobQuery, RunQuery
from wakeful.faces.cli import text
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
class NodeOptions:
    """What ``run`` and ``serve`` share."""

    app_id: str
    """The app's id: its jobs are its own, and their callbacks go to it."""
    app_port: int | None = None
    """The port on which the app listens for callbacks; without one, its jobs wait."""
    dapr_http_port: int = 3500
    """The port of the Dapr HTTP API."""
    port: int | None = None
    """The port of wakeful's own API. serve: 7710; run: a free one."""
    namespace: str = "default"
    """The namespace of the app and its jobs."""
    app_timeout: float = 300.0
    """Seconds after which a callback without an answer has failed."""
    listen_address: str = "127.0.0.1"
    """The address to bind. Any but a loopback address needs DAPR_API_TOKEN to be set."""
    store: str | None = None
    """sqlite:///file.db (four slashes: an absolute path). Without it, a file in the user's state folder."""


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


WHICH = Which()


@dataclass(frozen=True, slots=True)
class Doors:
    """What main lends the commands."""

    version: str
    open_scheduler: Callable[[str | None], AbstractAsyncContextManager[Scheduler]]
    serve: Callable[[NodeOptions], Awaitable[int]]
    run: Callable[[NodeOptions, tuple[str, ...]], Awaitable[int]]


def build(doors: Doors, command: tuple[str, ...]) -> App:
    """The command line of wakeful; ``command`` is what stood behind ``--``, the app's own."""
    app = App(
        name="wakeful",
        help="The durable scheduler that services and AI agents trust with “later”.",
        version=f"CLI version: {doors.version}\nRuntime version: {doors.version}",
        version_flags=["--version"],
        version_format="plaintext",
        help_on_error=True,
        group_parameters=Group("Options"),
    )

    @app.command
    def serve(*, options: NodeOptions) -> int:
        """Run a node for an app that was started elsewhere."""
        return _loop(doors.serve(options))

    @app.command(usage="Usage: wakeful run --app-id ID [OPTIONS] -- COMMAND…")
    def run(*, options: NodeOptions) -> int:
        """Start an app with wakeful beside it; either's end ends the other.

        The app's command line stands behind all options, after ``--``.
        """
        if not command:
            return _complain("run: which app? Give its command after --, or use serve for one that runs already", USAGE)
        return _loop(doors.run(options, command))

    app.command(_job_commands(doors))
    return app


def _job_commands(doors: Doors) -> App:
    job = App(name="job", help="Look at jobs and what came of them; works beside a running node.")

    @job.command(name="list")
    def list_jobs(*, which: Which = WHICH) -> int:
        """List the jobs of a namespace."""

        async def listed(scheduler: Scheduler) -> int:
            jobs = await _all_jobs(scheduler, which)
            print(text.as_json([text.job_fields(record) for record in jobs]) if which.json else text.job_table(jobs))
            return OK

        return _with(doors, which, listed)

    @job.command
    def show(name: str, *, which: Which = WHICH) -> int:
        """Show a job: its definition, what is next and what came last."""

        async def shown(scheduler: Scheduler) -> int:
            record = await _one(scheduler, which, name, ended=True)
            print(text.as_json(text.job_fields(record)) if which.json else text.job_page(record))
            return OK

        return _with(doors, which, shown)

    @job.command
    def runs(
        name: str, *, limit: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 20, which: Which = WHICH
    ) -> int:
        """List a job's runs, newest first, those of its earlier definitions too."""

        async def listed(scheduler: Scheduler) -> int:
            record = await _one(scheduler, which, name, ended=True)
            page = (await scheduler.runs(RunQuery(key=record.job.key, limit=limit))).items
            print(text.as_json([text.run_fields(run) for run in page]) if which.json else text.run_table(page))
            return OK

        return _with(doors, which, listed)

    @job.command
    def delete(name: str, *, which: Which = WHICH) -> int:
        """Delete a job. Its history stays."""

        async def deleted(scheduler: Scheduler) -> int:
            key = (await _one(scheduler, which, name, ended=False)).job.key
            await scheduler.delete(JobQuery(key.namespace, key.owner, key.name))
            said = text.printable(f"deleted {key.name} of {key.owner}")
            print(text.as_json({"deleted": text.key_fields(key)}) if which.json else said)
            return OK

        return _with(doors, which, deleted)

    return job


def _loop(work: Awaitable[T]) -> T:
    import uvloop  # noqa: PLC0415 - only commands that run a loop pay for it

    async def awaited() -> T:
        return await work

    return uvloop.run(awaited())


def _complain(message: str, code: int) -> int:
    print(text.printable(f"wakeful: {message}"), file=sys.stderr)
    return code


def _with(doors: Doors, which: Which, work: Callable[[Scheduler], Awaitable[int]]) -> int:
    async def opened() -> int:
        async with doors.open_scheduler(which.store) as scheduler:
            return await work(scheduler)

    try:
        return _loop(opened())
    except WakefulError as error:
        return _complain(error.message, EXIT_CODES[error.code])


async def _all_jobs(scheduler: Scheduler, which: Which) -> list[JobRecord]:
    owner = None if which.app_id is None else f"app/{which.app_id}"
    jobs: list[JobRecord] = []
    cursor: str | None = None
    while True:
        page = await scheduler.jobs(JobQuery(which.namespace, owner, after=cursor))
        jobs.extend(page.items)
        cursor = page.cursor
        if cursor is None:
            return jobs


async def _one(scheduler: Scheduler, which: Which, name: str, *, ended: bool) -> JobRecord:
    """The job of that name; if none lives and ``ended`` ones will do, the newest of those."""
    owner = None if which.app_id is None else f"app/{which.app_id}"
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
