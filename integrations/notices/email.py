"""Mails: a notice or a day's digest as one message, and the SMTP session that hands it over."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Sequence
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.template.loader import render_to_string

from integrations.errors import Refused, Unavailable, Unsure
from integrations.notices.models import Message, Notice, domain

SECONDS = 10.0
LONGEST_SUBJECT = 200
# Controls, line ends of every script, what turns the direction of writing, and halves of characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def mail(message: Message, notices: Sequence[Notice]) -> EmailMessage:
    """Return the mail of an outbox row; a title with line ends in it adds no header, and half a character no error."""
    first, to = notices[0], message.recipient
    experiments = {notice.experiment.name for notice in notices if notice.experiment}
    place = experiments.pop() if len(experiments) == 1 else ""
    subject = first.subject if message.digest_at is None else _digest_subject(len(notices))
    found = EmailMessage()
    try:
        found["From"] = Address("POMS", addr_spec=parseaddr(settings.MAIL_FROM)[1])
        found["To"] = Address(one_line(to.get_full_name()) if to else "", addr_spec=to.email if to else "")
        found["Subject"] = one_line(f"[POMS {place}] {subject}" if place else f"[POMS] {subject}")[:LONGEST_SUBJECT]
    except (MessageError, ValueError, IndexError) as error:
        raise Refused(f"The address {to.email[:100] if to else ''!r} cannot be used: {error}") from error
    found["Date"] = format_datetime(message.created_at)
    found["Message-ID"] = message.message_id
    if first.ref and message.digest_at is None:
        thread = f"<{first.ref.replace('/', '.')}@{domain()}>"
        found["In-Reply-To"], found["References"] = thread, thread
    found["List-Id"] = f"POMS {place or 'notices'} <{place or 'notices'}.{domain()}>"
    found["Auto-Submitted"] = "auto-generated"
    if settings.PUBLIC_URL:
        found["List-Unsubscribe"] = f"<{settings.PUBLIC_URL}/account/notices/>"
    context: dict[str, Any] = {"notices": notices, "site": settings.PUBLIC_URL}
    found.set_content(_whole(render_to_string("notices/mail.txt", context)))
    found.add_alternative(_whole(render_to_string("notices/mail.html", context)), subtype="html")
    return found


def one_line(text: str) -> str:
    """Return text as a header can have it: in one line, without controls."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def _whole(text: str) -> str:
    """Return text without what no character set carries: halves of characters."""
    return text.encode("utf-8", "replace").decode().strip() + "\n"


def _digest_subject(count: int) -> str:
    return f"Your day: {count} notice{'' if count == 1 else 's'}"


class ServerAway(Unavailable):
    """The mail server takes no mail at all now: what else waits need not be tried."""


class Postman:
    """One session with the mail server, opened with the first mail."""

    def __init__(self) -> None:
        self._line: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        """Begin; nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._hang_up()

    def send(self, found: EmailMessage) -> None:
        """Hand one mail over.

        Raises Refused where the server refuses this mail for good (5xx), Unavailable where it takes it later, and
        ServerAway where it takes no mail at all; Unsure where the line broke before the receipt.
        """
        line = self._line = self._line or _opened()
        try:
            line.send_message(found)
        except smtplib.SMTPRecipientsRefused as error:
            self._forget()
            raise _refusal(*next(iter(error.recipients.values()))) from error
        except smtplib.SMTPDataError as error:
            self._forget()
            raise _refusal(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            self._forget()
            raise Refused(f"The mail server cannot deliver to this address: {error}") from error
        except smtplib.SMTPServerDisconnected as error:
            self._hang_up()
            raise Unsure(f"The mail server hung up: {error}") from error
        except smtplib.SMTPException as error:  # it refuses our own address, so it takes none of our mails
            self._hang_up()
            raise ServerAway(f"The mail server takes no mail from {settings.MAIL_FROM}: {error}", 60) from error
        except OSError as error:
            self._hang_up()
            raise Unsure(f"The line to the mail server broke: {error}") from error

    def _forget(self) -> None:
        """Let the server forget the mail that it refused; a line that broke meanwhile is opened anew."""
        try:
            if self._line is not None:
                self._line.rset()
        except (smtplib.SMTPException, OSError):
            self._line = None

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            try:
                line.quit()
            except (smtplib.SMTPException, OSError):
                line.close()  # it hung up first, which is what we want


def _opened() -> smtplib.SMTP:
    """Return a new session; whatever is wrong with it is wrong for every mail."""
    try:
        return _open()
    except smtplib.SMTPException as error:
        raise ServerAway(f"The mail server does not let us in: {error}", 60) from error
    except OSError as error:
        raise ServerAway(f"The mail server {settings.MAIL_HOST} does not answer: {error}", 30) from error


def _open() -> smtplib.SMTP:
    if settings.MAIL_TLS not in ("none", "starttls", "tls"):
        raise ServerAway(f"POMS_MAIL_TLS is {settings.MAIL_TLS!r}; it is none, starttls or tls.", 300)
    safe = ssl.create_default_context()
    host, port = settings.MAIL_HOST, settings.MAIL_PORT
    if settings.MAIL_TLS == "tls":
        line: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=safe)
    else:
        line = smtplib.SMTP(host, port, timeout=SECONDS)
    if settings.MAIL_TLS == "starttls":
        line.starttls(context=safe)
    if settings.MAIL_USER:
        line.login(settings.MAIL_USER, settings.MAIL_PASSWORD)
    return line


def _refusal(code: int, words: bytes | str) -> Refused | Unavailable:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    said = f"{code} {text}"[:400]
    if code >= 500:
        return Refused(f"The mail server refused it: {said}")
    return Unavailable(f"The mail server takes it later: {said}", 60)
