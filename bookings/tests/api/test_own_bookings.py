"""A verified mail address finds what was booked with it as a guest; one that is not verified finds nothing."""

import pytest
from django.utils import timezone

from accounts.models import User
from bookings.exceptions import BookingNotFound
from bookings.models import Booking, LedgerEntry
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.tickets import read_ticketed
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import digest_of_all_tables

pytestmark = pytest.mark.django_db
URL = "/api/v1/booking"


@pytest.fixture
def booking(user):
    return BookingFactory(event=EventFactory(), user=None, tickets=2, email=user.email)


@pytest.fixture
def verified(user):
    User.objects.filter(pk=user.pk).update(email_verified_at=timezone.now())
    return user


def listed(client):
    return [row["id"] for row in client.get(URL).json()["data"]]


def statuses(client, booking):
    paths = ["", "/tickets", "/tickets.pdf"]
    return {client.get(f"{URL}/{booking.pk}{path}").status_code for path in paths}


def test_verified_account_sees_and_cancels_what_was_booked_with_its_address(owner, verified, booking):
    own = BookingFactory(event=booking.event, user=verified)

    assert listed(owner) == [own.pk, booking.pk]
    assert owner.get(f"{URL}/{booking.pk}").json()["data"]["userId"] is None
    assert statuses(owner, booking) == {200}
    assert owner.delete(f"{URL}/{booking.pk}", {"ticketsToCancel": 1}).status_code == 200
    assert Booking.objects.get(pk=booking.pk).tickets_reserved == 1
    assert LedgerEntry.objects.get(kind="reduced").actor == verified


def test_account_that_is_not_verified_sees_and_changes_nothing(owner, booking):
    before = digest_of_all_tables()

    assert listed(owner) == []
    assert statuses(owner, booking) == {404}
    assert owner.delete(f"{URL}/{booking.pk}").status_code == 404
    assert digest_of_all_tables() == before


def test_other_verified_account_sees_nothing(stranger, booking):
    User.objects.filter(username="stranger").update(email_verified_at=timezone.now())

    assert listed(stranger) == []
    assert statuses(stranger, booking) == {404}


def test_booking_of_another_account_with_the_address_stays_theirs(owner, verified, booking):
    theirs = BookingFactory(event=booking.event, email=verified.email)

    assert listed(owner) == [booking.pk]
    assert statuses(owner, theirs) == {404}


def test_account_without_an_address_does_not_see_guests_without_one(client_of, user):
    BookingFactory(event=EventFactory(), user=None, email="")
    User.objects.filter(pk=user.pk).update(email=None, email_verified_at=timezone.now())

    assert listed(client_of(user)) == []


def test_address_that_was_changed_and_not_verified_finds_nothing(owner, verified, booking):
    verified.email = "victim@example.org"
    verified.save()
    of_victim = BookingFactory(event=booking.event, user=None, email="victim@example.org")

    assert listed(owner) == []
    assert statuses(owner, booking) == statuses(owner, of_victim) == {404}


def test_booking_that_moved_to_another_person_is_gone(owner, verified, booking, admin_user):
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)

    assert listed(owner) == []
    assert statuses(owner, booking) == {404}


def test_tickets_of_a_booking_that_moves_meanwhile_are_not_read(booking, verified, admin_user):
    # A booking that was moved before has no token, so that nothing but the address tells its holders apart.
    transfer_booking(booking, holder=Holder("Ada", "King", verified.email), actor=admin_user)
    seen = Booking.objects.get(pk=booking.pk)
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)

    with pytest.raises(BookingNotFound):
        read_ticketed(seen)


def test_booking_made_later_is_found_too(owner, verified):
    event = EventFactory()
    book_tickets(BookingRequest(event.pk, 1, "Ada", email=verified.email))

    assert listed(owner) == [Booking.objects.get().pk]
