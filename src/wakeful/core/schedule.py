"""A job's "when": how it is written, what it means, and when it is due. ``now`` and zone data come in as arguments.

A new syntax is one function, from the text of ``schedule`` to a recurrence or an instant, and a line in ``SYNTAXES``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from wakeful.core.cron import Dialect, Dst, parse_cron
from wakeful.core.duration import REPEATS_REFUSED, TEXT_LIMIT, Every, IsoDuration, parse_go_duration, parse_iso_duration
from wakeful.core.errors import ErrorCode, WakefulError

_Zones = Callable[[str], ZoneInfo | None]

_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_SHORTEST = timedelta(milliseconds=1)
_LONGEST = timedelta(days=36_525)

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=([^\s]*)")
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]*")
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}


class Recurrence(Protocol):
    """Instants that go on without end. Where it has no anchor of its own (``Every``), the arguments are occurrences."""

    def next_after(self, instant: datetime) -> datetime | None:
        """The first occurrence after ``instant``; ``None`` where there is none that the calendar reaches."""

    def last_through(self, instant: datetime, since: datetime) -> datetime | None:
        """The latest occurrence in [``since``, ``instant``]."""

    def count(self, since: datetime, through: datetime) -> int:
        """The number of occurrences in [``since``, ``through``]."""


@dataclass(frozen=True, slots=True)
class ScheduleText:
    """What the caller gave, word for word; ``None`` is what was not given."""

    schedule: str | None = None
    due_time: str | None = None
    ttl: str | None = None
    repeats: int | None = None
    zone: str | None = None
    dst: str | None = None
    start_at: str | None = None
    until_at: str | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """Occurrences that have passed: how many, and the latest of them."""

    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """The understood schedule.

    It begins at ``first`` if that is set, else with the first occurrence after ``start``; it goes on by ``recurrence``
    (``None``: ``first`` is all there is), through ``until`` at most, and for ``repeats`` runs at most.
    """

    recurrence: Recurrence | None
    start: datetime
    first: datetime | None
    until: datetime | None
    repeats: int | None
    given: ScheduleText
    syntax: str

    @property
    def zone(self) -> tzinfo:
        """The zone in which the recurrence is written: whose calendar day an occurrence lies on."""
        zone: tzinfo = getattr(self.recurrence, "zone", UTC)
        return zone

    def first_due(self) -> datetime | None:
        """The first due instant; ``None`` where the schedule ends before it."""
        if self.first is not None or self.recurrence is None:
            return self._bounded(self.first)
        return self._bounded(self.recurrence.next_after(self.start))

    def next_due(self, previous: datetime, runs: int) -> datetime | None:
        """The due instant after the occurrence ``previous``; ``runs`` have been made, with the one for ``previous``."""
        if self.recurrence is None or (self.repeats is not None and runs >= self.repeats):
            return None
        return self._bounded(self.recurrence.next_after(previous))

    def passed(self, since: datetime, through: datetime) -> Passed:
        """The occurrences in [``since``, ``through``], of which ``since`` is one. ``repeats`` does not bound them."""
        following = None if self.recurrence is None else self.recurrence.next_after(since)
        through = through if self.until is None else min(through, self.until)
        # An interval of zero never gets beyond `since`.
        if self.recurrence is None or following is None or not since < following <= through:
            return Passed(1, since)
        last = self.recurrence.last_through(through, following)
        return Passed(1 + self.recurrence.count(following, through), last or following)

    def _bounded(self, due: datetime | None) -> datetime | None:
        return None if due is None or (self.until is not None and due > self.until) else due


def parse_schedule(text: ScheduleText, syntax: str, now: datetime, zones: _Zones) -> Schedule:
    """Understand ``text``, received at ``now``; ``zones`` gives the zone of a name, or ``None``.

    The rules of combination and their messages are Dapr's: diagridio/go-etcd-cron internal/scheduler/builder.go.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``.
    """
    when = None if text.schedule is None else _compile(text.schedule, syntax, zones)
    first = when if isinstance(when, datetime) else None
    recurrence = None if isinstance(when, datetime) else when
    _check_combination(text, recurrence, first)
    if text.due_time is not None:
        first = _moment(text.due_time, "due time", now)
    until = None if text.ttl is None else _moment(text.ttl, "ttl", now if first is None else first)
    if first is not None and until is not None and first > until:
        raise _invalid("ttl must be greater than due time")
    return Schedule(
        recurrence=recurrence,
        start=now,
        first=first,
        until=until,
        repeats=text.repeats,
        given=text,
        syntax=syntax,
    )


def compile_recurrence(
    text: str | None, syntax: str, zones: _Zones, zone: str | None = None, dst: str | None = None
) -> Recurrence | None:
    """The recurrence of a ``schedule`` that was accepted before; ``None`` where there is none or it is one instant.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``, above all where the zone is no longer known.
    """
    when = None if text is None else _compile(text, syntax, zones)
    return None if isinstance(when, datetime) else when


def _compile(text: str, syntax: str, zones: _Zones) -> Recurrence | datetime:
    if syntax not in SYNTAXES:
        raise _invalid(f"unknown schedule syntax {syntax[:100]!r}: {', '.join(SYNTAXES)} are known")
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"a schedule of {len(text)} characters is too long: at most {TEXT_LIMIT} are allowed")
    # What follows repeats parts of the text, and half a surrogate pair could not even be sent back.
    if not "".join(text.split()).isprintable():
        raise _invalid(f"a schedule must be printable text: {text[:100]!r}")
    return SYNTAXES[syntax](text, zones)


def _check_combination(text: ScheduleText, recurrence: Recurrence | None, instant: datetime | None) -> None:
    if text.schedule is None and text.due_time is None:
        raise _invalid("job must have either a due time or a schedule")
    if instant is not None and text.due_time is not None:
        raise _invalid("schedule is a single instant, which is a due time: leave out one of schedule and due time")
    if text.repeats is not None and text.repeats < 1:
        raise _invalid("defined repeats must be greater than 0")
    if text.repeats is not None and text.repeats > 1 and recurrence is None:
        raise _invalid("job must have a schedule to repeat")
    if text.ttl is not None and recurrence is None:
        raise _invalid("job must have a schedule to have a ttl")
    if recurrence == Every(timedelta()) and text.repeats is None:
        raise _invalid("an interval of zero would be due for ever: give repeats, or an interval of at least 1ms")


def _moment(text: str, what: str, anchor: datetime) -> datetime:
    """``text`` as an instant, a Go duration or an ISO 8601 duration, in this order; durations count from ``anchor``."""
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"{what} format not recognized: {len(text)} characters are too long, {TEXT_LIMIT} are allowed")
    instant = _parse_instant(text, what)
    if instant is None:
        instant = _parse_duration(text, what).added_to(anchor)
    return _in_range(instant, what)


def _parse_instant(text: str, what: str) -> datetime | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3]).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid(f"{what} format not recognized: {text} is no date and time that exists") from None
    # datetime has no nanoseconds; cutting them off keeps an instant from moving beyond the one that was asked for.
    return whole.replace(microsecond=int((match[2] or "0").ljust(6, "0")[:6]))


def _parse_duration(text: str, what: str) -> IsoDuration:
    try:
        return parse_iso_duration(text) if text[:1] in ("P", "R") else IsoDuration(time=parse_go_duration(text))
    except WakefulError as error:
        if error.message == REPEATS_REFUSED:
            raise
        example = "an instant is written 2030-01-31T09:00:00Z"
        raise _invalid(f"{what} format not recognized: {error.message}; {example}") from None


def _in_range(instant: datetime, what: str) -> datetime:
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise _invalid(f"{what} lies outside the years {_FIRST_YEAR} to {_LAST_YEAR}: {instant.isoformat()}")
    return instant


def _dapr(text: str, zones: _Zones) -> Recurrence | datetime:
    """Dapr's schedules (dapr/kit cron/parser.go); also, five fields are a crontab line, an instant is a due time."""
    instant = _parse_instant(text, "schedule")
    if instant is not None:
        return _in_range(instant, "schedule")
    zone, body = _split_zone(text.strip(), zones)
    if body.startswith("@every "):
        if body != text.strip():
            raise _invalid(f"timezone is not supported for @every schedules: {text:.100}; leave the timezone out")
        return _every(body)
    if body.startswith("@"):
        if body not in _DESCRIPTORS:
            known = ", ".join(_DESCRIPTORS)
            raise _invalid(f"unrecognized descriptor: {body:.100}; {known} and @every with a duration are known")
        body = _DESCRIPTORS[body]
    dialect = Dialect.CRONTAB if len(body.split()) == 5 else Dialect.DAPR
    return parse_cron(body, dialect=dialect, zone=zone, dst=Dst.RAW)


def _split_zone(text: str, zones: _Zones) -> tuple[tzinfo, str]:
    prefix = _ZONE_PREFIX.match(text)
    if prefix is None:
        return UTC, text
    name, body = prefix[1], text[prefix.end() :].strip()
    if not body:
        raise _invalid(f"timezone prefix {text:.100} is not followed by a schedule")
    # Dapr's scheduler works in UTC, and so "local" is UTC there.
    zone = UTC if name in ("UTC", "Local") else zones(name) if _ZONE_NAME.fullmatch(name) else None
    if zone is None:
        unknown = f"provided bad location {name:.40}: unknown time zone {name:.40}"
        raise _invalid(f"{unknown}; an IANA name such as Europe/Rome is needed")
    return zone, body


def _every(body: str) -> Every:
    failed = f"failed to parse duration {body:.100}"
    try:
        interval = parse_go_duration(body.removeprefix("@every").strip())
    except WakefulError as error:
        raise _invalid(f"{failed}: {error.message}") from None
    if interval < timedelta():
        raise _invalid(f"{failed}: an interval cannot be negative")
    if timedelta() < interval < _SHORTEST:
        raise _invalid(f"{failed}: an interval must be at least 1ms")
    if interval > _LONGEST:
        raise _invalid(f"{failed}: an interval must not be longer than 100 years (876600h)")
    return Every(interval)


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)


SYNTAXES: Mapping[str, Callable[[str, _Zones], Recurrence | datetime]] = {"dapr": _dapr}
