"""How the Dapr CLI shows jobs of the scheduler: its columns, and the same as JSON and YAML. Pure.

dapr/cli pkg/scheduler/list.go.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from wakeful.core.job import JobRecord
from wakeful.faces.cli.scheduler_keys import name_of
from wakeful.faces.cli.text import as_json, table

Output = Literal["short", "wide", "json", "yaml"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Shown:
    """One job as the Dapr CLI knows it; instants are cut to whole seconds."""

    namespace: str
    name: str
    begin: datetime
    expiration: datetime | None
    schedule: str | None
    due_time: str | None
    ttl: str | None
    repeats: int | None
    count: int
    last_trigger: datetime | None


def shown(record: JobRecord) -> Shown | None:
    """What is shown of a job; ``None`` if neither an app nor an actor owns it."""
    name = name_of(record.job.key)
    if name is None:
        return None
    schedule, given = record.job.schedule, record.job.schedule.given
    last = None if record.last_run is None else _second(record.last_run.scheduled_for)
    return Shown(
        record.job.key.namespace,
        name,
        _second(schedule.first or schedule.start),
        None if schedule.until is None else _second(schedule.until),
        given.schedule,
        given.due_time,
        given.ttl,
        given.repeats,
        record.succeeded + record.failed,
        last,
    )


def render(jobs: Sequence[Shown], output: Output, now: datetime) -> str:
    """The jobs, in one of the four forms."""
    if output == "json":
        return as_json([_fields(job) for job in jobs])
    if output == "yaml":
        return "\n".join(_yaml(_fields(job)) for job in jobs)
    if output == "short":
        rows = [(job.name, ago(job.begin, now), str(job.count), ago(job.last_trigger, now)) for job in jobs]
        return table(("NAME", "BEGIN", "COUNT", "LAST TRIGGER"), rows, "")
    head = ("NAMESPACE", "NAME", "BEGIN", "EXPIRATION", "SCHEDULE", "DUE TIME", "TTL", "REPEATS", "COUNT")
    return table((*head, "LAST TRIGGER"), [[_cell(value) for value in astuple(job)] for job in jobs], "")


def ago(instant: datetime | None, now: datetime) -> str:
    """How far away an instant is, in its largest unit: ``+3s``, ``-12m``."""
    if instant is None:
        return ""
    distance = instant - now
    seconds = abs(distance) // timedelta(seconds=1)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{'+' if distance > timedelta() else '-'}{seconds // size}{unit}"


def _second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return _rfc3339(value) if isinstance(value, datetime) else str(value)


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _fields(job: Shown) -> dict[str, Any]:
    fields = {
        "namespace": job.namespace,
        "name": job.name,
        "begin": job.begin,
        "expiration": job.expiration,
        "schedule": job.schedule,
        "dueTime": job.due_time,
        "ttl": job.ttl,
        "repeats": job.repeats,
        "count": job.count,
    }
    # As Dapr's CLI, which leaves out only this one.
    return fields if job.last_trigger is None else {**fields, "lastTrigger": job.last_trigger}


def _yaml(fields: dict[str, Any]) -> str:
    """One item of a list; JSON's texts and numbers are YAML's too."""
    lines = [
        f"{name}: {msgspec.json.encode(value).decode()}" for name, value in fields.items() if value not in (None, 0)
    ]
    return "- " + "\n  ".join(lines)
