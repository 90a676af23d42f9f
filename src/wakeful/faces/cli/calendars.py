"""``wakeful calendar``: named dates on which jobs do not run, or on which alone they do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Calendar, JobKey
from wakeful.core.ports import JobQuery
from wakeful.faces.cli import given, text
from wakeful.faces.cli.calls import CONFLICT, WHERE, Where, answer, call, complain
from wakeful.faces.cli.doors import Doors
from wakeful.scheduler import KnownCalendar, Scheduler

_YEARS = re.compile(r"([0-9]{4})(?:-([0-9]{4}))?")
_YEARS_AHEAD = 10
_MOST_YEARS = 100
_MOST_DATES = 20_000
_SHOWN = 5

_Name = Annotated[str, Parameter(help="The calendar's name.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Dates:
    """Which dates; one of the first two is needed."""

    dates: str | None = None
    """The dates themselves: 2026-12-25,2026-12-26."""
    holidays: str | None = None
    """The public holidays of a country, such as US; needs the package holidays."""
    subdiv: str | None = None
    """With --holidays: those of a part of the country, such as CA."""
    years: str | None = None
    """With --holidays: of these years, such as 2026-2036; else of this year and the ten that follow."""
    keep: bool = False
    """Jobs run on these dates only, instead of on all others."""


DATES = Dates()


def commands(doors: Doors) -> App:
    """The commands about calendars."""
    calendar = App(
        name="calendar",
        help="Name dates that jobs leave out (wakeful job put --calendar NAME).",
        group_parameters=Group("Options"),
    )
    _add_put(calendar, doors)
    _add_looking(calendar, doors)
    _add_delete(calendar, doors)
    return calendar


def _add_put(calendar: App, doors: Doors) -> None:
    @calendar.command
    def put(name: _Name, /, *, dates: Dates = DATES, where: Where = WHERE) -> int:
        """Define a calendar, or change it: the jobs that name it follow at once."""

        async def stored(scheduler: Scheduler) -> int:
            days, source = _asked(dates, doors, scheduler.now().year)
            known = KnownCalendar(Calendar(name, frozenset(days), dates.keep), source)
            await scheduler.put_calendar(known)
            return answer(where.json, _fields(known), text.printable(f"stored {name}: {_summary(known.calendar)}"))

        return call(doors, where.store, stored)


def _add_looking(calendar: App, doors: Doors) -> None:
    @calendar.command(name="list")
    def list_calendars(*, where: Where = WHERE) -> int:
        """List the calendars."""

        async def listed(scheduler: Scheduler) -> int:
            known = await scheduler.calendars()
            rows = [(one.calendar.name, _summary(one.calendar), one.source or "") for one in known]
            plain = text.table(("NAME", "DATES", "SOURCE"), rows, "No calendars.")
            return answer(where.json, [_fields(one) for one in known], plain)

        return call(doors, where.store, listed)

    @calendar.command
    def show(name: _Name, /, *, where: Where = WHERE) -> int:
        """Show a calendar's dates."""

        async def shown(scheduler: Scheduler) -> int:
            known = await _one(scheduler, name)
            lines = [
                f"{name}: {_summary(known.calendar)}",
                *(f"{day:%a} {day}" for day in sorted(known.calendar.dates)),
            ]
            return answer(where.json, _fields(known), "\n".join(map(text.printable, lines)))

        return call(doors, where.store, shown)


def _add_delete(calendar: App, doors: Doors) -> None:
    @calendar.command
    def delete(name: _Name, /, *, where: Where = WHERE) -> int:
        """Delete a calendar that no job names."""

        async def deleted(scheduler: Scheduler) -> int:
            await _one(scheduler, name)
            users = await _users(scheduler, name)
            if users:
                shown = ", ".join(f"{key.name} of {key.owner}" for key in users[:_SHOWN])
                more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
                return complain(f"calendar {name!r} is named by {shown}{more}: put those without it first", CONFLICT)
            await scheduler.delete_calendar(name)
            return answer(where.json, {"deleted": name}, text.printable(f"deleted {name}"))

        return call(doors, where.store, deleted)


async def _one(scheduler: Scheduler, name: str) -> KnownCalendar:
    known = next((one for one in await scheduler.calendars() if one.calendar.name == name), None)
    if known is None:
        raise WakefulError(ErrorCode.JOB_NOT_FOUND, f"there is no calendar {name!r}")
    return known


async def _users(scheduler: Scheduler, name: str) -> Sequence[JobKey]:
    return [
        record.job.key
        async for record in scheduler.all_jobs(JobQuery())
        if any(calendar.name == name for calendar in record.job.calendars)
    ]


def _asked(asked: Dates, doors: Doors, this_year: int) -> tuple[Sequence[date], str | None]:
    """The dates, and where they come from."""
    if (asked.dates is None) is (asked.holidays is None):
        raise WakefulError(ErrorCode.INVALID_JOB, "which dates? Give either --dates or --holidays")
    if asked.holidays is None:
        if asked.subdiv is not None or asked.years is not None:
            raise WakefulError(ErrorCode.INVALID_JOB, "--subdiv and --years belong to --holidays")
        return _dates(asked.dates or ""), None
    years = _years(asked.years or f"{this_year}-{this_year + _YEARS_AHEAD}")
    days = doors.holidays(asked.holidays, asked.subdiv, years)
    return days, f"holidays:{asked.holidays}" + (f"-{asked.subdiv}" if asked.subdiv else "")


def _dates(listed: str) -> Sequence[date]:
    days: list[date] = []
    for one in filter(None, (part.strip() for part in listed.split(","))):
        try:
            days.append(date.fromisoformat(one))
        except ValueError:
            raise given.wrong("--dates", one, "a date is written 2030-01-31") from None
    if not 1 <= len(days) <= _MOST_DATES:
        raise given.wrong("--dates", listed, f"1 to {_MOST_DATES} dates are needed, with commas between them")
    return days


def _years(asked: str) -> range:
    match = _YEARS.fullmatch(asked)
    years = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not 1 <= len(years) <= _MOST_YEARS or not 1970 <= years[0] <= years[-1] <= 2200:
        raise given.wrong("--years", asked, f"years are written 2026-2036, at most {_MOST_YEARS} of them up to 2200")
    return years


def _fields(known: KnownCalendar) -> dict[str, Any]:
    calendar = known.calendar
    return {
        "name": calendar.name,
        "dates": [day.isoformat() for day in sorted(calendar.dates)],
        "keep": calendar.keep,
        "source": known.source,
    }


def _summary(calendar: Calendar) -> str:
    days = sorted(calendar.dates)
    what = "jobs run on these only" if calendar.keep else "jobs leave them out"
    count = "1 date" if len(days) == 1 else f"{len(days)} dates"
    return f"{count}, {days[0]} to {days[-1]}; {what}" if days else f"no dates; {what}"
