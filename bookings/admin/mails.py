"""What pages of actions say about mails: who will be notified, and what staff choose for it."""

from django import forms
from django.conf import settings

from bookings.outbox import MAX_MAIL_NOTE, MailOptions
from bookings.services.audiences import Audience
from ticks.formatting import counted
from ticks.forms import LinesField
from ticks.staff_actions import StaffAction

MAX_NAMED = 8
MAILS_ARE_OFF = "Nobody will be told: this installation sends no mails."
AS_CHOSEN = "Nobody will be told, as you have chosen."
NOBODY = "Nobody will be told by mail."


class TellsHolders(StaffAction):
    """An action of which holders are notified by mail. Its page says who they are, and asks for a note and whether
    nobody is to be notified. `preview` fills the audience; `carry_out` hands the options to its service."""

    def __init__(self, *args):
        super().__init__(*args)
        self.audience = Audience()

    def form(self, data=None, files=None):
        form = super().form(data, files)
        if settings.MAIL_ENABLED:
            form.fields["mail_note"] = LinesField(
                label="Note for the mail",
                required=False,
                max_length=MAX_MAIL_NOTE,
                help_text=f"It stands in the mail beneath what happened. At most {MAX_MAIL_NOTE:,} characters.",
                widget=forms.Textarea(attrs={"rows": 2}),
            )
            form.fields["tells_nobody"] = forms.BooleanField(label="Tell nobody by mail", required=False)
        return form

    def mail_options(self, form) -> MailOptions | None:
        """What was chosen; None if holders are notified as usual."""
        values = form.cleaned_data
        if values.get("tells_nobody"):
            return MailOptions(is_silent=True)
        return MailOptions(values["mail_note"]) if values.get("mail_note") else None

    def recipients(self, form):
        if not settings.MAIL_ENABLED:
            return [MAILS_ARE_OFF]
        if form.cleaned_data["tells_nobody"]:
            return [AS_CHOSEN, "The note is left out." if form.cleaned_data["mail_note"] else ""]
        return recipient_sentences(self.audience, may_see=self.request.user.has_perm("bookings.view_booking"))


def recipient_sentences(audience: Audience, *, may_see: bool) -> list[str]:
    """Who will be notified: by name if they are few and the reader may see bookings, otherwise their number."""
    if audience.unread or not may_see or not 0 < len(audience.people) <= MAX_NAMED:
        return counted_sentences(audience)
    named = [f"{name} <{address}>" for address, name in audience.people.items()]
    names = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    return [f"{names} will be told by mail.", without_address(audience)]


def counted_sentences(audience: Audience) -> list[str]:
    """How many will be notified, and how many bookings have nobody who can be."""
    number = len(audience.people) + audience.unread
    if audience.unread:
        # Of those that were not looked at nobody knows yet who has an address, and who has several bookings.
        return [f"Up to {number:,} holders will be told by mail, each address once."]
    notified = f"{counted(number, 'holder')} will be told by mail." if number else NOBODY
    return [notified, without_address(audience)]


def without_address(audience: Audience) -> str:
    number = audience.without_address
    return f"{counted(number, 'booking')} {'has' if number == 1 else 'have'} no mail address." if number else ""
