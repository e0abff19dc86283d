"""What staff do to a booking."""

from django import forms
from django.db.models import QuerySet

from bookings.admin import fields, formatting
from bookings.admin.action import Action, ActionForm, Preview, Report
from bookings.admin.events.actions import EventEdit
from bookings.admin.links import booking_url
from bookings.enums import BookingStatus
from bookings.exceptions import AlreadyCancelled, InvalidTerms, NotWaiting
from bookings.models import Booking
from bookings.rules import Cancel, Serve
from bookings.services.cancellation import cancel_tickets
from bookings.services.inventory import booking_id, claim_of
from bookings.services.preview import foresee
from bookings.services.transfer import Holder, changes_to, transfer_booking
from bookings.services.waitlist import move_in_line, moves, serve_out_of_turn
from ticks.exceptions import Refusal
from ticks.formatting import counted


class BookingAction(Action):
    @staticmethod
    def subjects() -> QuerySet[Booking]:
        return Booking.objects.select_related("event", "user")

    @staticmethod
    def address(subject: Booking) -> str:
        return booking_url(subject.pk)

    def facts(self) -> str:
        booking, event = self.subject, self.subject.event
        holds = "waits for" if booking.status == BookingStatus.WAITLISTED else "holds"
        tickets = counted(booking.tickets_reserved, "ticket")
        return f"Now: {booking.full_name} {holds} {tickets}; {event} has {formatting.counts_of(event)}."

    def impossible(self) -> str | None:
        return AlreadyCancelled.message if self.subject.status == BookingStatus.CANCELLED else None

    def log(self, said: str) -> None:
        self.model_admin.log_change(self.request, self.subject, said)


class CancelForm(ActionForm):
    refused_fields = {"ticketsToCancel": "tickets"}

    tickets = fields.tickets(label="Tickets to cancel", help_text="As many as it has: the booking is cancelled.")


class CancelTickets(BookingAction):
    name, title, button = "cancel", "Cancel tickets", "Cancel tickets"
    permission = "bookings.cancel_booking"
    form_class = CancelForm
    is_dangerous = True
    is_complete = True

    def initial(self):
        return {"tickets": self.subject.tickets_reserved}

    def preview(self, form):
        booking, tickets = self.subject, form.cleaned_data["tickets"]
        forecast = foresee(booking.event, [Cancel(claim_of(booking), tickets)])
        if forecast.refusal:
            return Preview([], refusal=forecast.refusal)
        left = booking.tickets_reserved - tickets
        waits = booking.status == BookingStatus.WAITLISTED
        given = "no longer waited for" if waits else "given back"
        rest = f"keeps {left:,}" if left else "has none left and is cancelled"
        return Preview(
            [
                f"{counted(tickets, 'ticket')} {given}; {booking.full_name} {rest}.",
                formatting.promotes(forecast),
                formatting.then(forecast),
            ],
            gist=(booking.tickets_reserved, booking.status),
        )

    def carry_out(self, form):
        tickets = form.cleaned_data["tickets"]
        cancellation = cancel_tickets(
            self.subject, tickets=tickets, actor=self.request.user, of=self.subject.tickets_reserved
        )
        self.log(f"Cancelled {counted(tickets, 'ticket')}.")
        left = cancellation.booking.tickets_reserved if cancellation.booking.status != BookingStatus.CANCELLED else 0
        rest = f"{left:,} left." if left else "The booking is cancelled."
        return Report(
            [
                f"Cancelled {counted(tickets, 'ticket')} of {self.subject.full_name}. {rest}",
                f"Waiting bookings served with them: {cancellation.served}.",
            ]
        )


class TransferForm(ActionForm):
    SAME, ANOTHER = "same", "another"

    first_name = fields.first_name()
    last_name = fields.last_name(required=False)
    email = fields.email(required=False)
    who = forms.ChoiceField(
        label="Who is it now?",
        widget=forms.RadioSelect,
        choices=[
            (SAME, "The same person, written otherwise: their account or link still opens the booking"),
            (ANOTHER, "Another person: it leaves the account that booked it, and the guest's link ends"),
        ],
    )
    reason = fields.reason(required=False)


class TransferBooking(BookingAction):
    name, title, button = "transfer", "Move to another name", "Move the booking"
    permission = "bookings.transfer_booking"
    form_class = TransferForm

    def initial(self):
        booking = self.subject
        return {"first_name": booking.first_name, "last_name": booking.last_name, "email": booking.email}

    def holder(self, form) -> Holder:
        wanted = form.cleaned_data
        is_same = wanted["who"] == TransferForm.SAME
        return Holder(wanted["first_name"], wanted["last_name"], wanted["email"], is_same=is_same)

    def preview(self, form):
        booking, holder = self.subject, self.holder(form)
        changes = changes_to(booking, holder)
        if not changes:
            return Preview([], refusal=InvalidTerms("Nothing is different; change the name or the mail address."))
        name = f"{holder.first_name} {holder.last_name}".strip()
        lines = [f"{booking.reference} is for {name}, {holder.email or 'without a mail address'}."]
        if "user_id" in changes:
            lines.append(f"It leaves the account {booking.user.username}, which can neither see nor cancel it then.")
        if "token_hash" in changes:
            lines.append("The link that its guest has ends.")
        lines.append("Its tickets and its place in the line stay.")
        return Preview(lines, gist=(booking.full_name, booking.email, booking.status))

    def carry_out(self, form):
        wanted = form.cleaned_data
        moved = transfer_booking(
            self.subject, holder=self.holder(form), actor=self.request.user, reason=wanted["reason"]
        )
        self.log("Moved to another name or mail address.")
        return Report([f"{moved.reference} is now for {moved.full_name}."])


class WaitingAction(BookingAction):
    permission = "bookings.reorder_waitlist"

    def impossible(self) -> str | None:
        return NotWaiting.message if self.subject.status != BookingStatus.WAITLISTED else None


class MoveForm(ActionForm):
    position = forms.IntegerField(label="Place in line", min_value=1, help_text="1 is served next.")
    reason = fields.reason()


class MoveInLine(WaitingAction):
    name, title, button = "move", "Move in the waitlist", "Move"
    form_class = MoveForm

    def initial(self):
        wanted = self.request.GET.get("position", "")
        is_place = wanted.isascii() and wanted.isdigit() and len(wanted) < 10
        return {"position": int(wanted) if is_place else self.subject.waitlist_position}

    def preview(self, form):
        booking, position = self.subject, form.cleaned_data["position"]
        event = booking.event
        now_at = booking.waitlist_position
        try:
            commands = moves(event, booking, position=position, note="", actor=None)
        except Refusal as refusal:
            return Preview([], refusal=refusal)
        if not commands:
            return Preview([], refusal=InvalidTerms("It stands there already.", field="position"))
        forecast = foresee(event, commands)
        passed = abs(position - now_at)
        who = f"{counted(passed, 'booking')} {'is' if passed == 1 else 'are'}"
        lines = [
            f"{booking.full_name} moves from place {now_at:,} to {position:,} of {event.waitlisted_count:,}.",
            f"{who} passed." if position < now_at else f"{who} let ahead.",
            formatting.promotes(forecast),
        ]
        return Preview(lines, gist=now_at)

    def carry_out(self, form):
        position = form.cleaned_data["position"]
        moved = move_in_line(
            self.subject, position=position, reason=form.cleaned_data["reason"], actor=self.request.user
        )
        self.log(f"Moved to place {position} in line.")
        return Report(
            [
                f"{self.subject.full_name} now has place {position:,} in line.",
                formatting.served(moved.served, verb="Promoted"),
            ]
        )


class ServeForm(ActionForm):
    reason = fields.reason()
    adds = forms.BooleanField(
        required=False,
        label="Add the tickets that are missing to the capacity",
        help_text="Only for this booking: nobody else is served with them.",
    )


class ServeOutOfTurn(WaitingAction):
    name, title, button = "serve", "Serve out of turn", "Give the tickets"
    form_class = ServeForm

    def form(self, data=None, **kwargs):
        form = super().form(data, **kwargs)
        if not self.request.user.has_perm(EventEdit.permission):
            del form.fields["adds"]
        return form

    def preview(self, form):
        booking = self.subject
        forecast = foresee(booking.event, [Serve(claim_of(booking), adds=form.cleaned_data.get("adds", False))])
        if forecast.refusal:
            return Preview([], refusal=forecast.refusal)
        added = forecast.inventory.total - booking.event.total_tickets
        ahead = booking.waitlist_position - 1
        lines = [
            f"{booking.full_name} gets {counted(booking.tickets_reserved, 'ticket')} now.",
            f"{counted(ahead, 'booking')} ahead in line {'is' if ahead == 1 else 'are'} passed." if ahead else "",
            f"Capacity {booking.event.total_tickets:,} to {forecast.inventory.total:,}." if added else "",
            formatting.then(forecast),
        ]
        return Preview(lines, gist=(booking.tickets_reserved, added))

    def carry_out(self, form):
        wanted = form.cleaned_data
        served = serve_out_of_turn(
            self.subject, reason=wanted["reason"], actor=self.request.user, adds=wanted.get("adds", False)
        )
        self.log("Served out of turn.")
        others = [claim for claim in served.served if booking_id(claim) != self.subject.pk]
        return Report(
            [
                f"{served.booking.full_name} has {counted(served.booking.tickets_reserved, 'ticket')} now.",
                formatting.served(others, verb="Promoted as well:"),
            ]
        )
