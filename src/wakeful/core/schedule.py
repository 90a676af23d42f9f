"""A job's "when": how it is written, what it means, and when it is due. ``now`` and zone data come in as arguments.

A new syntax is one function and an entry in ``SYNTAXES``, in ``syntaxes.py``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from wakeful.core.calendar_steps import CalendarSteps
from wakeful.core.civil import Dst
from wakeful.core.cron import Cron
from wakeful.core.duration import TEXT_LIMIT, Every, parse_duration
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.moments import parse_bound, parse_instant, parse_local, parse_moment
from wakeful.core.recurrence import Recurrence, Zones
from wakeful.core.rrule import Rule
from wakeful.core.syntaxes import SYNTAXES, named_zone, names_beginning

__all__ = ["SYNTAXES", "Passed", "Recurrence", "Schedule", "ScheduleText", "compile_recurrence", "parse_schedule"]

_TICK = timedelta.resolution
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScheduleText:
    """What the caller gave, word for word; ``None`` is what was not given.

    ``zone`` is an IANA name, ``dst`` one of ``once``, ``skip`` and ``raw``; occurrences lie from ``start_at`` through
    ``until_at``, each an RFC 3339 instant, a duration from now, or, beside a ``zone``, a local time. The syntax
    ``dapr`` has none of these four.
    """

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
    (``None``: ``first`` is all there is), through ``until`` at most, and for ``repeats`` runs at most, of which the
    recurrence's text may give the number. What is counted from a beginning but names none is counted from
    ``given.start_at``, or else from ``start``.
    """

    recurrence: Recurrence | None
    start: datetime
    first: datetime | None
    until: datetime | None
    repeats: int | None
    given: ScheduleText
    syntax: str

    def __post_init__(self) -> None:
        recurrence = self.recurrence
        if isinstance(recurrence, CalendarSteps | Rule) or (
            isinstance(recurrence, Every) and self.given.start_at is not None
        ):
            object.__setattr__(self, "recurrence", recurrence.anchored_at(self._anchor(recurrence.zone)))
        if recurrence is not None and self.repeats is None:
            object.__setattr__(self, "repeats", recurrence.runs)

    @property
    def begins_at(self) -> datetime | None:
        """Nothing was ever due before it, whenever it was defined; ``None``: it has no beginning, as a crontab line."""
        if self.first is not None or self.recurrence is None:
            return self.first
        if self.given.start_at is not None:
            return self._anchor(self.recurrence.zone)
        return None if isinstance(self.recurrence, Cron) else self.recurrence.next_after(self.after)

    @property
    def after(self) -> datetime:
        """What the recurrence gives after this instant was due, or would have been, had it been defined in time."""
        if self.first is not None:
            return self.first
        if self.given.start_at is not None:
            return self._anchor(self.zone) - _TICK
        own = isinstance(self.recurrence, Cron) or names_beginning(self.given.schedule or "")
        return _EARLIEST if own else self.start

    @property
    def zone(self) -> tzinfo:
        """The zone in which the recurrence is written: whose calendar day an occurrence lies on."""
        return UTC if self.recurrence is None else self.recurrence.zone

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

    def _anchor(self, zone: tzinfo) -> datetime:
        """The due time, or the instant that ``given.start_at`` means, or else ``start``."""
        if self.given.due_time is not None and self.first is not None:
            return self.first
        text = self.given.start_at
        if text is None:
            return self.start
        instant = parse_instant(text, "start") or parse_local(text, "start", zone, Dst.ONCE)
        # A start that is a duration from now is never past, and so `start` is one tick before it.
        return self.start + _TICK if instant is None else instant

    def _bounded(self, due: datetime | None) -> datetime | None:
        return None if due is None or (self.until is not None and due > self.until) else due


def parse_schedule(text: ScheduleText, syntax: str, now: datetime, zones: Zones) -> Schedule:
    """Understand ``text``, received at ``now``; ``zones`` gives the zone of a name, or ``None``.

    The rules of combination and their messages are Dapr's: diagridio/go-etcd-cron internal/scheduler/builder.go.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``.
    """
    when = None if text.schedule is None else _compile(text.schedule, syntax, zones, text.zone, text.dst)
    first = when if isinstance(when, datetime) else None
    recurrence = None if isinstance(when, datetime) else when
    _check_combination(text, recurrence, first)
    if syntax != "dapr":
        return _bounded_schedule(text, syntax, now, zones, when)
    if text.start_at is not None or text.until_at is not None:
        raise _invalid("a schedule of Dapr's takes no start and no until: its due time and ttl are these")
    if text.due_time is not None:
        first = parse_moment(text.due_time, "due time", now)
    until = None if text.ttl is None else parse_moment(text.ttl, "ttl", now if first is None else first)
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
    text: str | None, syntax: str, zones: Zones, zone: str | None = None, dst: str | None = None
) -> Recurrence | None:
    """The recurrence of a ``schedule`` that was accepted before; ``None`` where there is none or it is one instant.

    What is counted from a beginning and names none is counted from 1970 until a ``Schedule`` holds it.

    Raises:
        WakefulError: ``INVALID_SCHEDULE``, above all where the zone is no longer known.
    """
    when = None if text is None else _compile(text, syntax, zones, zone, dst)
    return None if isinstance(when, datetime) else when


def _compile(text: str, syntax: str, zones: Zones, zone: str | None, dst: str | None) -> Recurrence | datetime:
    if syntax not in SYNTAXES:
        raise _invalid(f"unknown schedule syntax {syntax[:100]!r}: {', '.join(SYNTAXES)} are known")
    if len(text) > TEXT_LIMIT:
        raise _invalid(f"a schedule of {len(text)} characters is too long: at most {TEXT_LIMIT} are allowed")
    # What follows repeats parts of the text, and half a surrogate pair could not even be sent back.
    if not "".join(text.split()).isprintable():
        raise _invalid(f"a schedule must be printable text: {text[:100]!r}")
    return SYNTAXES[syntax](text, zones, zone, dst)


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


def _bounded_schedule(
    text: ScheduleText, syntax: str, now: datetime, zones: Zones, when: Recurrence | datetime | None
) -> Schedule:
    """A schedule from ``start_at`` through ``until_at``; these are refused where they say nothing or contradict."""
    recurrence = None if isinstance(when, datetime) else when
    _check_bounds(text, recurrence)
    zone = None if text.zone is None else named_zone(text.zone, zones)
    if zone is None and recurrence is not None and recurrence.zone is not UTC:
        zone = recurrence.zone
    first = when if isinstance(when, datetime) else None
    if text.due_time is not None:
        first = parse_bound(text.due_time, "due time", now, zone)
    start, until = now, None
    if text.start_at is not None:
        start = max(now, parse_bound(text.start_at, "start", now, zone) - _TICK)
    if text.until_at is not None:
        until = parse_bound(text.until_at, "until", now, zone)
    elif text.ttl is not None:
        until = parse_moment(text.ttl, "ttl", now if first is None else first, parse_duration)
    schedule = Schedule(recurrence, start, first, until, text.repeats, text, syntax)
    if schedule.first_due() is None:
        due = first if schedule.recurrence is None else first or schedule.recurrence.next_after(start)
        would = "it has no time" if due is None else f"its first time would be {_text(due)},"
        end = "" if until is None else f", and it ends at {_text(until)}"
        raise _invalid(f"this schedule can never be due: {would} after {_text(start)}{end}")
    return schedule


def _check_bounds(text: ScheduleText, recurrence: Recurrence | None) -> None:
    if recurrence is None and (text.start_at is not None or text.until_at is not None):
        raise _invalid("a single instant has no start and no until: leave them out")
    if recurrence is None and text.dst is not None and text.schedule is None:
        raise _invalid("a due time has no dst policy: leave dst out")
    if text.start_at is not None and text.due_time is not None:
        raise _invalid("start and due time both say when to begin: leave out one of them")
    if text.until_at is not None and text.ttl is not None:
        raise _invalid("until and ttl both say when to end: leave out one of them")
    if text.repeats is not None and recurrence is not None and recurrence.runs is not None:
        raise _invalid(f"the schedule itself says {recurrence.runs} times: leave out one of the two")


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _invalid(message: str) -> WakefulError:
    return WakefulError(ErrorCode.INVALID_SCHEDULE, message)
