"""Sends the mails that wait: claimed for a while, sent one by one, and each marked before the next."""

import logging
import random
import smtplib
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.core.mail import get_connection
from django.db import connection
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from bookings.exceptions import NothingToSend
from bookings.models import Booking
from bookings.outbox import Mail
from bookings.services.messages import compose
from bookings.services.news import GIVE_UP_AFTER
from ticks.db.transactions import in_one_transaction

log = logging.getLogger("bookings.mails")
MAILS_A_CLAIM = 50
# A claim that is older than this is anybody's. Nothing is sent any more when less than SPARE is left of it, since one
# mail to a slow server takes several timeouts (`EMAIL_TIMEOUT`).
LEASE = timedelta(minutes=3)
SPARE = timedelta(minutes=1)
# The pause before a mail is tried again doubles with each attempt.
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
# A mail may be old when the mail server is back. It is given up only after so many attempts of its own.
LEAST_ATTEMPTS = 8
# The server says this as it goes away.
GOING_AWAY = 421


class Sent(NamedTuple):
    """What became of a claim. `is_away`: the mail server did not answer, and the mails go on waiting."""

    sent: int = 0
    failed: int = 0
    is_away: bool = False


def send_some(*, is_stopping: Callable[[], bool] = lambda: False) -> Sent:
    """Claims the mails that have waited longest, and sends them. A mail that fails waits for its next attempt, and the
    later mails of its booking with it. If this is killed, one mail at most is sent a second time.

    Raises `Busy`, `Unavailable`, `OutcomeUnknown` where the database fails, after which it can be called again.
    """
    mails = claim(now=timezone.now())
    if not mails:
        return Sent()
    sent = failed = sent_in_session = 0
    is_away = False
    until = time.monotonic() + (LEASE - SPARE).total_seconds()
    server = get_connection()
    try:
        while mails and not is_away and time.monotonic() < until and not is_stopping():
            try:
                server.open()
            except (OSError, smtplib.SMTPException) as error:
                # This is nobody's fault: no mail loses an attempt, and the caller waits.
                note_error(mails[0], error)
                log.warning("The mail server cannot be reached (%s).", type(error).__name__)
                is_away = True
                break
            mail = mails.pop(0)
            error = attempt(mail, server, is_new_session=not sent_in_session)
            if error is None:
                sent, sent_in_session = sent + 1, sent_in_session + 1
                continue
            server.close()
            if has_left(error) and sent_in_session:
                # Some servers take a number of mails in one session. The next one shows whether this one is away.
                mails.insert(0, mail)
            else:
                failed += 1
                is_away = has_left(error)
            sent_in_session = 0
    finally:
        release(mails)
        server.close()
    return Sent(sent, failed, is_away)


@in_one_transaction
def claim(*, now: datetime, limit: int = MAILS_A_CLAIM) -> list[Mail]:
    """Mails that are due, which nobody else sends until the lease ends. Of each booking and
    address it is the earliest one."""
    waiting = Mail.objects.filter(state=Mail.State.WAITING)
    # A former holder whose address fails holds nobody else up.
    same = {"booking": OuterRef("booking"), "email": OuterRef("email")}
    earlier = waiting.filter(**same, sequence__lt=OuterRef("sequence"))
    due = waiting.filter(~Exists(earlier), due_at__lte=now).order_by("due_at")
    # The ids are read first, without locks. A lock on the whole query would also lock the earlier mails.
    ids = list(due.values_list("pk", flat=True)[:limit])
    can_skip = connection.features.has_select_for_update_skip_locked
    locked = Mail.objects.select_for_update(skip_locked=can_skip).filter(pk__in=ids).order_by("due_at")
    mails = [mail for mail in locked if mail.state == Mail.State.WAITING and mail.due_at <= now]
    token = uuid.uuid4().hex
    for mail in mails:
        mail.claim = token
    Mail.objects.filter(pk__in=[mail.pk for mail in mails]).update(claim=token, due_at=now + LEASE)
    return mails


def claimed(mail: Mail) -> QuerySet[Mail]:
    """The mail's row, as long as it is this process's: no other one has claimed it after the lease."""
    return Mail.objects.filter(pk=mail.pk, claim=mail.claim)


def attempt(mail: Mail, server, *, is_new_session: bool) -> Exception | None:
    """Sends one claimed mail and marks it, or drops it if there is nothing left to tell. Returns what it failed of; it
    is no attempt of the mail's if the server has ended a session in which it took others."""
    try:
        email = compose(mail)
        if email:
            server.send_messages([email])
    except Exception as error:
        # An operator's template can fail in any way. The other mails do not wait for this one.
        if is_new_session or not has_left(error):
            postpone(mail, error, now=timezone.now())
        return error
    if email:
        mark_sent(mail)
    else:
        drop(mail)
    return None


@in_one_transaction
def drop(mail: Mail) -> None:
    claimed(mail).delete()


@in_one_transaction
def mark_sent(mail: Mail) -> None:
    claimed(mail).update(
        state=Mail.State.SENT, sent_at=timezone.now(), attempts=mail.attempts + 1, claim=None, error=""
    )


@in_one_transaction
def postpone(mail: Mail, error: Exception, *, now: datetime) -> None:
    """Has a failed mail wait for its next attempt, longer after each. One that has failed for days is given up."""
    mail.attempts += 1
    is_given_up = now >= mail.give_up_at and mail.attempts >= LEAST_ATTEMPTS
    claimed(mail).update(
        state=Mail.State.GIVEN_UP if is_given_up else Mail.State.WAITING,
        attempts=mail.attempts,
        due_at=now + pause_after(mail.attempts),
        error=described(error),
        claim=None,
    )
    # The error itself may have the address in it.
    word = "is given up" if is_given_up else "is tried again later"
    log.warning("Mail %s failed (%s) and %s.", mail.pk, type(error).__name__, word)


def pause_after(attempts: int) -> timedelta:
    """The pause before the next attempt, between half and one and a half of what it is on average."""
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return pause * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)


@in_one_transaction
def release(mails: list[Mail]) -> None:
    """Gives back what was claimed and not tried."""
    if mails:
        claims = Mail.objects.filter(pk__in=[mail.pk for mail in mails], claim=mails[0].claim)
        claims.update(claim=None, due_at=timezone.now())


@in_one_transaction
def note_error(mail: Mail, error: Exception) -> None:
    claimed(mail).update(error=described(error))


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[: Mail._meta.get_field("error").max_length]


def has_left(error: Exception) -> bool:
    """Whether the mail server went away, and did not refuse this one mail."""
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code == GOING_AWAY
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(code == GOING_AWAY for code, _ in error.recipients.values())
    # All errors of smtplib are an OSError.
    is_refusal = isinstance(error, smtplib.SMTPException) and not isinstance(error, smtplib.SMTPServerDisconnected)
    return isinstance(error, OSError) and not is_refusal


def latest_mail(booking: Booking) -> Mail | None:
    """The latest mail to whoever holds the booking now."""
    return Mail.objects.filter(booking=booking, email=booking.email, is_to_former=False).order_by("sequence").last()


@in_one_transaction
def send_again(booking: Booking) -> Mail:
    """Has the latest mail of a booking sent at once, also one that was sent or given up. Raises `NothingToSend`."""
    mail = latest_mail(booking)
    if mail is None:
        raise NothingToSend
    now = timezone.now()
    # While somebody is sending it, it is not touched.
    unclaimed = Mail.objects.filter(pk=mail.pk, claim=None)
    is_changed = unclaimed.update(
        state=Mail.State.WAITING,
        due_at=now,
        give_up_at=now + GIVE_UP_AFTER,
        attempts=0,
        repeats=F("repeats") + 1,
        error="",
        sent_at=None,
    )
    if not is_changed:
        raise NothingToSend("This mail is being sent at the moment.")
    return mail
