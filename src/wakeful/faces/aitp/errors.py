"""Errors as FastAPI shows them: ``{"detail": …}``, and for what a request says wrongly a list of its fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces import asgi

STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.INVALID_NAME: 422,
    ErrorCode.INVALID_SCHEDULE: 422,
    ErrorCode.INVALID_JOB: 422,
    ErrorCode.JOB_EXISTS: 409,
    ErrorCode.JOB_NOT_FOUND: 404,
    ErrorCode.RUN_NOT_FOUND: 404,
    ErrorCode.STALE_REVISION: 409,
    ErrorCode.STORE_UNAVAILABLE: 503,
    ErrorCode.STORE_UNUSABLE: 503,
}

_ECHO_LIMIT = 100


class Refused(Exception):  # noqa: N818 - it carries an answer, not a fault
    """Ends a request with a status and a ``detail``."""

    def __init__(self, status: int, detail: object, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers


class WrongFieldError(ValueError):
    """A field that can't be what it is; ``name`` where it is not the field that is being read."""

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


def problem(place: str, name: str | int, kind: str, message: str) -> dict[str, Any]:
    """One entry of a 422's ``detail``, in FastAPI's shape; ``place`` is ``body``, ``query`` or ``path``."""
    shown = name if isinstance(name, int) else clip(name)
    return {"type": kind, "loc": [place, shown], "msg": message}


def within(way: Sequence[str | int], found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same entries, of what lies inside of something: ``way`` leads to it."""
    return [{**each, "loc": [each["loc"][0], *way, *each["loc"][1:]]} for each in found]


def wrong_field(place: str, name: str, message: str) -> Refused:
    """422 because of one field."""
    return Refused(422, [problem(place, name, "value_error", message)])


def problems(found: Sequence[dict[str, Any]]) -> Refused:
    """422 because of several."""
    return Refused(422, list(found))


def refused(error: WakefulError) -> Refused:
    """The answer to an error of the scheduler's."""
    return Refused(STATUS[error.code], clip(error.message, 500))


def clip(text: str, limit: int = _ECHO_LIMIT) -> str:
    """So much of a text as answers show."""
    return asgi.clip(text, limit)
