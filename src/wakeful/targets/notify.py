"""People are told of a run: the target is where, such as ``slack:#ops``, ``email`` or ``desktop``."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from wakeful.core.notices import KIND
from wakeful.core.ports import Claim
from wakeful.core.redaction import redact
from wakeful.core.run import Failed, Outcome, Rejected
from wakeful.targets.notices import apprise_urls, desktop, mail, memory, slack
from wakeful.targets.notices.message import Message, NotANoticeError, read_message
from wakeful.targets.notices.settings import NotifySettings, address_problem
from wakeful.targets.telling import told

TARGETS = ("memory", "slack", "desktop", "email", "apprise")
_ERROR_LIMIT = 500


class NotifySink:
    """Tells people; ``settings`` is asked for each notice anew, so that a changed file counts at once.

    ``memory_file`` is where notices to ``memory`` are kept. ``desktop_address`` is that of the bus, if it is not the
    session's; ``tls`` is what servers' certificates are verified with, if not with what the system trusts.
    """

    def __init__(
        self,
        settings: Callable[[], NotifySettings],
        memory_file: Path,
        desktop_address: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._memory_file = memory_file
        # One after the other: who is refused the file's lock would only ask again and again.
        self._memory_turn = asyncio.Lock()
        self._desktop_address = desktop_address
        self._tls = tls

    async def deliver(self, claim: Claim) -> Outcome:
        """Sends one notice. Cancelling hangs up."""
        target = claim.job.target
        if target.kind != KIND:
            return Rejected(f"people can't be told by a target of kind {target.kind!r}")
        try:
            settings = self._settings()
        except ValueError as error:  # of read_settings: it names the key, and no value
            return Failed(told(f"notifications.{error}", _ERROR_LIMIT))
        if problem := validate_target(target.address, settings):
            return Rejected(problem)
        secrets = settings.secrets()
        try:
            outcome = await self._send(target.address, read_message(claim, secrets), settings)
        except NotANoticeError as error:
            return Rejected(str(error))
        except Exception as error:  # with its traceback, secrets would come into the log
            outcome = Failed(f"{target.address}: {type(error).__name__}: {error}")
        if isinstance(outcome, Failed | Rejected):
            return type(outcome)(told(redact(outcome.error, secrets), _ERROR_LIMIT))
        return outcome

    async def available(self) -> None:
        """Returns at once: each notice has a server of its own."""

    async def _send(self, address: str, message: Message, settings: NotifySettings) -> Outcome:
        kind, to = _parsed(address)
        if kind == "memory":
            async with self._memory_turn:
                return await memory.send(self._memory_file, message)
        if kind == "desktop":
            return await desktop.send(message, self._desktop_address)
        if kind == "slack" and settings.slack is not None:
            return await slack.send(settings.slack, message, to, self._tls)
        if kind == "email" and settings.email is not None:
            return await mail.send(settings.email, message, to, self._tls)
        url = settings.apprise[to or _usual_name(settings) or ""]
        return await apprise_urls.send(url, message)


def validate_target(text: str, settings: NotifySettings) -> str | None:
    """Why nothing can be sent to a target as it is written, if nothing can; what would be right."""
    kind, to = _parsed(text)
    if kind in ("memory", "desktop"):
        return None if ":" not in text else f"the target {kind} stands alone, not as {_shown(text)}"
    if ":" in text and to is None:
        return f"the target {_shown(text)} ends with a colon: leave it out, or say where after it"
    if kind == "slack":
        return _slack_problem(to, settings)
    if kind == "email":
        return _email_problem(to, settings)
    if kind == "apprise":
        return _apprise_problem(to, settings)
    return f"there is no target {_shown(text)}: write one of {', '.join(TARGETS)}"


def _parsed(text: str) -> tuple[str, str | None]:
    kind, _, to = text.partition(":")
    return kind.strip(), to.strip() or None


def _slack_problem(to: str | None, settings: NotifySettings) -> str | None:
    slack = settings.slack
    if slack is None:
        return "the target slack needs notifications.slack, with webhook_url or token"
    if to is not None and slack.token is None:
        return f"the target {_shown(f'slack:{to}')} needs notifications.slack.token: a webhook has its own channel"
    if to is None and slack.webhook_url is None and slack.channel is None:
        return "the target slack needs notifications.slack.channel, or is written as slack:#channel"
    return None


def _email_problem(to: str | None, settings: NotifySettings) -> str | None:
    if settings.email is None:
        return "the target email needs notifications.email, with host and from"
    if to is None:
        return (
            None if settings.email.to else "the target email needs notifications.email.to, or is written as email:me@…"
        )
    return address_problem(to)


def _apprise_problem(to: str | None, settings: NotifySettings) -> str | None:
    names = ", ".join(f"apprise:{name}" for name in settings.apprise)
    if not names:
        return "the target apprise needs notifications.apprise, with a URL by its name"
    if to is None:
        return None if _usual_name(settings) else f"the target apprise does not say which: write one of {names}"
    return None if to in settings.apprise else f"there is no target {_shown(f'apprise:{to}')}: write one of {names}"


def _usual_name(settings: NotifySettings) -> str | None:
    """The URL that is meant where none is named: the only one, or ``default``."""
    names = list(settings.apprise)
    return names[0] if len(names) == 1 else "default" if "default" in names else None


def _shown(text: str) -> str:
    return repr(told(text, 80))
