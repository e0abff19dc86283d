"""The ledger's note of an edit: each field with its old and its new value, as staff read it."""

from datetime import UTC, datetime

import pytest

from bookings.exceptions import CapacityBelowHeld
from bookings.models import MAX_NOTE, LedgerEntry
from bookings.services.events import change_event
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything, ledger

pytestmark = pytest.mark.django_db
MOMENT = datetime(2027, 3, 1, 19, 30, tzinfo=UTC)


def notes():
    return list(LedgerEntry.objects.filter(kind="edited").order_by("sequence").values_list("note", flat=True))


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"name": "Gala"}, "name: Concert → Gala"),
        ({"venue": "Cellar"}, "venue: nothing → Cellar"),
        ({"description": "x" * 150}, f"description: nothing → {'x' * 99}…"),
        ({"date": MOMENT}, "date: nothing → 2027-03-01 19:30 UTC"),
        ({"sales_end": MOMENT}, "sales end: nothing → 2027-03-01 19:30 UTC"),
        ({"time_zone": "Asia/Tokyo"}, "time zone: UTC → Asia/Tokyo"),
        ({"waitlist_enabled": False}, "waitlist enabled: on → off"),
        ({"waitlist_policy": "strict"}, "waitlist policy: first_fit → strict"),
        ({"max_tickets_per_booking": 4}, "max tickets per booking: nothing → 4"),
        ({"name": "Gala", "venue": "Cellar"}, "name: Concert → Gala; venue: nothing → Cellar"),
    ],
)
def test_edit_is_told(admin_user, changes, note):
    event = EventFactory(name="Concert")

    change_event(event.pk, changes=changes, actor=admin_user)

    assert notes() == [note]
    assert ledger(event, after=1) == [(2, "edited", 0, 10, 0, None, admin_user.pk)]


def test_edit_of_the_time_zone_is_told_with_each_time_in_its_own(admin_user):
    event = EventFactory(date=MOMENT, time_zone="Europe/Berlin")
    changes = {"date": datetime(2027, 7, 1, 18, tzinfo=UTC), "time_zone": "Asia/Kolkata"}

    change_event(event.pk, changes=changes, actor=admin_user)

    date = "date: 2027-03-01 20:30 CET → 2027-07-01 23:30 IST"
    assert notes() == [f"{date}; time zone: Europe/Berlin → Asia/Kolkata"]


def test_edit_back_to_nothing_is_told(admin_user):
    event = EventFactory(name="Concert", venue="Cellar", max_tickets_per_booking=4)

    change_event(event.pk, changes={"venue": "", "max_tickets_per_booking": None}, actor=admin_user)

    assert notes() == ["venue: Cellar → nothing; max tickets per booking: 4 → nothing"]


def test_other_capacity_is_told_by_its_own_entry_alone(admin_user):
    event = EventFactory()

    change_event(event.pk, changes={"total_tickets": 12}, actor=admin_user)

    assert ledger(event, after=1) == [(2, "capacity_changed", 2, 12, 0, None, admin_user.pk)]


def test_edit_of_all_is_told_as_far_as_there_is_room(admin_user):
    event = EventFactory(name="a" * 200, venue="b" * 200, description="c" * 500)
    others = {"name": "A" * 200, "venue": "B" * 200, "description": "C" * 500, "date": MOMENT, "sales_end": MOMENT}

    change_event(event.pk, changes=others, actor=admin_user)

    [note] = notes()
    assert 600 < len(note) <= MAX_NOTE


def test_edit_to_what_is_so_already_writes_nothing(admin_user):
    event = EventFactory(name="Concert")
    before = everything()

    edited = change_event(event.pk, changes={"name": "Concert", "total_tickets": 10}, actor=admin_user)

    assert (edited.event.version, edited.promoted) == (1, [])
    assert everything() == before


def test_refused_edit_leaves_no_note(admin_user):
    event = EventFactory(name="Concert")
    BookingFactory(event=event, tickets=6)
    before = everything()

    with pytest.raises(CapacityBelowHeld):
        change_event(event.pk, changes={"name": "Gala", "total_tickets": 5}, actor=admin_user)

    assert everything() == before


def test_edit_says_whom_it_served(admin_user):
    event = EventFactory(total_tickets=2)
    BookingFactory(event=event, tickets=2)
    waiting = BookingFactory(event=event, tickets=2)

    edited = change_event(event.pk, changes={"total_tickets": 4}, actor=admin_user)

    assert [claim.id for claim in edited.promoted] == [waiting.pk]
