"""A preview tells what then happens."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import UserFactory
from bookings.commands import Book, Cancel, CancelEvent, ChangeTerms, Claim, Serve
from bookings.exceptions import CapacityBelowHeld, PersonLimit, TooFewLeft, TooManyTickets
from bookings.models import Booking, LedgerEntry
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.services.inventory import simulate
from bookings.services.waitlist import move_in_waitlist, moves, serve_out_of_turn
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything
from events.exceptions import EventNotFound
from events.models import Event

pytestmark = pytest.mark.django_db
COUNTS = ("total", "available", "waitlisted", "waitlisted_tickets", "bookings", "completed", "sequence")
COLUMNS = (
    "total_tickets",
    "available_tickets",
    "waitlisted_count",
    "waitlisted_tickets",
    "booking_count",
    "completed_count",
    "ledger_sequence",
)


@pytest.fixture
def manager():
    return UserFactory()


@pytest.fixture(params=["first_fit", "strict"])
def event(request):
    """Ten tickets, nine held; 4, 3, 1 and 2 wait under strict, the 1 is served under first fit."""
    event = EventFactory(total_tickets=10, waitlist_policy=request.param)
    for tickets in (5, 4, 4, 3, 2, 2):
        BookingFactory(event=event, tickets=tickets)
    event.refresh_from_db()
    return event


def holder(event):
    return Booking.objects.filter(event=event, status="completed").order_by("pk").first()


def last_waiting(event):
    return Booking.objects.filter(event=event).waitlisted().order_by("-waitlist_number").first()


# The case is previewed, and then done.
ACTS = {
    "book": (
        lambda event, by: [Book(Claim(1))],
        lambda event, by: book_tickets(BookingRequest(event.pk, 1, "Ada")),
    ),
    "book what has to wait": (
        lambda event, by: [Book(Claim(7))],
        lambda event, by: book_tickets(BookingRequest(event.pk, 7, "Ada")),
    ),
    "cancel": (
        lambda event, by: [Cancel(holder(event).pk)],
        lambda event, by: cancel_tickets(holder(event), actor=by),
    ),
    "cancel a part": (
        lambda event, by: [Cancel(holder(event).pk, 3)],
        lambda event, by: cancel_tickets(holder(event), tickets=3, actor=by),
    ),
    "cancel who waits": (
        lambda event, by: [Cancel(last_waiting(event).pk)],
        lambda event, by: cancel_tickets(last_waiting(event), actor=by),
    ),
    "larger": (
        lambda event, by: [ChangeTerms(16, event.waitlist_policy, None)],
        lambda event, by: change_event(event.pk, changes={"total_tickets": 16}, actor=by),
    ),
    "serve": (
        lambda event, by: [Serve(last_waiting(event).pk, adds=True)],
        lambda event, by: serve_out_of_turn(last_waiting(event), reason="Why", actor=by, adds=True),
    ),
    "move": (
        lambda event, by: moves(event, last_waiting(event), position=1, note="Why", actor=by),
        lambda event, by: move_in_waitlist(last_waiting(event), position=1, reason="Why", actor=by),
    ),
    "cancel the event": (
        lambda event, by: [CancelEvent()],
        lambda event, by: cancel_event(event.pk, actor=by),
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_what_is_foreseen_happens(event, manager, act):
    commands, carry_out = ACTS[act]
    last = event.ledger_sequence

    forecast = simulate(event, commands(event, manager))
    carry_out(event, manager)

    event.refresh_from_db()
    assert [getattr(forecast.inventory, name) for name in COUNTS] == [getattr(event, name) for name in COLUMNS]
    promoted = LedgerEntry.objects.filter(event=event, sequence__gt=last, kind="promoted").order_by("sequence")
    assert [claim.id for claim in forecast.promoted] == [entry.booking_id for entry in promoted]


@pytest.mark.parametrize("act", ACTS)
def test_forecast_writes_and_locks_nothing(event, manager, act):
    commands, _ = ACTS[act]
    before = everything()

    with CaptureQueriesContext(connection) as queries:
        simulate(event, commands(event, manager))

    assert {query["sql"].split()[0].lstrip("(") for query in queries} <= {"SELECT"}
    assert not [query for query in queries if "FOR UPDATE" in query["sql"]]
    assert everything() == before


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (lambda event: Book(Claim(11)), TooManyTickets),
        (lambda event: ChangeTerms(3, "first_fit", None), CapacityBelowHeld),
        (lambda event: Serve(Booking.objects.waitlisted().order_by("waitlist_number").first().pk), TooFewLeft),
    ],
)
def test_refusal_is_foreseen(event, command, error):
    with pytest.raises(error):
        simulate(event, [command(event)])


def test_person_limit_is_foreseen(event):
    Event.objects.update(max_tickets_per_person=5)
    event.refresh_from_db()
    held = holder(event)

    with pytest.raises(PersonLimit):
        simulate(event, [Book(Claim(1, holder=held.user_id))])
    simulate(event, [Book(Claim(1, holder=held.email))])


def test_nothing_is_foreseen_of_a_cancelled_event(event, manager):
    cancel_event(event.pk, actor=manager)

    with pytest.raises(EventNotFound):
        simulate(Event.objects.get(), [Book(Claim(1))])
