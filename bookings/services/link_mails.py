"""Mails with the links to all bookings of an address, for guests who have lost theirs.

Anybody can ask, for any address. Only the mailbox learns whether there are bookings."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import override

from bookings.models import Booking
from bookings.outbox import MAX_SUBJECT, LinkRequest
from bookings.services.epochs import with_epochs
from bookings.services.links import link_to
from bookings.services.messages import one_line, written_date
from ticks.db.transactions import in_one_transaction
from ticks.mails import SendResult, send_due_mails

# An operator's folder may have files of these names: `MAIL_TEMPLATES`.
SUBJECT, TEXT, HTML = (f"bookings/mail/links_{name}" for name in ("subject.txt", "body.txt", "body.html"))
# Whoever asked is gone by then, and can ask again.
GIVE_UP_AFTER = timedelta(days=1)
MAX_BOOKINGS = 50


@in_one_transaction
def request_links(email: str) -> None:
    """Has the links to the live bookings of a normalised address mailed to it, if it has any. Raises `Busy`."""
    now = timezone.now()
    LinkRequest.objects.create(email=email, due_at=now, give_up_at=now + GIVE_UP_AFTER)


def send_link_mails(*, is_stopping: Callable[[], bool] = lambda: False) -> SendResult:
    """Sends some of the mails that were asked for. Raises what `send_due_mails` raises."""
    return send_due_mails(LinkRequest.objects.all(), compose_links, is_stopping=is_stopping)


def compose_links(request: LinkRequest) -> EmailMultiAlternatives | None:
    """The mail, in the language of the latest booking; None if the address has no live booking."""
    bookings = live_bookings_of(request.email)
    if not bookings:
        return None
    with override(bookings[0].holder_language):
        return written(request, bookings)


def written(request: LinkRequest, bookings: list[Booking]) -> EmailMultiAlternatives:
    context = {
        "bookings": [
            (booking, written_date(booking.event.date, booking.event.zone), link_to(booking)) for booking in bookings
        ]
    }
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    headers = {"Message-ID": f"<ticks.links.{request.pk}@{domain}>", "Auto-Submitted": "auto-replied"}
    subject = one_line(render_to_string(SUBJECT, context))[:MAX_SUBJECT]
    email = EmailMultiAlternatives(subject, render_to_string(TEXT, context), to=[request.email], headers=headers)
    email.attach_alternative(render_to_string(HTML, context), "text/html")
    return email


def live_bookings_of(email: str) -> list[Booking]:
    """The latest live bookings of an address, the newest first."""
    of_address = with_epochs().filter(email=email, event__deleted_at=None).live().order_by("-pk")
    return list(of_address[:MAX_BOOKINGS])
