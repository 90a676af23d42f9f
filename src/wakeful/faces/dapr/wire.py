"""One HTTP request in, one answer out, over ASGI; nothing here knows what a job is."""

import re
from collections.abc import Iterable
from hmac import compare_digest
from urllib.parse import quote, unquote_to_bytes

from starlette.types import Receive, Scope, Send

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.dapr.answers import Answer, Refused, malformed

# daprd's own limit: --max-body-size, 4Mi.
BODY_LIMIT = 4 * 1024 * 1024

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_EMPTY_BODY = {"type": "http.response.body", "body": b""}


class ClientGone(Exception):  # noqa: N818 - nobody is left to be told
    """The caller went away before the body was complete."""


def segments(scope: Scope) -> list[bytes]:
    """The path's parts, still encoded: an escaped slash belongs to its part. Empty ones are left out, as in daprd."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return [part for part in raw.split(b"/") if part]


def decode(segment: bytes) -> str:
    """One part of a path as text.

    Raises:
        WakefulError: ``INVALID_NAME``, it does not decode.
    """
    if b"%" not in segment:
        return _text(segment)
    if _BAD_ESCAPE.search(segment):
        raise WakefulError(ErrorCode.INVALID_NAME, "name has a '%' that two hexadecimal digits must follow")
    return _text(unquote_to_bytes(segment))


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise WakefulError(ErrorCode.INVALID_NAME, "name is not valid UTF-8") from None


def _header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that lower-case name."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), None)


def check_token(scope: Scope, token: bytes | None) -> None:
    """Lets a request with the token pass.

    Raises:
        Refused: 401, in daprd's words (dapr pkg/api/http/middlewares.go, APITokenAuthMiddleware).
    """
    if token is not None and not compare_digest(_header(scope, b"dapr-api-token") or b"", token):
        raise Refused(Answer(401, b"invalid api token\n", b"text/plain; charset=utf-8"))


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, or nothing of it: reading stops where the limit is passed.

    Raises:
        Refused: 413.
        ClientGone: it never became complete.
    """
    declared = _header(scope, b"content-length")
    # Not to the end of the digits: their number is the caller's choice.
    if declared is not None and declared.isdigit() and int(declared[:20]) > BODY_LIMIT:
        raise Refused(_too_large())
    whole = bytearray()
    while (message := await receive())["type"] == "http.request":
        chunk: bytes = message.get("body", b"")
        if len(whole) + len(chunk) > BODY_LIMIT:
            raise Refused(_too_large())
        if not whole and not message.get("more_body", False):
            return chunk
        whole += chunk
        if not message.get("more_body", False):
            return bytes(whole)
    raise ClientGone


def _too_large() -> Answer:
    return malformed(f"it is larger than {BODY_LIMIT} bytes", 413)


async def respond(send: Send, answer: Answer) -> None:
    """Sends the answer."""
    headers = list(answer.headers)
    if answer.body:
        headers += (b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body))
    elif answer.status != 204:
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body} if answer.body else _EMPTY_BODY)
