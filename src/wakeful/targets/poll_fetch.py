"""What a poll source has now: the items in what it prints or answers."""

import json
import ssl
from collections.abc import Mapping
from typing import Any

from wakeful.children import Limits, NotStartedError, run_child
from wakeful.core.redaction import redact
from wakeful.targets.poll_source import CommandAsk, PollSource, UrlAsk
from wakeful.targets.telling import told
from wakeful.targets.web import Request, WebError, ask, check_url

ANSWER_LIMIT = 4 * 1024 * 1024
_STDERR_LIMIT = 4096
_GRACE_S = 2.0
_SAID_LIMIT = 300


class PollError(Exception):
    """A source did not say what it has; the sentence says why, and has no secrets in it."""


async def fetch_items(
    source: PollSource, environment: Mapping[str, str], tls: ssl.SSLContext | None = None
) -> list[Any]:
    """Asks a source. Commands run in ``environment``, which also has the secrets that headers name.

    Raises:
        PollError: there is no answer, or no items are in it.
    """
    if isinstance(source.ask, CommandAsk):
        return await _printed(source, source.ask, environment)
    answer = await _answered(source, source.ask, environment, tls)
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise PollError(
            f"what {check_url(source.ask.url)} answered is no JSON: {told(str(error), _SAID_LIMIT)}"
        ) from None
    if not isinstance(said, list | dict):
        raise PollError(f"what {check_url(source.ask.url)} answered is neither a list nor an object")
    return _items(said, source.items)


async def _printed(source: PollSource, asked: CommandAsk, environment: Mapping[str, str]) -> list[Any]:
    limits = Limits(timeout_s=source.timeout_s, grace_s=_GRACE_S, out=ANSWER_LIMIT, err=_STDERR_LIMIT)
    program = asked.argv[0]
    try:
        ended = await run_child(asked.argv, environment, limits=limits)
    except NotStartedError as error:
        raise PollError(str(error)) from None
    if ended.timed_out:
        raise PollError(f"{program} did not end within {source.timeout_s} s")
    if ended.code:
        said = told(redact(ended.err.decode("utf-8", "replace")), _SAID_LIMIT)
        raise PollError(f"{program}: {ended.how}" + (f": {said}" if said else ""))
    if ended.out_cut:
        raise PollError(f"{program} printed more than {ANSWER_LIMIT // 1024**2} MiB")
    return _items(_meant(ended.out.decode("utf-8", "replace")), source.items)


def _meant(printed: str) -> Any:
    """What was printed: a JSON list or object; or else lines, each an item, of which some may be JSON objects."""
    said = _json(printed)
    if isinstance(said, list | dict):
        return said
    return [
        _json(line) if line.lstrip().startswith("{") else line
        for line in map(str.rstrip, printed.split("\n"))
        if line.strip()
    ]


def _json(text: str) -> Any:
    """The JSON of a text, or the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


async def _answered(
    source: PollSource, asked: UrlAsk, environment: Mapping[str, str], tls: ssl.SSLContext | None
) -> bytes:
    headers = {"accept": "application/json", **asked.headers}
    for name, variable in asked.secret_headers.items():
        value = environment.get(variable, "").strip()
        if not value:
            raise PollError(f"headers.{name}_env: the environment has no variable {variable}, or an empty one")
        headers[name] = value
    try:
        answer = await ask(Request(asked.url, headers=headers), source.timeout_s, ANSWER_LIMIT, tls)
    except (WebError, ValueError) as error:
        raise PollError(str(error)) from None
    host = check_url(asked.url)
    if not 200 <= answer.status < 300:
        raise PollError(f"HTTP {answer.status} from {host}")
    if answer.cut:
        raise PollError(f"{host} answered with more than {ANSWER_LIMIT // 1024**2} MiB")
    return answer.body


def _items(said: Any, path: tuple[str, ...]) -> list[Any]:
    """What lies at a path: a list; one object stands for a list of one, null for none."""
    for depth, name in enumerate(path):
        if isinstance(said, dict) and name in said:
            said = said[name]
        elif isinstance(said, list) and name.isdecimal() and len(name) < 10 and int(name) < len(said):
            said = said[int(name)]
        else:
            raise PollError(f"the answer has no {'.'.join(path[: depth + 1])!r}: {_described(said)}")
    if isinstance(said, list):
        return said
    return [] if said is None else [said]


def _described(said: Any) -> str:
    if isinstance(said, dict):
        return f"in its place are {told(', '.join(list(said)[:10]), _SAID_LIMIT) or 'no names'}"
    return f"in its place is a list of {len(said)}" if isinstance(said, list) else "in its place is no object"
