import json
from itertools import groupby

from accounts.models import LoginSession, User
from bookings.models import Booking, IdempotencyKey, LedgerEntry
from bookings.tests.model.world import CANCELLED, World
from events.models import Event


def compare(what: str, told, expected) -> None:
    """Compares exactly, so that neither 1 nor 1.0 passes for true."""
    if told == expected and as_json(told) == as_json(expected):
        return
    raise AssertionError(f"{what}\n  Ticks says {told!r}\n  the model   {expected!r}")


def as_json(value) -> str:
    return json.dumps(value, sort_keys=True, default=lambda seen: seen.value)


def compare_rows(world: World) -> None:
    """Compares the rows of the tables with the model."""
    users = User.objects.order_by("pk").values_list("pk", "username", "email", "is_active", "is_staff")
    compare(
        "users",
        [list(row) for row in users],
        [[user.id, user.username, user.email, user.is_active, user.is_admin] for user in world.users],
    )
    # One of them is the auditor's.
    compare("logins", LoginSession.objects.count() - 1, sum(not login.is_over for login in world.logins))
    compare("keys", IdempotencyKey.objects.count(), len(world.keys) + world.keyed_writes)
    compare_events(world)
    compare_bookings(world)
    compare_cancellations(world)


def compare_events(world: World) -> None:
    columns = ("pk", "total_tickets", "available_tickets", "waitlisted_count", "waitlist_policy", "version")
    rows = Event.objects.order_by("pk").values_list(*columns, "deleted_at")
    compare(
        "events",
        [[*row, deleted_at is not None] for *row, deleted_at in rows],
        [
            [event.id, event.total, event.available, len(event.waitlist), event.policy, event.version, event.is_deleted]
            for event in world.events
        ],
    )


def compare_bookings(world: World) -> None:
    rows = Booking.objects.order_by("pk").values_list(
        "pk", "event_id", "user_id", "tickets_reserved", "status", "one_ticket_holder_id"
    )
    compare(
        "bookings",
        [list(row) for row in rows],
        [
            [
                booking.id,
                booking.event.id,
                booking.user and booking.user.id,
                booking.tickets,
                booking.status,
                booking.user.id if booking.is_seat and booking.is_live else None,
            ]
            for booking in world.bookings
        ],
    )
    waiting = Booking.objects.waitlisted().order_by("event_id", "waitlist_number").values_list("event_id", "pk")
    compare(
        "waitlists",
        [[event, [pk for _, pk in line]] for event, line in groupby(waiting, key=lambda row: row[0])],
        [[event.id, [booking.id for booking in event.waitlist]] for event in world.events if event.waitlist],
    )
    for event in world.events:
        if event.has_ended:
            continue
        next_ones = event.waitlist[:1] if event.policy == "strict" else event.waitlist
        compare(f"those who wait for {event.name} and would fit", fitting(next_ones, event), [])


def compare_cancellations(world: World) -> None:
    """The ledger has one answer to who cancelled a booking, whichever way it was cancelled."""
    rows = LedgerEntry.objects.filter(kind="cancelled").order_by("booking_id")
    compare(
        "who cancelled which booking",
        [list(row) for row in rows.values_list("booking_id", "actor_id", "tickets")],
        [
            [booking.id, booking.cancelled_by and booking.cancelled_by.id, booking.tickets]
            for booking in world.bookings
            if booking.status == CANCELLED
        ],
    )


def fitting(waiting: list, event) -> list:
    return [booking.id.value for booking in waiting if booking.tickets <= event.available]
