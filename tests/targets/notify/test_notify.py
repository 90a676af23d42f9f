"""Where a notice goes, and what it says."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.claims import claim
from wakeful.core.job import Data, Notify, TargetSpec
from wakeful.core.notices import conclude
from wakeful.core.ports import Claim
from wakeful.core.run import Failed, Rejected, Succeeded
from wakeful.targets.notices.message import Message, read_message
from wakeful.targets.notices.settings import read_settings
from wakeful.targets.notify import NotifySink, validate_target

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
SLACK = {"slack": {"webhook_url": "https://example.org/x"}}
TOKEN = {"slack": {"token": "xoxb"}}
MAIL = {"email": {"host": "x", "from": "a@b"}}
APPRISE = {"apprise": {"a": "json://localhost", "b": "json://localhost"}}


@pytest.mark.parametrize(
    ("target", "section"),
    [
        ("memory", {}),
        ("desktop", {}),
        ("slack", SLACK),
        ("slack:#ops", TOKEN),
        ("slack", {"slack": {"token": "xoxb", "channel": "#ops"}}),
        ("email:me@example.org", MAIL),
        ("email", {"email": {**MAIL["email"], "to": "me@example.org"}}),
        ("apprise:a", APPRISE),
        ("apprise", {"apprise": {"a": "json://localhost"}}),
        ("apprise", {"apprise": {"default": "json://localhost", "b": "json://localhost"}}),
    ],
)
def test_a_target_that_can_be_told(target: str, section: object) -> None:
    assert validate_target(target, read_settings(section, {})) is None


UNTOLD = [
    ("pager", {}, "there is no target 'pager': write one of memory, slack, desktop, email, apprise"),
    ("", {}, "there is no target '': write one of memory, slack, desktop, email, apprise"),
    ("memory:x", {}, "the target memory stands alone, not as 'memory:x'"),
    ("slack:", TOKEN, "the target 'slack:' ends with a colon: leave it out, or say where after it"),
    ("slack", {}, "the target slack needs notifications.slack, with webhook_url or token"),
    ("slack", TOKEN, "the target slack needs notifications.slack.channel, or is written as slack:#channel"),
    ("slack:#ops", SLACK, "the target 'slack:#ops' needs notifications.slack.token: a webhook has its own channel"),
    ("email", {}, "the target email needs notifications.email, with host and from"),
    ("email", MAIL, "the target email needs notifications.email.to, or is written as email:me@…"),
    ("email:me", MAIL, "'me' is no mail address such as me@example.org"),
    ("email:a@b\nBcc: c@d", MAIL, "'a@b\\nBcc: c@d' is no mail address such as me@example.org"),
    ("apprise", {}, "the target apprise needs notifications.apprise, with a URL by its name"),
    ("apprise", APPRISE, "the target apprise does not say which: write one of apprise:a, apprise:b"),
    ("apprise:c", APPRISE, "there is no target 'apprise:c': write one of apprise:a, apprise:b"),
]


@pytest.mark.parametrize(("target", "section", "sentence"), UNTOLD, ids=range(len(UNTOLD)))
async def test_b3_17_a_target_that_can_not_be_told_is_rejected_with_a_sentence(
    target: str, section: object, sentence: str, sink: Open, notice: Open
) -> None:
    assert validate_target(target, read_settings(section, {})) == sentence
    assert await sink(section).deliver(notice(target)) == Rejected(sentence)


async def test_settings_count_at_once(tmp_path: Path, notice: Open) -> None:
    settings = [read_settings({}, {}), read_settings({"slack": {"webhook_url": "http://localhost:1/x"}}, {})]
    sink = NotifySink(lambda: settings.pop(0), tmp_path / "notifications.yaml")
    await asyncio.wait_for(sink.available(), 20)
    assert isinstance(await sink.deliver(notice("slack")), Rejected)
    assert isinstance(await sink.deliver(notice("slack")), Failed)


async def test_settings_that_went_wrong_cost_an_attempt(tmp_path: Path, notice: Open) -> None:
    sink = NotifySink(lambda: read_settings({"slack": {}}, {}), tmp_path / "notifications.yaml")
    assert await sink.deliver(notice("memory")) == Failed(
        "notifications.slack.webhook_url: missing: write webhook_url or webhook_url_env, or token or token_env"
    )


async def test_only_notices_are_delivered(sink: Open) -> None:
    other = claim(target=TargetSpec("app", "memory"))
    assert await sink().deliver(other) == Rejected("people can't be told by a target of kind 'app'")


@pytest.mark.parametrize(
    "body", [None, b"", b"[]", b"{}", b'{"job": 7}', b"\xff", b'{"ended_at": "yesterday"}', b"[" * 9999]
)
async def test_what_is_no_notice_is_rejected(sink: Open, body: bytes | None) -> None:
    data = None if body is None else Data("json", body)
    outcome = await sink().deliver(claim(data=data, target=TargetSpec("notify", "memory")))
    assert isinstance(outcome, Rejected)
    assert outcome.error.startswith("the data is no notice of a run: ")


async def test_a_bug_costs_an_attempt_and_tells_no_secret(tmp_path: Path, notice: Open) -> None:
    settings = read_settings({"slack": {"webhook_url": "https://example.org/x", "token": "s3cret-token"}}, {})
    sink = NotifySink(lambda: settings, "no path s3cret-token")  # type: ignore[arg-type]
    assert await sink.deliver(notice("memory")) == Failed(
        "memory: AttributeError: 'str' object has no attribute 'parent'"
    )


# What a notice says.


def message(claim: Claim, *secrets: str) -> Message:
    return read_message(claim, secrets)


def test_s3_88_a_success_is_told_with_its_first_ten_lines(notice: Open) -> None:
    said = message(notice("memory", output="\n" + "\n".join(f"line {number}" for number in range(1, 20))))
    assert said.title == "Scheduled Job: daily_standup succeeded"
    assert said.body == "\n".join(f"line {number}" for number in range(1, 11))
    assert said.succeeded
    assert said.at.isoformat() == "2026-03-01T12:02:30+00:00"


def test_a_failure_is_told_with_its_error_and_attempts(failure: Open) -> None:
    said = message(failure("memory"))
    assert said.title == "Scheduled Job: daily_standup failed"
    assert said.body == "Failed after 3 attempts: exit code 1: no such thing"
    assert not said.succeeded
    result = {"session_id": "cron-standup-20260301-120000", "error": "timed out"}
    said = message(failure("memory", attempts=1, error=None, result=result))
    assert said.body == "Failed after 1 attempt: timed out\nSession: cron-standup-20260301-120000"
    assert message(failure("memory", error=None)).body == "Failed after 3 attempts: no reason was given"


def test_what_is_left_of_a_long_output_is_told_as_that(notice: Open) -> None:
    said = message(notice("memory", result={"output": "lf a line\nand another", "truncated": True}))
    assert said.body == "…lf a line\nand another"


def test_a_success_without_output_is_told_too(notice: Open) -> None:
    for result in (None, {}, {"output": ""}, {"output": None}, {"output": "\n\n"}, "text", 7):
        assert message(notice("memory", result=result)).body == "It said nothing."


def test_a_run_that_has_not_its_end_written_is_told_at_its_instant(notice: Open) -> None:
    assert message(notice("memory", ended_at=None)).at.isoformat() == "2026-03-01T12:00:00+00:00"


def test_what_is_told_can_be_read_anywhere(notice: Open) -> None:
    output = "\x1b[1;31mred\x1b[0m\x1b]0;title\x07 a\tb\x00\x07\u202e\u2028c\r\nnext"
    assert message(notice("memory", output=output)).body == "red a\tb    c\nnext"
    said = message(notice("memory", output="x" * 1000, job="a\nb" + "y" * 1000))
    assert said.body == "x" * 499 + "…"
    assert said.title == "Scheduled Job: a b" + "y" * 147 + "… succeeded"


def test_b3_41_no_secret_is_told(notice: Open, failure: Open) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nabc\ndef\n-----END PRIVATE KEY-----"
    said = message(notice("memory", output=f"token=abc\nhunter\n\x1b[1mhun\x1b[0mter\n{key}\ndone"), "hunter")
    assert said.body == "token=[redacted]\n[redacted]\n[redacted]\n[redacted]\ndone"
    # What is cut off is taken out before: the rest of it would not be known for a secret.
    said = message(notice("memory", output="\n" * 9 + "first\nsecond"), "first\nsecond")
    assert "first" not in said.body
    said = message(
        failure("memory", error="x" * 1990 + "correct-horse-battery", job="hunter"), "correct-horse-battery", "hunter"
    )
    assert "correct" not in said.body
    assert said.title == "Scheduled Job: [redacted] failed"


def test_s3_83_b3_18_nobody_is_told_who_is_not_listed() -> None:
    ended = claim("nightly")
    assert ended.job.notify is None
    assert not conclude(ended.job, ended.run, Rejected("no"), ended.run.scheduled_for).notices


async def test_what_the_core_makes_of_a_run_is_a_notice(sink: Open, tmp_path: Path) -> None:
    """The two ends, which don't see each other, mean the same."""
    ended = claim("nightly", data=Data("json", b"{}"))
    told = Notify(("memory",), "notify/default/x")
    job = type(ended.job)(**{name: getattr(ended.job, name) for name in _fields(ended.job)}, notify=told)
    for outcome, title in (
        (Succeeded(json.dumps({"output": "fine"}).encode()), "Scheduled Job: nightly succeeded"),
        (Rejected("no", json.dumps({"session_id": "cron-x"}).encode()), "Scheduled Job: nightly failed"),
    ):
        (made,) = conclude(job, ended.run, outcome, ended.run.scheduled_for + timedelta(minutes=1)).notices
        assert await sink().deliver(claim(data=made.data, target=made.target, number=len(title))) == Succeeded()
        kept = yaml.safe_load((tmp_path / "memory/state/notifications.yaml").read_text())["notifications"]
        assert kept[-1]["title"] == title


def _fields(job: object) -> list[str]:
    names = getattr(job, "__struct_fields__", None) or job.__dataclass_fields__  # type: ignore[attr-defined]
    return [name for name in names if name not in ("delay", "notify")]
