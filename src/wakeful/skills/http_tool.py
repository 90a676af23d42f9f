"""``http_request``: one request, in bounds, through whatever does HTTP here."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from wakeful.skills.errors import ToolError, near
from wakeful.skills.results import Session, Tool

# Method, URL, headers, body, seconds; answers with status, headers, body.
Fetch = Callable[[str, str, Mapping[str, str], bytes, float], Awaitable[tuple[int, Mapping[str, str], bytes]]]

LONGEST_URL = 8 * 1024
LARGEST_BODY = 1024 * 1024
LARGEST_ANSWER = 512 * 1024
LONGEST_TIMEOUT_S = 300.0

_ARGS = ("method", "url", "headers", "json", "body", "timeout", "allow_errors")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]|[^\x00-\x7f]")
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def http_tool(fetch: Fetch | None) -> Tool:
    """The tool. It gives ``status``, ``headers`` (names in small letters), ``body`` as text, and ``json`` if it is.

    A status of 400 and above fails the step, unless ``allow_errors`` is true.
    """

    async def http_request(args: Mapping[str, Any], _: Session) -> dict[str, Any]:
        for key in args:
            if key not in _ARGS:
                raise ToolError(f"there is no argument {key!r}{near(key, _ARGS)}")
        method = str(args.get("method") or "GET").upper()
        if method not in _METHODS:
            raise ToolError(f"method must be one of {', '.join(_METHODS)}, and is {method[:40]!r}")
        url = _url(args.get("url"))
        headers, body = _headers(args.get("headers")), _body(args)
        if "json" in args:
            headers.setdefault("content-type", "application/json")
        if fetch is None:
            raise ToolError("there is no HTTP here")
        status, answered, content = await fetch(method, url, headers, body, _timeout(args.get("timeout")))
        if len(content) > LARGEST_ANSWER:
            raise ToolError(f"the answer is larger than {LARGEST_ANSWER} bytes")
        text = content.decode("utf-8", "replace")
        if status >= 400 and args.get("allow_errors") is not True:
            raise ToolError(f"{method} {_without_query(url)} was answered with {status}: {text[:300]}")
        lower = {name.lower(): value for name, value in answered.items()}
        answer: dict[str, Any] = {"status": status, "headers": lower, "body": text}
        if "json" in lower.get("content-type", ""):
            try:
                answer["json"] = json.loads(text)
            except (ValueError, RecursionError):
                answer["json"] = None
        return answer

    return http_request


def _url(url: Any) -> str:
    if not isinstance(url, str) or not url:
        raise ToolError("it needs url, a text")
    if len(url) > LONGEST_URL or _NOT_IN_URL.search(url):
        raise ToolError(f"the url must be at most {LONGEST_URL} characters of ASCII without blanks (use urlencode)")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - refused here if it is no number
    except ValueError as error:
        raise ToolError(f"the url can't be: {error}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ToolError("the url must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ToolError("a url with a name or password in it would be logged: use the header authorization")
    return url


def _without_query(url: str) -> str:
    """What may be shown: a query may hold a secret."""
    return url.partition("?")[0][:200]


def _headers(given: Any) -> dict[str, str]:
    if not isinstance(given, Mapping | None) or len(given or ()) > 100:
        raise ToolError("headers must be a map of at most 100")
    headers: dict[str, str] = {}
    for name, value in (given or {}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        if not _TOKEN.fullmatch(name):
            raise ToolError(f"{name[:40]!r} is no name of a header")
        if len(text) > 8192 or _NOT_IN_HEADER.search(text) or not text.isascii():
            raise ToolError(f"the header {name!r} must be one line of ASCII")
        headers[name.lower()] = text
    return headers


def _body(args: Mapping[str, Any]) -> bytes:
    if "json" in args and "body" in args:
        raise ToolError("json and body exclude each other")
    if "json" in args:
        body = json.dumps(args["json"]).encode()
    else:
        given = args.get("body") or ""
        body = (given if isinstance(given, str) else json.dumps(given)).encode("utf-8", "replace")
    if len(body) > LARGEST_BODY:
        raise ToolError(f"the body is larger than {LARGEST_BODY} bytes")
    return body


def _timeout(given: Any) -> float:
    if given is None:
        return 30.0
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= LONGEST_TIMEOUT_S:
        raise ToolError(f"timeout must be a number of seconds up to {LONGEST_TIMEOUT_S:g}")
    return float(given)
