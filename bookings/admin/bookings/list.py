"""The list of bookings, for a million of them. It is counted by the counts of events and hours, never row by row."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from django.db.models import QuerySet, Sum
from django.utils import timezone

from bookings.admin.bookings.search import Search, search_bookings
from bookings.admin.links import booking_url
from bookings.admin.lists import KeysetList
from bookings.enums import BookingStatus
from bookings.models import SalesHour, attach_positions
from events.models import Event
from ticks.formatting import counted

# The hours of all events are added up for at most this many days, since each event has rows of its own.
MAX_DAYS = timedelta(days=8)
EVENT_COUNTS = (
    "booking_count",
    "completed_count",
    "waitlisted_count",
    "total_tickets",
    "available_tickets",
    "waitlisted_tickets",
)


class BookingList(KeysetList):
    search: Search | None = None

    def filter_rows(self, rows: QuerySet, *, q, event, status, since, until, least, most) -> QuerySet:
        self.search = search_bookings(q) if q.strip() else None
        if self.search and self.search.exact_ids:
            # A person who gives a reference means that booking, whatever other filters are set.
            return self.search.filter(rows)
        if event:
            rows = rows.of_event(event.pk)
        if status:
            rows = rows.with_status(status)
        self.fixed_columns = ("event_id",) * bool(event) + ("status",) * bool(status)
        self.is_scanned = bool(least or most or since or until)
        if since or until:
            rows = self.between(rows, since, until)
        if least:
            rows = rows.filter(tickets_reserved__gte=least)
        if most:
            rows = rows.filter(tickets_reserved__lte=most)
        if self.search:
            self.is_scanned = self.is_scanned or bool(self.search.words)
            self.indexed_ids = self.search.indexed_ids
            rows = self.search.filter(rows)
        return rows

    def get_results(self, request):
        super().get_results(request)
        attach_positions(self.result_list)

    def url_for_result(self, result):
        return booking_url(result.pk)

    @cached_property
    def counts(self) -> "Counts | None":
        values = self.form.cleaned_data
        event, since, until = values["event"], values["since"], values["until"]
        if self.search or values["least"] or values["most"]:
            return None
        if since or until:
            return None if values["status"] else counts_of_hours(event, since, until)
        return counts_of_events(event, values["status"])

    def known_count(self) -> int | None:
        return self.counts and self.counts.bookings

    @property
    def summary(self) -> str:
        if not self.form.is_valid():
            return ""
        event = self.form.cleaned_data["event"]
        of_event = f"{event}: " if event and not (self.search and self.search.exact_ids) else ""
        if self.counts:
            return f"{of_event}{self.counts.summary}"
        tickets = sum(booking.tickets_reserved for booking in self.result_list)
        listed = f"{of_event}{counted(len(self.result_list), 'booking')}, {counted(tickets, 'ticket')}"
        return listed if self.is_whole else f"{listed} {self.there_may_be_more}"


class Counts(NamedTuple):
    bookings: int
    summary: str


def counts_of_events(event: Event | None, status: str) -> Counts:
    """The counts of one event, or of all events together."""
    if event:
        sums = {name: getattr(event, name) for name in EVENT_COUNTS}
    else:
        sums = Event.objects.aggregate(**{f"sum_{name}": Sum(name) for name in EVENT_COUNTS})
        sums = {name: int(sums[f"sum_{name}"] or 0) for name in EVENT_COUNTS}
    holding, waiting = sums["completed_count"], sums["waitlisted_count"]
    cancelled = sums["booking_count"] - holding - waiting
    held = counted(sums["total_tickets"] - sums["available_tickets"], "ticket")
    waited_for = counted(sums["waitlisted_tickets"], "ticket")
    by_status = {
        BookingStatus.COMPLETED: (holding, f"{holding:,} {'holds' if holding == 1 else 'hold'} {held}"),
        BookingStatus.WAITLISTED: (waiting, f"{waiting:,} {'waits' if waiting == 1 else 'wait'} for {waited_for}"),
        BookingStatus.CANCELLED: (cancelled, f"{cancelled:,} {'is' if cancelled == 1 else 'are'} cancelled"),
    }
    chosen = [by_status[status]] if status else list(by_status.values())
    bookings = sum(count for count, _ in chosen)
    return Counts(bookings, f"{counted(bookings, 'booking')}: {', '.join(words for _, words in chosen)}")


def counts_of_hours(event: Event | None, since: datetime | None, until: datetime | None) -> Counts | None:
    """The bookings made in a span of whole days; None where there are too many hours to add up."""
    if not event and (not since or (until or timezone.now()) - since > MAX_DAYS):
        return None
    hours = SalesHour.objects.filter(event=event) if event else SalesHour.objects.all()
    hours = hours.filter(hour__gte=since) if since else hours
    hours = hours.filter(hour__lt=until) if until else hours
    made = hours.aggregate(bookings=Sum("bookings"), tickets=Sum("tickets"))
    bookings, tickets = int(made["bookings"] or 0), int(made["tickets"] or 0)
    return Counts(bookings, f"{counted(bookings, 'booking')} made, for {counted(tickets, 'ticket')}")
