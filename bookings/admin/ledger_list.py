"""The list of the ledger, for a million entries."""

from django.db.models import QuerySet

from bookings.admin.bounds import bounds_of
from bookings.admin.lists import PositionedList
from bookings.models import LedgerEntry


class LedgerList(PositionedList):
    def filtered(self, rows: QuerySet) -> QuerySet:
        asked, span = self.form.cleaned_data, self.form.span()
        # In their bounds the rows of a span are found at once, unless some are far from their times.
        self.is_looked_through = bool((asked["kind"] or span) and not asked["booking"])
        if asked["event"]:
            # The entries of an event have an index by their numbers.
            self.column = "sequence"
            rows = rows.filter(event=asked["event"])
        if span and not asked["booking"]:
            self.bounds = bounds_of(span, self.all_rows(), self.column)
            rows = self.between(rows, *self.bounds)
        if asked["booking"]:
            rows = rows.filter(booking__in=asked["booking"])
        if asked["kind"]:
            rows = rows.filter(kind=asked["kind"])
        return span.among(rows)

    def all_rows(self) -> QuerySet:
        event = self.form.cleaned_data["event"]
        return LedgerEntry.objects.filter(event=event) if event else LedgerEntry.objects.all()

    def known_count(self) -> int | None:
        asked = self.form.cleaned_data
        if not asked["event"] or asked["kind"] or asked["booking"] or self.form.span():
            return None
        return asked["event"].ledger_sequence

    @property
    def summary(self) -> str:
        if not self.form.is_valid():
            return ""
        event = self.form.cleaned_data["event"]
        entries = f"{self.result_count:,} {'entry' if self.result_count == 1 else 'entries'}"
        said = f"{event}: {entries}" if event else entries
        return said if self.has_known_count else f"{said} {self.there_may_be_more}"
