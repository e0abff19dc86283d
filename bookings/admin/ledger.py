from django.contrib import admin
from django.db.models import Q

from bookings.models import LedgerEntry


@admin.register(LedgerEntry)
class LedgerAdmin(admin.ModelAdmin):
    """What happened to every event's tickets, newest first. For reading only, like the table itself."""

    list_display = [
        "created_at",
        "event",
        "number",
        "kind",
        "tickets",
        "booking_reference",
        "by",
        "available",
        "waiting",
    ]
    list_filter = ["kind", "created_at"]
    list_select_related = ["event", "booking", "actor"]
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-pk"]
    # Said to be searchable; `get_search_results` knows how.
    search_fields = ["event__name"]
    search_help_text = "Event or booking reference"
    actions = None
    fields = [
        "event",
        "sequence",
        "kind",
        "tickets",
        "available_after",
        "waitlisted_after",
        "booking",
        "by",
        "created_at",
    ]
    readonly_fields = fields

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def get_search_results(self, request, queryset, search_term):
        """Each word must be found somewhere. References are upper case and compared exactly."""
        for word in search_term.split():
            queryset = queryset.filter(Q(event__name__icontains=word) | Q(booking__reference__contains=word.upper()))
        return queryset, False

    @admin.display(description="#", ordering="sequence")
    def number(self, entry: LedgerEntry) -> int:
        return entry.sequence

    @admin.display(description="left", ordering="available_after")
    def available(self, entry: LedgerEntry) -> int:
        return entry.available_after

    @admin.display(description="waiting", ordering="waitlisted_after")
    def waiting(self, entry: LedgerEntry) -> int:
        return entry.waitlisted_after

    @admin.display(description="booking", ordering="booking__reference")
    def booking_reference(self, entry: LedgerEntry) -> str | None:
        return entry.booking and entry.booking.reference

    @admin.display(description="by", ordering="actor")
    def by(self, entry: LedgerEntry) -> str:
        return entry.actor.username if entry.actor else "a guest"
