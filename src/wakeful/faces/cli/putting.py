"""``wakeful job put``: define a job, and see what was understood."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Group, Parameter

from wakeful.core.describe import describe
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import (
    Calendar,
    Catchup,
    Data,
    Job,
    JobKey,
    JobRecord,
    Overlap,
    RetryPolicy,
    TargetSpec,
    app_queue,
)
from wakeful.core.ports import Put
from wakeful.core.preview import warnings
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule
from wakeful.faces.cli import given, text, views
from wakeful.faces.cli.calls import OK, Which, call, one
from wakeful.faces.cli.doors import Doors
from wakeful.faces.cli.instants import READING, Reading, instant_table, warn
from wakeful.scheduler import Scheduler

_SCHEDULE, _POLICIES, _RETRIES = (
    Group(name, sort_key=place) for place, name in enumerate(("Schedule", "Policies", "Retries"), 1)
)
_INSTANTS_SHOWN = 3
# A calendar may leave out much: where so many instants in a row are left out, the search for the next one ends.
_MOST_LEFT_OUT = 10_000
_MOST_RETRIES = 1_000_000
_INT32 = 2**31 - 1
_SHORTEST = timedelta(milliseconds=1)


@Parameter(name="*", group=_SCHEDULE)
@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the schedule begins and ends."""

    start: str | None = None
    """Not before: an instant such as 2030-01-31T09:00:00Z, a duration from now, or a time on the zone's clocks."""
    until: str | None = None
    """Not after; written as --start."""
    repeats: int | None = None
    """End after so many runs."""


@Parameter(name="*", group=_POLICIES)
@dataclass(frozen=True, slots=True)
class Policies:
    """What happens around the runs."""

    overlap: Literal["queue_one", "queue_all", "skip", "allow", "replace"] = "queue_one"
    """What becomes of an instant while the job is busy."""
    max_running: int = 1
    """The job is busy with so many runs."""
    catchup: Literal["latest", "all", "none"] = "latest"
    """Which instants become runs that passed while nobody could run them."""
    catchup_window: str | None = None
    """Only those no older than this, such as 1h."""
    catchup_limit: int | None = None
    """With --catchup all: only so many, the newest."""
    calendar: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    """A calendar (`wakeful calendar put`) that leaves out days; it can be given several times."""
    jitter: str = "0s"
    """Run up to so much later, always as much for one job: so that not all begin on the hour."""
    priority: int = 0
    """Of what is due at once, the higher goes first."""
    timeout: str | None = None
    """An attempt without an outcome after this has failed; else what the node says."""
    pause_after: int | None = None
    """Pause the job after so many failed runs in a row."""
    at_most_once: bool = False
    """Rather not at all than twice: no retry, and a run that is lost with its node has failed."""


@Parameter(name="*", group=_RETRIES)
@dataclass(frozen=True, slots=True)
class Retrying:
    """What follows a failed attempt."""

    retries: int = 3
    """How often a run is tried again."""
    retry_interval: str = "1s"
    """How long after a failure."""
    retry_multiplier: float = 1.0
    """The interval grows by this with each retry…"""
    retry_max_interval: str | None = None
    """…up to this."""
    retry_jitter: float = 0.0
    """From 0 to 1: up to this part of an interval is taken off, differently for each run."""
    retry_max_age: str | None = None
    """No retry later than this after the run was due."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class What:
    """What is handed over, and how the name is taken."""

    data: str | None = None
    """JSON that goes to the app with each run."""
    if_new: bool = False
    """Refuse to replace a job of that name."""


@dataclass(frozen=True, slots=True)
class Whose(Which):
    """Whose job it is."""

    app_id: str | None = None
    """The app that owns the job and is called; it may be left out where the job exists already."""


BOUNDS, POLICIES, RETRYING, WHAT, WHOSE = Bounds(), Policies(), Retrying(), What(), Whose()


@dataclass(frozen=True, slots=True)
class _Asked:
    """Everything that was typed."""

    schedule: ScheduleText
    dialect: str
    what: What
    policies: Policies
    retrying: Retrying


def add_to(job: App, doors: Doors) -> None:
    """Adds the command."""

    @job.command
    def put(  # noqa: PLR0913 - each is a group of flags
        name: Annotated[str, Parameter(help="The job's name.")],
        schedule: Annotated[str, Parameter(name="TEXT", help="The schedule, such as '30 2 * * *'.")],
        /,
        *,
        what: What = WHAT,
        which: Whose = WHOSE,
        reading: Annotated[Reading, Parameter(group=_SCHEDULE)] = READING,
        bounds: Bounds = BOUNDS,
        policies: Policies = POLICIES,
        retrying: Retrying = RETRYING,
    ) -> int:
        """Define a job, in place of one of that name. Its runs go to the app, as POST /job/NAME.

        Prints what was understood, the next instants, and what may surprise.
        """
        when = ScheduleText(
            schedule,
            repeats=bounds.repeats,
            zone=reading.zone,
            dst=reading.dst,
            start_at=bounds.start,
            until_at=bounds.until,
        )
        asked = _Asked(when, reading.dialect, what, policies, retrying)

        async def stored(scheduler: Scheduler) -> int:
            now = scheduler.now()
            app_id = await _app(scheduler, which, name)
            understood = parse_schedule(asked.schedule, asked.dialect, now, doors.zone)
            calendars = await _calendars(scheduler, policies.calendar)
            job = _job(JobKey(which.namespace, f"app/{app_id}", name), app_id, understood, calendars, asked)
            record = await scheduler.put(job, Put.CREATE if what.if_new else Put.REPLACE, now)
            return _report(record, now, which.json)

        return call(doors, which.store, stored)


async def _app(scheduler: Scheduler, which: Which, name: str) -> str:
    """The app that was named; without one, the app whose job of that name is to be replaced."""
    if which.app_id is not None:
        if not which.app_id.strip() or "/" in which.app_id:
            raise given.wrong("--app-id", which.app_id, "an id is not empty and has no '/'")
        return which.app_id
    try:
        owner = (await one(scheduler, which, name)).job.key.owner
    except WakefulError as error:
        if error.code is not ErrorCode.JOB_NOT_FOUND:
            raise
        owner = ""
    if not owner.startswith("app/"):
        raise WakefulError(ErrorCode.INVALID_JOB, f"whose job is {name!r}? Name the app that is called by --app-id")
    return owner.removeprefix("app/")


async def _calendars(scheduler: Scheduler, names: Sequence[str]) -> tuple[Calendar, ...]:
    known = {one.calendar.name: one.calendar for one in await scheduler.calendars()} if names else {}
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        raise given.wrong(
            "--calendar", missing, "there is none of that name; `wakeful calendar list` shows those known"
        )
    return tuple(known[name] for name in dict.fromkeys(names))


def _job(key: JobKey, app_id: str, schedule: Schedule, calendars: tuple[Calendar, ...], asked: _Asked) -> Job:
    policies = asked.policies
    given.between("--max-running", policies.max_running, 1, 10_000)
    given.between("--priority", policies.priority, -_INT32, _INT32)
    for flag, number in (("--catchup-limit", policies.catchup_limit), ("--pause-after", policies.pause_after)):
        if number is not None:
            given.between(flag, number, 1, 1_000_000)
    return Job(
        key=key,
        schedule=schedule,
        target=TargetSpec("app", f"job/{key.name}"),
        queue=app_queue(key.namespace, app_id),
        data=_data(asked.what.data),
        retry=_retry(asked.retrying),
        overlap=Overlap(policies.overlap),
        catchup=Catchup(policies.catchup),
        max_running=policies.max_running,
        at_most_once=policies.at_most_once,
        priority=policies.priority,
        timeout=given.maybe_duration("--timeout", policies.timeout, least=_SHORTEST),
        jitter=given.duration("--jitter", policies.jitter),
        catchup_window=given.maybe_duration("--catchup-window", policies.catchup_window),
        catchup_limit=policies.catchup_limit,
        pause_after=policies.pause_after,
        calendars=calendars,
    )


def _data(json: str | None) -> Data | None:
    if json is None:
        return None
    try:
        msgspec.json.decode(json)
        return Data("json", msgspec.json.format(json, indent=-1).encode())
    except (msgspec.DecodeError, RecursionError) as error:
        raise given.wrong("--data", json, f"it is no JSON: {error}") from None


def _retry(asked: Retrying) -> RetryPolicy:
    given.between("--retries", asked.retries, 0, _MOST_RETRIES)
    given.between("--retry-multiplier", asked.retry_multiplier, 1, 1000)
    given.between("--retry-jitter", asked.retry_jitter, 0, 1)
    return RetryPolicy(
        max_retries=asked.retries,
        interval=given.duration("--retry-interval", asked.retry_interval),
        multiplier=asked.retry_multiplier,
        max_interval=given.maybe_duration("--retry-max-interval", asked.retry_max_interval),
        jitter=asked.retry_jitter,
        max_age=given.maybe_duration("--retry-max-age", asked.retry_max_age),
    )


def _report(record: JobRecord, now: datetime, json: bool) -> int:
    schedule = record.job.schedule
    understood, surprises, coming = describe(schedule), warnings(schedule, now), _coming(record.job)
    if json:
        extra = {"understood": understood, "next": [text.rfc3339(at) for at in coming], "warnings": surprises}
        print(text.as_json({**views.job_fields(record), **extra}))
        return OK
    print(text.printable(f"stored {record.job.key.name} of {record.job.key.owner}: {understood}"))
    print(instant_table(coming, schedule, now))
    warn(surprises)
    return OK


def _coming(job: Job) -> list[datetime]:
    """The next instants that become runs, unless something happens."""
    schedule, coming, left_out = job.schedule, list[datetime](), 0
    due = schedule.first_due()
    while due is not None and len(coming) < _INSTANTS_SHOWN and left_out < _MOST_LEFT_OUT:
        day = due.astimezone(schedule.zone).date()
        if any(calendar.excludes(day) for calendar in job.calendars):
            left_out += 1
        else:
            coming.append(due)
        due = schedule.next_due(due, len(coming))
    return coming
