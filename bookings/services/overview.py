"""How it is going, over all events: from their counters and the end of their ledgers, never from the bookings."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum, Value

from bookings.models import InventoryCheck, LedgerEntry
from events.models import Event

SOON = timedelta(hours=24)
QUEUED = Q(available_tickets=0, waitlisted_count__gt=0)


class OnSale(NamedTuple):
    """Of the events on sale: how many, their tickets, and how many are sold out with somebody waiting."""

    events: int
    capacity: int
    held: int
    queued: int


class InAll(NamedTuple):
    """Of all events, cancelled ones too: how many; waiting bookings and their tickets; how many go on sale soon."""

    events: int
    waiting_bookings: int
    waiting_tickets: int
    opening: int


def on_sale_in_all(now: datetime) -> OnSale:
    found = Event.objects.on_sale(now).aggregate(
        events=Count("pk"),
        capacity=Sum("total_tickets", default=0),
        left=Sum("available_tickets", default=0),
        queued=Count("pk", filter=QUEUED),
    )
    capacity, left = int(found["capacity"]), int(found["left"])
    return OnSale(found["events"], capacity, capacity - left, found["queued"])


def events_in_all(now: datetime) -> InAll:
    found = Event.objects.aggregate(
        events=Count("pk"),
        waiting_bookings=Sum("waitlisted_count", default=0),
        waiting_tickets=Sum("waitlisted_tickets", default=0),
        opening=Count("pk", filter=opens_soon(now)),
    )
    return InAll(**{name: int(number) for name, number in found.items()})


def fullest_on_sale(now: datetime) -> QuerySet[Event]:
    """Those with tickets left first, the fullest of them at the top; sold out, there is nothing more to sell."""
    share_left = F("available_tickets") * Value(1.0) / F("total_tickets")
    is_sold_out = Q(available_tickets=0)
    return (
        Event.objects.on_sale(now)
        .annotate(is_sold_out=is_sold_out, share=share_left)
        .order_by("is_sold_out", "share", "date", "pk")
    )


def sold_out_with_waitlist(now: datetime) -> QuerySet[Event]:
    return Event.objects.on_sale(now).filter(QUEUED).order_by("-waitlisted_tickets", "pk")


def opening_soon(now: datetime) -> QuerySet[Event]:
    return Event.objects.filter(opens_soon(now)).order_by("sales_start", "pk")


def opens_soon(now: datetime) -> Q:
    return Q(deleted_at=None, sales_start__gt=now, sales_start__lte=now + SOON)


def failed_checks() -> QuerySet[InventoryCheck]:
    """Of cancelled events too: they are to hold nothing."""
    return InventoryCheck.objects.exclude(findings=[]).select_related("event").order_by("-started_at", "pk")


def off_their_ledgers() -> QuerySet[Event]:
    """Events whose counts are not those of their latest ledger entry; `quick_findings` says what differs."""
    told = LedgerEntry.objects.filter(
        event=OuterRef("pk"),
        sequence=OuterRef("ledger_sequence"),
        available_after=OuterRef("available_tickets"),
        waitlisted_after=OuterRef("waitlisted_count"),
    )
    return Event.objects.filter(~Exists(told.order_by())).order_by("pk")


def latest_entries(limit: int) -> list[LedgerEntry]:
    # In two steps: joined at once, MariaDB reads the entries of all events and sorts them.
    latest = list(LedgerEntry.objects.order_by("-pk").values_list("pk", flat=True)[:limit])
    entries = LedgerEntry.objects.filter(pk__in=latest).select_related("event", "booking", "actor")
    return list(entries.order_by("-pk"))
