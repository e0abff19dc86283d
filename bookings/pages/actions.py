"""What a holder can do: give tickets back, and correct the mail address. Each is previewed and confirmed."""

from django import forms
from django.utils.translation import gettext, gettext_lazy, ngettext

from bookings.commands import Cancel
from bookings.enums import BookingStatus
from bookings.exceptions import AlreadyCancelled, HoldsTooMuch, InvalidTerms
from bookings.models import Booking
from bookings.pages.access import booking_address
from bookings.services.cancellation import Cancellation, cancel_tickets, find_cancellation
from bookings.services.correction import correct_address
from bookings.services.inventory import simulate
from bookings.services.transfer import Holder, changes_to, transfer_command
from ticks.actions import Action, KeyedForm, Preview, Report, new_key
from ticks.forms import EmailField, WholeNumberField
from ticks.parsing import MAX_TICKETS
from ticks.text import MAX_NAME


def counting(text: str, number: int) -> str:
    return text % {"number": number}


class HolderAction(Action):
    """Goes through form, preview and confirmation as the staff's actions do."""

    template = "bookings/holder/action.html"
    subject: Booking

    def address(self):
        return booking_address(self.subject.reference)

    def closed_reason(self):
        # If a confirmation is sent again, the answer is what the first one did.
        return AlreadyCancelled.message if self.is_over() and self.request.method != "POST" else None

    def initial(self):
        return {"key": new_key()}

    def is_over(self) -> bool:
        return self.subject.status == BookingStatus.CANCELLED or self.subject.event.deleted_at is not None

    def refuse_if_over(self) -> None:
        if self.is_over():
            raise AlreadyCancelled

    def is_waiting(self) -> bool:
        return self.subject.status == BookingStatus.WAITLISTED

    def context(self, form, lines):
        return {"booking": self.subject, **super().context(form, lines)}


class GiveBackForm(KeyedForm):
    refused_fields = {"ticketsToCancel": "tickets"}

    tickets = WholeNumberField(
        min_value=1, max_value=MAX_TICKETS, widget=forms.NumberInput(attrs={"inputmode": "numeric"})
    )


class GiveBack(HolderAction):
    name = "cancel"
    form_class = GiveBackForm
    is_dangerous = True
    previews_at_once = True

    @property
    def title(self):
        return gettext("Leave the waitlist") if self.is_waiting() else gettext("Give tickets back")

    def initial(self):
        return super().initial() | {"tickets": self.subject.tickets_reserved}

    def form(self, data=None, files=None):
        form = super().form(data, files)
        form.fields["tickets"].label = (
            gettext("Tickets that you no longer wait for") if self.is_waiting() else gettext("Tickets to give back")
        )
        if self.subject.tickets_reserved == 1:
            form.fields["tickets"].widget = forms.HiddenInput()
        else:
            has = gettext("Your booking has %(tickets)d.")
            form.fields["tickets"].help_text = has % {"tickets": self.subject.tickets_reserved}
        return form

    def earlier_report(self, form):
        values = form.cleaned_data
        done = find_cancellation(self.subject, tickets=values["tickets"], key=values["key"])
        return self.report(done) if done else None

    def preview(self, form):
        self.refuse_if_over()
        booking, tickets = self.subject, form.cleaned_data["tickets"]
        forecast = simulate(booking.event, [Cancel(booking.pk, tickets)])
        left = booking.tickets_reserved - tickets
        self.button = self.button_for(tickets, left)
        is_promoted = any(claim.id == booking.pk for claim in forecast.promoted)
        lines = self.waiting_lines(left, is_promoted) if self.is_waiting() else self.holding_lines(tickets, left)
        return Preview(
            [*lines, gettext("This cannot be undone.")], fingerprint=(booking.tickets_reserved, booking.status)
        )

    def button_for(self, tickets: int, left: int) -> str:
        if not self.is_waiting():
            return counting(ngettext("Give back %(number)d ticket", "Give back %(number)d tickets", tickets), tickets)
        if left:
            return counting(ngettext("Wait for %(number)d ticket", "Wait for %(number)d tickets", left), left)
        return self.title

    def waiting_lines(self, left: int, is_promoted: bool) -> list[str]:
        if not left:
            return [gettext("Your booking leaves the waitlist, and is cancelled.")]
        waits = ngettext(
            "Your booking then waits for %(number)d ticket, and keeps its place.",
            "Your booking then waits for %(number)d tickets, and keeps its place.",
            left,
        )
        at_once = gettext("That many tickets are free now, so you get them at once.")
        return [counting(waits, left), at_once if is_promoted else ""]

    def holding_lines(self, tickets: int, left: int) -> list[str]:
        if not left:
            given = ngettext(
                "You give back %(number)d ticket, and your booking is cancelled.",
                "You give back %(number)d tickets, and your booking is cancelled.",
                tickets,
            )
            return [counting(given, tickets)]
        given = ngettext(
            "You give back %(number)d ticket, and keep %(left)d.",
            "You give back %(number)d tickets, and keep %(left)d.",
            tickets,
        )
        one = gettext("Ticket %(first)d can no longer be used, on paper either; the others stay valid.")
        more = gettext("Tickets %(first)d to %(last)d can no longer be used, on paper either; the others stay valid.")
        ends = one if tickets == 1 else more
        return [
            given % {"number": tickets, "left": left},
            ends % {"first": left + 1, "last": left + tickets},
        ]

    def carry_out(self, form):
        values = form.cleaned_data
        expected = self.subject.tickets_reserved
        done = cancel_tickets(self.subject, tickets=values["tickets"], expected=expected, key=values["key"])
        return self.report(done)

    def report(self, done: Cancellation) -> Report:
        booking = done.booking
        if booking.status == BookingStatus.CANCELLED:
            return Report([gettext("Your booking is cancelled.")])
        left = booking.tickets_reserved
        if booking.status == BookingStatus.WAITLISTED:
            now = ngettext(
                "Done. Your booking waits for %(number)d ticket now.",
                "Done. Your booking waits for %(number)d tickets now.",
                left,
            )
        else:
            now = ngettext(
                "Done. Your booking has %(number)d ticket now.", "Done. Your booking has %(number)d tickets now.", left
            )
        return Report([counting(now, left)])


class CorrectAddressForm(KeyedForm):
    email = EmailField(
        max_length=MAX_NAME,
        label=gettext_lazy("Mail address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    def refuse(self, refusal):
        if isinstance(refusal, HoldsTooMuch):
            text = gettext("This address cannot be used: the event limits what a person may have.")
            refusal = InvalidTerms(text, field="email")
        super().refuse(refusal)


class CorrectAddress(HolderAction):
    name, title, button = "address", gettext_lazy("Correct the mail address"), gettext_lazy("Use this address")
    form_class = CorrectAddressForm

    def initial(self):
        return super().initial() | {"email": self.subject.email}

    def preview(self, form):
        booking, email = self.subject, form.cleaned_data["email"]
        self.refuse_if_over()
        changes = changes_to(booking, Holder(booking.first_name, booking.last_name, email, is_same=True))
        if not changes:
            raise InvalidTerms(gettext("This is the address of your booking already."), field="email")
        simulate(booking.event, [transfer_command(booking, changes)])
        goes = gettext(
            "Mails about this booking go to %(email)s from now on. The first one has a new link to this page."
        )
        ends = gettext("Links in mails to %(email)s no longer open it.")
        lines = [
            goes % {"email": email},
            ends % {"email": booking.email} if booking.email else "",
            gettext("Your tickets stay valid.") if not self.is_waiting() else "",
        ]
        return Preview(lines, fingerprint=(booking.full_name, booking.email, booking.status))

    def carry_out(self, form):
        values = form.cleaned_data
        self.subject = correct_address(self.subject, email=values["email"], key=values["key"])
        return self.done()

    def done(self) -> Report:
        return Report([gettext("Mails about this booking go to %(email)s now.") % {"email": self.subject.email}])
