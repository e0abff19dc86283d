"""Which bookings an account sees and changes: those that it made, and those that were booked as a guest with its mail
address, if that was verified. The address is asked for each time, so nothing has to be moved when it is verified,
changed, or corrected in a booking."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from accounts.models import User
from bookings.models import Booking, BookingQuerySet


def bookings_of(account: User) -> BookingQuerySet:
    own = Q(user=account)
    if is_verified(account):
        own |= Q(user=None, email=account.email)
    return Booking.objects.filter(own)


def finds(account: User | AnonymousUser, booking: Booking) -> bool:
    """Whether a booking that no account made belongs to this account by its address."""
    return booking.user_id is None and is_verified(account) and booking.email == account.email


def is_verified(account: User | AnonymousUser) -> bool:
    """Anybody can register with any address. Only who has shown that its mails arrive may see what was booked with
    it."""
    return account.is_authenticated and bool(account.email) and account.has_verified_email
