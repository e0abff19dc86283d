from django.contrib import admin

from bookings.admin.exporting import Exportable
from bookings.admin.filters import LedgerFilterForm, past_days
from bookings.admin.ledger_list import LedgerList
from bookings.admin.links import booking_link, event_link
from bookings.admin.wording import worded
from bookings.models import LedgerEntry
from ticks.formatting import shown_moment, with_unit


@admin.register(LedgerEntry)
class LedgerAdmin(Exportable, admin.ModelAdmin):
    """What happened to every event's tickets, newest first. For reading only, like the table itself."""

    list_display = ["moment", "what", "event_name", "booking_reference", "available", "waiting", "number"]
    list_display_links = ["what"]
    filter_form = LedgerFilterForm
    quick_spans = staticmethod(past_days)
    list_select_related = ["event", "booking", "actor"]
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    empty_value_display = ""
    preserve_filters = False
    ordering = ["-pk"]
    # Said to be searchable; the form knows how.
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
        return shown_moment(entry.created_at)

    @admin.display(description="what happened")
    def what(self, entry: LedgerEntry) -> str:
        return worded(entry)

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
