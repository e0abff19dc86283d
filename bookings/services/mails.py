"""The mails to holders: sent by `manage.py deliver`, and sent again by staff."""

from collections.abc import Callable

from bookings.exceptions import NothingToSend
from bookings.models import Booking
from bookings.outbox import Mail
from bookings.services.messages import compose_mail
from bookings.services.notifications import GIVE_UP_AFTER
from ticks.db.transactions import in_one_transaction
from ticks.mails import SendResult, send_due_mails


def send_mails(*, is_stopping: Callable[[], bool] = lambda: False) -> SendResult:
    """Sends some of the mails that are due, those of a booking in order. Raises what `send_due_mails` raises."""
    return send_due_mails(Mail.objects.sendable(), compose_mail, is_stopping=is_stopping)


def latest_mail(booking: Booking) -> Mail | None:
    """The latest mail about the booking to whoever holds it now; not what staff wrote to everybody, which has no
    tickets with it."""
    about = Mail.objects.filter(booking=booking, email=booking.email, is_to_former=False, announcement=None)
    return about.order_by("sequence").last()


@in_one_transaction
def send_mail_again(booking: Booking) -> Mail:
    """Has the latest mail of a booking sent at once, also one that was sent or given up. Raises `NothingToSend`."""
    mail = latest_mail(booking)
    if mail is None:
        raise NothingToSend
    if not Mail.objects.filter(pk=mail.pk).send_again(keep_for=GIVE_UP_AFTER):
        raise NothingToSend("This mail is being sent at the moment.")
    return mail
