"""Mail: what a server is sent, and what its answers come to."""

import asyncio
import email
import email.policy
import logging
import socket
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest

from support.bus import until
from wakeful.core.run import Failed, Rejected, Succeeded
from wakeful.targets.notices import mail as mail_module

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Open = Callable[..., Any]
PASSWORD = "correct-horse-7"
LOGIN = {"user": "me@example.org", "password_env": "SMTP_PASSWORD"}


@pytest.fixture
def by_mail(post: Open, sink: Open) -> Open:
    """A sink that sends mails, and the server that takes them."""

    async def make(section: dict[str, Any] | None = None, **options: Any) -> Any:
        side = await post(**options)
        settings = {
            "host": "localhost",
            "port": side.port,
            "from": "Wakeful <bot@example.org>",
            "to": ["me@example.org"],
        }
        return sink({"email": {**settings, **(section or {})}}, SMTP_PASSWORD=PASSWORD), side

    return make


def parsed(data: bytes) -> EmailMessage:
    """A mail as it was meant: without its end, and without the dots that were put before those of its lines."""
    data = data.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
    return email.message_from_bytes(data, policy=email.policy.default)


def text_of(data: bytes) -> str:
    return str(parsed(data).get_content()).replace("\r\n", "\n")


async def test_s3_87_a_mail_is_sent_over_starttls(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail(LOGIN)
    assert await sink.deliver(notice("email")) == Succeeded()
    (mail,) = side.mails
    assert (mail.sender, mail.recipients) == ("bot@example.org", ["me@example.org"])
    assert (mail.tls, mail.user) == (True, f"me@example.org:{PASSWORD}")
    message = parsed(mail.data)
    assert message["from"] == "Wakeful <bot@example.org>"
    assert message["to"] == "me@example.org"
    assert message["subject"] == "Scheduled Job: daily_standup succeeded"
    assert message["date"] == "Sun, 01 Mar 2026 12:02:30 +0000"
    assert message["auto-submitted"] == "auto-generated"
    assert message["x-wakeful-run-id"] == "0123456789abcdef0123456789abcdef"
    assert text_of(mail.data).startswith("All is well.\nTwo MRs.\n\n-- \nRun 0123456789abcdef")
    assert "[127.0.0.1]" in side.heard[0]


async def test_s3_87_a_mail_goes_where_the_target_says(by_mail: Open, failure: Open) -> None:
    sink, side = await by_mail(LOGIN)
    assert await sink.deliver(failure("email:ops@example.org")) == Succeeded()
    assert side.mails[0].recipients == ["ops@example.org"]
    message = parsed(side.mails[0].data)
    assert message["to"] == "ops@example.org"
    assert text_of(side.mails[0].data).startswith("Failed after 3 attempts: exit code 1: no such thing")


async def test_a_mail_is_sent_over_tls_from_the_first_byte(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail({"tls": True, **LOGIN}, implicit=True, extensions=("AUTH LOGIN",))
    assert await sink.deliver(notice("email")) == Succeeded()
    assert (side.mails[0].tls, side.mails[0].user) == (True, f"me@example.org:{PASSWORD}")


async def test_a_mail_is_sent_plainly_where_that_is_wanted(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail({"starttls": False}, extensions=())
    assert await sink.deliver(notice("email")) == Succeeded()
    assert (side.mails[0].tls, side.mails[0].user) == (False, None)


async def test_a_mail_that_is_sent_again_can_be_told_as_the_same(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail(says={"DOT": "451 try later"})
    assert await sink.deliver(notice("email")) == Failed("email: 451 try later")
    side.says.clear()
    for _ in range(2):
        assert await sink.deliver(notice("email")) == Succeeded()
    first, second = (mail.data for mail in side.mails)
    assert first == second
    assert parsed(first)["message-id"] == f"<{7:032x}.wakeful@example.org>"


async def test_nothing_in_a_notice_becomes_a_header_or_the_end(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail()
    job = "x\r\nBcc: all@example.org\r\n\r\nhello" + "y" * 300
    assert await sink.deliver(notice("email", job=job, output="a\n.\n..b\n.\r\nQUIT\r\nü")) == Succeeded()
    message = parsed(side.mails[0].data)
    assert message["bcc"] is None
    assert side.mails[0].recipients == ["me@example.org"]
    assert message["subject"].startswith("Scheduled Job: x Bcc: all@example.org helloyyy")
    assert text_of(side.mails[0].data).startswith("a\n.\n..b\n.\nQUIT\nü\n")
    assert all(len(line) < 1000 for line in side.mails[0].data.split(b"\r\n"))


async def test_some_recipients_are_better_than_none(by_mail: Open, notice: Open) -> None:
    section = {"to": ["me@example.org", "gone@example.org"]}
    sink, side = await by_mail(section, says={"RCPT gone@example.org": "550 no such user"})
    outcome = await sink.deliver(notice("email"))
    assert isinstance(outcome, Succeeded)
    assert outcome.result is not None
    assert msgspec.json.decode(outcome.result) == {"refused": {"gone@example.org": "550 no such user"}}
    assert side.mails[0].recipients == ["me@example.org"]


@pytest.mark.parametrize("verb", ["GREETING", "MAIL", "DATA", "DOT", "AUTH"])
@pytest.mark.parametrize(("answer", "kind"), [("451 later", Failed), ("550 never", Rejected)])
async def test_4xx_is_tried_again_and_5xx_is_not(
    by_mail: Open, notice: Open, verb: str, answer: str, kind: type[Failed | Rejected]
) -> None:
    sink, side = await by_mail(LOGIN, says={verb: answer})
    assert await sink.deliver(notice("email")) == kind(f"email: {answer}")
    assert not side.mails


@pytest.mark.parametrize(("answer", "kind"), [("450 later", Failed), ("550 never", Rejected)])
async def test_no_recipient_at_all_is_no_success(
    by_mail: Open, notice: Open, answer: str, kind: type[Failed | Rejected]
) -> None:
    sink, _ = await by_mail(says={"RCPT": answer})
    outcome = await sink.deliver(notice("email"))
    assert outcome == kind(f"email: nobody was taken as a recipient: me@example.org: {answer}")


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "DATA"])
async def test_a_server_that_hangs_up_is_a_failure(by_mail: Open, notice: Open, verb: str) -> None:
    sink, side = await by_mail(says={verb: "hang up"})
    outcome = await sink.deliver(notice("email"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("email: ")
    assert not side.mails


async def test_a_server_without_starttls_is_rejected_with_advice(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail(LOGIN, extensions=("AUTH PLAIN",))
    outcome = await sink.deliver(notice("email"))
    assert outcome == Rejected(
        'email: STARTTLS extension not supported by server.: if it may be without, write "starttls": false'
    )
    assert not any("AUTH" in line for line in side.heard)


async def test_nobody_there_is_a_failure(sink: Open, notice: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    section = {"host": "127.0.0.1", "port": port, "from": "bot@example.org", "to": "me@example.org"}
    outcome = await sink({"email": section}).deliver(notice("email"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith(f"email: no mail to 127.0.0.1:{port}: ")


async def test_a_certificate_of_another_name_is_a_failure(by_mail: Open, notice: Open) -> None:
    sink, side = await by_mail({"host": "127.0.0.1", **LOGIN})
    outcome = await sink.deliver(notice("email"))
    assert isinstance(outcome, Failed)
    assert "certificate verify failed" in outcome.error.lower()
    assert not side.mails


async def test_no_answer_in_time_is_a_failure_and_hangs_up(
    by_mail: Open, notice: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_module, "_TIMEOUT_S", 0.5)
    sink, side = await by_mail(says={"MAIL": "hang"})
    outcome = await sink.deliver(notice("email"))
    assert outcome == Failed(f"email: localhost:{side.port} did not take the mail within 0.5 s")


@pytest.mark.parametrize("tls", [False, True])
async def test_to_cancel_is_to_hang_up(by_mail: Open, notice: Open, tls: bool) -> None:
    sink, side = await by_mail({"starttls": tls}, says={"MAIL": "hang"})
    sending = asyncio.ensure_future(sink.deliver(notice("email")))
    await until(lambda: any(line.startswith("MAIL") for line in side.heard), "the server to be asked")
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    # The thread is free again well before the ten seconds that one step may take.
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 20)


async def test_no_secret_is_told(by_mail: Open, failure: Open, caplog: Any, capfd: Any) -> None:
    caplog.set_level(logging.DEBUG)
    sink, side = await by_mail(LOGIN, says={"AUTH": f"535 {PASSWORD} is not the password of me@example.org"})
    outcome = await sink.deliver(failure("email", error=f"login with {PASSWORD} failed"))
    assert outcome == Rejected("email: 535 [redacted] is not the password of me@example.org")
    side.says.clear()
    await sink.deliver(failure("email", error=f"login with {PASSWORD} failed"))
    assert b"login with [redacted] failed" in side.mails[0].data
    seen = f"{outcome} {caplog.text} {capfd.readouterr()} {side.mails[0].data!r}"
    assert PASSWORD not in seen
