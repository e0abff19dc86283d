from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import display_for_field
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.text import Truncator
from django.views.decorators.csrf import csrf_protect

from bookings.admin.selection import KnownRows, confirm_cancellation, selected_ids, too_many
from bookings.exceptions import StaleVersion
from bookings.services.events import cancel_event, change_event, open_event
from events.admin import EventAdminBase, EventForm, VersionField
from events.exceptions import EventNotFound
from events.models import Event
from events.serializers import EventFieldsSerializer
from ticks.columns import MAX_TICKETS
from ticks.ids import parse_id
from ticks.refusals import Refusal

MAX_EVENTS_AT_ONCE = 50
MODEL_NAMES = {name: field.source for name, field in EventFieldsSerializer().fields.items()}
STALE = (
    "Somebody changed this event in the meantime, so nothing was saved. Your input is kept below, with what is"
    ' stored now beside it. <a href="{}" target="_blank">Open the event as it is now</a> and repeat your change there.'
)


class RefusableEventForm(EventForm):
    """The event's form; `refusal` is what the service answered to this very input."""

    refusal: Refusal | None = None

    def clean(self):
        cleaned = super().clean()
        if isinstance(self.refusal, StaleVersion):
            self.say_stale()
        elif self.refusal:
            field = MODEL_NAMES.get(getattr(self.refusal, "field", None))
            self.add_error(field if field in self.fields else None, str(self.refusal))
        return cleaned

    def say_stale(self):
        self.add_error(None, format_html(STALE, reverse("admin:events_event_change", args=[self.instance.pk])))
        for name in self.changed_data:
            self.add_error(name, f"Stored now: {self.stored(name)}")

    def stored(self, name: str) -> str:
        value = self.initial[name]
        if isinstance(value, bool):
            return "on" if value else "off"
        shown = display_for_field(value, Event._meta.get_field(name), "nothing")
        return Truncator(shown or "nothing").chars(200)


class CapacityForm(forms.Form):
    """The new total of one event, as a row of the action's page."""

    # What the page showed travels along: a row that nobody touched is no edit, whatever happened since.
    total_tickets = forms.IntegerField(label="New total", min_value=1, max_value=MAX_TICKETS, show_hidden_initial=True)
    version = VersionField()

    def __init__(self, event: Event, data=None):
        self.event = event
        initial = {"total_tickets": event.total_tickets, "version": event.version}
        super().__init__(data, prefix=f"event-{event.pk}", initial=initial)
        self.fields["total_tickets"].widget.attrs["aria-label"] = f"New total of {event.name}"

    def refused(self, message: str) -> "CapacityForm":
        """The row once more, as the event is now: what it says there may be decided upon."""
        event = Event.objects.get(pk=self.event.pk)
        data = self.data.copy()
        data[self.add_prefix("version")] = event.version
        data[self.add_initial_prefix("total_tickets")] = event.total_tickets
        form = CapacityForm(event, data)
        form.add_error("total_tickets", message)
        return form


@admin.register(Event)
class EventAdmin(KnownRows, EventAdminBase):
    form = RefusableEventForm
    list_display = [*EventAdminBase.list_display, "more"]
    readonly_fields = [*EventAdminBase.readonly_fields, "more"]
    counts_fieldset = (
        EventAdminBase.counts_fieldset[0],
        {**EventAdminBase.counts_fieldset[1], "fields": [*EventAdminBase.counts_fieldset[1]["fields"], "more"]},
    )
    actions = ["change_capacity", "cancel_events"]

    @admin.display(description="look up")
    def more(self, event: Event) -> str:
        return format_html(
            '<a href="{}?event__id__exact={}">Bookings</a> · <a href="{}?event__id__exact={}">Ledger</a>',
            reverse("admin:bookings_booking_changelist"),
            event.pk,
            reverse("admin:bookings_ledgerentry_changelist"),
            event.pk,
        )

    # Django's own view puts a POST into one transaction. The services open theirs, run it again
    # when the database rolled it back, and so refuse to start inside another.
    @method_decorator(csrf_protect)
    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        try:
            if request.method == "POST" and object_id and self.is_cancelled(request, object_id):
                raise EventNotFound
            return self._changeform_view(request, object_id, form_url, extra_context)
        except EventNotFound:
            self.message_user(
                request, "This event was cancelled in the meantime; nothing was saved.", level=messages.ERROR
            )
            return HttpResponseRedirect(request.path)
        except Refusal as refusal:
            # Nothing was saved. The same input again, for the form to say why.
            request.refusal = refusal
            return self._changeform_view(request, object_id, form_url, extra_context)

    def is_cancelled(self, request, object_id: str) -> bool:
        cancelled = Event.objects.filter(pk=parse_id(object_id)).exclude(deleted_at=None)
        return self.has_change_permission(request) and cancelled.exists()

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.refusal = getattr(request, "refusal", None)
        return form

    def save_form(self, request, form, change):
        """Saves through the services; what they refuse ends in `changeform_view`, before any log entry."""
        if not change:
            return open_event(form.cleaned_data, actor=request.user)
        changes = form.changes()
        if not changes:
            return form.instance
        version = form.cleaned_data["seen_version"]
        return change_event(form.instance.pk, changes=changes, actor=request.user, version=version)

    def save_model(self, request, obj, form, change):
        """`save_form` has saved it."""

    def save_related(self, request, form, formsets, change):
        """Nothing hangs on an event that this form could change."""

    @admin.action(description="Change capacity …", permissions=["change"])
    def change_capacity(self, request, queryset):
        ids = selected_ids(request, queryset, at_most=MAX_EVENTS_AT_ONCE)
        if len(ids) > MAX_EVENTS_AT_ONCE:
            return too_many(self, request, "events", MAX_EVENTS_AT_ONCE)
        events = list(Event.objects.standing().filter(pk__in=ids).order_by("name", "pk"))
        if not events:
            self.message_user(request, "Cancelled events have no tickets to change.", level=messages.WARNING)
            return None
        if "confirmed" not in request.POST:
            return self.capacity_page(request, [CapacityForm(event) for event in events])
        forms_ = [CapacityForm(event, request.POST) for event in events]
        if [form for form in forms_ if not form.is_valid()]:
            return self.capacity_page(request, forms_)
        tried = [self.set_capacity(request, form) for form in forms_ if form.has_changed()]
        refused = [form for form in tried if form]
        return self.capacity_page(request, refused) if refused else None

    def set_capacity(self, request, form: CapacityForm) -> CapacityForm | None:
        """Changes one event's total; if that is refused, returns the row that says why."""
        event, total = form.event, form.cleaned_data["total_tickets"]
        try:
            event = change_event(
                event.pk,
                changes={"total_tickets": total},
                actor=request.user,
                version=form.cleaned_data["version"],
            )
        except StaleVersion:
            return form.refused("Somebody changed this event in the meantime; look again and save if it still fits.")
        except Refusal as refusal:
            return form.refused(str(refusal))
        self.log_change(request, event, f"Changed the total to {total} tickets.")
        self.message_user(request, f"“{event}” now has {total} tickets, {event.available_tickets} of them available.")
        return None

    def capacity_page(self, request, forms_: list[CapacityForm]):
        context = {
            **self.admin_site.each_context(request),
            "title": "Change capacity",
            "opts": self.opts,
            "forms": forms_,
            "action": "change_capacity",
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "bookings/admin/capacity.html", context)

    @admin.action(description="Cancel selected events …", permissions=["change"])
    def cancel_events(self, request, queryset):
        ids = selected_ids(request, queryset, at_most=MAX_EVENTS_AT_ONCE)
        if len(ids) > MAX_EVENTS_AT_ONCE:
            return too_many(self, request, "events", MAX_EVENTS_AT_ONCE)
        if "confirmed" not in request.POST:
            events = Event.objects.filter(pk__in=ids).order_by("name", "pk")
            return confirm_cancellation(
                self,
                request,
                title="Cancel events",
                action="cancel_events",
                question="Cancel these events, with all their bookings? This cannot be undone.",
                rows=[(event.pk, self.described(event)) for event in events],
            )
        done = already = 0
        for event_id in ids:
            try:
                event = cancel_event(event_id, actor=request.user)
            except EventNotFound:
                already += 1
            except Refusal as refusal:
                self.message_user(request, f"{event_id}: {refusal}", level=messages.ERROR)
            else:
                done += 1
                self.log_change(request, event, "Cancelled, with all its bookings.")
        said = f"Events cancelled: {done}. Already cancelled before: {already}."
        self.message_user(request, said, level=messages.SUCCESS if done else messages.WARNING)
        return None

    def described(self, event: Event) -> str:
        if event.deleted_at:
            return f"{event}: already cancelled"
        return f"{event}: {event.held_tickets} tickets held, {event.waitlisted_count} bookings waiting"
