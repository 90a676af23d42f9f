"""Slack: what it is sent, by webhook and by its API, and what its answers come to."""

import json
import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

from support.far_sides import Reply
from wakeful.core.run import Failed, Rejected, Succeeded
from wakeful.targets.notices import slack
from wakeful.targets.notices.settings import SlackSettings

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
TOKEN = "xoxb-" + "123456789012-abcdefghijkl"
PATH = "/services/" + "T00000000/B00000000/abcdefgh12345678"


def answer(**said: Any) -> Reply:
    return Reply(200, json.dumps(said).encode())


@pytest.fixture
def by_webhook(web: Open, sink: Open) -> Open:
    """A sink that posts to a webhook, and the other end."""

    async def make(*answers: Any, **more: Any) -> Any:
        side = await web(*answers, tls=True)
        return sink({"slack": {"webhook_url": side.url + PATH, **more}}), side

    return make


@pytest.fixture
def by_token(web: Open, sink: Open) -> Open:
    """A sink that has a token, and the other end."""

    async def make(*answers: Any, **more: Any) -> Any:
        side = await web(*(answers or (answer(ok=True),)), tls=True)
        section = {"token_env": "SLACK_TOKEN", "api_url": f"{side.url}/api/", "channel": "#general", **more}
        return sink({"slack": section}, SLACK_TOKEN=TOKEN), side

    return make


async def test_s3_85_a_webhook_is_posted_to(by_webhook: Open, notice: Open) -> None:
    sink, side = await by_webhook(Reply(200, b"ok"))
    assert await sink.deliver(notice("slack")) == Succeeded()
    (received,) = side.received
    assert received.line == f"POST {PATH} HTTP/1.1"
    assert received.headers["content-type"] == "application/json; charset=utf-8"
    assert side.said() == {
        "text": "✅ Scheduled Job: daily_standup succeeded\n\nAll is well.\nTwo MRs.",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


async def test_s3_85_a_token_posts_to_a_channel(by_token: Open, failure: Open) -> None:
    sink, side = await by_token()
    assert await sink.deliver(failure("slack")) == Succeeded()
    assert await sink.deliver(failure("slack:#ops")) == Succeeded()
    assert [received.line for received in side.received] == ["POST /api/chat.postMessage HTTP/1.1"] * 2
    assert side.received[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert [side.said(0)["channel"], side.said(1)["channel"]] == ["#general", "#ops"]
    assert side.said()["text"] == (
        "❌ Scheduled Job: daily_standup failed\n\nFailed after 3 attempts: exit code 1: no such thing"
    )
    assert side.said()["unfurl_links"] is False


async def test_c2_9_2_a_text_is_short_and_only_text(by_webhook: Open, notice: Open) -> None:
    sink, side = await by_webhook()
    await sink.deliver(notice("slack", output="<!channel> a & b <http://x|y>"))
    assert side.said()["text"].endswith("&lt;!channel&gt; a &amp; b &lt;http://x|y&gt;")
    await sink.deliver(notice("slack", output="\n".join(["<" * 490] * 10)))
    text = side.said()["text"]
    assert slack.TEXT_LIMIT - 4 < len(text) <= slack.TEXT_LIMIT
    assert text.endswith("&lt;…")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_heal_fails_and_is_tried_again(by_webhook: Open, notice: Open, status: int) -> None:
    sink, side = await by_webhook(Reply(status, b"later", (("retry-after", "9999"),)))
    assert await sink.deliver(notice("slack")) == Failed(f"slack: HTTP {status}: later")
    assert len(side.received) == 1


@pytest.mark.parametrize(("status", "said"), [(403, "invalid_token"), (404, "no_service"), (410, ""), (302, "")])
async def test_what_can_never_do_is_rejected(by_webhook: Open, notice: Open, status: int, said: str) -> None:
    sink, side = await by_webhook(Reply(status, said.encode(), (("location", "/elsewhere"),)))
    assert await sink.deliver(notice("slack")) == Rejected(f"slack: HTTP {status}" + (f": {said}" if said else ""))
    assert len(side.received) == 1


@pytest.mark.parametrize(
    "error", ["invalid_auth", "channel_not_found", "not_in_channel", "is_archived", "missing_scope"]
)
async def test_the_apis_final_errors_are_rejected(by_token: Open, notice: Open, error: str) -> None:
    sink, _ = await by_token(answer(ok=False, error=error))
    assert await sink.deliver(notice("slack")) == Rejected(f"slack: {error}")


@pytest.mark.parametrize("error", ["ratelimited", "internal_error", "service_unavailable", "something_new"])
async def test_the_apis_other_errors_are_tried_again(by_token: Open, notice: Open, error: str) -> None:
    sink, _ = await by_token(answer(ok=False, error=error))
    assert await sink.deliver(notice("slack")) == Failed(f"slack: {error}")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"ok": false}', b'{"ok": 1}', b"{" * 5000])
async def test_an_answer_that_is_not_slacks_fails(by_token: Open, notice: Open, body: bytes) -> None:
    sink, _ = await by_token(Reply(200, body))
    assert await sink.deliver(notice("slack")) == Failed("slack: the answer is not Slack's")


async def test_nobody_there_is_a_failure(sink: Open, notice: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = await sink({"slack": {"webhook_url": f"http://127.0.0.1:{port}{PATH}"}}).deliver(notice("slack"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith(f"slack: no answer from 127.0.0.1:{port}: ")


async def test_no_answer_in_time_is_a_failure(by_webhook: Open, notice: Open, monkeypatch: Any) -> None:
    monkeypatch.setattr(slack, "_TIMEOUT_S", 0.3)
    sink, side = await by_webhook(None)
    assert await sink.deliver(notice("slack")) == Failed(f"slack: no answer from localhost:{side.port} within 0.3 s")


async def test_a_certificate_of_nobodys_is_a_failure(web: Open, sink: Open, notice: Open) -> None:
    side = await web(tls=True)
    there = sink({"slack": {"webhook_url": side.url.replace("localhost", "127.0.0.1") + PATH}})
    outcome = await there.deliver(notice("slack"))
    assert isinstance(outcome, Failed)
    assert "certificate verify failed" in outcome.error.lower()
    assert not side.received


async def test_no_secret_is_told(by_token: Open, by_webhook: Open, failure: Open, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    sink, side = await by_token(Reply(400, f"no such token: {TOKEN}".encode()))
    told = [await sink.deliver(failure("slack", error=f"can't use {TOKEN}"))]
    hook, hooked = await by_webhook(Reply(500, f"POST {PATH} went wrong".encode()))
    told.append(await hook.deliver(failure("slack", error=f"curl https://localhost:{hooked.port}{PATH}")))
    assert told[0] == Rejected("slack: HTTP 400: no such token: [redacted]")
    assert told[1] == Failed("slack: HTTP 500: POST [redacted] went wrong")
    assert "can't use [redacted]" in side.said()["text"]
    seen = f"{told} {caplog.text} {side.said()} {hooked.said()}"
    assert TOKEN not in seen
    assert PATH not in seen
    assert "12345678" not in seen


# What a skill posts by itself.


async def test_s3_79_a_text_is_posted_to_a_channel(web: Open, trusting: Any) -> None:
    side = await web(answer(ok=True), tls=True)
    settings = SlackSettings(token=TOKEN, api_url=f"{side.url}/api")
    await slack.post(settings, "*Good morning* <@U1>", "#team", trusting)
    assert side.received[0].line == "POST /api/chat.postMessage HTTP/1.1"
    assert side.received[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert side.said() == {"channel": "#team", "text": "*Good morning* <@U1>"}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer(ok=False, error="channel_not_found"), "slack: channel_not_found"),
        (Reply(429), "slack: HTTP 429"),
        (Reply(400, f"what is {TOKEN}?".encode()), "slack: HTTP 400: what is [redacted]?"),
    ],
)
async def test_a_text_that_is_not_taken_is_an_error(web: Open, trusting: Any, reply: Reply, why: str) -> None:
    side = await web(reply, tls=True)
    with pytest.raises(slack.SlackError) as error:
        await slack.post(SlackSettings(token=TOKEN, api_url=side.url), "text", "#team", trusting)
    assert str(error.value) == why
    with pytest.raises(slack.SlackError, match=r"(?i)certificate verify failed"):
        await slack.post(SlackSettings(token=TOKEN, api_url=side.url), "text", "#team")


async def test_a_text_that_can_not_be_posted_is_an_error() -> None:
    with pytest.raises(
        slack.SlackError, match=r"^slack: notifications\.slack\.token is missing: a webhook has its own"
    ):
        await slack.post(SlackSettings(webhook_url="https://localhost:1/x"), "text", "#team")
    for text in (" ", "x" * 40_001):
        with pytest.raises(slack.SlackError, match=r"^slack: the text must have 1 to 40000 characters, not "):
            await slack.post(SlackSettings(token=TOKEN), text, "#team")
