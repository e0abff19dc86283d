"""Writes mails out from templates, and sends those that wait in a table: leased for a while, sent one by one, and each
marked before the next."""

import logging
import smtplib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.utils.translation import override

from ticks.db.outgoing import LEASE, Outgoing, OutgoingQuerySet, release
from ticks.text import MAX_SUBJECT, one_line

log = logging.getLogger("ticks.mails")
MAILS_A_LEASE = 50
# No mail is begun when less than this is left of the lease: one mail to a slow server takes several `EMAIL_TIMEOUT`s.
LAST_MAIL_RESERVE = timedelta(minutes=2)
# All errors of smtplib are an `OSError`. The server says this as it goes away.
GOING_AWAY = 421

Compose = Callable[[Any], EmailMultiAlternatives | None]


class TooLate(Exception):
    """A mail must not be sent any more. `compose` raises it."""


@dataclass
class SendResult:
    """The number of mails that left, that failed, and that had nothing left to tell. If the mail server is gone, the
    others wait for it."""

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    is_server_gone: bool = False

    def __add__(self, later: "SendResult") -> "SendResult":
        sums = (self.sent + later.sent, self.failed + later.failed, self.dropped + later.dropped)
        return SendResult(*sums, later.is_server_gone)


def render_text(name: str, context: dict[str, Any], *, language: str) -> str:
    """The text of a template in a language. An operator may have templates for all languages and for this one alone
    (`MAIL_TEMPLATES`)."""
    with override(language):
        return render_to_string([f"{language}/{name}", name], context)


def new_email(
    to: str, *, subject: str, text: str, html: str, identity: str, submitted: str = "auto-generated"
) -> EmailMultiAlternatives:
    """A mail to one address. `submitted` says why nobody typed it (RFC 3834).

    The `identity` is the same however often the mail is tried, so that a second copy can be recognised.
    """
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    headers = {"Message-ID": f"<ticks.{identity}@{domain}>", "Auto-Submitted": submitted}
    email = EmailMultiAlternatives(one_line(subject)[:MAX_SUBJECT], text, to=[to], headers=headers)
    email.attach_alternative(html, "text/html")
    return email


def send_due_mails(
    sendable: OutgoingQuerySet, compose: Compose, *, is_stopping: Callable[[], bool] = lambda: False
) -> SendResult:
    """Sends the mails that have waited longest. One that fails waits for its next attempt.

    `compose` writes a mail out; it returns None if nothing is left to tell, and raises `TooLate`. If this process is
    killed, one mail at most is sent a second time. Raises `Busy`, `Unavailable`, `OutcomeUnknown` where the database
    fails; then it can be called again.
    """
    mails, result = sendable.lease_due(limit=MAILS_A_LEASE), SendResult()
    if not mails:
        return result
    until = time.monotonic() + (LEASE - LAST_MAIL_RESERVE).total_seconds()
    server = get_connection()
    try:
        while mails and not result.is_server_gone and time.monotonic() < until and not is_stopping():
            if send_leased_mail(mails[0], compose, server, result):
                mails.pop(0)
    finally:
        release(mails)
        server.close()
    return result


def send_leased_mail(mail: Outgoing, compose: Compose, server, result: SendResult) -> bool:
    """Sends a leased mail and marks it, or has it wait. Returns false if it could not be tried."""
    try:
        email = compose(mail)
    except TooLate as error:
        mail.give_up(str(error))
        log.warning("%s %s is given up. %s", type(mail).__name__, mail.pk, error)
        result.failed += 1
        return True
    except Exception as error:
        # An operator's template can fail in any way. The other mails do not wait for this one.
        return postpone(mail, error, result)
    if email is None:
        mail.delete_leased()
        result.dropped += 1
        return True
    try:
        is_new_session = server.open()
    except OSError as error:
        log.warning("The mail server cannot be reached (%s).", type(error).__name__)
        mail.store_error(error_text(error))
        result.is_server_gone = True
        return False
    try:
        server.send_messages([email])
    except Exception as error:
        server.close()
        if is_server_gone(error) and not is_new_session:
            # Some servers take a number of mails in one session. A new session shows whether this one is gone.
            return False
        result.is_server_gone = is_server_gone(error)
        return postpone(mail, error, result)
    mail.mark_sent()
    result.sent += 1
    return True


def postpone(mail: Outgoing, error: Exception, result: SendResult) -> bool:
    is_given_up = mail.postpone(error_text(error))
    # The error itself may have the address in it.
    word = "is given up" if is_given_up else "is tried again later"
    log.warning("%s %s failed (%s) and %s.", type(mail).__name__, mail.pk, type(error).__name__, word)
    result.failed += 1
    return True


def error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def is_server_gone(error: Exception) -> bool:
    """Whether the mail server went away, and did not refuse this one mail."""
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code == GOING_AWAY
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code == GOING_AWAY for code, _ in error.recipients.values())
    is_refusal = isinstance(error, smtplib.SMTPException) and not isinstance(error, smtplib.SMTPServerDisconnected)
    return isinstance(error, OSError) and not is_refusal
