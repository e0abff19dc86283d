"""Tickets are voided by several at once, while others book: each time counts, and the ledger has no gap."""

import threading
from collections import Counter

import pytest
from django.db import IntegrityError, connection

from accounts.tests.factories import UserFactory
from bookings.exceptions import AlreadyCancelled, HolderChanged, KeyReused
from bookings.models import Booking, LedgerEntry, TicketEpoch
from bookings.services import correction, voiding
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.correction import correct_address
from bookings.services.epochs import with_epochs
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.verification import verify_events
from bookings.services.voiding import void_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.threads import run_together
from events.models import Event

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 12


def findings():
    return [finding for report in verify_events() for finding in report.findings]


def test_each_voiding_counts_while_others_book():
    event = EventFactory(total_tickets=100)
    booking, staff = BookingFactory(event=event, user=None), UserFactory()

    def act(number):
        if number % 3 == 0:
            return book_tickets(BookingRequest(event.pk, 1, "Grace")).booking.status
        if number % 3 == 1:
            holder = Holder("Grace", str(number), "grace@example.org")
            return transfer_booking(booking, holder=holder, actor=staff).reference
        return void_tickets(booking, actor=staff, reason="stolen").reference

    results = run_together(THREADS, act)

    assert Counter(results) == {"completed": THREADS // 3, booking.reference: THREADS * 2 // 3}
    assert TicketEpoch.objects.get().epoch == THREADS * 2 // 3
    assert LedgerEntry.objects.filter(kind="transferred").count() == THREADS * 2 // 3
    assert findings() == []


@pytest.mark.mariadb
def test_control_without_the_lock_the_ledger_stops_the_second(monkeypatch):
    event = EventFactory(total_tickets=100)
    booking, staff = BookingFactory(event=event, user=None), UserFactory()
    stale = Event.objects.get(pk=event.pk)
    monkeypatch.setattr(voiding, "lock_event", lambda event_id: stale)
    void_tickets(booking, actor=staff, reason="stolen")
    # Another thread has read the event before the first one wrote it.
    stale.ledger_sequence -= 1

    with pytest.raises(IntegrityError, match="ledger_sequence_unique"):
        void_tickets(Booking.objects.get(), actor=staff, reason="stolen")

    connection.close()
    assert TicketEpoch.objects.get().epoch == 1


def test_correction_never_takes_back_a_booking_that_is_just_moved_to_another_person():
    staff = UserFactory()
    for number in range(6):
        booking = BookingFactory(event=EventFactory(), user=None, email="ada@example.org")
        seen = with_epochs().get(pk=booking.pk)

        def act(turn, booking=booking, seen=seen, number=number):
            if turn:
                holder = Holder("Grace", "Hopper", "grace@example.org")
                return transfer_booking(booking, holder=holder, actor=staff).email
            return correct_address(seen, email="eve@example.org", key=f"a key of round {number}").email

        results = run_together(2, act)

        assert results[1] == "grace@example.org"
        assert isinstance(results[0], HolderChanged) or results[0] == "eve@example.org"
        assert Booking.objects.values_list("first_name", "email").get(pk=booking.pk) == ("Grace", "grace@example.org")
    assert findings() == []


def test_control_without_the_comparison_the_booking_is_taken_back(monkeypatch):
    booking = BookingFactory(event=EventFactory(), user=None, email="ada@example.org")
    seen = with_epochs().get(pk=booking.pk)
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=UserFactory())
    with pytest.raises(HolderChanged):
        correct_address(seen, email="eve@example.org", key="a key of the first try")
    monkeypatch.setattr(correction, "HOLDER", ())

    correct_address(seen, email="eve@example.org", key="a key of the second try")

    assert Booking.objects.get().email == "eve@example.org"


def test_correction_that_is_sent_many_times_at_once_is_done_once():
    booking = BookingFactory(event=EventFactory(), user=None, email="ada@example.org")
    seen = with_epochs().get(pk=booking.pk)

    results = run_together(8, lambda _: correct_address(seen, email="new@example.org", key="the key of one page").email)

    assert results == ["new@example.org"] * 8
    assert LedgerEntry.objects.filter(kind="transferred").count() == 1
    assert findings() == []


def test_repeated_correction_is_never_answered_with_the_booking_of_a_new_holder():
    staff = UserFactory()
    for number in range(4):
        booking, key = BookingFactory(event=EventFactory(), user=None, email="ada@example.org"), f"page {number}"
        seen = with_epochs().get(pk=booking.pk)
        # Each of the later requests has found the page open before this one closed it.
        correct_address(seen, email="new@example.org", key=key)

        def act(turn, booking=booking, seen=seen, key=key):
            if turn == 0:
                return transfer_booking(booking, holder=Holder("Grace", "", "grace@example.org"), actor=staff).email
            return correct_address(seen, email="new@example.org", key=key).email

        moved, *repeated = run_together(5, act)

        assert moved == "grace@example.org"
        assert all(isinstance(one, HolderChanged) or one == "new@example.org" for one in repeated)
        with pytest.raises(HolderChanged):
            correct_address(seen, email="new@example.org", key=key)
    assert findings() == []


@pytest.mark.mariadb
def test_one_key_for_bookings_of_two_events_at_once_corrects_one(monkeypatch):
    bookings = [BookingFactory(event=EventFactory(), user=None, email="ada@example.org") for _ in range(2)]
    seen = [with_epochs().get(pk=booking.pk) for booking in bookings]
    find_key, both_looked = correction.find_key, threading.Barrier(2)

    def look_together(*asked):
        known = find_key(*asked)
        both_looked.wait(20)
        return known

    monkeypatch.setattr(correction, "find_key", look_together)

    results = run_together(2, lambda turn: correct_address(seen[turn], email="new@example.org", key="one key").email)

    assert Counter(map(str, results)) == {"new@example.org": 1, KeyReused.message: 1}
    assert sorted(Booking.objects.values_list("email", flat=True)) == ["ada@example.org", "new@example.org"]
    assert findings() == []


@pytest.mark.parametrize("who", ["account", "guest", "nobody who is known"])
def test_cancellation_never_takes_the_tickets_of_a_new_holder(who):
    staff, grace = UserFactory(), Holder("Grace", "Hopper", "grace@example.org")
    for _ in range(4):
        seen = BookingFactory(event=EventFactory(), tickets=2, **({} if who == "account" else {"user": None}))
        if who == "nobody who is known":
            # This booking has neither account, token nor address, so that only the name tells its holders apart.
            transfer_booking(seen, holder=Holder("Ada"), actor=staff)
            seen, grace = Booking.objects.get(pk=seen.pk), grace._replace(email="")

        def act(turn, seen=seen, grace=grace):
            if turn == 0:
                return transfer_booking(seen, holder=grace, actor=staff).first_name
            return cancel_tickets(seen).booking.first_name

        moved, *cancelled = run_together(3, act)

        stored = Booking.objects.get(pk=seen.pk)
        if moved == "Grace":
            assert [type(one) for one in cancelled] == [HolderChanged] * 2
            assert (stored.first_name, stored.status, stored.tickets_reserved) == ("Grace", "completed", 2)
        else:
            assert isinstance(moved, AlreadyCancelled)
            assert (stored.first_name, stored.status) == (seen.first_name, "cancelled")
    # Whoever came first in the rounds above, this one comes second.
    seen = BookingFactory(event=EventFactory(), tickets=2)
    transfer_booking(seen, holder=grace, actor=staff)
    with pytest.raises(HolderChanged):
        cancel_tickets(seen)
    assert findings() == []
