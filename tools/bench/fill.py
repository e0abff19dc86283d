"""Fills tables with bookings as if they had been made one by one: counters and ledger agree with them.

    .venv/bin/python -m tools.bench.fill --bookings 1000000 --waiting 100000    in the database of the settings

Nobody else may be booking meanwhile.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import django
from django.db import connection, transaction

ROWS_A_TRANSACTION = 10_000
# A prime that 23 does not divide scatters ids over all references, each over one of its own, as drawing does.
SCATTER = 600_000_000_000_007
SIZES = (1, 2, 3, 4)

BOOKING = """
INSERT INTO bookings_booking
(id, reference, event_id, user_id, first_name, last_name, email, tickets_reserved, status, waitlist_number,
 created_at, updated_at)
VALUES (%s, %s, %s, %s, 'Ada', 'Lovelace', %s, %s, %s, %s, %s, %s)
"""
LEDGER = """
INSERT INTO bookings_ledgerentry
(event_id, sequence, booking_id, kind, tickets, available_after, waitlisted_after, actor_id, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def fill(*, bookings: int, waiting: int = 0, left: int = 0, actor, accounts: Sequence[int] = ()):
    """A new event, opened by `actor`, with so many bookings of one ticket each.

    `waiting` more of one to four tickets wait, or `left` tickets are left: nobody waits while there are any.
    The bookings belong to the accounts in turn, to guests without. Returns the event.
    """
    from bookings.services.events import open_event
    from events.models import Event

    if waiting and left:
        raise ValueError("nobody waits while tickets are left")
    event = open_event({"name": "Filled", "total_tickets": max(bookings + left, 1)}, actor=actor)
    if waiting and not bookings:
        raise ValueError("somebody must hold the tickets that are waited for")
    rows = rows_of(event, bookings, waiting, accounts)
    for start in range(0, bookings + waiting, ROWS_A_TRANSACTION):
        insert([next(rows) for _ in range(min(ROWS_A_TRANSACTION, bookings + waiting - start))])
    Event.objects.filter(pk=event.pk).update(
        available_tickets=event.total_tickets - bookings,
        booking_count=bookings + waiting,
        completed_count=bookings,
        waitlisted_count=waiting,
        waitlisted_tickets=wanted_by(waiting),
        ledger_sequence=1 + bookings + waiting,
    )
    count_line(event, bookings, waiting)
    count_hour(event, bookings, waiting)
    event.refresh_from_db()
    return event


def count_line(event, bookings: int, waiting: int) -> None:
    from bookings.line import number_of_arrival, part_of_line
    from bookings.models import LinePart

    line = Counter(part_of_line(number_of_arrival(bookings + number + 2)) for number in range(waiting))
    LinePart.objects.bulk_create(
        LinePart(event=event, first_number=part, waiting=among) for part, among in line.items()
    )


def count_hour(event, bookings: int, waiting: int) -> None:
    """All were booked in the moment that the event was opened."""
    from bookings.models import SalesHour
    from bookings.services.hours import hour_of

    if bookings + waiting:
        SalesHour.objects.create(
            event=event,
            hour=hour_of(event.created_at),
            bookings=bookings + waiting,
            tickets=bookings + wanted_by(waiting),
            held=bookings,
            waiting=waiting,
        )


def size_of(place: int) -> int:
    """The tickets that who waits at this place wants."""
    return SIZES[place % len(SIZES)]


def wanted_by(waiting: int) -> int:
    return sum(size_of(place) for place in range(1, waiting + 1))


def rows_of(event, bookings: int, waiting: int, accounts: Sequence[int]) -> Iterator[tuple[tuple, tuple]]:
    """Each booking with its ledger entry. The opening of the event was entry 1."""
    from bookings.line import number_of_arrival

    first, moment = last_booking() + 1, stored(event.created_at)
    for number in range(bookings + waiting):
        pk, sequence = first + number, number + 2
        waits = number - bookings + 1 if number >= bookings else 0
        tickets = size_of(waits) if waits else 1
        available = event.total_tickets - min(number + 1, bookings)
        user = accounts[number % len(accounts)] if accounts else None
        status, kind = ("waitlisted", "waitlisted") if waits else ("completed", "booked")
        email = f"ada{number % 50_000}@example.org"
        place = number_of_arrival(sequence) if waits else None
        yield (
            (pk, reference(pk), event.pk, user, email, tickets, status, place, moment, moment),
            (event.pk, sequence, pk, kind, tickets, available, waits, user, moment),
        )


@transaction.atomic
def insert(rows: list[tuple[tuple, tuple]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(BOOKING, [booking for booking, _ in rows])
        cursor.executemany(LEDGER, [entry for _, entry in rows])


def last_booking() -> int:
    from bookings.models import Booking

    return Booking.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def stored(moment: datetime):
    return connection.ops.adapt_datetimefield_value(moment)


def reference(number: int) -> str:
    from bookings.services.references import ALPHABET, REFERENCE_LENGTH

    left, letters = number * SCATTER % len(ALPHABET) ** REFERENCE_LENGTH, []
    for _ in range(REFERENCE_LENGTH):
        left, letter = divmod(left, len(ALPHABET))
        letters.append(ALPHABET[letter])
    drawn = "".join(letters)
    return f"{drawn[:5]}-{drawn[5:]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="fill", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, required=True)
    parser.add_argument("--waiting", type=int, default=0, help="bookings that wait beside them")
    parser.add_argument("--left", type=int, default=0, help="tickets that are left")
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    django.setup()
    from accounts.models import User

    actor = User.objects.filter(is_staff=True).order_by("pk").first()
    if actor is None:
        sys.exit("There is no admin who could open an event.")
    accounts = list(User.objects.exclude(pk=actor.pk).order_by("pk").values_list("pk", flat=True)[:10_000])
    print(fill(bookings=given.bookings, waiting=given.waiting, left=given.left, actor=actor, accounts=accounts).pk)
    return 0


if __name__ == "__main__":
    sys.exit(main())
