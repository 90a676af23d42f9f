"""``wakeful import cron-binding``: Dapr's cron bindings become jobs of their app."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cyclopts import App, Parameter

from wakeful.core.errors import WakefulError
from wakeful.core.job import Job, JobKey, check_name
from wakeful.core.ports import Put
from wakeful.core.schedule import ScheduleText
from wakeful.faces.cli import given, text
from wakeful.faces.cli.calls import OK, call, told
from wakeful.faces.cli.doors import Doors
from wakeful.faces.cli.importing_report import WISHES, FileArgument, Report, Wishes, read_text, refuse_taken
from wakeful.scheduler import Scheduler

_NOTES = (
    "what passes while nobody can take it is made up for, and a failed call is tried again, as with every job of "
    "Dapr's; its bindings did neither",
    "a call is POST to the path above, with an empty body and without the headers timeZone and readTimeUTC; an app "
    "that speaks gRPC gets OnJobEvent with the path as its method, and not OnBindingEvent",
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class BindingOptions:
    """Whose jobs the bindings become, and where."""

    app_id: str
    """The app that the bindings call: it owns the jobs."""
    zone: str | None = None
    """The zone of the sidecar's machine, for schedules that name none; UTC without it."""
    namespace: str = "default"
    """The namespace of the jobs."""
    store: str | None = None
    """sqlite:///file.db, as given to run or serve."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A job to be, and what is there under its name: nothing, the same, or something else."""

    job: Job
    state: str


def add_to(app: App, doors: Doors) -> None:
    """Adds the command."""

    @app.command
    def cron_binding(file: FileArgument, /, *, options: BindingOptions, wishes: Wishes = WISHES) -> int:
        """Take over Dapr's cron bindings (bindings.cron) from a component file, as jobs that call the same paths."""
        return told(lambda: _import(doors, file, options, wishes))


def _import(doors: Doors, file: str, options: BindingOptions, wishes: Wishes) -> int:
    if not options.app_id.strip() or "/" in options.app_id:
        raise given.wrong("--app-id", options.app_id, "an id is not empty and has no '/'")
    if options.zone is not None and doors.zone(options.zone) is None:
        raise given.wrong("--zone", options.zone, "an IANA name such as Europe/Rome is needed")
    from wakeful.faces.cli.importing_bindings import FILE_LIMIT, read_bindings  # noqa: PLC0415 - YAML takes its time

    report = Report()
    bindings = read_bindings(read_text(file, FILE_LIMIT), options.app_id, options.zone, report)

    async def imported(scheduler: Scheduler) -> int:
        now, jobs = scheduler.now(), list[Job]()
        for binding in bindings:
            try:
                key = JobKey(options.namespace, f"app/{options.app_id}", check_name(binding.name))
                jobs.append(_job(doors, key, (binding.schedule, binding.path), now))
            except WakefulError as error:
                report.bad.append(f"{binding.where}, {binding.name}: {error.message}")
        found = [await _looked_up(scheduler, job) for job in jobs]
        _tell(found, report, now)
        report.check(wishes)
        if not wishes.replace:
            refuse_taken([each.job.key.name for each in found if each.state == "something else"], "the store")
        fresh = [each for each in found if each.state != "the same"]
        if not wishes.dry_run:
            for each in fresh:
                await scheduler.put(each.job, Put.REPLACE if wishes.replace else Put.CREATE, now)
        print(f"{'would store' if wishes.dry_run else 'stored'} {len(fresh)} jobs; {len(found) - len(fresh)} are there")
        return OK

    return call(doors, options.store, imported)


def _job(doors: Doors, key: JobKey, binding: tuple[str, str], now: datetime) -> Job:
    """The job that the app itself would have made over Dapr's API."""
    from wakeful.faces.dapr.jobs import DEFAULT_RETRY, JobRequest, make_job  # noqa: PLC0415 - few commands need it

    schedule, path = binding
    asked = JobRequest(
        text=ScheduleText(schedule),
        data=None,
        retry=DEFAULT_RETRY,
        overwrite=None,
        name=key.name,
        app_id=None,
        method=path,
        options={"method": path},
    )
    return make_job(asked, key, now, doors.zone, instants=False)


async def _looked_up(scheduler: Scheduler, job: Job) -> _Found:
    record = await scheduler.get(job.key)
    if record is None:
        return _Found(job, "new")
    there, new = record.job.schedule, job.schedule
    same = (there.given, there.syntax) == (new.given, new.syntax) and replace(job, schedule=there) == record.job
    return _Found(job, "the same" if same else "something else")


def _tell(found: Sequence[_Found], report: Report, now: datetime) -> None:
    rows = [
        (
            each.job.key.name,
            each.job.schedule.given.schedule or "",
            f"POST /{each.job.target.address}",
            text.short(each.job.schedule.first_due()),
            text.distance(each.job.schedule.first_due() or now, now),
            each.state,
        )
        for each in found
    ]
    print(text.table(("NAME", "SCHEDULE", "CALLS", "NEXT RUN", "FROM NOW", "THERE"), rows, "No cron bindings."))
    if found:
        for sentence in _NOTES:
            report.note(sentence)
    report.tell()
