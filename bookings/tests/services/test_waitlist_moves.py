"""Bookings that are moved in the waitlist, or served out of turn."""

import pytest

from accounts.tests.factories import UserFactory
from bookings.exceptions import NoSuchPlace, NotWaiting, TooFewLeft
from bookings.models import Booking, LedgerEntry, LinePart
from bookings.rules import number_of_arrival
from bookings.services import waitlist
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import open_event
from bookings.services.verification import verify_event
from bookings.services.waitlist import move_in_waitlist, number_at, numbers_between, serve_out_of_turn

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager():
    return UserFactory()


def event_of(manager, *, tickets=2, policy="first_fit", waiting=()):
    """An event whose tickets are all held, with bookings of these sizes waiting."""
    event = open_event({"name": "Full", "total_tickets": tickets, "waitlist_policy": policy}, actor=manager)
    book(event, tickets)
    return event, [book(event, size) for size in waiting]


def book(event, tickets):
    return book_tickets(BookingRequest(event.pk, tickets, "Ada")).booking


def line(event):
    return list(
        Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number").values_list("pk", flat=True)
    )


def findings(event):
    event.refresh_from_db()
    return verify_event(event).findings


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("to", range(4))
def test_moved_booking_stands_where_it_was_put(manager, start, to):
    event, waiting = event_of(manager, waiting=[2, 2, 2, 2])
    wanted = [booking.pk for booking in waiting]
    wanted.insert(to, wanted.pop(start))

    move_in_waitlist(waiting[start], position=to + 1, reason="Doctor on duty", actor=manager)

    assert line(event) == wanted
    assert findings(event) == []
    assert LedgerEntry.objects.filter(kind="moved").count() == (start != to)


def test_moved_booking_is_told_in_the_ledger(manager):
    _, [_, second] = event_of(manager, waiting=[2, 2])

    moved = move_in_waitlist(second, position=1, reason="Doctor on duty", actor=manager)

    entry = LedgerEntry.objects.get(kind="moved")
    assert (entry.booking, entry.tickets, entry.note, entry.actor) == (second, 2, "Doctor on duty", manager)
    assert entry.place == moved.booking.waitlist_number == Booking.objects.get(pk=second.pk).waitlist_number
    assert (entry.available_after, entry.waitlisted_after) == (0, 2)


@pytest.mark.parametrize("position", [0, 3, -1])
def test_place_that_is_not_in_the_line_is_refused(manager, position):
    event, [first, second] = event_of(manager, waiting=[2, 2])

    with pytest.raises(NoSuchPlace):
        move_in_waitlist(first, position=position, reason="Why", actor=manager)

    assert line(event) == [first.pk, second.pk]
    assert not LedgerEntry.objects.filter(kind="moved").exists()


def test_booking_that_holds_tickets_is_not_moved(manager):
    event, _ = event_of(manager, waiting=[2])
    holder = Booking.objects.get(event=event, status="completed")

    with pytest.raises(NotWaiting):
        move_in_waitlist(holder, position=1, reason="Why", actor=manager)

    assert LedgerEntry.objects.filter(event=event).count() == 3


def test_strict_line_serves_the_new_head_that_fits(manager):
    event, [large, small] = event_of(manager, tickets=3, policy="strict", waiting=[3, 1])
    holder = Booking.objects.get(event=event, status="completed")
    cancel_tickets(holder, tickets=1, actor=manager)

    moved = move_in_waitlist(small, position=1, reason="Fits", actor=manager)

    assert [claim.booking.pk for claim in moved.promoted] == [small.pk]
    assert Booking.objects.get(pk=small.pk).status == "completed"
    assert line(event) == [large.pk]
    assert findings(event) == []


def test_strict_line_serves_who_follows_a_head_that_is_moved_back(manager):
    event, [large, small, last] = event_of(manager, tickets=3, policy="strict", waiting=[3, 1, 3])
    cancel_tickets(Booking.objects.get(event=event, status="completed"), tickets=1, actor=manager)

    moved = move_in_waitlist(large, position=3, reason="Comes later", actor=manager)

    assert len(moved.promoted) == 1
    assert Booking.objects.get(pk=small.pk).status == "completed"
    assert line(event) == [last.pk, large.pk]
    assert findings(event) == []


def test_moves_into_the_same_gap_never_run_out_of_room(manager, monkeypatch):
    monkeypatch.setattr("bookings.rules.ROOM", 16)
    monkeypatch.setattr("bookings.rules.NUMBERS_A_PART", 64)
    monkeypatch.setattr("bookings.services.verification.NUMBERS_A_PART", 64)
    monkeypatch.setattr(waitlist, "ENOUGH_ROOM", 2)
    event, waiting = event_of(manager, waiting=[2] * 8)
    wanted = [booking.pk for booking in waiting]

    for turn in range(30):
        start, to = 3 + turn % 5, 1 + turn % 2
        wanted.insert(to, pk := wanted.pop(start))
        move_in_waitlist(Booking.objects.get(pk=pk), position=to + 1, reason="Why", actor=manager)
        assert line(event) == wanted

    assert findings(event) == []
    assert LedgerEntry.objects.filter(kind="moved", note=waitlist.MADE_ROOM).exists()


def crowded(event, waiting, *, but=()):
    """Gives the waiting bookings numbers that follow one another, without room between them."""
    LinePart.objects.filter(event=event).delete()
    for number, booking in enumerate(waiting, 1):
        Booking.objects.filter(pk=booking.pk).update(waitlist_number=dict(but).get(booking, number))
    LinePart.objects.create(event=event, first_number=0, waiting=len(waiting))


@pytest.mark.parametrize("page", [1, 2, 3, 50])
def test_move_where_no_number_is_left_renumbers_page_by_page(manager, monkeypatch, page):
    monkeypatch.setattr(waitlist, "PAGE", page)
    event, waiting = event_of(manager, waiting=[2] * 7)
    crowded(event, waiting)
    wanted = [booking.pk for booking in waiting]
    wanted.insert(1, wanted.pop(5))

    move_in_waitlist(waiting[5], position=2, reason="Why", actor=manager)

    assert line(event) == wanted
    event.refresh_from_db()
    told = LedgerEntry.objects.filter(event=event, kind="moved").order_by("sequence")
    # All bookings behind the first are moved, each once, from the end on.
    assert list(told.values_list("booking", flat=True)) == wanted[:0:-1]
    numbers = Booking.objects.filter(event=event).waitlisted().values_list("waitlist_number", flat=True)
    assert sorted(numbers)[1] - sorted(numbers)[0] >= waitlist.ENOUGH_ROOM


def test_number_that_the_moved_booking_still_has_is_given_to_nobody_else(manager):
    event, waiting = event_of(manager, waiting=[2, 2, 2])
    first, second, last = waiting
    event.refresh_from_db()
    taken = numbers_between(0, number_of_arrival(event.ledger_sequence + 1), 3)
    # The middle number is the one that the first booking gets when room is made. From then on no other may have it.
    crowded(event, waiting, but=[(last, taken[1])])

    move_in_waitlist(last, position=1, reason="Why", actor=manager)

    assert line(event) == [last.pk, first.pk, second.pk]


def test_booking_that_was_cancelled_meanwhile_is_not_moved(manager):
    event, [first, second] = event_of(manager, waiting=[2, 2])
    stale = Booking.objects.get(pk=second.pk)
    cancel_tickets(second)

    with pytest.raises(NotWaiting):
        move_in_waitlist(stale, position=1, reason="Why", actor=manager)

    assert line(event) == [first.pk]
    assert findings(event) == []


def test_booking_that_left_between_two_reads_has_no_moves(manager):
    event, [_, second] = event_of(manager, waiting=[2, 2])
    stale = Booking.objects.get(pk=second.pk)
    cancel_tickets(second)
    event.refresh_from_db()

    with pytest.raises(NotWaiting):
        waitlist.moves(event, stale, position=1, note="", actor=manager)


def test_booking_that_was_moved_meanwhile_is_moved_from_where_it_stands(manager):
    event, [first, second, third] = event_of(manager, waiting=[2, 2, 2])
    stale = Booking.objects.get(pk=first.pk)
    move_in_waitlist(first, position=3, reason="Why", actor=manager)

    move_in_waitlist(stale, position=1, reason="Why", actor=manager)

    assert line(event) == [first.pk, second.pk, third.pk]
    assert findings(event) == []


def test_strict_line_serves_nobody_while_room_is_made(manager, monkeypatch):
    # No number is free before the head, and it gets a higher one than the next has; what is left would do for him.
    monkeypatch.setattr(waitlist, "ENOUGH_ROOM", 2)
    event, [head, small, last] = event_of(manager, tickets=3, policy="strict", waiting=[3, 1, 3])
    cancel_tickets(Booking.objects.get(event=event, status="completed"), tickets=1, actor=manager)
    for booking, number in ((head, 1), (small, 2)):
        Booking.objects.filter(pk=booking.pk).update(waitlist_number=number)

    moved = move_in_waitlist(small, position=1, reason="Fits", actor=manager)

    assert [claim.booking.pk for claim in moved.promoted] == [small.pk]
    assert line(event) == [head.pk, last.pk]
    told = LedgerEntry.objects.filter(event=event, sequence__gt=6).order_by("sequence")
    assert list(told.values_list("kind", "booking")) == [
        ("moved", head.pk),
        ("moved", small.pk),
        ("promoted", small.pk),
    ]


def test_who_comes_after_a_move_to_the_end_waits_behind(manager):
    event, [first, second] = event_of(manager, waiting=[2, 2])

    move_in_waitlist(first, position=2, reason="Why", actor=manager)
    late = book(event, 2)

    assert line(event) == [second.pk, first.pk, late.pk]
    assert findings(event) == []


def test_served_out_of_turn_under_strict(manager):
    event, [large, small] = event_of(manager, tickets=3, policy="strict", waiting=[3, 1])
    cancel_tickets(Booking.objects.get(event=event, status="completed"), tickets=2, actor=manager)

    served = serve_out_of_turn(small, reason="Stands at the door", actor=manager)

    event.refresh_from_db()
    assert (served.booking.status, event.available_tickets, event.version) == ("completed", 1, 1)
    entry = LedgerEntry.objects.get(kind="promoted")
    assert (entry.booking, entry.note, entry.actor) == (small, "Stands at the door", manager)
    assert line(event) == [large.pk]
    assert findings(event) == []


def test_out_of_turn_is_refused_where_tickets_are_missing(manager):
    event, [waiting] = event_of(manager, waiting=[2])

    with pytest.raises(TooFewLeft, match="needs 2 tickets and 0 are available: add what is missing"):
        serve_out_of_turn(waiting, reason="Why", actor=manager)

    assert line(event) == [waiting.pk]
    assert findings(event) == []


def test_out_of_turn_with_added_tickets_serves_it_alone(manager):
    event, [first, second] = event_of(manager, waiting=[2, 1])

    served = serve_out_of_turn(second, reason="House seats", actor=manager, adds=True)

    event.refresh_from_db()
    assert [claim.booking.pk for claim in served.promoted] == [second.pk]
    assert (event.total_tickets, event.available_tickets, event.version) == (3, 0, 2)
    assert line(event) == [first.pk]
    assert list(
        LedgerEntry.objects.filter(event=event, sequence__gte=5)
        .order_by("sequence")
        .values_list("kind", "tickets", "note")
    ) == [("capacity_changed", 1, "House seats"), ("promoted", 1, "House seats")]
    assert findings(event) == []


def test_out_of_turn_of_who_does_not_wait_is_refused(manager):
    event, _ = event_of(manager)
    holder = Booking.objects.get(event=event)

    with pytest.raises(NotWaiting):
        serve_out_of_turn(holder, reason="Why", actor=manager, adds=True)

    event.refresh_from_db()
    assert (event.total_tickets, event.ledger_sequence) == (2, 2)


@pytest.mark.parametrize("emptied", [False, True])
def test_number_of_a_place_that_the_line_no_longer_has(manager, emptied):
    event, waiting = event_of(manager, waiting=[2, 2, 2])
    for booking in waiting if emptied else waiting[:1]:
        cancel_tickets(booking)

    with pytest.raises(NoSuchPlace):
        number_at(event, 3)


def test_out_of_turn_does_not_add_beyond_what_an_event_may_have(manager, monkeypatch):
    monkeypatch.setattr("bookings.rules.MAX_TICKETS", 3)
    event, [waiting] = event_of(manager, waiting=[2])

    with pytest.raises(TooFewLeft):
        serve_out_of_turn(waiting, reason="Why", actor=manager, adds=True)

    event.refresh_from_db()
    assert (event.total_tickets, line(event)) == (2, [waiting.pk])
