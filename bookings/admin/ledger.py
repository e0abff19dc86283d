from django.contrib import admin
from django.db.models import QuerySet

from bookings.admin.exports import Exportable
from bookings.admin.filters import LedgerFilterForm
from bookings.admin.links import booking_link, event_link
from bookings.admin.lists import KeysetList
from bookings.enums import LedgerKind
from bookings.models import LedgerEntry
from ticks.formatting import counted, time_tag, with_unit


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

    @property
    def summary(self) -> str:
        if not self.form.is_valid():
            return ""
        event = self.form.cleaned_data["event"]
        entries = f"{self.result_count:,} {'entry' if self.result_count == 1 else 'entries'}"
        summary = f"{event}: {entries}" if event else entries
        return summary if self.has_known_count else f"{summary} {self.there_may_be_more}"


@admin.register(LedgerEntry)
class LedgerAdmin(Exportable, admin.ModelAdmin):
    """The history of every event's tickets, newest first. It is only for reading, like the table itself."""

    list_display = ["moment", "what", "event_name", "booking_reference", "available", "waiting", "number"]
    list_display_links = ["what"]
    filter_form = LedgerFilterForm
    list_select_related = ["event", "booking", "actor"]
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    empty_value_display = ""
    preserve_filters = False
    ordering = ["-pk"]
    # Django offers a search only if fields are named here. The form does the search.
    search_fields = ["booking__reference"]
    actions = None
    fields = [
        "what",
        "event",
        "sequence",
        "kind",
        "tickets",
        "available_after",
        "waitlisted_after",
        "booking",
        "by",
        "note",
        "created_at",
    ]
    readonly_fields = fields

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def get_changelist(self, request, **kwargs):
        return LedgerList

    @admin.display(description="when")
    def moment(self, entry: LedgerEntry) -> str:
        return time_tag(entry.created_at)

    @admin.display(description="what happened")
    def what(self, entry: LedgerEntry) -> str:
        return describe_entry(entry)

    @admin.display(description="event")
    def event_name(self, entry: LedgerEntry) -> str:
        return event_link(entry.event)

    @admin.display(description="booking")
    def booking_reference(self, entry: LedgerEntry) -> str:
        return booking_link(entry.booking) if entry.booking else ""

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
        return entry.actor.username if entry.actor else "a guest"


# These are for actions of the booking's holder. `SENTENCES` has all others.
SENTENCES_BY_HOLDER = {
    LedgerKind.BOOKED: "{holder} booked {tickets}",
    LedgerKind.WAITLISTED: "{holder} joined the waitlist for {tickets}",
    LedgerKind.REDUCED: "{holder} gave back {tickets}",
    LedgerKind.CANCELLED: "{holder} cancelled {tickets}",
}
SENTENCES = {
    LedgerKind.BOOKED: "{actor} booked {tickets} for {holder}",
    LedgerKind.WAITLISTED: "{actor} put {holder} on the waitlist for {tickets}",
    LedgerKind.REDUCED: "{actor} gave back {tickets} of {holder}",
    LedgerKind.CANCELLED: "{actor} cancelled {tickets} of {holder}",
    LedgerKind.PROMOTED: "{holder} was promoted, {tickets}",
    LedgerKind.MOVED: "{actor} moved {holder} in the waitlist",
    LedgerKind.TRANSFERRED: "{actor} changed the holder of {tickets}",
    LedgerKind.OPENED: "{actor} opened the event with {tickets}",
    LedgerKind.EDITED: "{actor} edited the event",
    LedgerKind.EVENT_CANCELLED: "{actor} cancelled the event, with {tickets} held",
}
SERVED_BY_HAND = "{actor} served {holder} out of turn, {tickets}"
CAPACITY_RAISED = "{actor} raised the capacity by {number}"
CAPACITY_LOWERED = "{actor} lowered the capacity by {number}"


def describe_entry(entry: LedgerEntry) -> str:
    """One entry as a sentence without its full stop, such as `Ada Lovelace cancelled 2 tickets`.

    Reads the entry's `booking` and `actor`, so select them with a list. A transferred booking has its present name
    in its earlier entries too.
    """
    booking = entry.booking
    sentence = sentence_of(entry).format(
        actor=entry.actor.username if entry.actor else "A guest",
        holder=booking and (booking.full_name or booking.reference),
        tickets=counted(entry.tickets, "ticket"),
        number=f"{abs(entry.tickets):,}",
    )
    return f"{sentence}: {entry.note}" if entry.note else sentence


def sentence_of(entry: LedgerEntry) -> str:
    if entry.kind == LedgerKind.CAPACITY_CHANGED:
        return CAPACITY_RAISED if entry.tickets > 0 else CAPACITY_LOWERED
    if entry.kind == LedgerKind.PROMOTED and entry.note:
        # Only staff who serve a booking out of turn give a reason.
        return SERVED_BY_HAND
    # Guests act for themselves, so anybody else who acts on a booking is staff.
    is_by_holder = entry.actor_id is None or (entry.booking and entry.actor_id == entry.booking.user_id)
    return (is_by_holder and SENTENCES_BY_HOLDER.get(entry.kind)) or SENTENCES[entry.kind]
