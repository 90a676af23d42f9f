"""The section ``notifications`` of a configuration: where notices go, and with which secrets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from urllib.parse import parse_qsl, unquote, urlsplit

from wakeful.targets.fields import Fields
from wakeful.targets.notices import apprise_urls
from wakeful.targets.web import check_private, is_here

SLACK_API = "https://slack.com/api"
_TLS_PORT, _STARTTLS_PORT, _PLAIN_PORT = 465, 587, 25
_NO_WORD = re.compile(r"(?=.*(?:\d|[a-z][A-Z])).{8,}|.{32,}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """A webhook, which has its channel; or a token, with which any channel of the app's can be written to."""

    webhook_url: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    channel: str | None = None
    api_url: str = SLACK_API


@dataclass(frozen=True, slots=True)
class EmailSettings:
    """A server for outgoing mail. ``security`` is ``tls`` (from the first byte), ``starttls`` or ``none``."""

    host: str
    port: int
    security: str
    sender: str
    to: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Where notices can go. ``apprise`` has URLs by name; ``warnings`` are sentences about what nobody reads."""

    slack: SlackSettings | None = None
    email: EmailSettings | None = None
    apprise: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Every value that must not be seen anywhere."""
        found: list[str] = []
        if self.slack is not None:
            found += [self.slack.token or "", *_url_secrets(self.slack.webhook_url or "")]
        if self.email is not None:
            found.append(self.email.password or "")
        for url in self.apprise.values():
            found += _url_secrets(url)
        return tuple(secret for secret in found if secret)


def read_settings(section: object, environment: Mapping[str, str]) -> NotifySettings:
    """What the section says; secrets that it gives as ``…_env`` are taken from the ``environment``.

    Raises:
        ValueError: the sentence begins with the key, such as ``slack.token_env``, and says what would be right.
    """
    fields = Fields({} if section is None else section, environment=environment)
    slack, email, apprise = fields.part("slack"), fields.part("email"), fields.part("apprise")
    # Neither has anything to be set.
    nothing = [part for part in (fields.part("memory"), fields.part("desktop")) if part is not None]
    entries = {} if apprise is None else {name: _entry(apprise, name) for name in apprise.names()}
    parts = (fields, slack, email, *nothing, *entries.values())
    return NotifySettings(
        None if slack is None else _slack(slack),
        None if email is None else _email(email),
        {} if apprise is None else {name: _apprise_url(apprise, name, entry) for name, entry in entries.items()},
        tuple(said for part in parts if part is not None for said in part.unknown()),
    )


def address_problem(address: str) -> str | None:
    """Why a mail address can't be used, if it can't."""
    name, _, domain = address.rpartition("@")
    if not name or not domain or not address.isprintable() or any(sign in address for sign in ' <>()[],;:"\\'):
        return f"{address[:100]!r} is no mail address such as me@example.org"
    return None


def _slack(fields: Fields) -> SlackSettings:
    settings = SlackSettings(
        fields.secret("webhook_url"),
        fields.secret("token"),
        fields.text("channel"),
        (fields.text("api_url") or SLACK_API).rstrip("/"),
    )
    if settings.webhook_url is None and settings.token is None:
        raise fields.wrong("webhook_url", "missing: write webhook_url or webhook_url_env, or token or token_env")
    for key, url in (("webhook_url", settings.webhook_url), ("api_url", settings.api_url)):
        if url is not None:
            _check_url(fields, key, url)
    if settings.token is not None and not settings.token.isascii():
        raise fields.wrong("token", "must consist of ASCII characters")
    return settings


def _check_url(fields: Fields, key: str, url: str) -> None:
    try:
        check_private(url)
    except ValueError as error:
        raise fields.wrong(key, str(error)) from None


def _email(fields: Fields) -> EmailSettings:
    host = fields.text("host")
    if host is None:
        raise fields.wrong("host", "missing: write the name of the server for outgoing mail")
    security = _security(fields)
    user, password = _login(fields)
    if password is not None and security == "none" and not is_here(host):
        raise fields.wrong("starttls", "must not be false where there is a password: everybody could read it")
    usual = {"tls": _TLS_PORT, "starttls": _STARTTLS_PORT, "none": _PLAIN_PORT}[security]
    sender = fields.text("from") or (user if user is not None and "@" in user else None)
    if sender is None:
        raise fields.wrong("from", "missing: write the address that the mails come from")
    to = fields.texts("to")
    for key, address in (("from", parseaddr(sender)[1]), *(("to", each) for each in to)):
        if problem := address_problem(address):
            raise fields.wrong(key, problem)
    return EmailSettings(host, fields.integer("port", 1, 65535, usual), security, sender, to, user, password)


def _login(fields: Fields) -> tuple[str | None, str | None]:
    user, password = fields.text("user"), fields.secret("password")
    if (user is None) != (password is None):
        raise fields.wrong("password" if password is None else "user", "missing: user and password go together")
    for key, value in (("user", user), ("password", password)):
        if value is not None and not value.isascii():
            raise fields.wrong(key, "must consist of ASCII characters")
    return user, password


def _security(fields: Fields) -> str:
    tls, starttls = fields.flag("tls"), fields.flag("starttls")
    if tls and starttls:
        raise fields.wrong("tls", "and starttls exclude each other: leave one out")
    if tls or (tls is None and starttls is None and fields.integer("port", 1, 65535, 0) == _TLS_PORT):
        return "tls"
    return "none" if starttls is False else "starttls"


def _entry(fields: Fields, name: str) -> Fields | None:
    """What stands at a name of apprise's, if that is an object with ``url`` or ``url_env``."""
    try:
        return fields.part(name)
    except ValueError:
        return None


def _apprise_url(fields: Fields, name: str, entry: Fields | None) -> str:
    url = fields.text(name) if entry is None else entry.secret("url")
    if url is None:
        raise fields.wrong(name, "must be a URL of apprise's, or an object with url or url_env")
    if problem := apprise_urls.problem(url):
        raise fields.wrong(name, problem)
    return url


def _url_secrets(url: str) -> list[str]:
    """A URL that lets its bearer write somewhere: all of it, and each part that can't be a word."""
    try:
        parts = urlsplit(url)
        host = "" if "." in (parts.hostname or "") else parts.netloc.rpartition("@")[2].partition(":")[0]
        pieces = [parts.username or "", host, parts.path, *parts.path.split("/"), parts.fragment]
        pieces += [value for _, value in parse_qsl(parts.query)]
        found = [url, parts.password or "", *(piece for piece in pieces if _NO_WORD.search(piece))]
    except ValueError:
        found = [url]
    return [form for piece in found if piece for form in {piece, unquote(piece)}]
