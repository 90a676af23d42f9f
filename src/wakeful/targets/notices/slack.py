"""Slack: a webhook, or its API with a token."""

import ssl
from typing import Any

import msgspec

from wakeful.core.redaction import redact
from wakeful.core.run import Failed, Outcome, Rejected, Succeeded
from wakeful.targets.notices.message import Message
from wakeful.targets.notices.settings import SlackSettings
from wakeful.targets.telling import told
from wakeful.targets.web import Answer, Request, WebError, ask

TEXT_LIMIT = 2000
# What is longer, Slack cuts off without a word.
POST_LIMIT = 40_000
_TIMEOUT_S = 10.0
_ANSWER_LIMIT = 16 * 1024
_SAID_LIMIT = 200
# https://docs.slack.dev/messaging/formatting-message-text: these three begin what is more than text.
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Errors of chat.postMessage that no other try mends.
_FINAL = {
    *("account_inactive", "invalid_auth", "not_authed", "not_allowed_token_type", "token_expired", "token_revoked"),
    *("access_denied", "ekm_access_denied", "enterprise_is_restricted", "missing_scope", "no_permission"),
    *("channel_not_found", "is_archived", "is_inactive", "not_in_channel", "team_access_not_granted", "user_not_found"),
    *("restricted_action", "restricted_action_read_only_channel", "messages_tab_disabled", "org_login_required"),
    *("invalid_arguments", "invalid_charset", "invalid_form_data", "msg_too_long", "no_text", "method_deprecated"),
}


class SlackError(Exception):
    """Slack did not take a message; the sentence says why, and has no secrets of the settings in it."""


async def send(settings: SlackSettings, message: Message, channel: str | None, tls: ssl.SSLContext | None) -> Outcome:
    """Posts to ``channel`` with the token, else to the settings' channel, else to the webhook's own."""
    content = {"text": _text(message), "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    channel = channel or settings.channel
    try:
        if settings.token is not None and channel is not None:
            return await _post(settings, {"channel": channel, **content}, tls)
        if settings.webhook_url is not None:
            request = _json_request(settings.webhook_url, content, {})
            return _http_outcome(await ask(request, _TIMEOUT_S, _ANSWER_LIMIT, tls)) or Succeeded()
    except WebError as error:
        return Failed(f"slack: {error}")
    return Rejected("slack: notifications.slack has a token, but no channel to write to")


async def post(settings: SlackSettings, text: str, channel: str, tls: ssl.SSLContext | None = None) -> None:
    """Posts a text to a channel as it is, with all that Slack makes of its signs.

    Raises:
        SlackError: it was not taken, or there is no token to post it with.
    """
    if settings.token is None:
        raise SlackError("slack: notifications.slack.token is missing: a webhook has its own channel")
    if not text.strip() or len(text) > POST_LIMIT:
        raise SlackError(f"slack: the text must have 1 to {POST_LIMIT} characters, not {len(text)}")
    try:
        outcome = await _post(settings, {"channel": channel, "text": text}, tls)
    except WebError as error:
        raise SlackError(f"slack: {error}") from None
    if isinstance(outcome, Failed | Rejected):
        raise SlackError(redact(outcome.error, [settings.token]))


async def _post(settings: SlackSettings, content: dict[str, Any], tls: ssl.SSLContext | None) -> Outcome:
    headers = {"authorization": f"Bearer {settings.token}"}
    request = _json_request(f"{settings.api_url}/chat.postMessage", content, headers)
    return _api_outcome(await ask(request, _TIMEOUT_S, _ANSWER_LIMIT, tls))


def _json_request(url: str, content: dict[str, Any], headers: dict[str, str]) -> Request:
    headers = {"content-type": "application/json; charset=utf-8", **headers}
    return Request(url, "POST", headers, msgspec.json.encode(content))


def _http_outcome(answer: Answer) -> Outcome | None:
    """What the status alone says; ``None`` if it is a success."""
    if 200 <= answer.status < 300:
        return None
    said = told(answer.body.decode("utf-8", "replace"), _SAID_LIMIT)
    error = f"slack: HTTP {answer.status}" + (f": {said}" if said else "")
    heals = answer.status in (408, 425, 429) or answer.status >= 500
    return Failed(error) if heals else Rejected(error)


def _api_outcome(answer: Answer) -> Outcome:
    failed = _http_outcome(answer)
    if failed is not None:
        return failed
    try:
        said = msgspec.json.decode(answer.body)
        if said["ok"] is True:
            return Succeeded()
        error = told(str(said["error"]), _SAID_LIMIT)
    except (msgspec.DecodeError, KeyError, TypeError):
        return Failed("slack: the answer is not Slack's")
    return Rejected(f"slack: {error}") if error in _FINAL else Failed(f"slack: {error}")


def _text(message: Message) -> str:
    """The notice as Slack takes it: nothing in it is a link, a mention or a format."""
    title = f"{'✅' if message.succeeded else '❌'} {message.title}"
    return _escaped(f"{title}\n\n{message.body}", TEXT_LIMIT)


def _escaped(text: str, limit: int) -> str:
    pieces = [_ESCAPES.get(sign, sign) for sign in text]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    size = 1
    for number, piece in enumerate(pieces):
        size += len(piece)
        if size > limit:
            return "".join(pieces[:number]) + "…"
    return "".join(pieces)
