"""A job's definition as text, the same in every store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from wakeful.core.job import (
    Calendar,
    Catchup,
    CountedFrom,
    Data,
    Job,
    JobKey,
    Notify,
    NotifyOn,
    Overlap,
    RetryPolicy,
    TargetSpec,
)
from wakeful.core.schedule import Recurrence, Schedule, ScheduleText, compile_recurrence

Zones = Callable[[str], ZoneInfo | None]

_GIVEN = tuple(field.name for field in fields_of(ScheduleText))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The instant, aware, UTC."""
    # Given by name, it takes half as long again.
    return _EPOCH + timedelta(0, 0, microseconds)


def encode_definition(job: Job) -> str:
    """Everything of a job but its key, queue, priority and data bytes, as JSON."""
    schedule, given, retry = job.schedule, job.schedule.given, job.retry
    fields: dict[str, Any] = {
        "syntax": schedule.syntax,
        "given": {name: value for name in _GIVEN if (value := getattr(given, name)) is not None},
        "start_us": to_us(schedule.start),
        "first_us": to_us(schedule.first) if schedule.first else None,
        "until_us": to_us(schedule.until) if schedule.until else None,
        "target": [job.target.kind, job.target.address, dict(job.target.options)],
        "data_type": job.data.type if job.data else None,
        "retry": [
            retry.max_retries,
            retry.interval // _MICROSECOND,
            retry.counted_from,
            retry.multiplier,
            _span(retry.max_interval),
            retry.jitter,
            _span(retry.max_age),
            retry.step // _MICROSECOND,
        ],
        "overlap": job.overlap,
        "max_running": job.max_running,
        "catchup": job.catchup,
        "at_most_once": job.at_most_once or None,
        "timeout_us": _span(job.timeout),
        "jitter_us": _span(job.jitter) or None,
        "catchup_window_us": _span(job.catchup_window),
        "catchup_limit": job.catchup_limit,
        "calendars": [calendar.name for calendar in job.calendars] or None,
        "notify": None if job.notify is None else [job.notify.targets, job.notify.queue, job.notify.on],
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()


def _span(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // _MICROSECOND


def _duration(microseconds: int | None) -> timedelta | None:
    return None if microseconds is None else timedelta(microseconds=microseconds)


# Jobs with more data than this are not kept in memory between their runs.
MOST_CACHED_DATA = 1024
MOST_CACHED = 4096


class Columns(NamedTuple):
    """A stored job: its definition, and what does not stand in it."""

    definition: str
    namespace: str
    owner: str
    name: str
    queue: str
    priority: int
    pause_after: int | None
    data: bytes | None


class Decoder:
    """Makes jobs of their stored definitions; recurrences are compiled once for each text.

    ``calendars`` are those known by name; the store keeps them up to date.
    """

    def __init__(self, zones: Zones) -> None:
        self.calendars: Mapping[str, Calendar] = {}
        self.calendars_read: object = None
        self._zones = zones
        self._recurrence = lru_cache(maxsize=4096)(self._compile)
        # A job that comes due again and again is made once; the columns that it was made of are compared.
        self._made: dict[int | tuple[int, int], tuple[Columns, Job]] = {}

    def use_calendars(self, calendars: Mapping[str, Calendar], read: object) -> None:
        """From now on jobs have these calendars; ``read`` is what they were made of."""
        self.calendars, self.calendars_read = calendars, read
        self._made.clear()

    def _compile(self, text: str, syntax: str, zone: str | None, dst: str | None) -> Recurrence | None:
        return compile_recurrence(text, syntax, self._zones, zone, dst)

    def job(self, known_as: int | tuple[int, int], columns: Columns) -> Job:
        """The job that ``encode_definition`` wrote; ``known_as``, an id and perhaps a revision, remembers it."""
        made = self._made.get(known_as)
        if made is not None and made[0] == columns:
            return made[1]
        fields = msgspec.json.decode(columns.definition)
        job = self._make(columns, fields, self._schedule(fields))
        if columns.data is None or len(columns.data) <= MOST_CACHED_DATA:
            if len(self._made) >= MOST_CACHED:
                self._made.clear()
            self._made[known_as] = columns, job
        return job

    def job_without_schedule(self, columns: Columns, start: datetime) -> Job:
        """The job of a definition whose schedule can't be understood: it is never due."""
        fields = msgspec.json.decode(columns.definition)
        return self._make(columns, fields, Schedule(None, start, None, None, None, ScheduleText(), "crontab"))

    def _make(self, columns: Columns, fields: dict[str, Any], schedule: Schedule) -> Job:
        kind, address, options = fields["target"]
        data_type = fields.get("data_type")
        return Job(
            key=JobKey(columns.namespace, columns.owner, columns.name),
            schedule=schedule,
            target=TargetSpec(kind, address, options),
            queue=columns.queue,
            data=None if data_type is None else Data(data_type, columns.data or b""),
            retry=_retry(fields["retry"]),
            overlap=Overlap(fields["overlap"]),
            catchup=Catchup(fields["catchup"]),
            max_running=fields["max_running"],
            at_most_once=fields.get("at_most_once", False),
            priority=columns.priority,
            timeout=_duration(fields.get("timeout_us")),
            jitter=timedelta(microseconds=fields.get("jitter_us", 0)),
            catchup_window=_duration(fields.get("catchup_window_us")),
            catchup_limit=fields.get("catchup_limit"),
            pause_after=columns.pause_after,
            calendars=tuple(self.calendars[name] for name in fields.get("calendars", ()) if name in self.calendars),
            notify=_notify(fields.get("notify")),
        )

    def _schedule(self, fields: dict[str, Any]) -> Schedule:
        given = ScheduleText(**fields["given"])
        recurrence = None
        if given.schedule is not None:
            recurrence = self._recurrence(given.schedule, fields["syntax"], given.zone, given.dst)
        first, until = fields.get("first_us"), fields.get("until_us")
        return Schedule(
            recurrence=recurrence,
            start=from_us(fields["start_us"]),
            first=None if first is None else from_us(first),
            until=None if until is None else from_us(until),
            repeats=given.repeats,
            given=given,
            syntax=fields["syntax"],
        )


def read_calendar(name: str, text: str) -> Calendar:
    """The calendar of a record: ``{"dates": ["2026-12-25", …], "keep": false}``."""
    fields = msgspec.json.decode(text)
    return Calendar(name, frozenset(date.fromisoformat(day) for day in fields["dates"]), fields.get("keep", False))


def _notify(fields: Sequence[Any] | None) -> Notify | None:
    if fields is None:
        return None
    targets, queue, on = fields
    return Notify(tuple(targets), queue, NotifyOn(on))


def _retry(fields: Sequence[Any]) -> RetryPolicy:
    # A definition of before had no steps.
    max_retries, interval_us, counted_from, multiplier, max_interval_us, jitter, max_age_us, step_us = (*fields, 0)[:8]
    return RetryPolicy(
        max_retries,
        timedelta(microseconds=interval_us),
        CountedFrom(counted_from),
        multiplier,
        _duration(max_interval_us),
        jitter,
        _duration(max_age_us),
        timedelta(microseconds=step_us),
    )
