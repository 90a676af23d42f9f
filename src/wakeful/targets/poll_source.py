"""Where a poll looks: at what a command prints, or at what a URL answers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wakeful.targets.fields import Fields
from wakeful.targets.http_client import header_lines
from wakeful.targets.poll_conditions import Condition, parse_condition
from wakeful.targets.web import check_private, check_url

_MOST_ARGUMENTS = 100
_ARGUMENT_LIMIT = 8192
_TIMEOUT_S, _LONGEST_S = 30, 300
_LEGACY = {
    "gitlab_mr_list": ("glab", "mr", "list", "--output", "json"),
    "jira_search": ("jira", "issue", "list", "--raw"),
}
_OURS = ("host", "connection", "content-length", "transfer-encoding")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Headers by which somebody proves who they are.
_PROOF = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CommandAsk:
    """A program with its arguments; no shell reads them."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UrlAsk:
    """A GET; ``secret_headers`` are names of variables, by the names of the headers that are to have their values."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PollSource:
    """What is asked, where its items lie in the answer, and when they are enough. ``text`` is all of it, as JSON."""

    ask: CommandAsk | UrlAsk
    condition: Condition
    items: tuple[str, ...] = ()
    timeout_s: int = _TIMEOUT_S
    text: str = field(default="", repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


def read_source(section: object) -> PollSource:
    """A poll source of the configuration; secrets are named in it, and looked up when it is asked.

    Raises:
        ValueError: the sentence begins with the key, and says what would be right.
    """
    fields = Fields(section)
    kind = fields.text("type")
    if kind in _LEGACY:
        example = json.dumps({"type": "command", "command": _LEGACY[kind]})
        raise fields.wrong("type", f"{kind} needs tools that are not here: write {example} or the like")
    if kind not in ("command", "url"):
        raise fields.wrong("type", 'must be "command" or "url"')
    ask = CommandAsk(_argv(fields)) if kind == "command" else _url(fields)
    try:
        condition = parse_condition(fields.text("condition", "any") or "any")
    except ValueError as error:
        raise fields.wrong("condition", str(error)) from None
    path = tuple((fields.text("items") or "").split(".")) if "items" in fields else ()
    if not all(path):
        raise fields.wrong("items", "must be names with dots between them, such as data.items")
    timeout_s = fields.integer("timeout_seconds", 1, _LONGEST_S, _TIMEOUT_S)
    text = json.dumps(section, ensure_ascii=False, sort_keys=True)
    return PollSource(ask, condition, path, timeout_s, text, fields.unknown())


def parse_source(text: str) -> PollSource:
    """The source of a ``text``.

    Raises:
        ValueError: it is not the text of one.
    """
    try:
        section = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the poll source is no JSON: {error}") from None
    return read_source(section)


def _argv(fields: Fields) -> tuple[str, ...]:
    argv = fields.raw("command")
    if not isinstance(argv, list) or not argv or len(argv) > _MOST_ARGUMENTS:
        what = f'must be a list of 1 to {_MOST_ARGUMENTS} texts, such as ["glab", "mr", "list", "--output", "json"]'
        raise fields.wrong("command", f"{what}: no shell reads it")
    for each in argv:
        if not isinstance(each, str) or len(each) > _ARGUMENT_LIMIT or "\0" in each:
            raise fields.wrong("command", f"each argument must be a text of at most {_ARGUMENT_LIMIT} characters")
    if not argv[0].strip():
        raise fields.wrong("command", "the first text must be the name of a program")
    return tuple(argv)


def _url(fields: Fields) -> UrlAsk:
    url = fields.text("url")
    if url is None:
        raise fields.wrong("url", "missing: write what to ask, such as https://example.org/api/items")
    headers, secret_headers = _headers(fields.part("headers"))
    try:
        (check_private if secret_headers else check_url)(url)
    except ValueError as error:
        raise fields.wrong("url", str(error)) from None
    return UrlAsk(url, headers, secret_headers)


def _headers(fields: Fields | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The headers that are written out, and those whose values the environment has."""
    plain: dict[str, str] = {}
    secret: dict[str, str] = {}
    for key in () if fields is None else fields.names():
        name = key.removesuffix("_env")
        value = (fields.text(key) if fields is not None else None) or ""
        if fields is None or not _HEADER.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"headers.{key[:100]}: this can't be the name of a header of yours")
        if key != name:
            secret[name] = value
        elif _PROOF.search(name):
            # It would stand in the store, for everybody who reads a job.
            raise fields.wrong(
                key, f"write {name}_env, and the name of a variable of the environment that has the value"
            )
        else:
            plain[name] = value
    try:
        header_lines(plain)
    except ValueError as error:
        raise ValueError(f"headers: {error}") from None
    return plain, secret
