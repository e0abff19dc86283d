"""Mails with the links to all bookings of an address, for guests who have lost theirs.

Anybody can ask, for any address. Only the mailbox learns whether there are bookings."""

from collections.abc import Callable
from datetime import timedelta

from django.core.mail import EmailMultiAlternatives
from django.utils import timezone
from django.utils.translation import override

from bookings.models import Booking
from bookings.outbox import LinkRequest
from bookings.services.epochs import with_epochs
from bookings.services.links import link_to
from bookings.services.messages import written_date
from ticks.db.transactions import in_one_transaction
from ticks.mails import SendResult, new_email, render_text, send_due_mails

# An operator's folder may have files of these names: `MAIL_TEMPLATES`.
SUBJECT, TEXT, HTML = (f"bookings/mail/links_{name}" for name in ("subject.txt", "body.txt", "body.html"))
# Whoever asked is gone by then, and can ask again.
GIVE_UP_AFTER = timedelta(days=1)
MAX_LINKS_IN_A_MAIL = 50


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
    language = bookings[0].holder_language
    with override(language):
        rows = [
            (booking, written_date(booking.event.date, booking.event.zone), link_to(booking)) for booking in bookings
        ]
    subject, text, html = (render_text(name, {"bookings": rows}, language=language) for name in (SUBJECT, TEXT, HTML))
    return new_email(
        request.email,
        subject=subject,
        text=text,
        html=html,
        identity=f"links.{request.pk}",
        submitted="auto-replied",
    )


def live_bookings_of(email: str) -> list[Booking]:
    """The latest live bookings of an address, the newest first."""
    of_address = with_epochs().filter(email=email, event__deleted_at=None).live().order_by("-pk")
    return list(of_address[:MAX_LINKS_IN_A_MAIL])
