"""A job's definition as text, the same in every store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from wakeful.core.job import Catchup, CountedFrom, Data, Job, JobKey, Overlap, RetryPolicy, TargetSpec
from wakeful.core.schedule import Recurrence, Schedule, ScheduleText, compile_recurrence

Zones = Callable[[str], ZoneInfo | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The instant, aware, UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def encode_definition(job: Job) -> str:
    """Everything of a job but its key, queue, ``max_running`` and data bytes, as JSON."""
    schedule, given, retry = job.schedule, job.schedule.given, job.retry
    fields: dict[str, Any] = {
        "syntax": schedule.syntax,
        "schedule": given.schedule,
        "due_time": given.due_time,
        "ttl": given.ttl,
        "repeats": given.repeats,
        "start_us": to_us(schedule.start),
        "first_us": to_us(schedule.first) if schedule.first else None,
        "until_us": to_us(schedule.until) if schedule.until else None,
        "target": [job.target.kind, job.target.address, dict(job.target.options)],
        "data_type": job.data.type if job.data else None,
        "retry": [retry.max_retries, retry.interval // _MICROSECOND, retry.counted_from],
        "overlap": job.overlap,
        "catchup": job.catchup,
        "at_most_once": job.at_most_once or None,
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()


class Decoder:
    """Makes jobs of their stored definitions; recurrences are compiled once for each text."""

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self._recurrence = lru_cache(maxsize=4096)(self._compile)

    def _compile(self, text: str, syntax: str) -> Recurrence | None:
        return compile_recurrence(text, syntax, self._zones)

    def job(self, key: JobKey, queue: str, max_running: int, definition: str, data: bytes | None) -> Job:
        """The job that ``encode_definition`` wrote."""
        fields = msgspec.json.decode(definition)
        kind, address, options = fields["target"]
        max_retries, interval_us, counted_from = fields["retry"]
        data_type = fields.get("data_type")
        return Job(
            key=key,
            schedule=self._schedule(fields),
            target=TargetSpec(kind, address, options),
            queue=queue,
            data=None if data_type is None else Data(data_type, data or b""),
            retry=RetryPolicy(max_retries, timedelta(microseconds=interval_us), CountedFrom(counted_from)),
            overlap=Overlap(fields["overlap"]),
            catchup=Catchup(fields["catchup"]),
            max_running=max_running,
            at_most_once=fields.get("at_most_once", False),
        )

    def _schedule(self, fields: dict[str, Any]) -> Schedule:
        given = ScheduleText(fields.get("schedule"), fields.get("due_time"), fields.get("ttl"), fields.get("repeats"))
        first, until = fields.get("first_us"), fields.get("until_us")
        return Schedule(
            recurrence=None if given.schedule is None else self._recurrence(given.schedule, fields["syntax"]),
            start=from_us(fields["start_us"]),
            first=None if first is None else from_us(first),
            until=None if until is None else from_us(until),
            repeats=given.repeats,
            given=given,
            syntax=fields["syntax"],
        )
