"""The actions that cancel events with all their bookings."""

from django import forms

from bookings.admin.events.actions import EventEdit
from bookings.admin.events.forms import VersionForm
from bookings.admin.mails import TellsHolders
from bookings.commands import CancelEvent
from bookings.enums import LedgerKind
from bookings.models import LedgerEntry
from bookings.services.events import cancel_event
from bookings.services.inventory import simulate
from events.exceptions import EventNotFound
from events.models import Event
from ticks.actions import Preview, Report
from ticks.formatting import counted
from ticks.staff_actions import SelectionAction, StaffAction

ALL_CANCELLED = "There is nothing to cancel: all selected events are cancelled already."


class CancelForm(VersionForm):
    consent = "is_sure"

    is_sure = forms.BooleanField(label="Yes, cancel this event with all its bookings", required=False)


class CancelWholeEvent(EventEdit):
    name, title, button = "cancel", "Cancel event", "Cancel event"
    permission = "events.cancel_event"
    form_class = CancelForm
    is_dangerous = True
    previews_at_once = True

    def preview(self, form):
        self.refuse_stale(form)
        event, forecast = self.subject, simulate(self.subject, [CancelEvent()])
        self.audience.add_live(event)
        held = f"{counted(event.completed_count, 'booking')} with {counted(event.held_tickets, 'ticket')}"
        return Preview(
            [
                f"{held} and {counted(event.waitlisted_count, 'waiting booking')} are cancelled.",
                f"All {counted(forecast.inventory.available, 'ticket')} come back; nobody can book any more.",
                "This cannot be undone.",
            ]
        )

    def carry_out(self, form):
        event = cancel_event(
            self.subject.pk,
            actor=self.request.user,
            version=form.cleaned_data["version"],
            mails=self.mail_options(form),
        ).event
        self.model_admin.log_change(self.request, event, "Cancelled, with all its bookings.")
        freed = LedgerEntry.objects.get(event=event, booking=None, kind=LedgerKind.EVENT_CANCELLED).tickets
        lines = [f"{event} is cancelled, with all its bookings.", f"{counted(freed, 'ticket')} came back."]
        return Report(lines, StaffAction.address(self))


class CancelEvents(TellsHolders, SelectionAction):
    name, title, button = "cancel_events", "Cancel events", "Cancel events"
    choice = "Cancel selected events …"
    permission = "events.cancel_event"
    subjects = Event.objects.order_by("name", "pk")
    thing, limit = "event", 50
    already_done = EventNotFound

    def closed_reason(self):
        return ALL_CANCELLED if all(event.deleted_at for event in self.subject) else None

    def preview(self, form):
        rows = [self.described(event) for event in self.subject]
        for event in self.subject:
            if not event.deleted_at:
                self.audience.add_live(event)
        # The counts change all the time while an event sells, and all its bookings are cancelled in any case.
        versions = [(event.pk, event.version) for event in self.subject]
        return Preview([*self.listed(rows), "This cannot be undone."], fingerprint=versions)

    def described(self, event: Event) -> str:
        if event.deleted_at:
            return f"{event} is cancelled already."
        held, waiting = counted(event.held_tickets, "ticket"), counted(event.waitlisted_count, "booking")
        return f"Cancels {event} with all its bookings: {held} held, {waiting} waiting."

    def carry_out_on(self, row, form):
        event = cancel_event(row.pk, actor=self.request.user, mails=self.mail_options(form)).event
        self.model_admin.log_change(self.request, event, "Cancelled, with all its bookings.")

    def summary(self, results, already):
        return [f"Events cancelled: {len(results)}. Already cancelled before: {already}."]
