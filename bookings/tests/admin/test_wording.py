import pytest

from accounts.models import User
from bookings.admin.wording import worded
from bookings.enums import LedgerKind
from bookings.models import Booking, LedgerEntry

HOLDER = User(pk=1, username="ada")
STAFF = User(pk=2, username="grace")
HOLDERS = Booking(pk=1, first_name="Ada", last_name="Lovelace", user=HOLDER, reference="34679-ACDEFG")
GUESTS = Booking(pk=2, first_name="Ada", last_name="Lovelace", reference="34679-ACDEFG")
OF_BOOKINGS = {"booked", "waitlisted", "promoted", "reduced", "cancelled", "moved", "transferred"}


def entry(kind, *, tickets=2, booking=HOLDERS, actor=HOLDER, note=""):
    booking = booking if kind in OF_BOOKINGS else None
    return LedgerEntry(kind=kind, tickets=tickets, booking=booking, actor=actor, note=note)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("booked", "Ada Lovelace booked 2 tickets"),
        ("waitlisted", "Ada Lovelace joined the waitlist for 2 tickets"),
        ("promoted", "Ada Lovelace was promoted, 2 tickets"),
        ("reduced", "Ada Lovelace gave back 2 tickets"),
        ("cancelled", "Ada Lovelace cancelled 2 tickets"),
    ],
)
@pytest.mark.parametrize(("booking", "actor"), [(HOLDERS, HOLDER), (GUESTS, None)])
def test_entry_by_the_holder_names_the_holder(kind, said, booking, actor):
    assert worded(entry(kind, booking=booking, actor=actor)) == said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("booked", "grace booked 2 tickets for Ada Lovelace"),
        ("waitlisted", "grace put Ada Lovelace on the waitlist for 2 tickets"),
        ("promoted", "Ada Lovelace was promoted, 2 tickets"),
        ("reduced", "grace gave back 2 tickets of Ada Lovelace"),
        ("cancelled", "grace cancelled 2 tickets of Ada Lovelace"),
        ("opened", "grace opened the event with 2 tickets"),
        ("capacity_changed", "grace raised the capacity by 2"),
        ("event_cancelled", "grace cancelled the event, with 2 tickets held"),
    ],
)
@pytest.mark.parametrize("booking", [HOLDERS, GUESTS])
def test_entry_by_staff_names_who_acted(kind, said, booking):
    assert worded(entry(kind, booking=booking, actor=STAFF)) == said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("moved", "grace moved Ada Lovelace in the waitlist: wheelchair"),
        ("transferred", "grace changed whom 2 tickets are for: wheelchair"),
        ("edited", "grace edited the event: wheelchair"),
        ("promoted", "grace served Ada Lovelace out of turn, 2 tickets: wheelchair"),
    ],
)
def test_entry_with_a_note_says_why(kind, said):
    assert worded(entry(kind, actor=STAFF, note="wheelchair")) == said


def test_every_kind_has_words():
    for kind in LedgerKind.values:
        assert "grace: " not in worded(entry(kind, actor=STAFF))


def test_numbers_are_worded_as_people_write_them():
    assert worded(entry("booked", tickets=1)) == "Ada Lovelace booked 1 ticket"
    assert worded(entry("opened", tickets=1_000_000, actor=STAFF)) == "grace opened the event with 1,000,000 tickets"
    assert worded(entry("capacity_changed", tickets=-20, actor=STAFF)) == "grace lowered the capacity by 20"


def test_booking_without_a_last_name_is_known_by_the_first():
    booking = Booking(pk=3, first_name="Plato", reference="34679-ACDEFG")

    assert worded(entry("booked", booking=booking, actor=None)) == "Plato booked 2 tickets"
