"""The list of bookings, for a million of them."""

from functools import cached_property

from django.db.models import QuerySet
from django.urls import reverse

from bookings.admin.bookings.counts import Counts, counts_of_events, counts_of_hours
from bookings.admin.bookings.search import Search, search_for
from bookings.admin.bounds import bounds_of
from bookings.admin.lists import PositionedList
from bookings.api.filters import IdFilter, StatusFilter
from bookings.models import attach_positions
from ticks.formatting import counted


class BookingList(PositionedList):
    search: Search | None = None

    def filtered(self, rows: QuerySet) -> QuerySet:
        term = self.form.cleaned_data["q"].strip()
        self.search = search_for(term) if term else None
        if self.search and self.search.named:
            # Whoever says its reference means that booking, whatever else is still chosen.
            return self.search.among(rows)
        self.chosen = self.chosen_of(rows)
        asked = self.form.cleaned_data
        # In their bounds the rows of a span are found at once, unless some are far from their times.
        is_looked_for = asked["least"] or asked["most"] or self.form.span()
        self.is_looked_through = bool(is_looked_for or (self.search and self.search.words))
        return self.search.among(self.chosen) if self.search else self.chosen

    def chosen_of(self, rows: QuerySet) -> QuerySet:
        """By all but the search."""
        asked, span = self.form.cleaned_data, self.form.span()
        self.fixed_columns = tuple(name for name in ("event_id", "status") if asked[name.removesuffix("_id")])
        # Beside one that no row has: see `bookings.api.filters.Among`.
        if asked["event"]:
            rows = rows.filter(event_id__in=[asked["event"].pk, IdFilter.NO_ROWS_VALUE])
        if asked["status"]:
            rows = rows.filter(status__in=[asked["status"], StatusFilter.NO_ROWS_VALUE])
        if span:
            self.bounds = bounds_of(span, self.all_rows(), self.column)
            rows = span.among(self.between(rows, *self.bounds))
        if asked["least"]:
            rows = rows.filter(tickets_reserved__gte=asked["least"])
        return rows.filter(tickets_reserved__lte=asked["most"]) if asked["most"] else rows

    def looked_through(self) -> QuerySet:
        rows = self.search.look_among(self.chosen) if self.search and self.search.words else self.chosen
        return rows.order_by(*self.queryset.query.order_by)

    def found_by_index(self, low: int, high: int | None) -> list[int]:
        if not (self.search and self.search.near):
            return []
        found = self.between(self.chosen.filter(pk__in=self.search.near), low, high)
        return list(found.order_by().values_list("pk", flat=True))

    def get_results(self, request):
        super().get_results(request)
        attach_positions(self.result_list)

    def known_count(self) -> int | None:
        return self.counts and self.counts.bookings

    def url_for_result(self, result):
        return reverse("admin:bookings_booking_page", args=[result.pk])

    @cached_property
    def counts(self) -> Counts | None:
        if not self.form.is_valid():
            return None
        asked, span = self.form.cleaned_data, self.form.span()
        if self.search or asked["least"] or asked["most"]:
            return None
        if span:
            return None if asked["status"] else counts_of_hours(asked["event"], span)
        return counts_of_events(asked["event"], asked["status"])

    @property
    def summary(self) -> str:
        if not self.form.is_valid():
            return ""
        event = self.form.cleaned_data["event"]
        of = f"{event}: " if event and not (self.search and self.search.named) else ""
        if self.counts:
            return f"{of}{self.counts}"
        tickets = sum(booking.tickets_reserved for booking in self.result_list)
        shown = f"{of}{counted(len(self.result_list), 'booking')}, {counted(tickets, 'ticket')}"
        return shown if self.is_whole else f"{shown} {self.there_may_be_more}"
