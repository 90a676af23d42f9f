"""What the faces do alike: a request's header and body over ASGI, and what is shown of a text that may be anything."""

from collections.abc import Iterable
from logging import Logger
from traceback import extract_tb

from starlette.types import Receive, Scope

# daprd's own limit: --max-body-size, 4Mi.
BODY_LIMIT = 4 * 1024 * 1024


class ClientGone(Exception):  # noqa: N818 - nobody is left to be told
    """The caller went away."""


class BodyTooLargeError(Exception):
    """A body is beyond ``BODY_LIMIT``."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that lower-case name."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), None)


async def whole_body(receive: Receive) -> bytes:
    """The whole body, or nothing of it: reading stops where the limit is passed.

    Raises:
        BodyTooLargeError: it is longer.
        ClientGone: it never became complete.
    """
    whole = bytearray()
    while (message := await receive())["type"] == "http.request":
        chunk: bytes = message.get("body", b"")
        if len(whole) + len(chunk) > BODY_LIMIT:
            raise BodyTooLargeError
        if not whole and not message.get("more_body", False):
            return chunk
        whole += chunk
        if not message.get("more_body", False):
            return bytes(whole)
    raise ClientGone


def clip(text: str, limit: int) -> str:
    """The beginning of a text that may be anything: no answer and no log line grows with its input."""
    # A lone surrogate has no UTF-8; it can come in as an escape.
    clean = text[:limit].encode("utf-8", "backslashreplace").decode()
    return clean if len(text) <= limit else clean + "…"


def log_fault(log: Logger, what: str, error: Exception, limit: int = 200) -> None:
    """A fault of ours in what was asked: one line for the log, and nothing of it is for the caller."""
    place = extract_tb(error.__traceback__)[-1]
    text = _one_line(clip(str(error), limit))
    log.error("%s failed in %s:%s: %s: %s", _one_line(what), place.filename, place.lineno, type(error).__name__, text)


def _one_line(text: str) -> str:
    return text.encode("unicode_escape").decode()
