import pytest
from django.db import transaction

from bookings.enums import LedgerKind
from bookings.models import AppendOnly, LedgerEntry
from bookings.rules import ROOM
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.waitlist import move_in_waitlist
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything, ledger

pytestmark = pytest.mark.django_db


def test_ledger_of_a_whole_event_tells_all_without_gaps(user, admin_user):
    event = EventFactory(total_tickets=4, created_by=admin_user)
    first = BookingFactory(event=event, user=user, tickets=3)
    guest = BookingFactory(event=event, user=None, tickets=2)
    third = BookingFactory(event=event, user=user, tickets=2)
    move_in_waitlist(third, position=1, reason="Comes first", actor=admin_user)
    move_in_waitlist(guest, position=1, reason="Was first", actor=admin_user)
    cancel_tickets(first, tickets=1, actor=user)
    cancel_tickets(third, tickets=1, actor=admin_user)
    change_event(event.pk, changes={"total_tickets": 6}, actor=admin_user)
    change_event(event.pk, changes={"name": "Renamed"}, actor=admin_user)
    transfer_booking(guest, holder=Holder("Grace"), actor=admin_user)
    guest.refresh_from_db()
    cancel_tickets(guest)
    change_event(event.pk, changes={"total_tickets": 5}, actor=admin_user)
    cancel_event(event.pk, actor=admin_user)

    told = ledger(event)

    assert told == [
        (1, "opened", 4, 4, 0, None, admin_user.pk),
        (2, "booked", 3, 1, 0, first.pk, user.pk),
        (3, "waitlisted", 2, 1, 1, guest.pk, None),
        (4, "waitlisted", 2, 1, 2, third.pk, user.pk),
        (5, "moved", 2, 1, 2, third.pk, admin_user.pk),
        (6, "moved", 2, 1, 2, guest.pk, admin_user.pk),
        (7, "reduced", 1, 2, 2, first.pk, user.pk),
        (8, "promoted", 2, 0, 1, guest.pk, user.pk),
        (9, "reduced", 1, 0, 1, third.pk, admin_user.pk),
        (10, "capacity_changed", 2, 2, 1, None, admin_user.pk),
        (11, "promoted", 1, 1, 0, third.pk, admin_user.pk),
        (12, "edited", 0, 1, 0, None, admin_user.pk),
        (13, "transferred", 2, 1, 0, guest.pk, admin_user.pk),
        (14, "cancelled", 2, 3, 0, guest.pk, None),
        (15, "capacity_changed", -1, 2, 0, None, admin_user.pk),
        (16, "event_cancelled", 3, 2, 0, None, admin_user.pk),
        (17, "cancelled", 2, 4, 0, first.pk, admin_user.pk),
        (18, "cancelled", 1, 5, 0, third.pk, admin_user.pk),
    ]
    assert {kind for _, kind, *_ in told} == set(LedgerKind.values)
    event.refresh_from_db()
    assert event.ledger_sequence == 18


def test_ledger_counts_each_event_from_one(admin_user):
    first, second = EventFactory.create_batch(2, created_by=admin_user)
    BookingFactory(event=first)
    BookingFactory(event=second)

    assert [entry[:2] for entry in ledger(first)] == [(1, "opened"), (2, "booked")]
    assert [entry[:2] for entry in ledger(second)] == [(1, "opened"), (2, "booked")]


def test_ledger_of_a_later_newcomer_goes_on(admin_user):
    # A waitlist number comes from its ledger entry. So it rises although others have left.
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    gone = BookingFactory(event=event)
    stays = BookingFactory(event=event)
    cancel_tickets(gone)

    late = BookingFactory(event=event)

    assert (stays.waitlist_number, late.waitlist_number) == (4 * ROOM, 6 * ROOM)


def test_ledger_entry_saved_again_is_refused(admin_user):
    entry = LedgerEntry.objects.get(event=EventFactory())
    before = everything()
    entry.tickets = 99

    with pytest.raises(AppendOnly):
        entry.save()

    assert everything() == before


def test_ledger_entry_deleted_is_refused():
    entry = LedgerEntry.objects.get(event=EventFactory())
    before = everything()

    with pytest.raises(AppendOnly):
        entry.delete()

    assert everything() == before


@pytest.mark.parametrize("act", [lambda entries: entries.update(tickets=99), lambda entries: entries.delete()])
def test_ledger_changed_in_bulk_is_refused(act):
    event = EventFactory()
    before = everything()

    with pytest.raises(AppendOnly):
        act(LedgerEntry.objects.filter(event=event))

    assert everything() == before


def test_ledger_changed_by_bulk_update_is_refused():
    entry = LedgerEntry.objects.get(event=EventFactory())
    before = everything()
    entry.tickets = 99

    with pytest.raises(AppendOnly), transaction.atomic():
        LedgerEntry.objects.bulk_update([entry], ["tickets"])

    assert everything() == before


def test_ledger_by_way_of_its_event_is_refused():
    event = EventFactory()
    before = everything()

    with pytest.raises(AppendOnly):
        event.ledger.all().delete()

    assert everything() == before
