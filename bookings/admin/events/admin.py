from functools import cached_property, partial

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from bookings.admin.action import action_view
from bookings.admin.events.importing import Importable
from bookings.admin.events.page import event_page, verify
from bookings.admin.exports import Exportable
from bookings.admin.filters import EventFilterForm
from bookings.admin.links import event_url
from bookings.admin.lists import FilteredList
from bookings.admin.pages import EVENT_ACTIONS
from bookings.admin.selection import KnownRows, confirm_cancellation, is_confirmed, led_to, selected_ids, too_many
from bookings.services.events import cancel_event, open_event
from events.admin import EventAdminBase, EventForm, in_state
from events.exceptions import EventNotFound
from events.models import Event
from events.serializers import EventFieldsSerializer
from ticks.exceptions import Refusal
from ticks.formatting import counted
from ticks.parsing import parse_id

MAX_EVENTS_AT_ONCE = 50
SUMS = ("total_tickets", "available_tickets", "waitlisted_count", "waitlisted_tickets")
MODEL_NAMES = {name: field.source for name, field in EventFieldsSerializer().fields.items()}


class TotalsPaginator(Paginator):
    """Counts the rows and adds their numbers up in one query: there are thousands of events, not a million."""

    @cached_property
    def totals(self) -> dict[str, int]:
        sums = {f"sum_{name}": Sum(name) for name in SUMS}
        totals = self.object_list.aggregate(sum_events=Count("pk"), **sums)
        return {name.removeprefix("sum_"): int(number or 0) for name, number in totals.items()}

    @property
    def count(self) -> int:
        return self.totals["events"]


class EventList(FilteredList):
    def filter_rows(self, rows: QuerySet, *, q, state, since, until, waits) -> QuerySet:
        rows = in_state(rows, state)
        if since:
            rows = rows.filter(date__gte=since)
        if until:
            rows = rows.filter(date__lt=until)
        if waits:
            rows = rows.filter(waitlisted_count__gt=0)
        for word in q.split():
            number = parse_id(word.removeprefix("#"))
            contains_word = Q(name__icontains=word) | Q(venue__icontains=word)
            rows = rows.filter(contains_word if number is None else contains_word | Q(pk=number))
        return rows

    def url_for_result(self, result):
        return event_url(result.pk)

    @property
    def summary(self) -> str:
        totals = self.paginator.totals
        held = totals["total_tickets"] - totals["available_tickets"]
        waiting = totals["waitlisted_count"]
        waitlist = f"{counted(waiting, 'booking')} waiting for {counted(totals['waitlisted_tickets'], 'ticket')}"
        return (
            f"{counted(totals['events'], 'event')}: {held:,} of {counted(totals['total_tickets'], 'ticket')} held, "
            f"{waitlist if waiting else 'nobody waits'}"
        )


class RefusableEventForm(EventForm):
    """The form of a new event; `refusal` is what the service answered to this very input."""

    refusal: Refusal | None = None

    def clean(self):
        cleaned = super().clean()
        if self.refusal:
            field = MODEL_NAMES.get(getattr(self.refusal, "field", None))
            self.add_error(field if field in self.fields else None, str(self.refusal))
        return cleaned


@admin.register(Event)
class EventAdmin(Importable, Exportable, KnownRows, EventAdminBase):
    form = RefusableEventForm
    list_display = [*EventAdminBase.list_display, "more"]
    filter_form = EventFilterForm
    actions = ["cancel_events"]

    def get_urls(self):
        wrap = self.admin_site.admin_view
        actions = [
            path(f"<str:pk>/{action.name}/", wrap(action_view(self, action)), name=f"bookings_event_{action.name}")
            for action in EVENT_ACTIONS
        ]
        check = path(
            "<str:pk>/verify/",
            wrap(require_POST(partial(verify, model_admin=self))),
            name="bookings_event_verify",
        )
        page = path("<str:pk>/", wrap(partial(event_page, model_admin=self)), name="bookings_event_page")
        return [*actions, check, *super().get_urls()[:-1], page, *super().get_urls()[-1:]]

    def get_changelist(self, request, **kwargs):
        return EventList

    def get_paginator(self, request, queryset, *args, **kwargs):
        # The history of an event is in pages too, and its rows have no tickets.
        paginator = TotalsPaginator if queryset.model is Event else self.paginator
        return paginator(queryset, *args, **kwargs)

    @admin.display(description="look up")
    def more(self, event: Event) -> str:
        return format_html(
            '<a href="{}?event={}">Bookings</a> · <a href="{}?event={}">Ledger</a>',
            reverse("admin:bookings_booking_changelist"),
            event.pk,
            reverse("admin:bookings_ledgerentry_changelist"),
            event.pk,
        )

    # Django's own view puts a POST into one transaction. The services open theirs, run it again
    # when the database rolled it back, and so refuse to start inside another.
    @method_decorator(csrf_protect)
    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        if object_id is not None:
            # An event is looked at, and edited, on its own pages.
            return led_to(event_url, object_id)
        try:
            return self._changeform_view(request, object_id, form_url, extra_context)
        except Refusal as refusal:
            # Nothing was saved. The same input again, for the form to say why.
            request.refusal = refusal
            return self._changeform_view(request, object_id, form_url, extra_context)

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        form.refusal = getattr(request, "refusal", None)
        return form

    def save_form(self, request, form, change):
        """Saves through the service; what it refuses ends in `changeform_view`, before any log entry."""
        return open_event(form.cleaned_data, actor=request.user)

    def save_model(self, request, obj, form, change):
        """`save_form` has saved it."""

    def save_related(self, request, form, formsets, change):
        """Nothing hangs on an event that this form could change."""

    def response_add(self, request, obj, post_url_continue=None):
        return HttpResponseRedirect(event_url(obj.pk))

    def get_changeform_initial_data(self, request):
        """Nothing from the address: what it says is no value of a field."""
        return {}

    def has_cancel_permission(self, request) -> bool:
        return request.user.has_perm("events.cancel_event")

    @admin.action(description="Cancel selected events …", permissions=["cancel"])
    def cancel_events(self, request, queryset):
        ids = selected_ids(request, queryset, at_most=MAX_EVENTS_AT_ONCE)
        if len(ids) > MAX_EVENTS_AT_ONCE:
            return too_many(self, request, "events", MAX_EVENTS_AT_ONCE)
        events = Event.objects.filter(pk__in=ids).order_by("name", "pk")
        rows = [(event.pk, self.described(event)) for event in events]
        if not is_confirmed(request, rows):
            return confirm_cancellation(
                self,
                request,
                title="Cancel events",
                action="cancel_events",
                question="Cancel these events, with all their bookings? This cannot be undone.",
                rows=rows,
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
