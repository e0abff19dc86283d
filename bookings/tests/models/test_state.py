"""The digest that other tests rely on notices every kind of change."""

import pytest

from accounts.models import LoginSession, User
from bookings.models import Booking, IdempotencyKey
from bookings.tests.factories import BookingFactory
from bookings.tests.state import digest_of_all_tables

pytestmark = pytest.mark.django_db


def test_digest_is_the_same_while_nothing_changes(staff):
    BookingFactory()
    before = digest_of_all_tables()

    staff.get("/api/v1/booking")

    assert digest_of_all_tables() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda booking: Booking.objects.update(last_name="lovelace"),
        lambda booking: Booking.objects.update(token_hash=None, email=""),
        lambda booking: User.objects.update(is_staff=True),
        lambda booking: LoginSession.objects.all().delete(),
        lambda booking: IdempotencyKey.objects.create(digest="d", fingerprint="f", booking=booking, answer={}),
        # A table between two models, which no model of ours names.
        lambda booking: booking.user.user_permissions.set([1]),
    ],
)
def test_digest_changes_with_any_table(staff, change):
    booking = BookingFactory()
    before = digest_of_all_tables()

    change(booking)

    assert digest_of_all_tables() != before
