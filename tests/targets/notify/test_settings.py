"""The section ``notifications``: what it may say, and what is said where it is wrong."""

import importlib.abc
import sys
from typing import Any

import pytest

from wakeful.targets.notices.settings import EmailSettings, NotifySettings, SlackSettings, read_settings

HOOK = "https://hooks.slack.com/services/" + "T00000000/B00000000/abcdefgh12345678"
TOKEN = "xoxb-" + "123456789012-abcdefghijkl"
MAIL = {"host": "smtp.example.org", "from": "bot@example.org"}
ENVIRONMENT = {"HOOK": HOOK, "TOKEN": TOKEN, "PASSWORD": " correct-horse-7\n", "EMPTY": " ", "BAD": "a\nb"}


def test_no_section_is_no_settings() -> None:
    assert read_settings(None, {}) == read_settings({}, {}) == NotifySettings()
    assert read_settings({"memory": {}, "desktop": {}, "slack": None}, {}) == NotifySettings()


def test_slack_has_a_webhook_or_a_token() -> None:
    assert read_settings({"slack": {"webhook_url": HOOK}}, {}).slack == SlackSettings(HOOK)
    assert read_settings({"slack": {"webhook_url_env": "HOOK"}}, ENVIRONMENT).slack == SlackSettings(HOOK)
    section = {"token_env": "TOKEN", "channel": "#ops", "api_url": "https://slack.example.org/api/"}
    expected = SlackSettings(None, TOKEN, "#ops", "https://slack.example.org/api")
    assert read_settings({"slack": section}, ENVIRONMENT).slack == expected


@pytest.mark.parametrize(
    ("section", "port", "security"),
    [
        ({}, 587, "starttls"),
        ({"starttls": True}, 587, "starttls"),
        ({"tls": True}, 465, "tls"),
        ({"port": 465}, 465, "tls"),
        ({"port": 2525, "tls": True}, 2525, "tls"),
        ({"starttls": False}, 25, "none"),
        ({"port": 465, "starttls": True}, 465, "starttls"),
    ],
)
def test_mail_is_encrypted_unless_told_otherwise(section: dict[str, Any], port: int, security: str) -> None:
    settings = read_settings({"email": {**MAIL, **section}}, {}).email
    assert settings == EmailSettings("smtp.example.org", port, security, "bot@example.org")


def test_mail_has_a_login_and_recipients() -> None:
    section = {
        "host": "smtp.example.org",
        "user": "me@example.org",
        "password_env": "PASSWORD",
        "to": "you@example.org",
    }
    settings = read_settings({"email": section}, ENVIRONMENT).email
    assert settings is not None
    assert (settings.user, settings.password) == ("me@example.org", "correct-horse-7")
    # Who logs in with an address sends from it.
    assert (settings.sender, settings.to) == ("me@example.org", ("you@example.org",))


def test_apprise_has_urls_by_name() -> None:
    section = {"ops": "json://localhost:8080/x", "home": {"url_env": "HOME_URL"}}
    settings = read_settings({"apprise": section}, {"HOME_URL": "ntfy://my-topic"})
    assert settings.apprise == {"ops": "json://localhost:8080/x", "home": "ntfy://my-topic"}


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ([], "must be an object in braces"),
        ({"slack": "x"}, "slack: must be an object in braces"),
        ({"slack": {}}, "slack.webhook_url: missing: write webhook_url or webhook_url_env, or token or token_env"),
        ({"slack": {"webhook_url": 7}}, "slack.webhook_url: must be a text that is not empty"),
        ({"slack": {"webhook_url": "hooks"}}, "slack.webhook_url: must be a URL that begins with http:// or https://"),
        (
            {"slack": {"webhook_url": "http://example.org/x"}},
            "slack.webhook_url: must begin with https://: over http:// everybody on the way could read the secret",
        ),
        (
            {"slack": {"webhook_url": "https://me:pw@example.org"}},
            "slack.webhook_url: must have no user and no password in it: send them in a header",
        ),
        ({"slack": {"token_env": "GONE"}}, "slack.token_env: the environment has no variable GONE, or an empty one"),
        ({"slack": {"token_env": "EMPTY"}}, "slack.token_env: the environment has no variable EMPTY, or an empty one"),
        (
            {"slack": {"token_env": "BAD"}},
            "slack.token_env: must be one line of at most 2048 characters, without control characters",
        ),
        (
            {"slack": {"token": TOKEN, "token_env": "TOKEN"}},
            "slack.token: is given twice: leave out token or token_env",
        ),
        ({"slack": {"token": "ü"}}, "slack.token: must consist of ASCII characters"),
        ({"slack": {"token": "x", "channel": 7}}, "slack.channel: must be a text that is not empty"),
        (
            {"slack": {"token": "x", "api_url": "https://a b"}},
            "slack.api_url: must be a URL without spaces and control characters",
        ),
        ({"email": {}}, "email.host: missing: write the name of the server for outgoing mail"),
        ({"email": {"host": "x"}}, "email.from: missing: write the address that the mails come from"),
        ({"email": {"host": "x", "from": "me"}}, "email.from: 'me' is no mail address such as me@example.org"),
        (
            {"email": {**MAIL, "to": ["a@b", "x\r\nBcc: y@z"]}},
            "email.to: must be one line of at most 2048 characters, without control characters",
        ),
        ({"email": {**MAIL, "to": ["a@b, c@d"]}}, "email.to: 'a@b, c@d' is no mail address such as me@example.org"),
        ({"email": {**MAIL, "port": 0}}, "email.port: must be a whole number from 1 to 65535"),
        ({"email": {**MAIL, "port": "587"}}, "email.port: must be a whole number from 1 to 65535"),
        ({"email": {**MAIL, "tls": "yes"}}, "email.tls: must be true or false, without quotes"),
        (
            {"email": {**MAIL, "tls": True, "starttls": True}},
            "email.tls: and starttls exclude each other: leave one out",
        ),
        ({"email": {**MAIL, "user": "me"}}, "email.password: missing: user and password go together"),
        ({"email": {**MAIL, "password": "x"}}, "email.user: missing: user and password go together"),
        ({"email": {**MAIL, "user": "me", "password": "ü"}}, "email.password: must consist of ASCII characters"),
        (
            {"email": {**MAIL, "user": "me", "password": "x", "starttls": False}},
            "email.starttls: must not be false where there is a password: everybody could read it",
        ),
        ({"apprise": {"x": 7}}, "apprise.x: must be a text that is not empty"),
        ({"apprise": {"x": {}}}, "apprise.x: must be a URL of apprise's, or an object with url or url_env"),
        ({"apprise": {"x": "nonsense"}}, "apprise.x: must be a URL of apprise's, such as ntfy://topic"),
        (
            {"apprise": {"x": "tgram://secret-7"}},
            "apprise.x: the URL tgram://… is not complete, or not right: see apprise's list of services",
        ),
        (
            {"apprise": {"x": "msteams://T/B/G"}},
            "apprise.x: the URL msteams://… is of a service that apprise does not know: see apprise's list of services",
        ),
        (
            {"apprise": {"x": "foo://secret-7"}},
            "apprise.x: the URL foo://… is of a service that apprise does not know: see apprise's list of services",
        ),
        (
            {"apprise": {"x": "dbus://"}},
            "apprise.x: apprise can't send to dbus:// here: write the target desktop instead",
        ),
        (
            {"apprise": {"x": "gnome://"}},
            "apprise.x: apprise can't send to gnome:// here: write the target desktop instead",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(section: object, sentence: str, caplog: Any) -> None:
    caplog.set_level(0)
    with pytest.raises(ValueError) as refusal:
        read_settings(section, ENVIRONMENT)
    assert str(refusal.value) == sentence
    assert not caplog.text


def test_a_server_of_this_machine_may_be_asked_without_encryption() -> None:
    section = {"host": "127.0.0.1", "from": "a@b", "user": "me", "password": "x", "starttls": False}
    assert read_settings({"slack": {"webhook_url": "http://localhost:1/x"}, "email": section}, {}).email is not None


def test_what_nobody_reads_is_warned_of() -> None:
    section = {"slack": {"token": "x", "chanel": "#ops"}, "memory": {"file": "x"}, "pager": {}}
    assert read_settings(section, {}).warnings == (
        "pager: nobody reads this key",
        "slack.chanel: nobody reads this key: did you mean 'channel'?",
        "memory.file: nobody reads this key",
    )


def test_b3_41_settings_know_their_secrets_and_never_show_them() -> None:
    section = {
        "slack": {"webhook_url": HOOK, "token": TOKEN},
        "email": {**MAIL, "user": "me", "password": "correct-horse-7"},
        "apprise": {"a": "json://me:hunter-2-hunter@localhost:1/a1b2c3d4e5/events?-X-Key=k3yk3yk3y"},
    }
    settings = read_settings(section, {})
    secrets = settings.secrets()
    expected = [HOOK, "/services/T00000000/B00000000/abcdefgh12345678", "abcdefgh12345678", TOKEN, "correct-horse-7"]
    for secret in [*expected, "hunter-2-hunter", "a1b2c3d4e5", "k3yk3yk3y"]:
        assert secret in secrets
    # Words are none.
    assert not {"services", "localhost", "events", "me"} & set(secrets)
    shown = f"{settings!r} {settings.slack!r} {settings.email!r}"
    assert not [secret for secret in secrets if secret in shown]


def test_without_apprise_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class NotInstalled(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "apprise":
                raise ModuleNotFoundError(name)

    monkeypatch.delitem(sys.modules, "apprise", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    with pytest.raises(ValueError, match=r"^apprise\.x: needs apprise: pip install wakeful\[notify\]$"):
        read_settings({"apprise": {"x": "ntfy://topic"}}, {})
    assert read_settings({"slack": {"token": "x"}}, {}).slack is not None


def test_an_entry_of_apprise_that_nobody_reads_is_told() -> None:
    section = {"apprise": {"phone": {"url_env": "URL", "tittle": "x"}}}
    assert read_settings(section, {"URL": "json://localhost/phone"}).warnings == (
        "apprise.phone.tittle: nobody reads this key",
    )
