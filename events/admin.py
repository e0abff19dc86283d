"""How staff see events. Saving one moves tickets, so `bookings.admin.events` registers this."""

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db import models
from django.utils import timezone

from events.models import Event


class StateFilter(admin.SimpleListFilter):
    """Without a choice: every event that is not cancelled."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request, model_admin):
        return [
            ("on_sale", "On sale"),
            ("sold_out", "Sold out"),
            ("not_open", "Not open yet"),
            ("closed", "Closed"),
            ("cancelled", "Cancelled"),
        ]

    def choices(self, changelist):
        for choice in super().choices(changelist):
            yield {**choice, "display": "Not cancelled"} if choice["display"] == "All" else choice

    def queryset(self, request, queryset):
        now = timezone.now()
        match self.value():
            case "on_sale":
                return queryset.on_sale(now).available()
            case "sold_out":
                return queryset.on_sale(now).sold_out()
            case "not_open":
                return queryset.standing().filter(sales_start__gt=now)
            case "closed":
                return queryset.standing().filter(sales_end__lte=now)
            case "cancelled":
                return queryset.exclude(deleted_at=None)
        return queryset.standing()


class VersionField(forms.IntegerField):
    """The version that the page was made from: never an edit itself."""

    widget = forms.HiddenInput

    def has_changed(self, initial, data):
        return False


class LinesField(forms.CharField):
    """Text whose line breaks are those of the API: a browser's CRLF is no edit."""

    def to_python(self, value):
        return super().to_python(value).replace("\r\n", "\n")


class EventForm(forms.ModelForm):
    seen_version = VersionField()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            del self.fields["seen_version"]
        else:
            self.initial["seen_version"] = self.instance.version

    def changes(self) -> dict:
        """What was edited, by the model's names."""
        return {name: self.cleaned_data[name] for name in self.changed_data}

    def _get_validation_exclusions(self):
        # Else a wrong window of sales would be answered with the name of a database constraint. The
        # service says it in plain words.
        return super()._get_validation_exclusions() | {"sales_start", "sales_end"}


class EventAdminBase(admin.ModelAdmin):
    form = EventForm
    formfield_overrides = {models.TextField: {"form_class": LinesField, "widget": AdminTextareaWidget}}
    list_display = ["name", "state", "held", "available", "waiting", "date"]
    list_filter = [StateFilter, "date"]
    search_fields = ["name", "venue"]
    search_help_text = "Name or venue"
    ordering = ["-pk"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = [
        "state",
        "held",
        "available",
        "waiting",
        "version",
        "created_by",
        "created_at",
        "updated_at",
        "deleted_at",
    ]
    editable_fieldsets = [
        (None, {"fields": ["name", "date", "venue", "description"]}),
        ("Tickets", {"fields": ["total_tickets", "max_tickets_per_booking"]}),
        ("Sales", {"fields": ["sales_start", "sales_end"], "description": "Times are in UTC."}),
        ("Waitlist", {"fields": ["waitlist_enabled", "waitlist_policy"]}),
    ]
    counts_fieldset = (
        "As it stands",
        {
            "fields": ["state", "held", "available", "waiting"],
            "description": "Tickets held and available, and bookings waiting: they follow from the bookings.",
        },
    )
    record_fieldset = (
        "Record",
        {
            "fields": ["version", "created_by", "created_at", "updated_at", "deleted_at"],
            "description": "Events are cancelled, never deleted: choose the action in the list.",
        },
    )

    def get_fieldsets(self, request, obj=None):
        if obj is None:
            return self.editable_fieldsets
        fieldsets = [self.counts_fieldset, *self.editable_fieldsets, self.record_fieldset]
        if self.has_change_permission(request, obj):
            fieldsets.append((None, {"fields": ["seen_version"]}))
        return fieldsets

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("created_by")

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and not (obj and obj.deleted_at)

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.display(description="state")
    def state(self, event: Event) -> str:
        now = timezone.now()
        if event.deleted_at:
            return "Cancelled"
        if event.sales_end and event.sales_end <= now:
            return "Closed"
        if event.sales_start and event.sales_start > now:
            return "Not open yet"
        return "On sale" if event.available_tickets else "Sold out"

    @admin.display(description="held / total", ordering="total_tickets")
    def held(self, event: Event) -> str:
        return f"{event.held_tickets} / {event.total_tickets}"

    @admin.display(description="available", ordering="available_tickets")
    def available(self, event: Event) -> int:
        return event.available_tickets

    @admin.display(description="waiting", ordering="waitlisted_count")
    def waiting(self, event: Event) -> int:
        return event.waitlisted_count
