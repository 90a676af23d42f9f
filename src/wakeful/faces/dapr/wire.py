"""One HTTP request in, one answer out, over ASGI; nothing here knows what a job is."""

import re
from collections.abc import Callable
from hmac import compare_digest
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

import msgspec
from starlette.types import Receive, Scope, Send

from wakeful.core.errors import ErrorCode, WakefulError
from wakeful.faces.asgi import BODY_LIMIT, BodyTooLargeError, header, whole_body
from wakeful.faces.dapr.answers import Answer, Refused, malformed

_T = TypeVar("_T")

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_EMPTY_BODY = {"type": "http.response.body", "body": b""}


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


def check_token(scope: Scope, token: bytes | None) -> None:
    """Lets a request with the token pass.

    Raises:
        Refused: 401, in daprd's words (dapr pkg/api/http/middlewares.go, APITokenAuthMiddleware).
    """
    if token is not None and not compare_digest(header(scope, b"dapr-api-token") or b"", token):
        raise Refused(Answer(401, b"invalid api token\n", b"text/plain; charset=utf-8"))


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body.

    Raises:
        Refused: 413.
        ClientGone: it never became complete.
    """
    declared = header(scope, b"content-length")
    # Not to the end of the digits: their number is the caller's choice.
    if declared is not None and declared.isdigit() and int(declared[:20]) > BODY_LIMIT:
        raise Refused(_too_large())
    try:
        return await whole_body(receive)
    except BodyTooLargeError:
        raise Refused(_too_large()) from None


def _too_large() -> Answer:
    return malformed(f"it is larger than {BODY_LIMIT} bytes", 413)


def read_json(body: bytes, read: Callable[[bytes], _T]) -> _T:
    """What ``read`` makes of a body that should be JSON.

    Raises:
        Refused: 400, the body is malformed.
    """
    try:
        # The decoder looks into strings only where it needs them; protojson wants all of them to be UTF-8.
        body.decode()
        return read(body)
    except UnicodeDecodeError as error:
        raise Refused(malformed(f"invalid UTF-8 at byte {error.start}")) from None
    except RecursionError:
        raise Refused(malformed("nested too deeply")) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise Refused(malformed(str(error))) from None


async def respond(send: Send, answer: Answer) -> None:
    """Sends the answer."""
    headers = list(answer.headers)
    if answer.body:
        headers += (b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body))
    elif answer.status != 204:
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body} if answer.body else _EMPTY_BODY)
