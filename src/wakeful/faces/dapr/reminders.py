"""Reminders of actors, whichever protocol they are asked for by: a reminder is a job that an actor owns."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from wakeful.core.duration import parse_go_duration, parse_iso_duration
from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import (
    Catchup,
    Data,
    Job,
    JobKey,
    JobRecord,
    Overlap,
    RetryPolicy,
    TargetSpec,
    actor_queue,
    check_name,
)
from wakeful.core.ports import JobQuery, Put
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.faces.dapr.answers import clip
from wakeful.faces.dapr.errors import CAUSES
from wakeful.faces.dapr.go_duration import go_duration
from wakeful.faces.dapr.jobs import DEFAULT_RETRY, UINT32_MAX, Zones
from wakeful.faces.dapr.sidecar import RESERVED_TYPES, Sidecar
from wakeful.scheduler import Scheduler

_TEXT_LIMIT = 400
_SHORTEST = timedelta(milliseconds=1)
_REPEATS = re.compile(r"R(-?[0-9]{1,10})/")


class Fault(Enum):
    """What goes wrong with reminders: Dapr's code, HTTP status, gRPC code and message.

    From dapr pkg/api/errors/actor.go; the two deletes and the list have one code there too.
    """

    TYPE_RESERVED = (
        "ERR_ACTOR_TYPE_RESERVED",
        403,
        "PermissionDenied",
        'actor type "{}" is reserved for the Dapr workflow runtime; direct actor API access is not permitted',
    )
    NON_HOSTED = (
        "ERR_ACTOR_REMINDER_NON_HOSTED",
        403,
        "PermissionDenied",
        "operations on actor reminders are only possible on hosted actor types",
    )
    BAD_REQUEST = ("ERR_BAD_REQUEST", 400, "InvalidArgument", "invalid request: {}")
    CREATE = ("ERR_ACTOR_REMINDER_CREATE", 500, "Internal", "error creating actor reminder: {}")
    ALREADY_EXISTS = ("ERR_ACTOR_REMINDER_ALREADY_EXISTS", 409, "AlreadyExists", "actor reminder already exists: {}")
    GET = ("ERR_ACTOR_REMINDER_GET", 500, "Internal", "error getting actor reminder: {}")
    NOT_FOUND = ("ERR_ACTOR_REMINDER_NOT_FOUND", 404, "NotFound", "actor reminder not found: {}")
    DELETE = ("ERR_ACTOR_REMINDER_DELETE", 500, "Internal", "error deleting actor reminder: {}")


class ReminderError(Exception):
    """Ends a request about reminders. ``code`` is Dapr's, ``status`` HTTP's, ``grpc`` the name of gRPC's code.

    With ``metadata`` it has details.
    """

    def __init__(self, fault: Fault, what: str = "", metadata: Mapping[str, str] | None = None) -> None:
        self.fault = fault
        self.metadata = metadata
        self.code, self.status, self.grpc, message = fault.value
        self.message = message.format(clip(what, _TEXT_LIMIT))
        super().__init__(self.message)


@dataclass(frozen=True, slots=True)
class ReminderRequest:
    """What to remind an actor of, and when, as the caller wrote it; an empty text is one that was not given.

    ``data`` is JSON, or the bytes of a gRPC caller, which become a JSON string of base64. Without a ``retry`` it is
    Dapr's: three times, each a second after the one before was due.
    """

    actor_type: str
    actor_id: str
    name: str
    due_time: str = ""
    period: str = ""
    ttl: str = ""
    data: Data | bytes | None = None
    overwrite: bool = True
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True)
class Reminder:
    """A stored reminder; ``period`` is the schedule that Dapr makes of it, ``due_time`` and ``ttl`` are as given."""

    actor_type: str
    actor_id: str
    name: str
    due_time: str
    period: str
    ttl: str
    data: Data | None


class Reminders:
    """The reminders of the types of actors that this sidecar's app hosts.

    Every method raises ``ReminderError``: ``TYPE_RESERVED``, ``NON_HOSTED``, ``BAD_REQUEST``, and what its own text
    says.
    """

    def __init__(self, scheduler: Scheduler, sidecar: Sidecar, zones: Zones) -> None:
        self._scheduler = scheduler
        self._sidecar = sidecar
        self._zones = zones

    async def register(self, asked: ReminderRequest) -> None:
        """Stores a reminder in place of one of that name, or, without ``overwrite``, if there is none.

        Raises:
            ReminderError: ``ALREADY_EXISTS``, or ``CREATE``.
        """
        key = await self._key(asked.actor_type, asked.actor_id, asked.name)
        how = Put.REPLACE if asked.overwrite else Put.CREATE
        try:
            now = self._scheduler.now()
            schedule = parse_schedule(_schedule_text(asked), "dapr", now, self._zones)
            job = Job(
                key=key,
                schedule=schedule,
                target=TargetSpec("actor", f"{asked.actor_type}/{asked.actor_id}", self._options(asked)),
                queue=actor_queue(key.namespace, asked.actor_type),
                data=_json(asked.data),
                retry=asked.retry or DEFAULT_RETRY,
                overlap=Overlap.QUEUE_ALL,
                catchup=Catchup.ALL,
            )
            await self._scheduler.put(job, how, now)
        except WakefulError as error:
            if error.code is ErrorCode.JOB_EXISTS:
                raise ReminderError(Fault.ALREADY_EXISTS, asked.name) from None
            raise ReminderError(Fault.CREATE, _passed_on(error)) from None

    async def get(self, actor_type: str, actor_id: str, name: str) -> Reminder:
        """The reminder of that name.

        Raises:
            ReminderError: ``NOT_FOUND``, or ``GET``.
        """
        key = await self._key(actor_type, actor_id, name)
        try:
            record = await self._scheduler.get(key)
        except WakefulError as error:
            raise ReminderError(Fault.GET, _passed_on(error)) from None
        if record is None:
            raise ReminderError(Fault.NOT_FOUND, name)
        return _shown(record)

    async def delete(self, actor_type: str, actor_id: str, name: str) -> None:
        """Ends the reminder of that name, if there is one.

        Raises:
            ReminderError: ``DELETE``.
        """
        key = await self._key(actor_type, actor_id, name)
        await self._end(JobQuery(key.namespace, key.owner, key.name))

    async def list(self, actor_type: str, actor_id: str | None = None) -> Sequence[Reminder]:
        """All reminders of one actor, or of all actors of the type, in byte order of id and name.

        Raises:
            ReminderError: ``GET``.
        """
        query = await self._query(actor_type, actor_id)
        try:
            return [_shown(record) async for record in self._scheduler.all_jobs(query)]
        except WakefulError as error:
            raise ReminderError(Fault.GET, _passed_on(error)) from None

    async def delete_all(self, actor_type: str, actor_id: str | None = None) -> None:
        """Ends all reminders of one actor, or of all actors of the type.

        Raises:
            ReminderError: ``DELETE``.
        """
        await self._end(await self._query(actor_type, actor_id))

    async def _end(self, query: JobQuery) -> None:
        try:
            await self._scheduler.delete(query)
        except WakefulError as error:
            raise ReminderError(Fault.DELETE, _passed_on(error)) from None

    async def _key(self, actor_type: str, actor_id: str, name: str) -> JobKey:
        await self._check_hosted(actor_type)
        _check(actor_id)
        return JobKey(self._sidecar.namespace, f"actor/{actor_type}/{actor_id}", _check(name))

    async def _query(self, actor_type: str, actor_id: str | None) -> JobQuery:
        await self._check_hosted(actor_type)
        if actor_id is not None:
            return JobQuery(self._sidecar.namespace, f"actor/{actor_type}/{_check(actor_id)}")
        return JobQuery(self._sidecar.namespace, owner_prefix=f"actor/{actor_type}/")

    async def _check_hosted(self, actor_type: str) -> None:
        check_type(actor_type)
        # A type with a '/' is hosted by nobody: none is taken from an app.
        if actor_type not in self._sidecar.actor_types():
            await self._sidecar.ask_app()
            if actor_type not in self._sidecar.actor_types():
                raise ReminderError(Fault.NON_HOSTED)

    def _options(self, asked: ReminderRequest) -> dict[str, str]:
        given = {"due_time": asked.due_time, "period": asked.period, "ttl": asked.ttl}
        return {"app_id": self._sidecar.app_id} | {name: text for name, text in given.items() if text}


def check_type(actor_type: str) -> None:
    """Lets all types pass that may be an app's; Dapr checks this before it looks at anything else.

    Raises:
        ReminderError: ``TYPE_RESERVED``.
    """
    if actor_type.startswith(RESERVED_TYPES):
        raise ReminderError(Fault.TYPE_RESERVED, actor_type, {"actorType": clip(actor_type, _TEXT_LIMIT)})


def _check(name: str) -> str:
    try:
        return check_name(name)
    except WakefulError as error:
        raise ReminderError(Fault.BAD_REQUEST, error.message) from None


def _schedule_text(asked: ReminderRequest) -> ScheduleText:
    """The job's "when" (dapr pkg/actors/internal/scheduler/scheduler.go, scheduleFromPeriod)."""
    schedule, repeats = _recurrence(asked.period) if asked.period else (None, None)
    return ScheduleText(schedule, asked.due_time or None, asked.ttl or None, repeats)


def _recurrence(period: str) -> tuple[str, int | None]:
    prefix = _REPEATS.match(period)
    repeats = int(prefix[1]) if prefix else -1
    written = period[prefix.end() :] if prefix else period
    interval = _interval(written)
    if interval is None or repeats > UINT32_MAX:
        raise WakefulError(ErrorCode.INVALID_SCHEDULE, f"unsupported period format: {period[:100]}")
    # One that is too short is about to be refused: in the words that were written, not in rounded ones.
    shown = written if timedelta() < abs(interval) < _SHORTEST else go_duration(interval)
    # R0/ and R-1/ set no bound, as in Dapr.
    return f"@every {shown}", repeats if repeats > 0 else None


def _interval(text: str) -> timedelta | None:
    """Hours, minutes and seconds, in Go's or in ISO 8601's words; ``None`` for anything else."""
    try:
        if text[:1] != "P":
            return parse_go_duration(text)
        duration = parse_iso_duration(text)
    except WakefulError:
        return None
    return None if duration.years or duration.months or duration.days else duration.time


def _json(data: Data | bytes | None) -> Data | None:
    return Data("json", b'"' + b64encode(data) + b'"') if isinstance(data, bytes) else data


def _shown(record: JobRecord) -> Reminder:
    key, given = record.job.key, record.job.schedule.given
    _, actor_type, actor_id = key.owner.split("/", 2)
    return Reminder(
        actor_type=actor_type,
        actor_id=actor_id,
        name=key.name,
        due_time=given.due_time or "",
        period=given.schedule or "",
        ttl=given.ttl or "",
        data=record.job.data,
    )


def _passed_on(error: WakefulError) -> str:
    """The scheduler's refusal in daprd's words; a period is refused by daprd itself."""
    if error.message.startswith("unsupported period format"):
        return error.message
    code, before = CAUSES[error.code]
    return f"rpc error: code = {code} desc = {before}{error.message}"
