"""Fills tables with bookings as if they had been made one by one: counters and ledger agree with them.

    .venv/bin/python -m tools.bench.fill --bookings 1000000 --waiting 100000    in the database of the settings

No other process may book meanwhile."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import django
from django.db import transaction

ROWS_A_TRANSACTION = 10_000
# A prime number that 23 does not divide spreads the ids over all references, each id with its own, as drawing does.
SCATTER = 600_000_000_000_007


def fill(*, bookings: int, waiting: int = 0, left: int = 0, actor, accounts: Sequence[int] = ()):
    """Opens an event with `bookings` bookings of one ticket each, and returns it.

    `waiting` more of one to four tickets wait, or `left` tickets are left: nobody waits while there are any. The
    bookings belong to the accounts in turn; without accounts, to guests.
    """
    from bookings.services.events import open_event
    from events.models import Event

    if waiting and (left or not bookings):
        raise ValueError("nobody waits while tickets are left, nor for tickets that nobody holds")
    event = open_event({"name": "Filled", "total_tickets": max(bookings + left, 1)}, actor=actor)
    rows = rows_of(event, bookings, waiting, accounts)
    while page := list(islice(rows, ROWS_A_TRANSACTION)):
        insert(page)
    wanted = sum(map(size_of, range(1, waiting + 1)))
    Event.objects.filter(pk=event.pk).update(
        available_tickets=event.total_tickets - bookings,
        booking_count=bookings + waiting,
        completed_count=bookings,
        waitlisted_count=waiting,
        waitlisted_tickets=wanted,
        ledger_sequence=1 + bookings + waiting,
    )
    count(event, bookings, waiting, wanted)
    event.refresh_from_db()
    return event


def count(event, bookings: int, waiting: int, wanted: int) -> None:
    """Inserts the counts that stand beside the event, as if all bookings had been made when the event was opened."""
    from bookings.models import LinePart, SalesHour
    from bookings.rules import number_of_arrival, part_of_waitlist
    from bookings.services.inventory import hour_of

    line = Counter(part_of_waitlist(number_of_arrival(bookings + number + 2)) for number in range(waiting))
    LinePart.objects.bulk_create(LinePart(event=event, first_number=part, waiting=n) for part, n in line.items())
    if bookings:
        SalesHour.objects.create(
            event=event,
            hour=hour_of(event.created_at),
            bookings=bookings + waiting,
            tickets=bookings + wanted,
            held=bookings,
            waiting=waiting,
        )


def size_of(place: int) -> int:
    """The number of tickets of the booking that waits at this place."""
    return 1 + place % 4


def rows_of(event, bookings: int, waiting: int, accounts: Sequence[int]) -> Iterator[tuple]:
    """Each booking with its ledger entry. The opening of the event was entry 1."""
    from bookings.models import Booking, LedgerEntry
    from bookings.rules import number_of_arrival

    last = Booking.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    for number in range(bookings + waiting):
        pk, sequence = last + 1 + number, number + 2
        place = max(number - bookings + 1, 0)
        tickets = size_of(place) if place else 1
        user = accounts[number % len(accounts)] if accounts else None
        booking = Booking(
            pk=pk,
            reference=reference(pk),
            event=event,
            user_id=user,
            first_name="Ada",
            last_name="Lovelace",
            email=f"ada{number % 50_000}@example.org",
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
            actor_id=user,
            created_at=event.created_at,
        )
        yield booking, entry


@transaction.atomic
def insert(rows: list[tuple]) -> None:
    from bookings.models import Booking, LedgerEntry

    Booking.objects.bulk_create([booking for booking, _ in rows])
    LedgerEntry.objects.bulk_create([entry for _, entry in rows])


def reference(number: int) -> str:
    from bookings.services.references import ALPHABET, REFERENCE_LENGTH

    left, letters = number * SCATTER % len(ALPHABET) ** REFERENCE_LENGTH, ""
    for _ in range(REFERENCE_LENGTH):
        left, letter = divmod(left, len(ALPHABET))
        letters += ALPHABET[letter]
    return f"{letters[:5]}-{letters[5:]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="fill", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, required=True)
    parser.add_argument("--waiting", type=int, default=0, help="bookings that wait beside them")
    parser.add_argument("--left", type=int, default=0, help="tickets that are left")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    django.setup()
    from accounts.models import User

    actor = User.objects.filter(is_staff=True).order_by("pk").first()
    if actor is None:
        sys.exit("There is no admin who could open an event.")
    accounts = list(User.objects.exclude(pk=actor.pk).order_by("pk").values_list("pk", flat=True)[:10_000])
    print(fill(**vars(options), actor=actor, accounts=accounts).pk)
    return 0


if __name__ == "__main__":
    sys.exit(main())
