"""What Dapr answers when a job can't be scheduled, read or deleted: status, code, message and details, by one table."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.core.job import NAME_LIMIT, JobKey
from wakeful.faces.dapr.answers import Answer, clip

_DESCRIPTION_LIMIT = 400


class Verb(Enum):
    """What was tried: the code and the words of its failures (dapr pkg/api/errors/scheduler.go)."""

    SCHEDULE = ("DAPR_SCHEDULER_SCHEDULE_JOB", "failed to schedule job due to: ")
    GET = ("DAPR_SCHEDULER_GET_JOB", "failed to get job due to: ")
    DELETE = ("DAPR_SCHEDULER_DELETE_JOB", "failed to delete job due to: ")
    LIST = ("DAPR_SCHEDULER_LIST_JOBS", "failed to list jobs due to: ")


# Each error as the scheduler service tells it to daprd: the gRPC code, and what stands before the text
# (go-etcd-cron internal/api/api.go, Add). A refusal of the scheduler's own has no code there, hence "Unknown".
CAUSES: Mapping[ErrorCode, tuple[str, str]] = {
    ErrorCode.INVALID_NAME: ("Unknown", ""),
    ErrorCode.INVALID_SCHEDULE: ("Unknown", "job failed validation: "),
    ErrorCode.INVALID_JOB: ("InvalidArgument", ""),
    ErrorCode.JOB_EXISTS: ("AlreadyExists", ""),
    ErrorCode.JOB_NOT_FOUND: ("NotFound", ""),
    ErrorCode.RUN_NOT_FOUND: ("NotFound", ""),
    ErrorCode.STALE_REVISION: ("Aborted", ""),
    ErrorCode.STORE_UNAVAILABLE: ("Unavailable", ""),
    ErrorCode.STORE_UNUSABLE: ("Internal", ""),
}
# dapr/kit grpccodes: the HTTP status of a gRPC code.
_STATUS = {
    "Unknown": 500,
    "Internal": 500,
    "InvalidArgument": 400,
    "NotFound": 404,
    "AlreadyExists": 409,
    "Aborted": 409,
    "Unavailable": 503,
}


def app_of(key: JobKey) -> str:
    """The app id in an owner ``app/<id>``."""
    return key.owner.removeprefix("app/")


def metadata_of(key: JobKey) -> dict[str, str]:
    """Whose job an error is about."""
    return {"appID": app_of(key), "namespace": key.namespace}


def detailed(status: int, code: str, message: str, metadata: Mapping[str, str]) -> Answer:
    """An error about a job, with its details (dapr/kit errors/errors.go, JSONErrorValue)."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": code,
        "domain": "dapr.io",
        "metadata": metadata,
    }
    body: dict[str, Any] = {"errorCode": code, "message": message, "details": [info]}
    return Answer(status, msgspec.json.encode(body))


def failed(verb: Verb, key: JobKey, error: WakefulError) -> Answer:
    """What the scheduler refused, as daprd passes it on."""
    code, _ = CAUSES[error.code]
    # Scheduling keeps the status of the cause; reading and deleting are always 500.
    status = _STATUS[code] if verb is Verb.SCHEDULE else 500
    return detailed(status, verb.value[0], passed_on(verb, key, error), metadata_of(key))


def passed_on(verb: Verb, key: JobKey, error: WakefulError) -> str:
    """The scheduler's refusal in daprd's words."""
    code, before = CAUSES[error.code]
    text = before + _text(key, error)
    return f"{verb.value[1]}rpc error: code = {code} desc = {text}"


def _text(key: JobKey, error: WakefulError) -> str:
    # Clients match on the first two: dapr pkg/scheduler/server/api.go. So a name that can be is never cut in them.
    match error.code:
        case ErrorCode.JOB_EXISTS:
            return f"job already exists: 'app||{key.namespace}||{_whole(app_of(key))}||{_whole(key.name)}'"
        case ErrorCode.JOB_NOT_FOUND:
            return f"job not found: {_whole(key.name)}"
        case _:
            return clip(error.message, _DESCRIPTION_LIMIT)


def _whole(name: str) -> str:
    return clip(name, NAME_LIMIT)
