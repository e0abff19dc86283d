"""What the database holds, so that a test can say: a refusal changed nothing."""

from functools import cache
from hashlib import sha256

from django.apps import apps
from django.db import connection

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


def digest_of_all_tables() -> str:
    """Changes when anything does, in any table of any installed model. Some milliseconds on small tables."""
    digest = sha256()
    with connection.cursor() as cursor:
        for statement in whole_tables():
            cursor.execute(statement)
            digest.update(repr(cursor.fetchall()).encode())
    return digest.hexdigest()


@cache
def whole_tables() -> list[str]:
    quote = connection.ops.quote_name
    tables = {model._meta.db_table: model._meta.pk.column for model in apps.get_models(include_auto_created=True)}
    return [f"SELECT * FROM {quote(table)} ORDER BY {quote(key)}" for table, key in sorted(tables.items())]
