"""Poll sources of the configuration, and what they say when they are asked."""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.far_sides import Reply
from wakeful.targets import poll_fetch
from wakeful.targets.poll_conditions import parse_condition
from wakeful.targets.poll_fetch import PollError, fetch_items
from wakeful.targets.poll_source import CommandAsk, PollSource, UrlAsk, parse_source, read_source

pytestmark = pytest.mark.slow

Open = Callable[..., Any]
PATH = {"PATH": os.environ["PATH"]}
COMMAND: dict[str, Any] = {"type": "command", "command": ["glab", "mr", "list", "--output", "json"]}
URL: dict[str, Any] = {"type": "url", "url": "https://example.org/api"}


def test_a_command_is_read() -> None:
    source = read_source({**COMMAND, "condition": "count > 3", "timeout_seconds": 60})
    assert source.ask == CommandAsk(("glab", "mr", "list", "--output", "json"))
    assert (source.condition, source.items, source.timeout_s) == (parse_condition("count > 3"), (), 60)
    assert read_source(COMMAND).condition == parse_condition("any")
    assert read_source(COMMAND).timeout_s == 30


def test_a_url_is_read() -> None:
    headers = {"accept": "application/vnd.x+json", "PRIVATE-TOKEN_env": "GITLAB_TOKEN"}
    source = read_source({**URL, "headers": headers, "items": "data.0.items"})
    plain, secret = {"accept": "application/vnd.x+json"}, {"PRIVATE-TOKEN": "GITLAB_TOKEN"}
    assert source.ask == UrlAsk("https://example.org/api", plain, secret)
    assert source.items == ("data", "0", "items")


@pytest.mark.parametrize(
    "section",
    [{**COMMAND, "condition": "age > 3d", "items": "a.b"}, {**URL, "headers": {"X-Token_env": "T"}, "note": "ü"}],
)
def test_a_source_is_kept_as_text(section: dict[str, Any]) -> None:
    source = read_source(section)
    assert parse_source(source.text) == source
    # As the configuration has it, whoever writes it as JSON.
    assert parse_source(json.dumps(section)) == source


def test_what_nobody_reads_is_warned_of() -> None:
    assert read_source({**COMMAND, "conditon": "any"}).warnings == (
        "conditon: nobody reads this key: did you mean 'condition'?",
    )
    assert not read_source({**URL, "headers": {"a": "b"}}).warnings


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("x", "must be an object in braces"),
        ({}, 'type: must be "command" or "url"'),
        ({"type": "shell"}, 'type: must be "command" or "url"'),
        (
            {"type": "gitlab_mr_list", "args": {"project": "x"}},
            "type: gitlab_mr_list needs tools that are not here: write "
            '{"type": "command", "command": ["glab", "mr", "list", "--output", "json"]} or the like',
        ),
        (
            {"type": "jira_search"},
            "type: jira_search needs tools that are not here: write "
            '{"type": "command", "command": ["jira", "issue", "list", "--raw"]} or the like',
        ),
        *(
            (
                {"type": "command", "command": command},
                'command: must be a list of 1 to 100 texts, such as ["glab", "mr", "list", "--output", "json"]: '
                "no shell reads it",
            )
            for command in (None, "glab mr list", [], ["x"] * 101)
        ),
        (
            {"type": "command", "command": ["x", 7]},
            "command: each argument must be a text of at most 8192 characters",
        ),
        (
            {"type": "command", "command": ["x", "\0"]},
            "command: each argument must be a text of at most 8192 characters",
        ),
        ({"type": "command", "command": [" "]}, "command: the first text must be the name of a program"),
        ({**COMMAND, "condition": "count"}, "condition: must be any, count > 3 or age > 2d, not 'count'"),
        ({**COMMAND, "items": "a..b"}, "items: must be names with dots between them, such as data.items"),
        ({**COMMAND, "timeout_seconds": 0}, "timeout_seconds: must be a whole number from 1 to 300"),
        ({"type": "url"}, "url: missing: write what to ask, such as https://example.org/api/items"),
        ({**URL, "url": "example.org"}, "url: must be a URL that begins with http:// or https://"),
        (
            {**URL, "url": "http://example.org", "headers": {"x-token_env": "T"}},
            "url: must begin with https://: over http:// everybody on the way could read the secret",
        ),
        ({**URL, "headers": []}, "headers: must be an object in braces"),
        ({**URL, "headers": {"a b": "x"}}, "headers.a b: this can't be the name of a header of yours"),
        ({**URL, "headers": {"Host": "x"}}, "headers.Host: this can't be the name of a header of yours"),
        ({**URL, "headers": {"x": "ü"}}, "headers: header 'x' is not printable ASCII"),
        (
            {**URL, "headers": {"PRIVATE-TOKEN": "glpat-x"}},
            "headers.PRIVATE-TOKEN: write PRIVATE-TOKEN_env, and the name of a variable of the environment that has "
            "the value",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(section: object, sentence: str) -> None:
    with pytest.raises(ValueError) as refusal:
        read_source(section)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_text_of_a_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^the poll source is no JSON: "):
        parse_source(text)


# Commands.


def printing(text: str, **more: Any) -> PollSource:
    """A program that prints this."""
    return read_source({"type": "command", "command": ["printf", "%s", text], **more})


def python(code: str, **more: Any) -> PollSource:
    return read_source({"type": "command", "command": [sys.executable, "-S", "-c", code], **more})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("printed", "items"),
    [
        ('[{"iid": 1}, 2, "three"]', [{"iid": 1}, 2, "three"]),
        ('{"iid": 1}', [{"iid": 1}]),
        ("[]", []),
        ("", []),
        ("\n \n", []),
        ("one\r\n\n  two \nthree", ["one", "  two", "three"]),
        ("5\n6", ["5", "6"]),
        ("null", ["null"]),
        ('{"iid": 1}\n{"iid": 2}\n{broken', [{"iid": 1}, {"iid": 2}, "{broken"]),
    ],
)
async def test_a_commands_items_are_json_or_lines(printed: str, items: list[Any]) -> None:
    assert await fetch_items(printing(printed), PATH) == items


@pytest.mark.anyio
async def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    source = read_source({"type": "command", "command": ["printf", "%s\n", "$HOME", "; touch x", "`id`"]})
    assert await fetch_items(source, PATH) == ["$HOME", "; touch x", "`id`"]


@pytest.mark.anyio
async def test_a_command_has_the_environment_that_it_is_given() -> None:
    source = read_source({"type": "command", "command": ["env"]})
    items = await fetch_items(source, {**PATH, "MINE": "7"})
    assert {item.partition("=")[0] for item in items} <= {"PATH", "MINE", "WAKEFUL_CHILD"}
    assert "MINE=7" in items


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "items"),
    [("data.items", [1, 2]), ("data.one", [{"id": 3}]), ("data.none", []), ("list.1.x", [5]), ("data.text", ["t"])],
)
async def test_items_lie_at_a_path(path: str, items: list[Any]) -> None:
    said = {"data": {"items": [1, 2], "one": {"id": 3}, "none": None, "text": "t"}, "list": [0, {"x": [5]}]}
    assert await fetch_items(printing(json.dumps(said), items=path), PATH) == items


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("items", "the answer has no 'items': in its place are data, list"),
        ("data.items.x", "the answer has no 'data.items': in its place are a"),
        ("list.7", "the answer has no 'list.7': in its place is a list of 1"),
        ("list.x", "the answer has no 'list.x': in its place is a list of 1"),
        ("data.a.x", "the answer has no 'data.a.x': in its place is no object"),
    ],
)
async def test_a_path_that_leads_nowhere_is_said(path: str, why: str) -> None:
    with pytest.raises(PollError) as error:
        await fetch_items(printing('{"data": {"a": 1}, "list": [1]}', items=path), PATH)
    assert str(error.value) == why


@pytest.mark.anyio
async def test_a_command_that_fails_is_said_with_its_last_words() -> None:
    source = python("import sys; print('out'); print('no such\\nthing: token=abc', file=sys.stderr); sys.exit(3)")
    with pytest.raises(PollError) as error:
        await fetch_items(source, PATH)
    assert str(error.value) == f"{sys.executable}: exit code 3: no such thing: token=[redacted]"


@pytest.mark.anyio
async def test_a_command_that_is_not_there_is_said() -> None:
    source = read_source({"type": "command", "command": ["no-such-program-7"]})
    with pytest.raises(PollError, match=r"^can't start 'no-such-program-7': "):
        await fetch_items(source, PATH)


@pytest.mark.anyio
async def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(PollError, match=r" did not end within 1 s$"):
        await fetch_items(python("import time; time.sleep(60)", timeout_seconds=1), PATH)


@pytest.mark.anyio
async def test_a_command_that_prints_too_much_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_fetch, "ANSWER_LIMIT", 1024 * 1024)
    assert len(await fetch_items(python("print('x\\n' * 500_000)"), PATH)) == 500_000
    with pytest.raises(PollError, match=r" printed more than 1 MiB$"):
        await fetch_items(python("print('x' * 1024 * 1024)"), PATH)


# URLs.


def asking(url: str, **more: Any) -> PollSource:
    return read_source({"type": "url", "url": url, **more})


@pytest.mark.anyio
async def test_a_url_is_asked_with_its_headers(web: Open) -> None:
    side = await web({"data": {"items": [{"id": 1}]}})
    headers = {"x-page": "2", "PRIVATE-TOKEN_env": "GITLAB_TOKEN"}
    source = asking(f"{side.url}/api?state=opened", headers=headers, items="data.items")
    assert await fetch_items(source, {"GITLAB_TOKEN": "glpat-secret\n"}) == [{"id": 1}]
    (received,) = side.received
    assert received.line == "GET /api?state=opened HTTP/1.1"
    assert received.headers["PRIVATE-TOKEN"] == "glpat-secret"
    assert received.headers["x-page"] == "2"
    assert received.headers["accept"] == "application/json"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Reply(403, b"who are you?"), "HTTP 403 from {}"),
        (Reply(429), "HTTP 429 from {}"),
        (Reply(500), "HTTP 500 from {}"),
        (Reply(302, b"", (("location", "/x"),)), "HTTP 302 from {}"),
        (Reply(200, b"<html>"), "what {} answered is no JSON: Expecting value: line 1 column 1 (char 0)"),
        (Reply(200, b"\xff"), "what {} answered is no JSON: 'utf-8' codec can't decode byte 0xff in position 0: "),
        (Reply(200, b"7"), "what {} answered is neither a list nor an object"),
        (Reply(200, b"[" * 100_000), "what {} answered is no JSON: "),
        (Reply(200, b"[" + b" " * 4 * 1024 * 1024), "{} answered with more than 4 MiB"),
        (None, "no answer from {} within 1 s"),
    ],
)
async def test_an_answer_that_is_none_is_said(web: Open, answer: Any, why: str) -> None:
    side = await web(answer)
    with pytest.raises(PollError) as error:
        await fetch_items(asking(f"{side.url}/s3cret", timeout_seconds=1), PATH)
    assert str(error.value).startswith(why.format(f"127.0.0.1:{side.port}"))
    assert "s3cret" not in str(error.value)


@pytest.mark.anyio
async def test_a_secret_that_is_not_there_is_said(web: Open) -> None:
    side = await web([])
    source = asking(side.url, headers={"PRIVATE-TOKEN_env": "GITLAB_TOKEN"})
    with pytest.raises(PollError) as error:
        await fetch_items(source, {"GITLAB_TOKEN": " "})
    assert str(error.value) == (
        "headers.PRIVATE-TOKEN_env: the environment has no variable GITLAB_TOKEN, or an empty one"
    )
    with pytest.raises(PollError) as error:
        await fetch_items(source, {"GITLAB_TOKEN": "glpat-sécret"})
    assert str(error.value) == "header 'PRIVATE-TOKEN' is not printable ASCII"
    assert not side.received


@pytest.mark.anyio
async def test_no_secret_is_told(web: Open, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    side = await web(Reply(500, b"glpat-secret"))
    source = asking(f"{side.url}/s3cret", headers={"PRIVATE-TOKEN_env": "GITLAB_TOKEN"})
    with pytest.raises(PollError) as error:
        await fetch_items(source, {"GITLAB_TOKEN": "glpat-secret"})
    seen = f"{error.value} {source!r} {caplog.text}"
    assert "secret" not in seen.replace("secret_headers", "")
    assert "s3cret" not in seen
    # What is kept names the secret, and does not have it.
    assert "glpat" not in source.text
