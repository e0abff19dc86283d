"""The keys of links: which bookings they open, and what ends them."""

import pytest

from bookings.exceptions import BookingNotFound
from bookings.services.cancellation import cancel_tickets
from bookings.services.epochs import with_epochs
from bookings.services.events import cancel_event
from bookings.services.links import LINK_KEY_PATTERN, link_key, link_to, open_by_link
from bookings.services.tickets import ticket_code
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.voiding import void_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything

pytestmark = pytest.mark.django_db
GRACE = Holder("Grace", "Hopper", "grace@example.org")
OTHER_SECRET = "quite another secret of more than 32 bytes"


@pytest.fixture
def event():
    return EventFactory(total_tickets=3)


@pytest.fixture
def booking(event):
    return BookingFactory(event=event, user=None, tickets=3, email="ada@example.org")


@pytest.fixture
def waiting(booking):
    return BookingFactory(event=booking.event, user=None, email="kurt@example.org")


def key_of(booking):
    return link_key(with_epochs().get(pk=booking.pk))


def opens(booking, key):
    try:
        return open_by_link(booking.reference, key) == booking
    except BookingNotFound:
        return False


def test_link_is_the_sites_address_with_a_key_of_256_bits(booking, settings):
    settings.SITE_URL = "https://tickets.example.org"

    link = link_to(with_epochs().get())

    assert link == f"https://tickets.example.org/my/open/{booking.reference}?key={key_of(booking)}"
    assert LINK_KEY_PATTERN.fullmatch(key_of(booking))


def test_link_opens_its_booking_and_no_other(booking, waiting):
    assert opens(booking, key_of(booking))
    assert opens(waiting, key_of(waiting))
    assert not opens(booking, key_of(waiting))


def test_link_costs_a_booking_nothing(booking):
    before = everything()

    key_of(booking)
    opens(booking, key_of(booking))

    assert everything() == before


def test_changed_or_shortened_key_opens_nothing(booking):
    key = key_of(booking)
    changed = [key[:place] + ("a" if letter != "a" else "b") + key[place + 1 :] for place, letter in enumerate(key)]
    # The last letter has two bits that say nothing, so only the whole key is compared.
    forged = [*changed, key[:-1], key + "a", "", "é" * 43, f"{key}\n", ticket_code(booking.pk, 1, 0)]

    assert [one for one in forged if opens(booking, one)] == []


@pytest.mark.parametrize("kind", ["booking", "waiting"])
def test_transfer_ends_the_link_and_the_new_holder_has_one(request, booking, waiting, admin_user, kind):
    moved = request.getfixturevalue(kind)
    old = key_of(moved)

    transfer_booking(moved, holder=GRACE, actor=admin_user)

    assert not opens(moved, old)
    assert opens(moved, key_of(moved))


def test_transfer_of_an_accounts_booking_ends_the_link_also_to_the_same_address(event, admin_user):
    booking = BookingFactory(event=event, email="ada@example.org")
    old = key_of(booking)

    transfer_booking(booking, holder=Holder("Grace", "Hopper", "ada@example.org"), actor=admin_user)

    assert not opens(booking, old)


def test_link_stays_ended_when_the_booking_comes_back(booking, admin_user):
    old = key_of(booking)

    transfer_booking(booking, holder=GRACE, actor=admin_user)
    transfer_booking(booking, holder=Holder("Ada", "Lovelace", "ada@example.org"), actor=admin_user)

    assert not opens(booking, old)


def test_voided_tickets_end_the_link(booking, admin_user):
    old = key_of(booking)

    void_tickets(booking, actor=admin_user, reason="stolen")

    assert not opens(booking, old)


def test_corrected_address_ends_the_link_and_a_corrected_name_does_not(booking, admin_user):
    """The mailbox of a wrong address may be a stranger's."""
    old = key_of(booking)

    transfer_booking(booking, holder=Holder("Ada", "King", "ada@example.org", is_same=True), actor=admin_user)
    assert opens(booking, old)
    transfer_booking(booking, holder=Holder("Ada", "King", "ada.king@example.org", is_same=True), actor=admin_user)

    assert not opens(booking, old)
    assert opens(booking, key_of(booking))


def test_link_stays_when_tickets_are_given_back_or_all_is_cancelled(booking, event, admin_user):
    key = key_of(booking)

    cancel_tickets(booking, tickets=1)
    assert opens(booking, key)
    cancel_event(event.pk, actor=admin_user, version=None)

    assert opens(booking, key)


def test_link_of_another_secret_opens_nothing_until_it_is_named_as_a_fallback(booking, settings):
    old, key = settings.TICKET_SECRET, key_of(booking)

    settings.TICKET_SECRET = OTHER_SECRET
    assert not opens(booking, key)
    settings.TICKET_SECRET_FALLBACKS = ["a third secret of more than 32 bytes, 4711", old]

    assert opens(booking, key)
    assert key_of(booking) != key
