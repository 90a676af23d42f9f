"""When a job of the file is due: its ``cron`` line, its interval, its instant, or how often it looks for something."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wakeful.core.civil import Dst
from wakeful.core.cron import Cron
from wakeful.core.describe import moment
from wakeful.core.duration import Every
from wakeful.core.errors import WakefulError
from wakeful.core.moments import parse_instant, parse_local
from wakeful.core.preview import warnings
from wakeful.core.recurrence import Zones
from wakeful.core.schedule import Schedule, ScheduleText, parse_schedule
from wakeful.core.syntaxes import named_zone
from wakeful.faces.cron.forms import Reader, one_of, shown, text
from wakeful.faces.cron.sections import Section

KEYS = ("cron", "every", "at", "timezone", "trigger", "poll_interval")
_WAYS = ("cron", "every", "at")
_POLL_INTERVAL = "1h"
_SHORTEST = timedelta(seconds=1)
_LONGEST_S = 36_525 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_UNIT = r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
_PIECE = re.compile(rf"\s*([0-9]{{1,9}}(?:\.[0-9]{{1,6}})?)\s*{_UNIT}(?![a-z])", re.IGNORECASE)
_PREFIX = re.compile(r"\s*(?:CRON_)?TZ=")


@dataclass(frozen=True, slots=True)
class When:
    """A job's schedule; ``trigger`` is ``cron``, ``every``, ``at`` or ``poll``, ``written`` what stands in the file."""

    schedule: Schedule
    trigger: str
    written: str


def zone_name(zones: Zones) -> Reader:
    """The name of a time zone that there is."""

    def read(value: Any) -> str:
        name: str = text(64)(value)
        try:
            named_zone(name, zones)
        except WakefulError as error:
            raise ValueError(error.message) from None
        return name

    return read


def read_when(section: Section, zone: str, now: datetime, zones: Zones) -> When | None:
    """The "when" of a job, in its own zone or else in ``zone``; ``None`` if it is wrong, which is noted."""
    own = section.get("timezone", zone_name(zones))
    way = _way(section)
    if way is None or ("timezone" in section and own is None):
        return None
    trigger, key = way

    def read(value: Any) -> When:
        written = _written(value, bare=key in ("every", "poll_interval"))
        try:
            schedule = parse_schedule(_given(key, written, own, zone), "crontab", now, zones)
            _check(schedule, key, zones)
        except WakefulError as error:
            raise ValueError(error.message) from None
        return When(schedule, trigger, written)

    return section.get(key, read) if key in section else read(_POLL_INTERVAL)


def has_passed(schedule: Schedule, now: datetime) -> bool:
    """Whether this is a single instant, which is over."""
    return schedule.recurrence is None and schedule.first is not None and schedule.first <= now


def too_late(schedule: Schedule) -> str:
    """What is told of an instant that had passed when the job came."""
    return f"{moment(schedule.first)} has passed: it will not run" if schedule.first is not None else ""


def surprises(schedule: Schedule, now: datetime) -> tuple[str, ...]:
    """What may surprise in a schedule; of an instant that has passed, only who knows the job can tell what it means."""
    return () if has_passed(schedule, now) else warnings(schedule, now)


def _written(value: Any, *, bare: bool) -> str:
    """What stands in the file, as a text; a bare number is one of seconds."""
    if bare and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}s"
    return str(text(1024)(value))


def _way(section: Section) -> tuple[str, str] | None:
    """The trigger, and the key that says more."""
    said = section.get("trigger", one_of("cron", "every", "at", "poll"))
    given = [key for key in (*_WAYS, "poll_interval") if key in section]
    polls = said == "poll"
    unfit = "at" if polls else "poll_interval"
    if unfit in given:
        why = "a job that polls does so again and again" if polls else 'it goes with "trigger": "poll" only'
        section.wrong(unfit, f"leave it out: {why}")
    elif len(given) > 1:
        section.wrong(given[1], f"says when the job is due, and so does {given[0]}: leave out one of the two")
    elif polls:
        return "poll", given[0] if given else "poll_interval"
    elif not given:
        section.wrong("cron", 'missing: write "cron": "0 9 * * *", or every, or at')
    elif said not in (None, given[0]):
        section.wrong("trigger", f"is {said}, but {given[0]} says when the job is due")
    else:
        return given[0], given[0]
    return None


def _given(key: str, written: str, own: str | None, zone: str) -> ScheduleText:
    if key == "at":
        return ScheduleText(due_time=written, zone=own or zone)
    if key == "cron":
        # A line that names its zone itself does not mean the file's.
        return ScheduleText(written, zone=None if own is None and _PREFIX.match(written) else own or zone)
    return ScheduleText(f"@every {_interval(written)}", zone=own or zone)


def _interval(written: str) -> str:
    """A duration as the core reads it: ``1h30m``, ``5 minutes``, ``2d`` and ``1w`` as seconds, ``PT1H`` as it is."""
    if written.startswith("P"):
        return written
    seconds, at = 0.0, 0
    while at < len(written.rstrip()):
        piece = _PIECE.match(written, at)
        if piece is None:
            raise ValueError(f"must be a duration such as 90s, 5m, 1h or 2d, not {shown(written)}")
        seconds += float(piece[1]) * _UNITS[piece[2][0].lower()]
        at = piece.end()
    if not 1 <= seconds <= _LONGEST_S:
        raise ValueError(f"must be a duration from 1s to 100 years, not {shown(written)}")
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _check(schedule: Schedule, key: str, zones: Zones) -> None:
    """Refuses what would mean something else each time that the file is read, or is no schedule of a file."""
    recurrence, given = schedule.recurrence, schedule.given
    if key == "at":
        at = given.due_time or ""
        zone = named_zone(given.zone or "UTC", zones)
        # A duration would be counted from whenever the file is read.
        if parse_instant(at, "at") is None and parse_local(at, "at", zone, Dst.ONCE) is None:
            raise ValueError(f"must be an instant such as 2030-01-31T09:00:00Z, or a local time, not {shown(at)}")
        return
    written = given.schedule or ""
    if recurrence is None:
        raise ValueError(f"is a single instant: write it as at: {shown(written)}")
    if isinstance(recurrence, Every) and recurrence.interval < _SHORTEST:
        raise ValueError(f"must not be due more often than once a second: {shown(written)}")
    # What ends by itself would make the whole file wrong, one day.
    if key == "cron" and not isinstance(recurrence, Cron) and not written.lstrip().startswith("@"):
        raise ValueError(f"must be a crontab line such as 0 9 * * MON-FRI, or @daily, not {shown(written)}")
