"""Fills tables with bookings as if they had been made one by one: counters and ledger agree with them.

    .venv/bin/python -m tools.bench.fill --bookings 1000000    in the database of the settings

No other process may book meanwhile."""

import argparse
import os
import sys
from collections import Counter

import django
from django.db import transaction

ROWS_A_TRANSACTION = 10_000
# A prime number that 23 does not divide spreads the ids over all references, each id with its own, as drawing does.
SCATTER = 600_000_000_000_007


def fill(*, bookings: int, waiting: int = 0, left: int = 0, actor):
    """Opens an event with `bookings` bookings of one ticket each, all by guests, and returns it.

    `waiting` more of one to four tickets wait, or `left` tickets are left: nobody waits while there are any.
    """
    from bookings.models import Booking, LinePart, SalesHour
    from bookings.rules import number_of_arrival, part_of_waitlist
    from bookings.services.events import open_event
    from bookings.services.inventory import hour_of
    from events.models import Event

    event = open_event({"name": "Filled", "total_tickets": max(bookings + left, 1)}, actor=actor)
    rows = bookings + waiting
    last = Booking.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    for first in range(0, rows, ROWS_A_TRANSACTION):
        insert(event, range(first, min(first + ROWS_A_TRANSACTION, rows)), bookings=bookings, first_id=last + 1)
    wanted = sum(map(size_of, range(1, waiting + 1)))
    Event.objects.filter(pk=event.pk).update(
        available_tickets=event.total_tickets - bookings,
        booking_count=rows,
        completed_count=bookings,
        waitlisted_count=waiting,
        waitlisted_tickets=wanted,
        ledger_sequence=1 + rows,
    )
    # The counts that stand beside the event are as if all bookings had been made when the event was opened.
    parts = Counter(part_of_waitlist(number_of_arrival(bookings + number + 2)) for number in range(waiting))
    LinePart.objects.bulk_create(LinePart(event=event, first_number=part, waiting=n) for part, n in parts.items())
    if bookings:
        sales = {"bookings": rows, "tickets": bookings + wanted, "held": bookings, "waiting": waiting}
        SalesHour.objects.create(event=event, hour=hour_of(event.created_at), **sales)
    event.refresh_from_db()
    return event


def size_of(place: int) -> int:
    """The number of tickets of the booking that waits at this place."""
    return 1 + place % 4


@transaction.atomic
def insert(event, numbers: range, *, bookings: int, first_id: int) -> None:
    """Inserts the bookings with these numbers, each with its ledger entry. The opening of the event was entry 1."""
    from bookings.models import Booking, LedgerEntry
    from bookings.rules import number_of_arrival
    from ticks.search import search_text

    made, entries = [], []
    for number in numbers:
        pk, sequence, place = first_id + number, number + 2, max(number - bookings + 1, 0)
        tickets = size_of(place) if place else 1
        booking = Booking(
            pk=pk,
            reference=reference(pk),
            event=event,
            first_name="Ada",
            last_name="Lovelace",
            email=f"ada{number % 50_000}@example.org",
            search_text=search_text("Ada", "Lovelace", f"ada{number % 50_000}@example.org"),
            tickets_reserved=tickets,
            status="waitlisted" if place else "completed",
            waitlist_number=number_of_arrival(sequence) if place else None,
            created_at=event.created_at,
            updated_at=event.created_at,
        )
        entry = LedgerEntry(
            event=event,
            sequence=sequence,
            booking_id=pk,
            kind="waitlisted" if place else "booked",
            tickets=tickets,
            available_after=event.total_tickets - min(number + 1, bookings),
            waitlisted_after=place,
            created_at=event.created_at,
        )
        made.append(booking)
        entries.append(entry)
    Booking.objects.bulk_create(made)
    LedgerEntry.objects.bulk_create(entries)


def reference(number: int) -> str:
    from bookings.services.references import ALPHABET, REFERENCE_LENGTH

    left, letters = number * SCATTER % len(ALPHABET) ** REFERENCE_LENGTH, ""
    for _ in range(REFERENCE_LENGTH):
        left, letter = divmod(left, len(ALPHABET))
        letters += ALPHABET[letter]
    return f"{letters[:5]}-{letters[5:]}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="fill", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, required=True)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    django.setup()
    from accounts.models import User

    actor = User.objects.filter(is_staff=True).order_by("pk").first()
    if actor is None:
        sys.exit("There is no admin who could open an event.")
    print(fill(bookings=options.bookings, actor=actor).pk)


if __name__ == "__main__":
    main()
