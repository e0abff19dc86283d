from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html

from bookings.admin.bookings.list import ids_by_reference
from bookings.admin.exports import Exportable
from bookings.admin.filters import ByEventFilterForm, search_field
from bookings.admin.formatting import actor_name, booking_url, describe_entry, event_link
from bookings.admin.lists import KeysetList
from bookings.enums import LedgerKind
from bookings.models import LedgerEntry
from bookings.outbox import MailChoice
from ticks.formatting import time_tag, with_unit


class LedgerFilterForm(ByEventFilterForm):
    booking = search_field("Reference of a booking")
    kind = forms.ChoiceField(label="What", choices=[("", "Anything"), *LedgerKind.choices], required=False)
    field_order = ("booking", "event", "kind", "since", "until")

    def clean_booking(self) -> list[int] | None:
        value = self.cleaned_data["booking"].strip()
        if not value:
            return None
        ids = ids_by_reference(value)
        if not ids:
            raise forms.ValidationError("No booking has this number or reference.")
        return ids


class LedgerList(KeysetList):
    """The list of the ledger, for a million entries."""

    def filter_rows(self, rows: QuerySet, *, event, booking, kind, since, until) -> QuerySet:
        if event:
            # The entries of an event have an index by their sequence numbers.
            self.column = "sequence"
            rows = rows.filter(event=event)
        if booking:
            rows = rows.filter(booking__in=booking)
        self.is_scanned = bool(kind or since or until) and not booking
        if since or until:
            rows = self.between(rows, since, until)
        return rows.filter(kind=kind) if kind else rows

    def all_rows(self) -> QuerySet:
        event = self.form.cleaned_data["event"]
        return LedgerEntry.objects.filter(event=event) if event else LedgerEntry.objects.all()

    def known_count(self) -> int | None:
        values = self.form.cleaned_data
        if not values["event"] or any(values[name] for name in ("kind", "booking", "since", "until")):
            return None
        return values["event"].ledger_sequence

    def get_results(self, request):
        super().get_results(request)
        MailChoice.attach(self.result_list)

    @property
    def summary(self) -> str:
        if not self.form.is_valid():
            return ""
        event = self.form.cleaned_data["event"]
        entries = f"{self.result_count:,} {'entry' if self.result_count == 1 else 'entries'}"
        summary = f"{event}: {entries}" if event else entries
        return summary if self.has_known_count else f"{summary} {self.there_may_be_more}"


@admin.register(LedgerEntry)
class LedgerAdmin(Exportable):
    """The history of every event's tickets, newest first. It is only for reading, like the table itself."""

    list_display = ["moment", "what", "event_name", "booking_reference", "available", "waiting", "number"]
    list_display_links = ["what"]
    list_class, filter_form = LedgerList, LedgerFilterForm
    list_select_related = ["event", "booking", "actor"]
    list_per_page = 100
    actions = None
    fields = ["what", "event", "sequence", "kind", "tickets", "available_after", "waitlisted_after"]
    fields += ["booking", "by", "note", "created_at"]
    readonly_fields = fields

    def get_object(self, request, object_id, from_field=None):
        entry = super().get_object(request, object_id, from_field)
        MailChoice.attach([entry] if entry else [])
        return entry

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="when")
    def moment(self, entry: LedgerEntry) -> str:
        return time_tag(entry.created_at, zone=entry.event.zone)

    @admin.display(description="what happened")
    def what(self, entry: LedgerEntry) -> str:
        return describe_entry(entry)

    @admin.display(description="event")
    def event_name(self, entry: LedgerEntry) -> str:
        return event_link(entry.event)

    @admin.display(description="booking")
    def booking_reference(self, entry: LedgerEntry) -> str:
        booking = entry.booking
        return format_html('<a href="{}">{}</a>', booking_url(booking.pk), booking.reference) if booking else ""

    @admin.display(description="left")
    def available(self, entry: LedgerEntry) -> str:
        return with_unit(entry.available_after, "left")

    @admin.display(description="waiting")
    def waiting(self, entry: LedgerEntry) -> str:
        return with_unit(entry.waitlisted_after, "waiting")

    @admin.display(description="#")
    def number(self, entry: LedgerEntry) -> str:
        return f"{entry.sequence:,}"

    @admin.display(description="by")
    def by(self, entry: LedgerEntry) -> str:
        return actor_name(entry)
