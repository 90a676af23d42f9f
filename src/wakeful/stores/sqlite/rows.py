"""Between rows and the nouns of core."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.resources import files
from typing import Any, cast
from uuid import UUID

import apsw
import msgspec

from wakeful.core.codec import Columns, Decoder, from_us
from wakeful.core.job import Job, JobKey, JobRecord, JobState, LastRun, TargetSpec
from wakeful.core.run import Cause, Run, RunState
from wakeful.core.schedule import Schedule, ScheduleText

Row = Sequence[Any]

RUN_COLUMNS = (
    "id, job_id, seq, cause, scheduled_for, scheduled_to, instants, state, reason, queue, run_at, attempt, fence, "
    "revision, claimed_by, errors, created_at, started_at, ended_at, retry_of, holder, lease_until, result, "
    "expires_at, priority"
)


def _load_statements() -> dict[str, str]:
    text = files("wakeful.stores.sqlite").joinpath("queries.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- (\w+) --\n", text.replace("{run_columns}", RUN_COLUMNS), flags=re.MULTILINE)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: statement.replace("{job_columns}", found["job_columns"].strip()) for name, statement in found.items()}


SQL = _load_statements()


def sql(db: apsw.Connection, name: str, values: Mapping[str, Any] | None = None, where: str = "") -> list[Row]:
    """Executes a named statement; all its rows. ``where`` takes its place in those that have one."""
    statement = SQL[name].replace("{where}", where) if where else SQL[name]
    return cast(list[Row], db.execute(statement, values).fetchall())


def dumps(value: Any) -> str:
    """JSON text for ``json_each``."""
    return msgspec.json.encode(value).decode()


def after_prefix(prefix: str) -> str | None:
    """The first text, in byte order, above all that start with ``prefix``; ``None`` if there is none."""
    head = prefix.rstrip("\U0010ffff")
    if not head:
        return None
    last = ord(head[-1]) + 1
    # Surrogates are no characters: after the last one below them comes the first above.
    return head[:-1] + chr(0xE000 if last == 0xD800 else last)


def _instant(value: int | None) -> Any:
    return None if value is None else from_us(value)


def last_run(text: str | None) -> LastRun | None:
    """What ``last_run_text`` wrote."""
    if text is None:
        return None
    scheduled_for, state, attempts, ended_at = msgspec.json.decode(text)
    return LastRun(from_us(scheduled_for), state, attempts, from_us(ended_at))


def last_run_text(scheduled_for: int, state: str, attempts: int, ended_at: int) -> str:
    """The newest ended run as it lies on its job's row."""
    return dumps([scheduled_for, state, attempts, ended_at])


def names_calendars(row: Row) -> bool:
    """Whether the job of a row of ``job_columns`` is read with calendars."""
    return '"calendars"' in row[6]


def job_record(decoder: Decoder, row: Row) -> JobRecord:
    """A row of ``job_columns``.

    Raises:
        Exception: whatever the definition's decoding raises; the caller parks the job.
    """
    return _record(row, decoder.job(row[0], columns_of(row)))


def readable_or_not(decoder: Decoder, row: Row) -> JobRecord:
    """A row of ``job_columns``; of one that can't be understood, what can be told without its "when"."""
    try:
        return job_record(decoder, row)
    except Exception:
        columns, created_at = columns_of(row), from_us(row[19])
        with suppress(Exception):
            return _record(row, decoder.job_without_schedule(columns, created_at))
        schedule = Schedule(None, created_at, None, None, None, ScheduleText(), "crontab")
        key = JobKey(columns.namespace, columns.owner, columns.name)
        return _record(row, Job(key, schedule, TargetSpec("unknown", ""), columns.queue, priority=columns.priority))


def columns_of(row: Row) -> Columns:
    """What of a row of ``job_columns`` a job is made of."""
    return Columns(row[6], row[1], row[2], row[3], row[8], row[21], row[22], row[7])


def _record(row: Row, job: Job) -> JobRecord:
    return JobRecord(
        id=row[0],
        job=job,
        revision=row[4],
        state=JobState(row[5]),
        next_due_at=_instant(row[10]),
        seq=row[11],
        active=row[12],
        succeeded=row[13],
        failed=row[14],
        not_run=row[15],
        busy_at=_instant(row[16]),
        free_at=_instant(row[17]),
        last_run=last_run(row[18]),
        created_at=from_us(row[19]),
        ended_at=_instant(row[20]),
        note=row[23],
        updated_at=from_us(row[24]),
        paused_at=_instant(row[25]),
        resumed_at=_instant(row[26]),
        asked=row[27],
        busy_before=() if row[28] is None else _busy_before(row[28]),
    )


def _busy_before(text: str) -> tuple[tuple[datetime, datetime], ...]:
    return tuple((from_us(busy_at), from_us(free_at)) for busy_at, free_at in msgspec.json.decode(text))


def run_of(row: Row) -> Run:
    """A row of ``RUN_COLUMNS``."""
    return Run(
        id=UUID(bytes=row[0]),
        job_id=row[1],
        seq=row[2],
        cause=Cause(row[3]),
        scheduled_for=from_us(row[4]),
        scheduled_to=_instant(row[5]),
        instants=row[6],
        state=RunState(row[7]),
        reason=row[8],
        queue=row[9],
        run_at=_instant(row[10]),
        attempt=row[11],
        fence=row[12],
        revision=row[13],
        claimed_by=row[14],
        errors=() if row[15] is None else tuple(_error(error) for error in msgspec.json.decode(row[15])),
        created_at=from_us(row[16]),
        started_at=_instant(row[17]),
        ended_at=_instant(row[18]),
        retry_of=None if row[19] is None else UUID(bytes=row[19]),
        holder=row[20],
        lease_until=_instant(row[21]),
        result=row[22],
        expires_at=_instant(row[23]),
        priority=row[24],
    )


def _error(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "at": from_us(error["at"])}
