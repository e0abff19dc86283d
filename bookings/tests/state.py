"""What the database holds, so that a test can say: a refusal changed nothing."""

from bookings.models import Booking, IdempotencyKey, LedgerEntry
from events.models import Event


def everything():
    models = [Event, Booking, LedgerEntry, IdempotencyKey]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def counts(event):
    """(total, available, waitlisted bookings, tickets of completed bookings)"""
    event = Event.objects.get(pk=event.pk)
    held = sum(event.bookings.filter(status="completed").values_list("tickets_reserved", flat=True))
    return event.total_tickets, event.available_tickets, event.waitlisted_count, held


def statuses(*bookings):
    by_id = dict(Booking.objects.values_list("pk", "status"))
    return [by_id[booking.pk] for booking in bookings]


def ledger(event, *, after=0):
    """The event's entries past a sequence number: (sequence, kind, tickets, available, waitlisted, booking, actor)."""
    entries = LedgerEntry.objects.filter(event=event, sequence__gt=after).order_by("sequence")
    return list(
        entries.values_list(
            "sequence", "kind", "tickets", "available_after", "waitlisted_after", "booking_id", "actor_id"
        )
    )
