"""How staff see events. Saving one moves tickets, so `bookings.admin.events.admin` registers this."""

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime, AdminTextareaWidget
from django.db import models
from django.utils import timezone

from events.models import Event, EventQuerySet, state_of
from ticks.formatting import badge, counted, fill, time_tag, with_unit

STATES = [
    ("on_sale", "On sale"),
    ("sold_out", "Sold out"),
    ("not_open", "Not open yet"),
    ("closed", "Closed"),
    ("cancelled", "Cancelled"),
]
BADGES = {
    "On sale": "good",
    "Sold out": "warn",
    "Not open yet": "",
    "Closed": "quiet",
    "Cancelled": "bad",
}


def in_state(events: EventQuerySet, state: str) -> EventQuerySet:
    """Without a state: every event that is not cancelled."""
    now = timezone.now()
    match state:
        case "on_sale":
            return events.on_sale(now).available()
        case "sold_out":
            return events.on_sale(now).sold_out()
        case "not_open":
            return events.standing().filter(sales_start__gt=now)
        case "closed":
            return events.standing().filter(sales_end__lte=now)
        case "cancelled":
            return events.exclude(deleted_at=None)
    return events.standing()


class LinesField(forms.CharField):
    """Text whose line breaks are those of the API: a browser's CRLF is no edit."""

    def to_python(self, value):
        return super().to_python(value).replace("\r\n", "\n")


class DateAndTimeField(forms.SplitDateTimeField):
    """Django's, whose two inputs have no label of their own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for widget, part in zip(self.widget.widgets, ("day", "time of day"), strict=True):
            widget.attrs["aria-label"] = f"{self.label}, {part}"


class EventForm(forms.ModelForm):
    def _get_validation_exclusions(self):
        # Else a wrong window of sales would be answered with the name of a database constraint. The
        # service says it in plain words.
        return super()._get_validation_exclusions() | {"sales_start", "sales_end"}


class EventAdminBase(admin.ModelAdmin):
    form = EventForm
    formfield_overrides = {
        models.TextField: {"form_class": LinesField, "widget": AdminTextareaWidget},
        models.DateTimeField: {"form_class": DateAndTimeField, "widget": AdminSplitDateTime},
    }
    list_display = ["name", "state_badge", "held", "available", "waiting", "day"]
    # Said to be searchable; the list's form knows how.
    search_fields = ["name", "venue"]
    # Others would sort all events for each page.
    sortable_by = ["day"]
    empty_value_display = ""
    preserve_filters = False
    ordering = ["-pk"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fieldsets = [
        (None, {"fields": ["name", "date", "venue", "description"]}),
        ("Tickets", {"fields": ["total_tickets", "max_tickets_per_booking"]}),
        ("Sales", {"fields": ["sales_start", "sales_end"], "description": "Times are in UTC."}),
        ("Waitlist", {"fields": ["waitlist_enabled", "waitlist_policy"]}),
    ]

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and not (obj and obj.deleted_at)

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="state")
    def state(self, event: Event) -> str:
        return state_of(event.deleted_at, event.sales_start, event.sales_end, event.available_tickets)

    @admin.display(description="state")
    def state_badge(self, event: Event) -> str:
        state = self.state(event)
        return badge(state, BADGES[state])

    @admin.display(description="held")
    def held(self, event: Event) -> str:
        return fill(event.held_tickets, event.total_tickets)

    @admin.display(description="available")
    def available(self, event: Event) -> str:
        return with_unit(event.available_tickets, "available")

    @admin.display(description="waiting")
    def waiting(self, event: Event) -> str:
        if not event.waitlisted_count:
            return ""
        return with_unit(event.waitlisted_count, f"waiting for {counted(event.waitlisted_tickets, 'ticket')}")

    @admin.display(description="date", ordering="date")
    def day(self, event: Event) -> str:
        return time_tag(event.date)
