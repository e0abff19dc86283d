"""The list of bookings, for a million of them. It is counted by the counts of events and hours, never row by row.

A search finds bookings by anything that a caller can say: reference, number, names, mail address, username. Indexes
lead to references, numbers, and the beginnings of mail addresses and usernames. The list scans its rows for the rest:
an index on the names would make every booking dearer.

The look-ups disregard case, also for columns that hold one case: for the others Django writes `LIKE BINARY`, which
no index of MariaDB serves."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property

from django import forms
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import User, username_key
from bookings.admin.filters import ByEventFilterForm, day_field, search_field
from bookings.admin.formatting import STATUS_WORDS, booking_url
from bookings.admin.lists import KeysetList
from bookings.enums import BookingStatus
from bookings.models import Booking, SalesHour, attach_positions, show_cancelled
from bookings.services.references import REFERENCE_LENGTH, hyphenated
from bookings.services.search import (
    address_in,
    contains,
    is_like_name,
    number_in,
    parts_of_address,
    reference_letters,
    search_words,
)
from events.models import Event
from ticks.formatting import counted
from ticks.forms import WholeNumberField
from ticks.parsing import MAX_TICKETS
from ticks.search import MIN_PART

STATUS_CHOICES = [("", "Any"), *((status.value, word) for status, (word, _) in STATUS_WORDS.items())]
# Shorter words are also the beginnings of many names.
MIN_REFERENCE_PREFIX = 4
MAX_PARTS = 6
# The index is read in its own order and not from the newest booking. If more match, the scan finds newer ones as well.
MAX_INDEXED = 500
MAX_ACCOUNTS = 20
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


class BookingFilterForm(ByEventFilterForm):
    q = search_field("Reference, name or mail address")
    since = day_field("Made from")
    status = forms.ChoiceField(label="Status", choices=STATUS_CHOICES, required=False)
    least = WholeNumberField(label="Tickets from", required=False, min_value=1, max_value=MAX_TICKETS)
    most = WholeNumberField(label="to", required=False, min_value=1, max_value=MAX_TICKETS)
    field_order = ("q", "event", "status", "since", "until", "least", "most")


class BookingList(KeysetList):
    # The form's search names these bookings by their number or reference.
    exact_ids: Sequence[int] = ()

    def filter_rows(self, rows: QuerySet, *, q, event, status, since, until, least, most) -> QuerySet:
        self.exact_ids = ids_by_reference(q)
        if self.exact_ids:
            # A person who gives a reference means that booking, whatever other filters are set.
            return rows.filter(pk__in=self.exact_ids)
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
        if q:
            self.indexed_ids, words = search_bookings(q)
            self.is_scanned = self.is_scanned or bool(words)
            found = Q(pk__in=self.indexed_ids)
            rows = rows.filter(found | contains(words) if words else found)
        return rows

    def get_results(self, request):
        super().get_results(request)
        show_cancelled(self.result_list)
        attach_positions(self.result_list)

    def url_for_result(self, result):
        return booking_url(result.pk)

    @cached_property
    def counts(self) -> tuple[int, str] | None:
        """The number of all bookings of the list and its summary, if they can be told without reading the rows."""
        values = self.form.cleaned_data
        event, since, until = values["event"], values["since"], values["until"]
        if values["q"] or values["least"] or values["most"]:
            return None
        if since or until:
            return None if values["status"] else counts_of_hours(event, since, until)
        return counts_of_events(event, values["status"])

    def known_count(self) -> int | None:
        return self.counts and self.counts[0]

    @property
    def summary(self) -> str:
        if not self.form.is_valid():
            return ""
        event = self.form.cleaned_data["event"]
        of_event = f"{event}: " if event and not self.exact_ids else ""
        if self.counts:
            return f"{of_event}{self.counts[1]}"
        tickets = sum(booking.tickets_reserved for booking in self.result_list)
        listed = f"{of_event}{counted(len(self.result_list), 'booking')}, {counted(tickets, 'ticket')}"
        return f"{listed} {self.there_may_be_more}" if self.page_links else listed


def counts_of_events(event: Event | None, status: str) -> tuple[int, str]:
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
    return bookings, f"{counted(bookings, 'booking')}: {', '.join(words for _, words in chosen)}"


def counts_of_hours(event: Event | None, since: datetime | None, until: datetime | None) -> tuple[int, str] | None:
    """The bookings made in a span of whole days; None where there are too many hours to add up, or where days begin
    within an hour."""
    if any(moment and moment.minute for moment in (since, until)):
        return None
    if not event and (not since or (until or timezone.now()) - since > MAX_DAYS):
        return None
    hours = SalesHour.objects.filter(event=event) if event else SalesHour.objects.all()
    hours = hours.filter(hour__gte=since) if since else hours
    hours = hours.filter(hour__lt=until) if until else hours
    made = hours.aggregate(bookings=Sum("bookings", default=0), tickets=Sum("tickets", default=0))
    bookings, tickets = int(made["bookings"]), int(made["tickets"])
    return bookings, f"{counted(bookings, 'booking')} made, for {counted(tickets, 'ticket')}"


def search_bookings(term: str) -> tuple[list[int], list[str]]:
    """The bookings that an index leads to, and the words by which the rows must be scanned as well."""
    address, parts, words = address_in(term), parts_of_address(term), search_words(term)
    addressed_ids = ids_by_index(email=address) if address else []
    if 0 < len(addressed_ids) < MAX_INDEXED:
        # The index has found every booking of this address, so nothing is left to scan for.
        return addressed_ids, []
    indexed_ids = ids_by_parts(parts, words)
    if len(parts) == 1:
        key = username_key(parts[0])
        accounts = User.objects.filter(username_key__istartswith=key).order_by("username_key")
        account_ids = list(accounts.values_list("pk", flat=True)[:MAX_ACCOUNTS])
        indexed_ids += ids_by_reference_prefix(term)
        indexed_ids += ids_by_index(user__in=account_ids)
    return list(dict.fromkeys(indexed_ids)), words


def ids_by_reference(term: str) -> list[int]:
    """The bookings with this number or reference, or with a reference that begins so if the term cannot be a name."""
    number = number_in(term)
    if number is not None and Booking.objects.filter(pk=number).exists():
        return [number]
    is_certain = len(reference_letters(term)) == REFERENCE_LENGTH or not is_like_name(term)
    return ids_by_reference_prefix(term) if is_certain else []


def ids_by_reference_prefix(term: str) -> list[int]:
    letters = reference_letters(term)
    return ids_by_index(reference__istartswith=hyphenated(letters)) if len(letters) >= MIN_REFERENCE_PREFIX else []


def ids_by_parts(parts: list[str], words: list[str]) -> list[int]:
    """The bookings with these words whose mail address is made of these parts, or begins with an initial and one of
    them."""
    parts = [part for part in parts if len(part) >= MIN_PART][:MAX_PARTS]
    if not parts:
        return []
    likely = Q()
    for part in parts:
        others = [other for other in parts if other != part]
        likely |= Q(*(Q(email__icontains=other) for other in others), email__istartswith=part)
        for other in others:
            likely |= Q(email__istartswith=other[0] + part)
    candidates = Booking.objects.filter(contains(words), pk__in=ids_by_index(likely)).order_by()
    return list(candidates.values_list("pk", flat=True))


def ids_by_index(*conditions: Q, **lookups) -> list[int]:
    return list(Booking.objects.filter(*conditions, **lookups).order_by().values_list("pk", flat=True)[:MAX_INDEXED])
