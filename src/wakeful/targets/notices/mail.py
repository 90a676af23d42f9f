"""Mail, over SMTP: one message for each notice, the same one however often it is sent."""

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import msgspec

from wakeful.core.run import Failed, Outcome, Rejected, Succeeded
from wakeful.targets.notices.message import Message
from wakeful.targets.notices.settings import EmailSettings
from wakeful.targets.telling import told

_TEXT_LIMIT = 20_000
_STEP_TIMEOUT_S = 10.0
_TIMEOUT_S = 40.0
_SAID_LIMIT = 200
# The machine's own name is nobody's business, and to look it up may take long (RFC 5321, 4.1.3: an address will do).
_ME = "[127.0.0.1]"


async def send(settings: EmailSettings, message: Message, to: str | None, tls: ssl.SSLContext | None) -> Outcome:
    """Sends to ``to``, else to the settings' addresses. Cancelling hangs up."""
    recipients = (to,) if to is not None else settings.to
    talk = _Talk(settings, tls or ssl.create_default_context())
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            refused = await asyncio.to_thread(talk.send, _mail(settings, message, recipients), recipients)
    except TimeoutError:
        return Failed(f"email: {settings.host}:{settings.port} did not take the mail within {_TIMEOUT_S:g} s")
    except smtplib.SMTPException as error:
        return _refusal(error)
    except OSError as error:
        return Failed(f"email: no mail to {settings.host}:{settings.port}: {error or type(error).__name__}")
    finally:
        talk.hang_up()
    # Others got it: to send it again would be to tell them twice.
    return Succeeded(msgspec.json.encode({"refused": refused}) if refused else None)


def _mail(settings: EmailSettings, message: Message, recipients: tuple[str, ...]) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = message.title
    mail["Date"] = format_datetime(message.at)
    domain = parseaddr(settings.sender)[1].rpartition("@")[2]
    mail["Message-ID"] = f"<{message.id}.wakeful@{domain}>"
    # RFC 3834: nobody's absence is to be told to a machine.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Wakeful-Run-Id"] = message.run_id
    mail.set_content(message.cut_body(_TEXT_LIMIT) + f"\n\n-- \nRun {message.run_id}\n", cte="quoted-printable")
    return mail


class _Talk:
    """One talk with the server, on a thread; it ends when its socket does."""

    def __init__(self, settings: EmailSettings, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._tls = tls
        self._smtp = (
            smtplib.SMTP_SSL(local_hostname=_ME, timeout=_STEP_TIMEOUT_S, context=tls)
            if settings.security == "tls"
            else smtplib.SMTP(local_hostname=_ME, timeout=_STEP_TIMEOUT_S)
        )
        self._over = False

    def send(self, mail: EmailMessage, recipients: tuple[str, ...]) -> dict[str, str]:
        """Sends the mail; what the server said of recipients that it refused, unless these were all."""
        settings, smtp = self._settings, self._smtp
        # Certificates are compared with it; only the constructor sets it, and connects at once.
        smtp._host = settings.host  # type: ignore[attr-defined]
        try:
            greeting = smtp.connect(settings.host, settings.port)
            if greeting[0] != 220:
                raise smtplib.SMTPConnectError(*greeting)
            if self._over:
                raise ConnectionAbortedError("cancelled")
            if settings.security == "starttls":
                smtp.starttls(context=self._tls)
            if settings.user is not None and settings.password is not None:
                smtp.login(settings.user, settings.password)
            refused = smtp.send_message(mail, parseaddr(settings.sender)[1], recipients)
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # it has been taken: what the server says now changes nothing
            return {address: _said(*answer) for address, answer in refused.items()}
        finally:
            smtp.close()

    def hang_up(self) -> None:
        """Ends the talk from outside; the thread learns of it at once."""
        self._over = True
        if (sock := self._smtp.sock) is not None:
            with suppress(OSError):
                # Not that of a TLS socket: it would take the connection's secrets away while the thread uses them.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _refusal(error: smtplib.SMTPException) -> Outcome:
    """4xx may be otherwise next time, 5xx may not (RFC 5321, 4.2.1); without a code, nobody knows."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {answer[0] for answer in error.recipients.values()}
        why = "; ".join(f"{address}: {_said(*answer)}" for address, answer in error.recipients.items())
        what = f"email: nobody was taken as a recipient: {told(why, _SAID_LIMIT)}"
        return Rejected(what) if all(code >= 500 for code in codes) else Failed(what)
    if isinstance(error, smtplib.SMTPResponseException):
        what = f"email: {_said(error.smtp_code, error.smtp_error)}"
        return Rejected(what) if error.smtp_code >= 500 else Failed(what)
    what = f"email: {told(str(error), _SAID_LIMIT)}"
    if not isinstance(error, smtplib.SMTPNotSupportedError):
        return Failed(what)
    return Rejected(what + (': if it may be without, write "starttls": false' if "STARTTLS" in what else ""))


def _said(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return told(f"{code} {said}", _SAID_LIMIT)
