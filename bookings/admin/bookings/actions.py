"""The actions of staff on a booking."""

from django import forms
from django.db.models import F

from bookings.admin import fields, formatting
from bookings.admin.mails import TellsHolders
from bookings.commands import Cancel, Serve
from bookings.enums import BookingStatus
from bookings.exceptions import AlreadyCancelled, InvalidTerms, NothingToSend, NoTickets, NotWaiting
from bookings.models import Booking, show_cancelled
from bookings.services.audiences import present_holder
from bookings.services.cancellation import cancel_tickets
from bookings.services.inventory import EventWork, simulate
from bookings.services.mails import latest_mail, send_mail_again
from bookings.services.notifications import Recipient, recipient
from bookings.services.own_bookings import is_verified
from bookings.services.tickets import epoch_of
from bookings.services.transfer import Holder, changes_to, transfer_booking, transfer_command
from bookings.services.voiding import void_tickets
from bookings.services.waitlist import move_in_waitlist, moves, serve_out_of_turn
from events.models import Event
from ticks.actions import ActionForm, Preview, Report
from ticks.formatting import counted
from ticks.forms import WholeNumberField
from ticks.languages import language_name
from ticks.parsing import parse_id
from ticks.staff_actions import SelectionAction, StaffAction

ALL_BOOKINGS_CANCELLED = "There is nothing to cancel: all selected bookings are cancelled already."


class BookingAction(StaffAction):
    subjects = Booking.objects.select_related("event", "user")

    def address(self):
        return formatting.booking_url(self.subject.pk)

    def current_state(self):
        booking, event = self.subject, self.subject.event
        holds = "waits for" if booking.status == BookingStatus.WAITLISTED else "holds"
        tickets = counted(booking.tickets_reserved, "ticket")
        return f"Now: {booking.full_name} {holds} {tickets}; {event} has {formatting.counts_in_words(event)}."

    def closed_reason(self):
        is_cancelled = self.subject.status == BookingStatus.CANCELLED or self.subject.event.deleted_at
        return AlreadyCancelled.message if is_cancelled else None

    def log(self, text: str) -> None:
        self.model_admin.log_change(self.request, self.subject, text)


class CancelTicketsForm(ActionForm):
    refused_fields = {"ticketsToCancel": "tickets"}

    tickets = fields.tickets(
        label="Tickets to cancel", help_text="If you cancel all of them, the booking is cancelled."
    )


class CancelTickets(TellsHolders, BookingAction):
    name, title, button = "cancel", "Cancel tickets", "Cancel tickets"
    permission = "bookings.cancel_booking"
    form_class = CancelTicketsForm
    is_dangerous = True
    previews_at_once = True

    def initial(self):
        return {"tickets": self.subject.tickets_reserved}

    def preview(self, form):
        booking, tickets = self.subject, form.cleaned_data["tickets"]
        forecast = simulate(booking.event, [Cancel(booking.pk, tickets)])
        self.audience.add_forecast(forecast)
        left = booking.tickets_reserved - tickets
        is_waiting = booking.status == BookingStatus.WAITLISTED
        verb, keeps = ("no longer waits for", "but still for") if is_waiting else ("gives back", "and keeps")
        rest = f", {keeps} {left:,}" if left else "; the booking is cancelled"
        lines = [
            f"{booking.full_name} {verb} {counted(tickets, 'ticket')}{rest}.",
            formatting.promotes(forecast),
            formatting.counts_after(forecast),
        ]
        return Preview(lines, fingerprint=(booking.tickets_reserved, booking.status))

    def carry_out(self, form):
        tickets = counted(form.cleaned_data["tickets"], "ticket")
        cancellation = cancel_tickets(
            self.subject,
            tickets=form.cleaned_data["tickets"],
            actor=self.request.user,
            expected=self.subject.tickets_reserved,
            mails=self.mail_options(form),
        )
        self.log(f"Cancelled {tickets}.")
        booking = cancellation.booking
        is_cancelled = booking.status == BookingStatus.CANCELLED
        rest = "The booking is cancelled." if is_cancelled else f"{booking.tickets_reserved:,} left."
        promoted = f"Waiting bookings served with them: {cancellation.promoted}."
        return Report([f"Cancelled {tickets} of {self.subject.full_name}. {rest}", promoted])


class TransferForm(ActionForm):
    SAME, ANOTHER = "same", "another"

    first_name = fields.first_name(max_length=fields.MAX_ACCOUNT_NAME)
    last_name = fields.last_name(max_length=fields.MAX_ACCOUNT_NAME)
    email = fields.email()
    language = fields.language()
    who = forms.ChoiceField(
        label="Who is it now?",
        widget=forms.RadioSelect,
        choices=[
            (SAME, "The same person, spelled differently: their account still opens it; links end with a new address"),
            (ANOTHER, "Another person: the account and the links that opened the booking so far no longer do"),
        ],
    )
    reason = fields.reason(required=False)


class TransferBooking(TellsHolders, BookingAction):
    name, title, button = "transfer", "Move to another name", "Move the booking"
    permission = "bookings.transfer_booking"
    form_class = TransferForm

    def initial(self):
        booking = self.subject
        return {name: getattr(booking, name) for name in ("first_name", "last_name", "email", "language")}

    def holder(self, form) -> Holder:
        values = form.cleaned_data
        is_same = values["who"] == TransferForm.SAME
        return Holder(
            values["first_name"], values["last_name"], values["email"], is_same=is_same, language=values["language"]
        )

    def preview(self, form):
        booking, holder = self.subject, self.holder(form)
        changes = changes_to(booking, holder)
        if not changes:
            raise InvalidTerms("Nothing is different; change the name, the mail address or the language.")
        # The rules may refuse it.
        simulate(booking.event, [transfer_command(booking, changes)])
        self.audience.add(booking.event, recipients_of_transfer(booking, holder))
        name = f"{holder.first_name} {holder.last_name}".strip()
        lines = [f"{booking.reference} is for {name}, {holder.email or 'without a mail address'}."]
        if "language" in changes:
            lines.append(f"The language of its mails and tickets is {language_name(holder.language)}.")
        if "user_id" in changes:
            lines.append(self.line_about_account(changes.get("email", booking.email)))
        if "token_hash" in changes:
            lines.append("The guest's link no longer opens it.")
        if not holder.is_same or "email" in changes:
            lines.append("Links in mails that were sent about it no longer open it.")
        if not holder.is_same and booking.status == BookingStatus.COMPLETED:
            lines.append("The codes of its tickets that are out no longer work; the new holder gets new ones.")
        lines.append("It keeps its tickets and its place in line.")
        return Preview(lines, fingerprint=(booking.full_name, booking.email, booking.language, booking.status))

    def line_about_account(self, email: str) -> str:
        account = self.subject.user
        if is_verified(account) and account.email == email:
            return f"It leaves the account {account.username}, which still sees it by its verified mail address."
        return f"It leaves the account {account.username}, which can then neither see nor cancel it."

    def carry_out(self, form):
        reason = form.cleaned_data["reason"]
        moved = transfer_booking(
            self.subject,
            holder=self.holder(form),
            actor=self.request.user,
            reason=reason,
            mails=self.mail_options(form),
        )
        self.log("Moved to another name, mail address or language.")
        return Report([f"{moved.reference} is now for {moved.full_name}."])


def recipients_of_transfer(booking: Booking, holder: Holder) -> list[Recipient]:
    """The new holder, and the former one if the booking goes to another person."""
    recipients = [recipient(holder.first_name, holder.last_name, holder.email, None)]
    if not holder.is_same and holder.email != booking.email:
        recipients.append(present_holder(booking))
    return recipients


class VoidForm(ActionForm):
    reason = fields.reason()


class VoidTickets(TellsHolders, BookingAction):
    name, title, button = "void", "Void tickets", "Void the codes"
    permission = "bookings.transfer_booking"
    form_class = VoidForm
    is_dangerous = True

    def closed_reason(self):
        holds_tickets = self.subject.status == BookingStatus.COMPLETED
        return super().closed_reason() or (None if holds_tickets else NoTickets.message)

    def preview(self, form):
        booking, tickets = self.subject, counted(self.subject.tickets_reserved, "ticket")
        self.audience.add_forecast(simulate(booking.event, [transfer_command(booking, {})]))
        lines = [
            f"The codes of {booking.full_name}'s {tickets} that are out no longer work, on paper and on screens.",
            "The booking keeps its tickets. They have new codes: send them, or print them here.",
            "Links in mails that were sent about it no longer open it; a new mail has a new one.",
        ]
        return Preview(lines, fingerprint=(booking.tickets_reserved, epoch_of(booking)))

    def carry_out(self, form):
        reason = form.cleaned_data["reason"]
        booking = void_tickets(self.subject, actor=self.request.user, reason=reason, mails=self.mail_options(form))
        self.log("Voided the codes of its tickets.")
        return Report([f"The old codes of {booking.reference} no longer work; its tickets have new ones."])


class WaitingAction(TellsHolders, BookingAction):
    permission = "bookings.reorder_waitlist"

    def closed_reason(self):
        is_waiting = self.subject.status == BookingStatus.WAITLISTED
        return super().closed_reason() or (None if is_waiting else NotWaiting.message)


class MoveForm(ActionForm):
    position = WholeNumberField(label="Place in line", min_value=1, help_text="1 is served next.")
    reason = fields.reason()


class MoveBooking(WaitingAction):
    name, title, button = "move", "Move in the waitlist", "Move"
    form_class = MoveForm

    def initial(self):
        return {"position": parse_id(self.request.GET.get("position", "")) or self.subject.waitlist_position}

    def preview(self, form):
        booking, position = self.subject, form.cleaned_data["position"]
        event, old = booking.event, booking.waitlist_position
        commands = moves(event, booking, position=position, note="", actor=None)
        if not commands:
            raise InvalidTerms("The booking already has this place.", field="position")
        forecast = simulate(event, commands)
        self.audience.add_forecast(forecast)
        passed = counted(abs(position - old), "booking")
        lines = [
            f"{booking.full_name} moves from place {old:,} to {position:,} of {event.waitlisted_count:,}.",
            f"It passes {passed}." if position < old else f"It lets {passed} ahead.",
            formatting.promotes(forecast),
        ]
        return Preview(lines, fingerprint=old)

    def carry_out(self, form):
        position, reason = form.cleaned_data["position"], form.cleaned_data["reason"]
        moved = move_in_waitlist(
            self.subject,
            position=position,
            reason=reason,
            actor=self.request.user,
            mails=self.mail_options(form),
        )
        self.log(f"Moved to place {position} in line.")
        place = f"{self.subject.full_name} now has place {position:,} in line."
        return Report([place, formatting.promoted(moved.promoted, verb="Promoted")])


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

    def form(self, data=None, files=None):
        form = super().form(data, files)
        if not self.request.user.has_perm("events.change_event"):
            del form.fields["adds"]
        return form

    def preview(self, form):
        booking = self.subject
        if booking.waitlist_position is None:
            # It has left the waitlist since it was read.
            raise NotWaiting
        forecast = simulate(booking.event, [Serve(booking.pk, adds=form.cleaned_data.get("adds", False))])
        self.audience.add_forecast(forecast)
        added = forecast.inventory.total - booking.event.total_tickets
        ahead = booking.waitlist_position - 1
        lines = [
            f"{booking.full_name} gets {counted(booking.tickets_reserved, 'ticket')} now.",
            f"It passes {counted(ahead, 'booking')} ahead in line." if ahead else "",
            f"The capacity changes from {booking.event.total_tickets:,} to {forecast.inventory.total:,}."
            if added
            else "",
            formatting.counts_after(forecast),
        ]
        return Preview(lines, fingerprint=(booking.tickets_reserved, added))

    def carry_out(self, form):
        reason, adds = form.cleaned_data["reason"], form.cleaned_data.get("adds", False)
        change = serve_out_of_turn(
            self.subject, reason=reason, actor=self.request.user, adds=adds, mails=self.mail_options(form)
        )
        self.log("Served out of turn.")
        others = [claim for claim in change.promoted if claim.id != self.subject.pk]
        holds = f"{change.booking.full_name} has {counted(change.booking.tickets_reserved, 'ticket')} now."
        return Report([holds, formatting.promoted(others, verb="Promoted as well:")])


class SendAgain(BookingAction):
    name, title, button = "again", "Send mail again", "Send the mail"
    permission = "bookings.transfer_booking"
    previews_at_once = True

    def closed_reason(self):
        return None if latest_mail(self.subject) else NothingToSend.message

    def preview(self, form):
        mail = latest_mail(self.subject)
        if mail is None:
            raise NothingToSend
        # The mail is not written out here, since an operator's template can fail in any way.
        line = f"The mail about “{formatting.mail_topics(mail)}” will be sent to {mail.email} again."
        return Preview([line], fingerprint=(mail.pk, mail.email))

    def carry_out(self, form):
        mail = send_mail_again(self.subject)
        self.log("Sent its latest mail again.")
        return Report([f"The mail to {mail.email} will be sent within a minute."])


class CancelBookings(TellsHolders, SelectionAction):
    name, title, button = "cancel_bookings", "Cancel bookings", "Cancel bookings"
    choice = "Cancel selected bookings …"
    permission = "bookings.cancel_booking"
    already_done = AlreadyCancelled
    # Bookings are cancelled from the end of the waitlist up, and waiting ones before those that hold tickets. So no
    # booking of the selection is served with tickets that another one gives back.
    subjects = Booking.objects.select_related("event").order_by(F("waitlist_number").desc(nulls_last=True), "pk")
    thing, limit = "booking", 500

    def closed_reason(self):
        show_cancelled(self.subject)
        is_done = all(booking.status == BookingStatus.CANCELLED for booking in self.subject)
        return ALL_BOOKINGS_CANCELLED if is_done else None

    def preview(self, form):
        rows = [self.described(booking) for booking in self.subject]
        forecasts = self.forecasts()
        effects = [
            f"{forecast.event}: {formatting.promotes(forecast)} {formatting.counts_after(forecast)}".replace("  ", " ")
            for forecast in forecasts
        ]
        for forecast in forecasts:
            self.audience.add_forecast(forecast)
        return Preview([*self.listed(rows), *effects, "This cannot be undone."], fingerprint=rows)

    def forecasts(self) -> list[EventWork]:
        """What the cancellations would do to each event."""
        commands: dict[Event, list[Cancel]] = {}
        for booking in self.subject:
            if booking.status != BookingStatus.CANCELLED:
                commands.setdefault(booking.event, []).append(Cancel(booking.pk))
        return [simulate(event, cancels) for event, cancels in commands.items()]

    def described(self, booking: Booking) -> str:
        name = f"{booking.reference}, {booking.full_name}, {booking.event}"
        if booking.status == BookingStatus.CANCELLED:
            return f"{name} is cancelled already."
        verb = "waits for" if booking.status == BookingStatus.WAITLISTED else "holds"
        return f"Cancels {name}, which {verb} {counted(booking.tickets_reserved, 'ticket')}."

    def carry_out_on(self, row, form):
        promoted = cancel_tickets(row, actor=self.request.user, mails=self.mail_options(form)).promoted
        self.model_admin.log_change(self.request, row, "Cancelled.")
        return promoted

    def summary(self, results, already):
        return [
            f"Bookings cancelled: {len(results)}. Already cancelled before: {already}.",
            f"Waiting bookings served with their tickets: {sum(results)}.",
        ]
