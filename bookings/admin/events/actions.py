"""The actions of staff on an event."""

from django import forms
from django.contrib import messages
from django.utils import timezone

from accounts.models import User
from bookings.admin import fields, formatting
from bookings.admin.events.forms import LABELS, EditForm, VersionForm, format_value, sales_that_stay, sales_window
from bookings.admin.mails import TellsHolders
from bookings.commands import ChangeTerms
from bookings.enums import BookingStatus, LedgerKind
from bookings.exceptions import InvalidTerms, StaleVersion
from bookings.models import Booking, LedgerEntry
from bookings.outbox import NOTIFIED_FIELDS
from bookings.services.booking import BookingRequest, book_tickets, find_booked
from bookings.services.events import (
    EventChange,
    change_event,
    refuse_empty_sales_window,
    sales_closed,
    sales_opened,
)
from bookings.services.inventory import simulate
from bookings.services.notifications import recipient
from events.models import Event
from ticks.actions import KeyedForm, Preview, Report, Table, new_key
from ticks.formatting import counted, format_time
from ticks.staff_actions import StaffAction

WAIT_FOR_TICKETS = "Bookings that wait keep their places and are still served when tickets come back."
WAIT_UNTIL_OPEN = (
    "Bookings that wait keep their places. While sales are closed, freed tickets promote no booking; you can serve a "
    "booking out of turn."
)
NO_ACCOUNT = "There is no active account of this name or mail address; leave it empty to book for a guest."


class EventAction(StaffAction):
    subjects = Event.objects.all()

    def address(self):
        return formatting.event_url(self.subject.pk)

    def current_state(self):
        event = self.subject
        held = f"{event.held_tickets:,} of {counted(event.total_tickets, 'ticket')} held"
        return f"Now: {held}, {formatting.counts_in_words(event)}."

    def closed_reason(self):
        return "This event is cancelled; nothing was changed." if self.subject.deleted_at else None


class CallerForm(KeyedForm):
    refused_fields = {"ticketsReserved": "tickets"}

    tickets = fields.tickets()
    first_name = fields.first_name()
    last_name = fields.last_name()
    email = fields.email()
    language = fields.language()
    account = forms.CharField(
        required=False,
        max_length=254,
        label="Account",
        help_text=(
            "The caller's username or mail address, if the booking belongs in their account. "
            "Leave it empty for a guest."
        ),
        widget=forms.TextInput(fields.NO_AUTOCOMPLETE),
    )

    def clean_account(self) -> User | None:
        name = self.cleaned_data["account"].strip()
        if not name:
            return None
        account = User.objects.bearing(name).filter(is_active=True).first()
        if account is None:
            raise forms.ValidationError(NO_ACCOUNT)
        return account


class BookForCaller(TellsHolders, EventAction):
    name, title, button = "book", "Book for a caller", "Book"
    permission = "bookings.add_booking"
    form_class = CallerForm

    def initial(self):
        return {"tickets": 1, "key": new_key()}

    def preview(self, form):
        forecast = simulate(self.subject, [self.booking_request(form).command()])
        claim, values = forecast.outcomes[0].claim, form.cleaned_data
        caller = recipient(values["first_name"], values["last_name"], values["email"], None)
        self.audience.add_forecast(forecast, new=caller)
        tickets = counted(claim.tickets, "ticket")
        name = f"{form.cleaned_data['first_name']} {form.cleaned_data['last_name']}".strip()
        account = form.cleaned_data["account"]
        holder = f"It is in the account {account.username}." if account else "It is a guest's booking."
        if claim.status == BookingStatus.COMPLETED:
            lines = [f"{name} gets {tickets}.", formatting.counts_after(forecast), holder]
        else:
            reason = formatting.waiting_reason(self.subject, tickets=claim.tickets, position=claim.position)
            lines = [f"{name} is waitlisted for {tickets}, as number {claim.position:,} in line: {reason}.", holder]
        return Preview(lines, fingerprint=claim.status)

    def booking_request(self, form) -> BookingRequest:
        values = form.cleaned_data
        return BookingRequest(
            self.subject.pk,
            values["tickets"],
            values["first_name"],
            values["last_name"],
            values["email"],
            user=values["account"],
            actor=self.request.user,
            language=values["language"],
            mails=self.mail_options(form),
        )

    def earlier_report(self, form):
        receipt = find_booked(self.booking_request(form), key=form.cleaned_data["key"])
        return self.report(receipt.booking) if receipt else None

    def carry_out(self, form):
        receipt = book_tickets(self.booking_request(form), key=form.cleaned_data["key"])
        if not receipt.is_replayed:
            self.model_admin.log_addition(self.request, receipt.booking, "Booked for a caller.")
        return self.report(receipt.booking)

    def report(self, booking: Booking) -> Report:
        tickets, is_held = counted(booking.tickets_reserved, "ticket"), booking.status == BookingStatus.COMPLETED
        place = booking.waitlist_position
        what = f"Booked {tickets}" if is_held else f"Waitlisted for {tickets} as number {place:,} in line"
        return Report(
            [f"{what} for {booking.full_name}. Reference: {booking.reference}."],
            formatting.booking_url(booking.pk),
            messages.SUCCESS if is_held else messages.WARNING,
        )


class EventEdit(TellsHolders, EventAction):
    permission = "events.change_event"

    def initial(self):
        return {"version": self.subject.version}

    def refuse_stale(self, form: VersionForm) -> None:
        if form.cleaned_data["version"] != self.subject.version:
            # The second try starts from what the page shows now.
            form.data["version"] = self.subject.version
            raise StaleVersion(
                "Somebody changed this event in the meantime; look again and repeat it if it still fits."
            )

    def save(self, form: VersionForm, changes: dict) -> EventChange:
        version = form.cleaned_data["version"]
        change = change_event(
            self.subject.pk, changes=changes, actor=self.request.user, version=version, mails=self.mail_options(form)
        )
        if change.event.version != version:
            self.model_admin.log_change(self.request, change.event, f"{self.title}.")
        return change


class CapacityForm(VersionForm):
    refused_fields = {"totalTickets": "total"}

    total = fields.tickets(label="Tickets in total")


class ChangeCapacity(EventEdit):
    name, title, button = "capacity", "Change capacity", "Change capacity"
    form_class = CapacityForm

    def initial(self):
        return {**super().initial(), "total": self.subject.total_tickets}

    def preview(self, form):
        event, total = self.subject, form.cleaned_data["total"]
        self.refuse_stale(form)
        forecast = simulate(self.subject, [ChangeTerms(total, event.waitlist_policy, event.sales_end)])
        self.audience.add_forecast(forecast)
        lines = [f"The capacity changes from {event.total_tickets:,} to {total:,}."]
        if total == event.total_tickets:
            return Preview([*lines, "The event has this capacity already, so nothing changes."])
        lines += [formatting.promotes(forecast), formatting.counts_after(forecast), *too_large_to_promote(event, total)]
        # While an event sells, others join the waitlist all the time. They do not change what was decided.
        return Preview(lines, fingerprint=bool(forecast.promoted))

    def carry_out(self, form):
        change = self.save(form, {"total_tickets": form.cleaned_data["total"]})
        event = change.event
        counts = f"{event} now has {counted(event.total_tickets, 'ticket')}, {formatting.counts_in_words(event)}."
        return Report([counts, formatting.promoted(change.promoted, verb="Promoted")])


def too_large_to_promote(event: Event, total: int) -> list[str]:
    """What a capacity means for waiting bookings that want more tickets than that."""
    large = Booking.objects.of_event(event.pk).with_status(BookingStatus.WAITLISTED).filter(tickets_reserved__gt=total)
    if not (number := large.count()):
        return []
    behind = ", nor can those behind them" if event.waitlist_policy == Event.WaitlistPolicy.STRICT else ""
    wants = "waiting booking wants" if number == 1 else "waiting bookings want"
    return [f"{number:,} {wants} more tickets than the event would have, and cannot be promoted{behind}."]


class SalesForm(VersionForm):
    OPEN, CLOSE, TIMES = "open", "close", "times"

    refused_fields = {"salesEnd": "sales_end"}

    what = forms.ChoiceField(
        label="What to do",
        widget=forms.RadioSelect,
        choices=[(OPEN, "Open sales now"), (CLOSE, "Close sales now"), (TIMES, "Set the times below")],
    )
    sales_start = fields.MomentField(label="Sales start", required=False)
    sales_end = fields.MomentField(label="Sales end", required=False)

    def set_zone(self, event: Event) -> None:
        effects = {"sales_start": "sales start at once", "sales_end": "sales have no end"}
        for name, effect in effects.items():
            self.fields[name].zone = event.zone
            self.fields[name].help_text = f"In {event.time_zone}. If it is empty, {effect}."


class OpenOrCloseSales(EventEdit):
    name, title, button = "sales", "Open or close sales", "Save"
    form_class = SalesForm

    def initial(self):
        times = {"sales_start": self.subject.sales_start, "sales_end": self.subject.sales_end}
        return {**super().initial(), "what": SalesForm.TIMES, **times}

    def form(self, data=None, files=None):
        form = super().form(data, files)
        form.set_zone(self.subject)
        return form

    def changes(self, form) -> dict:
        # The time has whole seconds, since the page shows and sends them so.
        now = timezone.now().replace(microsecond=0)
        match form.cleaned_data["what"]:
            case SalesForm.OPEN:
                return sales_opened(self.subject, now=now)
            case SalesForm.CLOSE:
                return sales_closed(self.subject, now=now)
        # The page shows no seconds. A time that nobody has changed keeps them.
        stored = {name: getattr(self.subject, name) for name in ("sales_start", "sales_end")}
        return {
            name: form.cleaned_data[name] if form.fields[name].has_changed(time, form[name].data) else time
            for name, time in stored.items()
        }

    def preview(self, form):
        self.refuse_stale(form)
        changes = self.changes(form)
        refuse_empty_sales_window(**changes)
        event, lines = self.subject, [sales_window(**changes, zone=self.subject.zone)]
        forecast = simulate(
            self.subject, [ChangeTerms(event.total_tickets, event.waitlist_policy, changes["sales_end"])]
        )
        self.audience.add_forecast(forecast)
        if forecast.promoted:
            lines += [formatting.promotes(forecast), formatting.counts_after(forecast)]
        elif event.waitlisted_count:
            has_ended = forecast.inventory.has_ended(timezone.now())
            lines.append(WAIT_UNTIL_OPEN if has_ended else WAIT_FOR_TICKETS)
        return Preview(lines, fingerprint=sorted(claim.id for claim in forecast.promoted))

    def carry_out(self, form):
        change = self.save(form, self.changes(form))
        event = change.event
        window = sales_window(event.sales_start, event.sales_end, event.zone)
        return Report([f"{event}: {window}", formatting.promoted(change.promoted, verb="Promoted")])


class EditEvent(EventEdit):
    name, title, button = "edit", "Edit event", "Save"
    form_class = EditForm

    def initial(self):
        return {**super().initial(), **{name: getattr(self.subject, name) for name in EditForm.Meta.fields}}

    def preview(self, form):
        event, edits = self.subject, form.edits()
        if form.cleaned_data["version"] != event.version:
            self.table = two_versions(event, form)
            form.rebase(event)
            raise StaleVersion("Nothing was saved: somebody else changed this event meanwhile.")
        if not edits:
            raise InvalidTerms("Nothing is different from what is stored.")
        lines = [
            f"{LABELS[name]}: {format_value(name, getattr(event, name), event.zone)} → "
            f"{format_value(name, value, form.zone)}"
            for name, value in edits.items()
        ]
        policy = edits.get("waitlist_policy", event.waitlist_policy)
        forecast = simulate(self.subject, [ChangeTerms(event.total_tickets, policy, event.sales_end)])
        self.audience.add_forecast(forecast)
        if not edits.keys().isdisjoint(NOTIFIED_FIELDS):
            self.audience.add_live(event)
        lines += sales_that_stay(event, edits, form.zone)
        if edits.get("waitlist_enabled") is False and event.waitlisted_count:
            lines.append("No other booking can wait. Those that wait keep their places and are still served.")
        if forecast.promoted:
            lines += [formatting.promotes(forecast), formatting.counts_after(forecast)]
        return Preview(lines)

    def carry_out(self, form):
        change = self.save(form, form.edits())
        return Report([f"Saved {change.event}.", formatting.promoted(change.promoted, verb="Promoted")])


def two_versions(event: Event, form: EditForm) -> Table:
    """The table of what was edited here, and of what has changed since the page was shown."""
    rows, edits = [], form.edits()
    for name in form.Meta.fields:
        is_outdated = form.is_outdated(name, event)
        if name in edits or is_outdated:
            edit = format_value(name, edits[name], form.zone) if name in edits else "not edited"
            conflict = "both changed it" if name in edits and is_outdated else ""
            rows.append([LABELS[name], format_value(name, getattr(event, name), event.zone), edit, conflict])
    changes = LedgerEntry.objects.filter(event=event, booking=None).exclude(kind=LedgerKind.OPENED)
    last = changes.select_related("actor").order_by("-sequence").first()
    author = f"{last.actor} changed it {format_time(last.created_at, zone=event.zone)}. " if last and last.actor else ""
    caption = f"{author}Your edits are above, on top of what is stored now. Look at what will happen, then save."
    return Table(caption, ["Field", "Stored now", "Yours", "Look at"], rows)
