import pytest

from accounts.models import User
from bookings.admin.formatting import describe_entry
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
    ("kind", "sentence"),
    [
        ("booked", "Ada Lovelace booked 2 tickets"),
        ("waitlisted", "Ada Lovelace joined the waitlist for 2 tickets"),
        ("promoted", "Ada Lovelace was promoted, 2 tickets"),
        ("reduced", "Ada Lovelace gave back 2 tickets"),
        ("cancelled", "Ada Lovelace cancelled 2 tickets"),
    ],
)
@pytest.mark.parametrize(("booking", "actor"), [(HOLDERS, HOLDER), (GUESTS, None)])
def test_entry_by_the_holder_names_the_holder(kind, sentence, booking, actor):
    assert describe_entry(entry(kind, booking=booking, actor=actor)) == sentence


@pytest.mark.parametrize(
    ("kind", "sentence"),
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
def test_entry_by_staff_names_who_acted(kind, sentence, booking):
    assert describe_entry(entry(kind, booking=booking, actor=STAFF)) == sentence


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("moved", "grace moved Ada Lovelace in the waitlist: wheelchair"),
        ("transferred", "grace changed the holder of 2 tickets: wheelchair"),
        ("edited", "grace edited the event: wheelchair"),
        ("promoted", "grace served Ada Lovelace out of turn, 2 tickets: wheelchair"),
        ("cancelled", "grace cancelled 2 tickets of Ada Lovelace: wheelchair"),
    ],
)
def test_entry_with_a_note_says_why(kind, sentence):
    assert describe_entry(entry(kind, actor=STAFF, note="wheelchair")) == sentence


def test_entry_of_voided_tickets_says_so():
    voided = entry("transferred", actor=STAFF, note="old codes voided:\nstolen")

    assert describe_entry(voided) == "grace gave Ada Lovelace new codes for 2 tickets: old codes voided:\nstolen"


def test_every_kind_has_a_sentence():
    for kind in LedgerKind.values:
        assert describe_entry(entry(kind, actor=STAFF))


def test_numbers_are_written_as_people_write_them():
    assert describe_entry(entry("booked", tickets=1)) == "Ada Lovelace booked 1 ticket"
    assert (
        describe_entry(entry("opened", tickets=1_000_000, actor=STAFF))
        == "grace opened the event with 1,000,000 tickets"
    )
    assert describe_entry(entry("capacity_changed", tickets=-20, actor=STAFF)) == "grace lowered the capacity by 20"


def test_booking_without_a_last_name_is_known_by_the_first():
    booking = Booking(pk=3, first_name="Plato", reference="34679-ACDEFG")

    assert describe_entry(entry("booked", booking=booking, actor=None)) == "Plato booked 2 tickets"
