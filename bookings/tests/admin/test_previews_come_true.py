"""A preview comes true if nobody changes anything in between. The cases are random, from a fixed seed."""

import random

import pytest

from bookings.models import Booking, LedgerEntry
from bookings.tests.admin.confirming import confirm, counts, lines, look
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

STEPS = 6


def draw_event(draw: random.Random):
    event = EventFactory(total_tickets=draw.randint(3, 8), waitlist_policy=draw.choice(["first_fit", "strict"]))
    for place in range(draw.randint(5, 11)):
        tickets = draw.randint(1, min(3, event.total_tickets))
        BookingFactory(event=event, first_name=f"P{place}", last_name="", tickets=tickets, user=None)
    event.refresh_from_db()
    return event


def draw_step(draw: random.Random, event):
    """A random subject, an action on it, and its input."""
    event.refresh_from_db()
    live = list(Booking.objects.filter(event=event).live())
    waiting = [booking for booking in live if booking.status == "waitlisted"]
    steps = [
        (event, "capacity", {"total": event.held_tickets + draw.randint(0, 5) or 1}),
        (event, "edit", {"waitlist_policy": draw.choice(["first_fit", "strict"])}),
        (event, "book", {"tickets": 1, "first_name": "New", "last_name": str(len(live)), "email": "n@example.org"}),
    ]
    if live:
        booking = draw.choice(live)
        steps.append((booking, "cancel", {"tickets": draw.randint(1, booking.tickets_reserved)}))
    if waiting:
        typed = {"reason": "drawn", "position": draw.randint(1, len(waiting)), "adds": draw.choice([[], "on"])}
        steps += [(draw.choice(waiting), "move", typed), (draw.choice(waiting), "serve", typed)]
    return draw.choice(steps)


def foretold_names(shown: list[str]) -> list[str]:
    [names] = [line.rpartition(": ")[2].rstrip(".") for line in shown if line.startswith("Promotes")] or [""]
    return [name.partition(" (")[0] for name in names.split(", ") if name]


@pytest.mark.parametrize("seed", range(10))
def test_what_is_shown_is_what_happens(superuser_client, seed):
    draw = random.Random(seed)  # noqa: S311 (a seed, not a secret)
    event = draw_event(draw)

    for _ in range(STEPS):
        subject, action, typed = draw_step(draw, event)
        known = event.ledger_sequence
        shown = look(superuser_client, subject, action, **typed)
        if not lines(shown):
            # These are refused: the value is there already, or needs more tickets than there are.
            event.refresh_from_db()
            assert event.ledger_sequence == known
            continue
        confirm(superuser_client, subject, action, shown)

        counts(event)
        promoted = LedgerEntry.objects.filter(event=event, sequence__gt=known, kind="promoted").order_by("sequence")
        names = list(promoted.values_list("booking__first_name", flat=True))
        told = lines(shown)
        if action == "serve":
            assert told[0].startswith(f"{names[0]} gets ")
            names = names[1:]
        assert foretold_names(told) == names, (subject, action, typed, told)
        then = f"Then {event.available_tickets} ticket{'' if event.available_tickets == 1 else 's'} available, "
        waits = f"{event.waitlisted_count} booking" if event.waitlisted_count else "nobody waiting."
        for line in told:
            assert not line.startswith("Then ") or line.startswith(then + waits)
