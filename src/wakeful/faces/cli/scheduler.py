"""``wakeful scheduler``: serve as Dapr's Scheduler service, and look at its jobs as the Dapr CLI shows them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from wakeful.core.codec import Decoder
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import JobRecord, JobState
from wakeful.core.ports import JobQuery, Put
from wakeful.faces.cli import text
from wakeful.faces.cli.calls import FAILURE, OK, USAGE, call, complain, loop
from wakeful.faces.cli.doors import Doors
from wakeful.faces.cli.scheduler_export import FIRST_LINE, Importer, exportable, line_of
from wakeful.faces.cli.scheduler_keys import Filter, chosen, key_of, name_of, queries_of
from wakeful.faces.cli.scheduler_options import (
    DEFAULTS,
    NONE_IGNORED,
    IgnoredOptions,
    SchedulerOptions,
    refusal,
    without_effect,
)
from wakeful.faces.cli.scheduler_views import Output, render, shown
from wakeful.scheduler import Scheduler


# dapr/cli cmd/scheduler/scheduler.go
@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Place:
    """Whose jobs, and where."""

    namespace: Annotated[str, Parameter(alias="-n")] = "default"
    """The namespace of the jobs."""
    store: str | None = None
    """sqlite:///file.db, as given to the scheduler."""
    etcd_data_dir: str | None = None
    """The folder that was given to the scheduler, in place of a store."""
    scheduler_namespace: Annotated[str | None, Parameter(show=False)] = None
    """Of Kubernetes: without effect."""

    @property
    def url(self) -> str | None:
        """The store."""
        if self.store is None and self.etcd_data_dir is not None:
            return f"sqlite:///{Path(self.etcd_data_dir).absolute() / 'wakeful.db'}"
        return self.store


PLACE = Place()
_Form = Annotated[Output, Parameter(name=["--output", "-o"], help="How to print them.")]
_Key = Annotated[str, Parameter(help="app/ID/NAME, actor/TYPE/ID/NAME, workflow/APP/INSTANCE/NAME or activity/APP/ID.")]


def commands(doors: Doors) -> App:
    """The commands about the Scheduler service."""
    scheduler = App(
        name="scheduler",
        help="Serve as Dapr's Scheduler service; or look at its jobs and steer them, beside a running one.",
        group_parameters=Group("Options"),
    )

    @scheduler.default
    def serve(*, options: SchedulerOptions = DEFAULTS, ignored: IgnoredOptions = NONE_IGNORED) -> int:
        """Serve as Dapr's Scheduler service: sidecars schedule here, and are told here what is due."""
        if (wrong := refusal(options, ignored)) is not None:
            return complain(wrong, FAILURE)
        for line in without_effect(ignored):
            print(f"wakeful: {line}", file=sys.stderr)
        return loop(doors.serve_scheduler(options))

    _add_looking(scheduler, doors)
    _add_deleting(scheduler, doors)
    _add_export(scheduler, doors)
    _add_import(scheduler, doors)
    return scheduler


def _add_looking(app: App, doors: Doors) -> None:
    @app.command(name="list")
    def list_jobs(
        *,
        only: Annotated[Filter, Parameter(name="--filter", help="The kind of jobs to list.")] = "all",
        output: _Form = "short",
        place: Place = PLACE,
    ) -> int:
        """List the jobs of apps and actors."""

        async def listed(scheduler: Scheduler) -> int:
            every = [shown(record) async for record in scheduler.all_jobs(JobQuery(place.namespace))]
            jobs = [job for job in every if job is not None and chosen(job.name, only)]
            if not jobs:
                print(text.printable(f'❌  No jobs found in namespace "{place.namespace}"'), file=sys.stderr)
                return OK
            print(render(sorted(jobs, key=lambda job: (job.begin, job.name)), output, doors.now()))
            return OK

        return call(doors, place.url, listed)

    @app.command(name=["get", "g", "ge"])
    def get(*keys: _Key, output: _Form = "short", place: Place = PLACE) -> int:
        """Show jobs by their keys."""

        async def got(scheduler: Scheduler) -> int:
            found = [shown(await _found(scheduler, place, key)) for key in keys]
            print(render([job for job in found if job is not None], output, doors.now()))
            return OK

        return call(doors, place.url, got) if keys else complain("get: which jobs?", USAGE)


async def _found(scheduler: Scheduler, place: Place, key: str) -> JobRecord:
    record = await scheduler.get(key_of(place.namespace, key))
    if record is None:
        raise WakefulError(ErrorCode.JOB_NOT_FOUND, f"job '{key}' not found")
    return record


def _add_deleting(app: App, doors: Doors) -> None:
    @app.command(name=["delete", "d", "del"])
    def delete(*keys: _Key, place: Place = PLACE) -> int:
        """Delete jobs by their keys. Their history stays."""

        async def deleted(scheduler: Scheduler) -> int:
            for key in keys:
                of = key_of(place.namespace, key)
                if not await scheduler.delete(JobQuery(of.namespace, of.owner, of.name)):
                    message = f"no job with key '{key}' found in namespace '{place.namespace}'"
                    raise WakefulError(ErrorCode.JOB_NOT_FOUND, message)
                _say(f"Deleted {key} in namespace '{place.namespace}'.")
            return OK

        return call(doors, place.url, deleted) if keys else complain("delete: which jobs?", USAGE)

    @app.command(name=["delete-all", "da", "delall"])
    def delete_all(
        key: Annotated[
            str, Parameter(help="all, app, app/ID, actor/TYPE, actor/TYPE/ID, workflow, workflow/APP or …/INSTANCE.")
        ],
        /,
        *,
        place: Place = PLACE,
    ) -> int:
        """Delete all jobs of a kind, of an app, of a type of actors or of a workflow."""

        async def deleted(scheduler: Scheduler) -> int:
            count = 0
            for query in queries_of(place.namespace, key):
                names = [name_of(record.job.key) async for record in scheduler.all_jobs(query)]
                count += await scheduler.delete(query)
                for name in names:
                    _say(f"Deleted job '{name}'.")
            _say(f"Deleted {count} jobs in namespace '{place.namespace}'.")
            return OK

        return call(doors, place.url, deleted)


def _add_export(app: App, doors: Doors) -> None:
    @app.command
    def export(
        file: Annotated[Path, Parameter(name=["--output-file", "-o"], help="The file to write; it must be new.")],
        *,
        place: Place = PLACE,
    ) -> int:
        """Write all jobs of all namespaces to a file, as JSON lines.

        Runs that are under way stay here. A job without recurrence whose run is under way is written too, and runs
        again where it is imported.
        """
        if file.exists():
            return complain(f"file '{file}' already exists", FAILURE)

        lines: list[str] = [FIRST_LINE]

        async def exported(scheduler: Scheduler) -> int:
            lines.extend([line_of(record) async for record in scheduler.all_jobs(JobQuery()) if exportable(record)])
            return OK

        code = call(doors, place.url, exported)
        if code != OK:
            return code
        try:
            # Data may be secret; and who was quicker keeps the file.
            with open(file, "x", encoding="utf-8", opener=_private) as out:
                out.write("\n".join(lines) + "\n")
        except OSError as error:
            return complain(f"can't write '{file}': {error.strerror}", FAILURE)
        _say(f"Exported {len(lines) - 1} jobs.")
        return OK


def _add_import(app: App, doors: Doors) -> None:
    @app.command(name="import")
    def import_jobs(
        file: Annotated[Path, Parameter(name=["--input-file", "-f"], help="A file that export wrote.")],
        *,
        place: Place = PLACE,
    ) -> int:
        """Store the jobs of a file, in place of those of their names. Each goes on where it stood."""
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            return complain(f"can't read '{file}': {error}", FAILURE)
        if lines[:1] != [FIRST_LINE]:
            return complain(f"'{file}' is no export of wakeful's: its first line is not {FIRST_LINE}", FAILURE)

        async def imported(scheduler: Scheduler) -> int:
            calendars = {known.calendar.name: known.calendar for known in await scheduler.calendars()}
            importer = Importer(Decoder(doors.zone), calendars, doors.now())
            # All are understood before the first is stored.
            jobs = [importer.job(number, line) for number, line in enumerate(lines[1:], 2)]
            for job, line in jobs:
                await scheduler.put(job, Put.REPLACE, doors.now())
                if line.state is JobState.PAUSED:
                    await scheduler.pause(job.key, line.note)
            _say(f"Imported {len(jobs)} items.")
            return OK

        return call(doors, place.url, imported)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _say(line: str) -> None:
    print(text.printable(f"ℹ️  {line}"))
