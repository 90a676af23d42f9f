"""``wakeful next``, ``why`` and ``simulate``: what schedules mean, meant and will mean."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from wakeful.core.describe import describe
from wakeful.core.outlook import MOST_FORECAST
from wakeful.core.ports import JobQuery
from wakeful.core.preview import preview
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule
from wakeful.faces.cli import given, text, views
from wakeful.faces.cli.calls import OK, WHERE, WHICH, Where, Which, answer, call, one, owner_of, told
from wakeful.faces.cli.doors import Doors
from wakeful.scheduler import Scheduler, Simulation

_LONGEST_SIMULATION = timedelta(days=366)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Reading:
    """How a schedule's text is to be read."""

    dialect: Literal["crontab", "dapr"] = "crontab"
    """crontab: five fields, @daily, @every 90s, an instant, R5/PT10S, FREQ=WEEKLY;BYDAY=MO; dapr: as in Dapr's API."""
    zone: str | None = None
    """The zone on whose clocks it is due, such as Europe/Rome; UTC without one."""
    dst: Literal["once", "skip", "raw"] | None = None
    """For a time that the change of clocks leaves out or repeats. once: due exactly once; skip: not due when it is left
    out; raw: also due twice when it is repeated."""


READING = Reading()


def add_to(app: App, doors: Doors) -> None:
    """Adds the commands."""
    _add_next(app, doors)
    _add_why(app, doors)
    _add_simulate(app, doors)


def warn(warnings: Sequence[str], *, aside: bool = False) -> None:
    """Prints warnings, below what was asked for or, ``aside``, on stderr."""
    for warning in warnings:
        print(text.printable(f"warning: {warning}"), file=sys.stderr if aside else sys.stdout)


def instant_table(instants: Sequence[datetime], schedule: Schedule, now: datetime, empty: str = "Never due.") -> str:
    """One line an instant: on the zone's clocks, in UTC, and how far away; ``empty`` if there is none."""
    rows = [(text.on_clocks(at, schedule.zone), str(text.rfc3339(at)), text.distance(at, now)) for at in instants]
    return text.table(("ON THE CLOCK", "UTC", "FROM NOW"), rows, empty)


def _add_next(app: App, doors: Doors) -> None:
    @app.command(name="next")
    def following(
        schedule: Annotated[str, Parameter(name="TEXT", help="The schedule, such as '30 2 * * *'.")],
        /,
        *,
        reading: Reading = READING,
        since: Annotated[
            str | None, Parameter(name="--from", help="The instants after this one, as 2030-01-31T09:00:00Z; else now.")
        ] = None,
        count: Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="How many instants.")] = 5,
        json: Annotated[bool, Parameter(help="Print a JSON list of UTC instants; warnings go to stderr.")] = False,
    ) -> int:
        """Print when a schedule is due next, and what may surprise about it. Nothing is stored."""

        def previewed() -> int:
            now = doors.now()
            after = now if since is None else given.instant("--from", since)
            asked = ScheduleText(schedule, zone=reading.zone, dst=reading.dst)
            understood = parse_schedule(asked, reading.dialect, after, doors.zone)
            coming = preview(understood, after, count)
            if json:
                print(text.as_json([text.rfc3339(at) for at in coming.instants]))
            else:
                print(text.printable(describe(understood)))
                # A single instant that is not to come has passed.
                empty = "Due at once." if understood.recurrence is None else "Never due."
                print(instant_table(coming.instants, understood, now, empty))
            warn(coming.warnings, aside=json)
            return OK

        return told(previewed)


def _add_why(app: App, doors: Doors) -> None:
    @app.command
    def why(
        name: Annotated[str, Parameter(help="The job's name.")],
        instant: Annotated[str, Parameter(help="The instant of its schedule, as 2030-01-31T09:00:00Z.")],
        /,
        *,
        which: Which = WHICH,
    ) -> int:
        """Say in a sentence why a job did or did not run at an instant."""

        async def explained(scheduler: Scheduler) -> int:
            at = given.instant("INSTANT", instant)
            key = (await one(scheduler, which, name, ended=True)).job.key
            sentence = await scheduler.why(key, at)
            value = {**views.key_fields(key), "instant": text.rfc3339(at), "why": sentence}
            return answer(which.json, value, text.printable(sentence))

        return call(doors, which.store, explained)


def _add_simulate(app: App, doors: Doors) -> None:
    @app.command
    def simulate(
        *,
        since: Annotated[
            str | None, Parameter(name="--from", help="Where to begin, as 2030-01-31T09:00:00Z; else now.")
        ] = None,
        length: Annotated[str, Parameter(name="--for", help="For how long: 90m, 12h, 7d.")] = "7d",
        namespace: Annotated[str | None, Parameter(help="Only the jobs of this namespace.")] = None,
        app_id: Annotated[str | None, Parameter(help="Only the jobs of this app.")] = None,
        where: Where = WHERE,
    ) -> int:
        """Count what all jobs would do in a time to come, and show its fullest minutes. Nothing runs."""

        async def simulated(scheduler: Scheduler) -> int:
            begin = scheduler.now() if since is None else given.instant("--from", since)
            least = timedelta(seconds=1)
            end = begin + given.duration("--for", length, least=least, most=_LONGEST_SIMULATION)
            found = await scheduler.simulate(JobQuery(namespace, owner_of(app_id)), begin, end)
            span = {"from": text.rfc3339(begin), "through": text.rfc3339(end)}
            return answer(where.json, {**span, **_fields(found)}, _page(found))

        return call(doors, where.store, simulated)


def _fields(found: Simulation) -> dict[str, object]:
    jobs = [
        {
            **views.key_fields(one.key),
            "instants": one.instants,
            "first": text.rfc3339(one.first),
            "last": text.rfc3339(one.last),
            "cut_off": one.cut,
        }
        for one in found.jobs
    ]
    busiest = [{"minute": text.rfc3339(minute), "instants": count} for minute, count in found.busiest]
    return {"jobs": jobs, "busiest": busiest}


def _page(found: Simulation) -> str:
    jobs = [
        (
            *(one.key.name, one.key.owner, one.key.namespace),
            f"over {one.instants}" if one.cut else str(one.instants),
            *(text.short(one.first), text.short(one.last)),
        )
        for one in found.jobs
    ]
    parts = [text.table(("NAME", "OWNER", "NAMESPACE", "INSTANTS", "FIRST", "LAST"), jobs, "No jobs.")]
    if found.busiest:
        minutes = [(f"{minute:%Y-%m-%d %H:%M}Z", str(count)) for minute, count in found.busiest]
        parts.append(text.table(("FULLEST MINUTES", "INSTANTS"), minutes, ""))
    cut = [one.key.name for one in found.jobs if one.cut]
    if cut:
        names = text.cell(", ".join(cut))
        parts.append(f"Counting ended after {MOST_FORECAST} instants of {names}: what follows is in no number above.")
    return "\n\n".join(parts)
