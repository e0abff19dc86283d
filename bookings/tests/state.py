"""The contents of the database, so that a test can check that a refusal changed nothing."""

from contextlib import contextmanager
from functools import cache
from hashlib import sha256

from django.apps import apps
from django.db import connection, transaction

from bookings.models import Booking, IdempotencyKey, InventoryCheck, LedgerEntry, LinePart, SalesHour, TicketEpoch
from events.models import Event


def everything():
    models = [Event, Booking, LinePart, LedgerEntry, SalesHour, InventoryCheck, IdempotencyKey, TicketEpoch]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def digest_of_all_tables() -> dict[str, str]:
    """A digest of all columns of every table of every installed model. It is equal before and after a refusal."""
    digests = {}
    with connection.cursor() as cursor:
        for table, statement in whole_tables().items():
            cursor.execute(statement)
            digests[table] = sha256(repr(cursor.fetchall()).encode()).hexdigest()
    return digests


@cache
def whole_tables() -> dict[str, str]:
    quote = connection.ops.quote_name
    keys = {model._meta.db_table: model._meta.pk.column for model in apps.get_models(include_auto_created=True)}
    return {table: f"SELECT * FROM {quote(table)} ORDER BY {quote(key)}" for table, key in keys.items()}


@contextmanager
def undone():
    """Rolls back everything that happens inside, so that one arrangement serves many requests."""
    block = transaction.atomic()
    # pytest-django marks its own transactions like this. Services refuse to run inside any other.
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)


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
