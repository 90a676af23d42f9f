"""Dapr's job JSON, both ways: what a caller may write about a job, and how a stored job is shown."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from math import isinf
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import (
    NAME_LIMIT,
    Catchup,
    CountedFrom,
    Data,
    Job,
    JobKey,
    JobRecord,
    Overlap,
    RetryPolicy,
    TargetSpec,
    app_queue,
    check_name,
)
from wakeful.core.schedule import ScheduleText, parse_schedule
from wakeful.faces.dapr.answers import Refused, clip, simple
from wakeful.faces.dapr.errors import app_of
from wakeful.faces.dapr.wire import read_json
from wakeful.protos.values import JSON, VALUE_URL, json_of

Zones = Callable[[str], ZoneInfo | None]

_Text = str | UnsetType | None
_T = TypeVar("_T")

# Long before this a retry is no retry any more; and due + interval must stay inside the calendar.
LONGEST_INTERVAL = timedelta(days=36_500)
UINT32_MAX = 2**32 - 1
# Dapr writes its default, a constant second and three retries, into the job; so does RetryPolicy.
DEFAULT_RETRY = RetryPolicy(counted_from=CountedFrom.DUE)
NO_RETRY = RetryPolicy(0, timedelta(), CountedFrom.DUE)
# What the target remembers where no retry was asked for by `drop`.
DROP = {"failure_policy": "drop"}

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_DURATION = re.compile(r"([+-]?)((?:0|[1-9][0-9]*)?(?:\.[0-9]{0,9})?)s")
# Only numbers with so many digits, or so large an exponent, can lie beyond a double. A body is searched for them after
# every digit has become 0, E has become e and signs are gone: ten times faster than a regular expression.
_DIGITS_TO_0 = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS, _LARGE_EXPONENT = b"0" * 200, b"e000"


class _Constant(Struct):
    interval: _Text = UNSET
    max_retries: Raw = Raw()
    max_retries_json: Raw = field(name="maxRetries", default=Raw())


class _Drop(Struct):
    pass


class FailurePolicy(Struct):
    """``JobFailurePolicy`` in JSON (dapr/proto/common/v1/common.proto)."""

    constant: _Constant | None = None
    drop: _Drop | None = None


class _Target(Struct):
    app_id: _Text = UNSET
    app_id_json: _Text = field(name="appId", default=UNSET)
    method: _Text = UNSET


class _Body(Struct):
    """The fields of ``JobHTTPRequest`` (dapr/proto/internals/v1/jobs.proto) and ``target``, by both of their names."""

    schedule: str | None = None
    repeats: Raw = Raw()
    due_time: _Text = UNSET
    due_time_json: _Text = field(name="dueTime", default=UNSET)
    ttl: str | None = None
    data: Raw = Raw()
    overwrite: bool | None = None
    failure_policy: FailurePolicy | UnsetType | None = UNSET
    failure_policy_json: FailurePolicy | UnsetType | None = field(name="failurePolicy", default=UNSET)
    name: str | None = None
    target: _Target | None = None


class JobRequest(NamedTuple):
    """What a caller asked for, checked for form only. ``options`` is what the target remembers for the echo."""

    text: ScheduleText
    data: Data | None
    retry: RetryPolicy
    overwrite: bool | None
    name: str | None
    app_id: str | None
    method: str | None
    options: dict[str, str]


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_string = msgspec.json.Decoder(str).decode
_NO_FIELDS = _Body()


def decode_job(body: bytes) -> JobRequest:
    """Reads a request as protojson does: unknown fields are dropped, null is unset, integers may be strings.

    Raises:
        Refused: 400, the body is malformed.
    """
    return read_json(body, _request)


def _request(body: bytes) -> JobRequest:
    given = _decode_body(body) if body else _NO_FIELDS
    text = ScheduleText(
        schedule=given.schedule,
        due_time=one_of("dueTime", given.due_time_json, given.due_time),
        ttl=given.ttl,
        repeats=_uint32("repeats", given.repeats),
    )
    policy = one_of("failurePolicy", given.failure_policy_json, given.failure_policy)
    retry = retry_asked(policy)
    options = dict(DROP) if retry is NO_RETRY else {}
    app_id = method = None
    if given.target is not None:
        app_id = one_of("appId", given.target.app_id_json, given.target.app_id)
        method = one_of("method", given.target.method, UNSET)
        options |= {name: text for name, text in (("app_id", app_id), ("method", method)) if text is not None}
    return JobRequest(text, json_data(given.data), retry, given.overwrite, given.name, app_id, method, options)


def one_of(name: str, first: _T | UnsetType | None, second: _T | UnsetType | None) -> _T | None:
    """The value of a field that has two names.

    Raises:
        ValueError: both are given.
    """
    if first is UNSET:
        return None if second is UNSET else second
    if second is not UNSET:
        raise ValueError(f"duplicate field {name!r}")
    return first


def _uint32(name: str, raw: Raw) -> int | None:
    """protojson's uint32: a number or a string of one; a fraction only if it is none (3.0), an exponent too."""
    literal = bytes(raw).decode()
    if literal in ("", "null"):
        return None
    if literal.isdigit() and len(literal) <= 9:
        return int(literal)
    number = _decode_string(raw) if literal.startswith('"') else literal
    if len(number) <= 64 and _NUMBER.fullmatch(number) and not number.startswith("-"):
        value = Decimal(number)
        # Compared as a decimal: as an integer, 1e9999 would have ten thousand digits.
        if value <= UINT32_MAX and value == value.to_integral_value():
            return int(value)
    raise ValueError(f"invalid value for uint32 field {name}: {clip(literal)}")


def json_data(raw: Raw) -> Data | None:
    """The JSON value as it was written, without the white space: a number loses no digit here.

    Raises:
        ValueError: a number in it is beyond a double.
    """
    if not raw:
        return None
    body: bytes = msgspec.json.format(raw, indent=-1)
    shape = body.translate(_DIGITS_TO_0, b"+-")
    if _MANY_DIGITS in shape or _LARGE_EXPONENT in shape:
        json.loads(body, parse_int=_finite, parse_float=_finite)
    return Data(JSON, body)


def _finite(number: str) -> None:
    # google.protobuf.Value holds a double: what is beyond one is malformed (protojson well_known_types.go).
    if isinf(float(number)):
        raise ValueError(f"invalid google.protobuf.Value: {clip(number)}")


def retry_asked(policy: FailurePolicy | None) -> RetryPolicy:
    """What the policy means; the default without one.

    Raises:
        ValueError: it is malformed.
    """
    if policy is None or (policy.drop is None and policy.constant is None):
        return DEFAULT_RETRY
    if policy.drop is not None:
        if policy.constant is not None:
            raise ValueError("failurePolicy: drop and constant exclude each other")
        return NO_RETRY
    constant = policy.constant or _Constant()
    if constant.max_retries and constant.max_retries_json:
        raise ValueError("duplicate field 'maxRetries'")
    retries = _uint32("maxRetries", constant.max_retries_json or constant.max_retries)
    interval = constant.interval if isinstance(constant.interval, str) else "0s"
    return RetryPolicy(retries, _duration(interval), CountedFrom.DUE)


def _duration(text: str) -> timedelta:
    """A google.protobuf.Duration: seconds with up to nine decimals, and an ``s``."""
    match = _DURATION.fullmatch(text) if len(text) <= 32 else None
    if match is None or match[2] in ("", "."):
        raise ValueError(f"invalid google.protobuf.Duration value {clip(text)!r}")
    # Dapr tries again at once after a negative interval, and so does zero.
    seconds = Decimal(0) if match[1] == "-" else Decimal(match[2])
    if seconds > LONGEST_INTERVAL.days * 86_400:
        raise ValueError(f"google.protobuf.Duration value out of range: {clip(text)!r}")
    return timedelta(microseconds=int(seconds * 1_000_000))


def make_job(asked: JobRequest, key: JobKey, now: datetime, zones: Zones, *, instants: bool) -> Job:
    """The job of that key: it calls its own app's ``job/<name>``, unless the request names another target.

    ``instants`` is whether ``schedule`` may be a single instant.

    Raises:
        WakefulError: ``INVALID_SCHEDULE`` or ``INVALID_JOB``.
    """
    schedule = parse_schedule(asked.text, "dapr", now, zones)
    if asked.text.schedule is not None and schedule.recurrence is None and not instants:
        raise WakefulError(ErrorCode.INVALID_SCHEDULE, "schedule is a single instant: give it as dueTime")
    app_id = app_of(key) if asked.app_id is None else _part("target.appId", asked.app_id)
    address = f"job/{key.name}" if asked.method is None else _address(asked.method)
    return Job(
        key=key,
        schedule=schedule,
        target=TargetSpec("app", address, asked.options),
        queue=app_queue(key.namespace, app_id),
        data=asked.data,
        retry=asked.retry,
        overlap=Overlap.QUEUE_ALL,
        catchup=Catchup.ALL,
    )


def _address(method: str) -> str:
    """A method as a path below the app's base, of which it cannot leave."""
    if len(method.encode()) > NAME_LIMIT:
        raise WakefulError(ErrorCode.INVALID_JOB, f"target.method is too long: at most {NAME_LIMIT} bytes are allowed")
    return "/".join(_part("target.method", part) for part in method.removeprefix("/").split("/"))


def _part(field_name: str, part: str) -> str:
    try:
        return check_name(part)
    except WakefulError as error:
        raise WakefulError(ErrorCode.INVALID_JOB, f"{field_name}: {error.message}") from None


def encode_job(record: JobRecord, with_status: bool) -> bytes:
    """The job as protojson of ``runtime.v1.Job``; the times are the strings that were given.

    Raises:
        Refused: 500, the data is of a type that is not known here, or not of that type.
    """
    job, given = record.job, record.job.schedule.given
    shown: dict[str, Any] = {
        "name": job.key.name,
        "schedule": given.schedule,
        "repeats": given.repeats,
        "dueTime": given.due_time,
        "ttl": given.ttl,
        "data": None if job.data is None else _any(job.data),
        "failurePolicy": _policy(job),
        "target": _target(job.target.options),
    }
    if given.due_time is None and job.schedule.recurrence is None:
        # A single instant in `schedule` means `dueTime`, and is shown as both.
        shown["dueTime"] = given.schedule
    shown = {name: value for name, value in shown.items() if value is not None}
    if with_status:
        shown["status"] = _status(record)
    return msgspec.json.encode(shown)


def _any(data: Data) -> dict[str, Any]:
    if data.type == JSON:
        return {"@type": VALUE_URL, "value": Raw(data.body)}
    try:
        return json_of(data)
    except ValueError as error:
        # dapr pkg/api/http/responses.go, respondWithProto
        raise Refused(simple(500, "ERR_INTERNAL", f"failed to encode response as JSON: {error}")) from None


def drops(job: Job) -> bool:
    """Whether ``drop`` was asked for, in this word."""
    return DROP.items() <= job.target.options.items()


def _policy(job: Job) -> dict[str, Any]:
    if drops(job):
        return {"drop": {}}
    constant: dict[str, Any] = {}
    # Unset and zero are the same interval; most who want it leave it out.
    if job.retry.interval:
        constant["interval"] = _seconds(job.retry.interval)
    if job.retry.max_retries is not None:
        constant["maxRetries"] = job.retry.max_retries
    return {"constant": constant}


def _seconds(interval: timedelta) -> str:
    """Whole seconds, or three or six decimals, as protojson writes them."""
    seconds, microseconds = divmod(interval // timedelta(microseconds=1), 1_000_000)
    if microseconds % 1000:
        return f"{seconds}.{microseconds:06}s"
    return f"{seconds}.{microseconds // 1000:03}s" if microseconds else f"{seconds}s"


def _target(options: Mapping[str, str]) -> dict[str, str] | None:
    names = (("appId", "app_id"), ("method", "method"))
    return {shown: options[name] for shown, name in names if name in options} or None


def _status(record: JobRecord) -> dict[str, Any]:
    last = record.last_run
    return {
        "next_run_at": record.next_due_at,
        "last_run": last
        and {
            "scheduled_for": last.scheduled_for,
            "state": last.state,
            "attempts": last.attempts,
            "ended_at": last.ended_at,
        },
        "succeeded": record.succeeded,
        "failed": record.failed,
        "remaining": record.remaining,
    }
