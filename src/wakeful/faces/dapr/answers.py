"""An HTTP answer, and the plain errors that are answers."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wakeful.faces import asgi

_ECHO_LIMIT = 200
_MESSAGE_LIMIT = 400


class Answer(NamedTuple):
    """One HTTP response; an empty body goes out without a content type. ``then`` is called once it is out."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    then: Callable[[], None] | None = None


class Refused(Exception):  # noqa: N818 - it carries an answer, not a fault
    """Ends a request with ``answer``."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def clip(text: str, limit: int = _ECHO_LIMIT) -> str:
    """So much of a text as answers and log lines show."""
    return asgi.clip(text, limit)


def simple(status: int, code: str, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error of the API itself: code and message only (dapr pkg/messages/api_error.go)."""
    body = {"errorCode": code, "message": clip(message, _MESSAGE_LIMIT)}
    return Answer(status, msgspec.json.encode(body), headers=headers)


def malformed(reason: str, status: int = 400) -> Answer:
    """The body is not what the API takes."""
    return simple(status, "ERR_MALFORMED_REQUEST", f"failed deserializing HTTP body: {reason}")
