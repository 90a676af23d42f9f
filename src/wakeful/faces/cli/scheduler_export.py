"""Jobs as JSON lines, whole, and back: what ``wakeful scheduler export`` and ``import`` write and read. Pure."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from wakeful.core.codec import Columns, Decoder, encode_definition
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import Calendar, Job, JobRecord, JobState
from wakeful.core.schedule import Schedule

FIRST_LINE = '{"wakeful_export":1}'


class Line(msgspec.Struct, omit_defaults=True):
    """One job of an export."""

    namespace: str
    owner: str
    name: str
    state: JobState
    queue: str
    definition: msgspec.Raw
    priority: int = 0
    pause_after: int | None = None
    data: str | None = None
    next_due_at: datetime | None = None
    remaining: int | None = None
    note: str | None = None


def exportable(record: JobRecord) -> bool:
    """Whether there is something of the job still to come: not if it is over but for its last run."""
    return record.state in (JobState.ACTIVE, JobState.PAUSED) and (
        record.next_due_at is not None or record.job.schedule.recurrence is None
    )


def line_of(record: JobRecord) -> str:
    """The line of a job."""
    job = record.job
    line = Line(
        namespace=job.key.namespace,
        owner=job.key.owner,
        name=job.key.name,
        state=record.state,
        queue=job.queue,
        definition=msgspec.Raw(encode_definition(job).encode()),
        priority=job.priority,
        pause_after=job.pause_after,
        data=None if job.data is None else b64encode(job.data.body).decode(),
        next_due_at=record.next_due_at,
        remaining=record.remaining,
        note=record.note,
    )
    return msgspec.json.encode(line).decode()


class Importer:
    """Makes jobs of lines; ``calendars`` are those that they may name."""

    def __init__(self, decoder: Decoder, calendars: Mapping[str, Calendar], now: datetime) -> None:
        decoder.use_calendars(calendars, None)
        self._decoder = decoder
        self._now = now

    def job(self, number: int, text: str) -> tuple[Job, Line]:
        """The job of a line, so that it goes on where it stood; ``number`` is the line's, for errors.

        Raises:
            WakefulError: ``INVALID_JOB``.
        """
        try:
            line = msgspec.json.decode(text, type=Line)
            columns = Columns(
                definition=bytes(line.definition).decode(),
                namespace=line.namespace,
                owner=line.owner,
                name=line.name,
                queue=line.queue,
                priority=line.priority,
                pause_after=line.pause_after,
                data=None if line.data is None else b64decode(line.data, validate=True),
            )
            job = self._decoder.job(number, columns)
            self._check_calendars(job, columns.definition)
            return replace(job, schedule=self._going_on(job.schedule, line)), line
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, WakefulError) as error:
            raise WakefulError(ErrorCode.INVALID_JOB, f"line {number} is no job: {error}") from None

    def _check_calendars(self, job: Job, definition: str) -> None:
        named = set(msgspec.json.decode(definition).get("calendars", ()))
        missing = named - {calendar.name for calendar in job.calendars}
        if missing:
            raise ValueError(f"it names calendars that are not here: {', '.join(sorted(missing))}")

    def _going_on(self, schedule: Schedule, line: Line) -> Schedule:
        """The schedule from what was next on: what passed before the export does not come again."""
        if schedule.recurrence is None or line.next_due_at is None:
            return schedule
        following: datetime | None = line.next_due_at
        if line.state is JobState.PAUSED and line.next_due_at <= self._now:
            # What passes during a pause is skipped when the job is resumed; and it is paused only after it is stored.
            following = schedule.recurrence.next_after(self._now)
        given = replace(schedule.given, repeats=line.remaining)
        return replace(schedule, first=following, repeats=line.remaining, given=given)
