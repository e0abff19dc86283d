"""What staff do to an event."""

import secrets

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.urls import reverse

from accounts.models import User
from bookings.admin import fields, formatting
from bookings.admin.action import Action, ActionForm, Preview, Report
from bookings.admin.links import booking_url, event_url
from bookings.enums import BookingStatus
from bookings.exceptions import KeyReused, StaleVersion
from bookings.models import Booking, LedgerEntry
from bookings.rules import Book, CancelEvent, ChangeTerms, Claim
from bookings.services.booking import BookingRequest, book_tickets, find_booked
from bookings.services.events import cancel_event, edit_event
from bookings.services.inventory import booking_id
from bookings.services.preview import foresee
from events.models import Event
from ticks.db.fields import MAX_TICKETS
from ticks.formatting import counted

NO_ACCOUNT = "There is no active account of this name or mail address; leave it empty to book for a guest."


class EventAction(Action):
    @staticmethod
    def subjects() -> QuerySet[Event]:
        return Event.objects.all()

    @staticmethod
    def address(subject: Event) -> str:
        return event_url(subject.pk)

    def facts(self) -> str:
        event = self.subject
        held = f"{event.held_tickets:,} of {counted(event.total_tickets, 'ticket')} held"
        return f"Now: {held}, {formatting.counts_of(event)}."

    def impossible(self) -> str | None:
        return "This event is cancelled; nothing was changed." if self.subject.deleted_at else None


class CallerForm(ActionForm):
    refused_fields = {"ticketsReserved": "tickets"}

    tickets = fields.tickets()
    first_name = fields.first_name()
    last_name = fields.last_name()
    email = fields.email()
    account = forms.CharField(
        required=False,
        max_length=254,
        label="Account",
        help_text="The caller's username or mail address, if the booking is to be in their account. Empty: a guest's.",
        widget=fields.typed_anew(),
    )
    # Drawn with the page: who sends it twice books once.
    key = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def clean_account(self) -> User | None:
        named = self.cleaned_data["account"].strip()
        if not named:
            return None
        account = User.objects.bearing(named).filter(is_active=True).first()
        if account is None:
            raise forms.ValidationError(NO_ACCOUNT)
        return account


class BookForCaller(EventAction):
    name, title, button = "book", "Book for a caller", "Book"
    permission = "bookings.add_booking"
    form_class = CallerForm

    def initial(self):
        return {"tickets": 1, "key": secrets.token_hex(16)}

    def preview(self, form):
        claim = Claim(form.cleaned_data["tickets"], booking=Booking())
        forecast = foresee(self.subject, [Book(claim)])
        if forecast.refusal:
            return Preview([], refusal=forecast.refusal)
        tickets = counted(claim.tickets, "ticket")
        name = f"{form.cleaned_data['first_name']} {form.cleaned_data['last_name']}".strip()
        account = form.cleaned_data["account"]
        whose = f"It is in the account {account.username}." if account else "It is a guest's booking."
        if claim.status == BookingStatus.COMPLETED:
            lines = [f"{name} gets {tickets}.", formatting.then(forecast), whose]
        else:
            place = forecast.inventory.waitlisted
            lines = [f"{name} is waitlisted for {tickets}, as number {place:,} in line.", self.why(claim), whose]
        return Preview(lines, gist=claim.status)

    def why(self, claim: Claim) -> str:
        available = self.subject.available_tickets
        if claim.tickets <= available:
            return f"{counted(available, 'ticket')} available, but in this event nobody passes the waitlist."
        return f"{counted(available, 'ticket')} {'is' if available == 1 else 'are'} available."

    def asked(self, form) -> BookingRequest:
        wanted = form.cleaned_data
        return BookingRequest(
            self.subject.pk,
            wanted["tickets"],
            wanted["first_name"],
            wanted["last_name"],
            wanted["email"],
            user=wanted["account"],
            actor=self.request.user,
        )

    def done_before(self, form):
        try:
            receipt = find_booked(self.asked(form), key=form.cleaned_data["key"])
        except KeyReused:
            # Back from the booking, and on with other input: another booking, if it is confirmed.
            form.data["key"] = secrets.token_hex(16)
            raise
        return self.report(receipt.booking) if receipt else None

    def carry_out(self, form):
        receipt = book_tickets(self.asked(form), key=form.cleaned_data["key"])
        if not receipt.is_replayed:
            self.model_admin.log_addition(self.request, receipt.booking, "Booked for a caller.")
        return self.report(receipt.booking)

    def report(self, booking: Booking) -> Report:
        tickets = counted(booking.tickets_reserved, "ticket")
        held = booking.status == BookingStatus.COMPLETED
        did = (
            f"Booked {tickets}" if held else f"Waitlisted for {tickets} as number {booking.waitlist_position:,} in line"
        )
        return Report(
            [f"{did} for {booking.full_name}. Reference: {booking.reference}."],
            booking_url(booking.pk),
            messages.SUCCESS if held else messages.WARNING,
        )


class EditForm(ActionForm):
    """`version` is the one of the event that the page showed."""

    version = forms.IntegerField(widget=forms.HiddenInput)


class EventEdit(EventAction):
    permission = "events.change_event"

    def initial(self):
        return {"version": self.subject.version}

    def stale(self, form: EditForm) -> StaleVersion | None:
        if form.cleaned_data["version"] == self.subject.version:
            return None
        # So that a second try is about what the page shows now.
        form.data["version"] = self.subject.version
        return StaleVersion("Somebody changed this event in the meantime; look again and repeat it if it still fits.")

    def edited(self, form: EditForm, changes: dict):
        version = form.cleaned_data["version"]
        change = edit_event(self.subject.pk, changes=changes, actor=self.request.user, version=version)
        if change.event.version != version:
            self.model_admin.log_change(self.request, change.event, f"{self.title}.")
        return change


class CapacityForm(EditForm):
    refused_fields = {"totalTickets": "total"}

    total = fields.tickets(label="Tickets in total", max_value=MAX_TICKETS)


class ChangeCapacity(EventEdit):
    name, title, button = "capacity", "Change capacity", "Change capacity"
    form_class = CapacityForm

    def initial(self):
        return {**super().initial(), "total": self.subject.total_tickets}

    def preview(self, form):
        event, total = self.subject, form.cleaned_data["total"]
        stale = self.stale(form)
        forecast = foresee(event, [ChangeTerms(total, event.waitlist_policy)])
        if stale or forecast.refusal:
            return Preview([], refusal=stale or forecast.refusal)
        lines = [f"Capacity {event.total_tickets:,} to {total:,}."]
        if total == event.total_tickets:
            return Preview([*lines, "That is what it has already; nothing would change."])
        served = sorted(booking_id(claim) for claim in forecast.served)
        return Preview([*lines, formatting.promotes(forecast), formatting.then(forecast)], gist=served)

    def carry_out(self, form):
        total = form.cleaned_data["total"]
        change = self.edited(form, {"total_tickets": total})
        event = change.event
        return Report(
            [
                f"{event} now has {counted(total, 'ticket')}, {formatting.counts_of(event)}.",
                formatting.served(change.served, verb="Promoted"),
            ]
        )


class CancelForm(EditForm):
    is_sure = forms.BooleanField(label="Yes, cancel this event with all its bookings")


class CancelWholeEvent(EventEdit):
    name, title, button = "cancel", "Cancel event", "Cancel event"
    permission = "events.cancel_event"
    form_class = CancelForm
    is_dangerous = True

    def preview(self, form):
        stale = self.stale(form)
        return Preview(self.lines(), refusal=stale)

    def lines(self) -> list[str]:
        event = self.subject
        forecast = foresee(event, [CancelEvent()])
        held = counted(event.completed_count, "booking")
        waiting = counted(event.waitlisted_count, "booking")
        return [
            f"{held} with {counted(event.held_tickets, 'ticket')} and {waiting} that wait are cancelled.",
            f"All {counted(forecast.inventory.available, 'ticket')} come back; nobody can book any more.",
            "This cannot be undone.",
        ]

    def carry_out(self, form):
        version = form.cleaned_data["version"]
        event = cancel_event(self.subject.pk, actor=self.request.user, version=version)
        self.model_admin.log_change(self.request, event, "Cancelled, with all its bookings.")
        given_back = LedgerEntry.objects.get(event=event, sequence=event.ledger_sequence).tickets
        return Report(
            [f"{event} is cancelled, with all its bookings.", f"{counted(given_back, 'ticket')} came back."],
            reverse("admin:events_event_changelist"),
        )
