"""Sales and totals for staff: read from the counts of events and hours and from the ledger, never from the bookings."""

from datetime import datetime, timedelta, tzinfo
from itertools import groupby
from typing import NamedTuple

from django.conf import settings
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import AccountMail
from bookings.models import InventoryCheck, LedgerEntry, SalesHour
from bookings.outbox import LinkRequest, Mail
from bookings.services.checks import quick_findings
from bookings.services.upkeep import DAY, has_expired
from events.models import Event, is_on_sale
from ticks.formatting import format_duration, usual_zone
from ticks.zones import start_of_day

HOUR = timedelta(hours=1)
SOON = timedelta(hours=24)
# It is to be run daily; this leaves time for a run that comes late.
PRUNE_IS_OVERDUE_AFTER = 2 * DAY
# A delivery takes a minute, since a mail waits for more facts. Behind this something is wrong.
DELIVERY_IS_LATE_AFTER = timedelta(minutes=5)
IS_SOLD_OUT_WITH_WAITLIST = Q(available_tickets=0, waitlisted_count__gt=0)


class Period(NamedTuple):
    """Bookings made and tickets asked for in an hour, a day or a week; tickets held and bookings waiting at its end."""

    start: datetime
    bookings: int
    tickets: int
    held: int
    waiting: int


class Sales(NamedTuple):
    """Periods without gaps, each a `unit` long (hour, day or week) in the event's time zone, and the last one's end."""

    unit: str
    periods: list[Period]
    end: datetime | None = None


def sales_over_time(event: Event, *, now: datetime) -> Sales:
    """Sales from the first booking until now, or until they ended, in periods that a chart can show."""
    rows = SalesHour.objects.filter(event=event).order_by("hour")
    hours = [Period(*row) for row in rows.values_list("hour", "bookings", "tickets", "held", "waiting")]
    if not hours:
        return Sales("hour", [])
    end = min(moment for moment in (now, event.sales_end, event.deleted_at) if moment)
    # The chart goes on after the end of sales, since bookings can still be cancelled then.
    end = max(end, hours[-1].start + HOUR)
    length = end - hours[0].start
    unit = "hour" if length <= timedelta(days=3) else "day" if length <= timedelta(days=60) else "week"
    zone = event.zone
    hours_of = {start: list(some) for start, some in groupby(hours, key=lambda hour: start_of(hour.start, unit, zone))}
    start, periods, held, waiting = start_of(hours[0].start, unit, zone), [], 0, 0
    while start < end:
        within = hours_of.get(start, [])
        if within:
            held, waiting = within[-1].held, within[-1].waiting
        # A period without bookings ends with the counts of the one before.
        bookings, tickets = sum(hour.bookings for hour in within), sum(hour.tickets for hour in within)
        periods.append(Period(start, bookings, tickets, held, waiting))
        start = start_of_next(start, unit, zone)
    return Sales(unit, periods, start)


def start_of(moment: datetime, unit: str, zone: tzinfo) -> datetime:
    """The beginning of the hour of a moment, or of its day or week in a time zone. Hours are those of UTC, by which
    sales are counted."""
    if unit == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.astimezone(zone).date()
    return start_of_day(day - timedelta(days=day.weekday()) if unit == "week" else day, zone)


def start_of_next(start: datetime, unit: str, zone: tzinfo) -> datetime:
    """The beginning of the next one. A day has 23 or 25 hours when the clocks change."""
    if unit == "hour":
        return start + HOUR
    days = timedelta(days=7 if unit == "week" else 1)
    return start_of_day(start.astimezone(zone).date() + days, zone)


def start_of_today(now: datetime) -> datetime:
    return start_of(now, "day", usual_zone())


def first_hour_of_today(now: datetime) -> datetime:
    """When the hour begins that today begins in. Where midnight is within an hour of UTC, as in India, this hour counts
    as today's from its beginning."""
    return start_of(start_of_today(now), "hour", usual_zone())


def booked_today(now: datetime) -> tuple[int, int]:
    """Bookings made since `first_hour_of_today` and the tickets that they asked for, waitlisted ones too."""
    today = SalesHour.objects.filter(hour__gte=first_hour_of_today(now))
    totals = today.aggregate(bookings=Sum("bookings", default=0), tickets=Sum("tickets", default=0))
    return int(totals["bookings"]), int(totals["tickets"])


def event_totals(now: datetime) -> dict[str, int]:
    """Counts over all events, including cancelled ones. The last four counts are only of the events on sale."""
    on_sale = is_on_sale(now)
    totals = Event.objects.aggregate(
        events=Count("pk"),
        waiting_bookings=Sum("waitlisted_count", default=0),
        waiting_tickets=Sum("waitlisted_tickets", default=0),
        opening_soon=Count("pk", filter=opens_soon(now)),
        on_sale=Count("pk", filter=on_sale),
        capacity=Sum("total_tickets", filter=on_sale, default=0),
        available=Sum("available_tickets", filter=on_sale, default=0),
        sold_out_with_waitlist=Count("pk", filter=on_sale & IS_SOLD_OUT_WITH_WAITLIST),
    )
    return {name: int(number) for name, number in totals.items()}


def next_on_sale(now: datetime, limit: int) -> list[Event]:
    """Events on sale from today on, the soonest first, then past ones and those without a date; with `tickets_today`
    for each, which are counted as in `booked_today`."""
    is_past, has_no_date = When(date__lt=start_of_today(now), then=1), When(date=None, then=2)
    events = Event.objects.on_sale(now).order_by(Case(is_past, has_no_date, default=0), "date", "pk")
    events = list(events[:limit])
    hours = SalesHour.objects.filter(event__in=events, hour__gte=first_hour_of_today(now)).order_by()
    tickets = dict(hours.values("event").annotate(n=Sum("tickets")).values_list("event", "n"))
    for event in events:
        event.tickets_today = int(tickets.get(event.pk, 0))
    return events


def sold_out_with_waitlist(now: datetime) -> QuerySet[Event]:
    return Event.objects.on_sale(now).filter(IS_SOLD_OUT_WITH_WAITLIST).order_by("-waitlisted_tickets", "pk")


def opening_soon(now: datetime) -> QuerySet[Event]:
    return Event.objects.filter(opens_soon(now)).order_by("sales_start", "pk")


def opens_soon(now: datetime) -> Q:
    return Q(deleted_at=None, sales_start__gt=now, sales_start__lte=now + SOON)


def is_prune_overdue(now: datetime) -> bool:
    return has_expired(now - PRUNE_IS_OVERDUE_AFTER)


class DeliveryLag(NamedTuple):
    """Since when ledger entries are not read, and since when mails are due that nobody sends. None: not late."""

    unread_since: datetime | None = None
    unsent_since: datetime | None = None


def delivery_lag(now: datetime) -> DeliveryLag:
    """How far the deliveries are behind, if they are late. It reads one ledger entry of each event with news, and the
    earliest mail."""
    if not settings.MAIL_ENABLED:
        return DeliveryLag()
    late = now - DELIVERY_IS_LATE_AFTER
    position = Coalesce(F("delivery_position__sequence"), Value(0))
    next_entry = LedgerEntry.objects.filter(event=OuterRef("pk"), sequence=OuterRef("position") + 1).order_by()
    behind = Event.objects.alias(position=position).filter(ledger_sequence__gt=F("position"))
    # The next entry of a large cancelled event may not be there yet.
    unread = behind.annotate(since=Subquery(next_entry.values("created_at"))).exclude(since=None).order_by("since")
    unsent = [mails.order_by("due_at").values_list("due_at", flat=True).first() for mails in waiting_mails()]
    earliest = unread.values_list("since", flat=True).first(), min(filter(None, unsent), default=None)
    return DeliveryLag(*(since if since and since < late else None for since in earliest))


def waiting_mails() -> list[QuerySet]:
    return [Mail.objects.sendable(), AccountMail.objects.waiting(), LinkRequest.objects.waiting()]


def delivery_warnings() -> list[str]:
    """What is wrong with the deliveries, in sentences without names."""
    now = timezone.now()
    unread, unsent = delivery_lag(now)
    warnings = []
    if unread:
        warnings.append(
            f"mails: the ledger has not been read for {format_duration(now - unread)}; run manage.py deliver"
        )
    if unsent:
        warnings.append(f"mails: some have waited for {format_duration(now - unsent)}; check the mail server")
    return warnings


def mails_given_up(limit: int) -> list[Mail]:
    """The latest mails that were given up, with their bookings. Mails to former holders and to addresses that were
    corrected, and what staff wrote to everybody, are left out, since nobody can send them again."""
    given_up = Mail.objects.filter(state=Mail.State.GIVEN_UP, email=F("booking__email"), announcement=None)
    return list(given_up.select_related("booking").order_by("-due_at")[:limit])


def inventory_findings(limit: int) -> dict[Event, list[str]]:
    """The events whose last check found something, and those whose counts are not those of their latest ledger entry;
    at most `limit` of each. Cancelled events are included, since they must hold nothing."""
    checks = InventoryCheck.objects.exclude(findings=[]).select_related("event").order_by("-started_at", "pk")
    findings = {check.event: check.findings for check in checks[:limit]}
    agreeing = LedgerEntry.objects.filter(
        event=OuterRef("pk"),
        sequence=OuterRef("ledger_sequence"),
        available_after=OuterRef("available_tickets"),
        waitlisted_after=OuterRef("waitlisted_count"),
    )
    suspects = Event.objects.filter(~Exists(agreeing.order_by())).order_by("pk")[:limit]
    suspects = [event for event in suspects if event not in findings]
    # The counts are compared once more. If they agree now, the first look met a booking that was just being made.
    differences = quick_findings(suspects)
    return findings | {event: differences[event.pk] for event in suspects if event.pk in differences}


def latest_entries(limit: int) -> list[LedgerEntry]:
    # These are two queries, since in one join MariaDB reads and sorts the entries of all events.
    latest = list(LedgerEntry.objects.order_by("-pk").values_list("pk", flat=True)[:limit])
    entries = LedgerEntry.objects.filter(pk__in=latest).select_related("event", "booking", "actor")
    return list(entries.order_by("-pk"))
