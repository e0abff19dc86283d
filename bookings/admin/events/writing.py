"""The actions that write to all holders of an event, and that stop it."""

import logging
import smtplib

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.mail import EmailMultiAlternatives

from bookings.admin.events.actions import EventAction
from bookings.admin.mails import MAILS_ARE_OFF, counted_sentences
from bookings.exceptions import NobodyToTell, TemplateFails
from bookings.outbox import MAX_ANNOUNCEMENT, Announcement
from bookings.services.announcements import (
    Letter,
    as_recipient,
    delete_waiting_mails,
    find_announcement,
    progress_of,
    sample,
    send_test,
    stop_announcement,
    under_way,
    write_to_holders,
)
from bookings.services.audiences import Audience, is_muted
from bookings.services.notifications import Recipient
from ticks.actions import KeyedForm, Preview, Report, new_key
from ticks.forms import LineField, LinesField
from ticks.text import MAX_SUBJECT

log = logging.getLogger("bookings.mails")
MUTED = "Nobody is told anything of this event, so nobody can be written to."
NO_ADDRESS = "Your account has no mail address, so no test can be sent to you."
NOTHING_UNDER_WAY = "No mail to holders is on its way."
LEAVES = "It begins to leave within a minute or so. The event's page shows how many have left, and can stop it."
MAX_STOPPED = 20


class LetterForm(KeyedForm):
    addressees = forms.ChoiceField(label="To whom", widget=forms.RadioSelect, choices=Announcement.Addressees.choices)
    subject = LineField(label="Subject", max_length=MAX_SUBJECT)
    text = LinesField(
        label="Text",
        max_length=MAX_ANNOUNCEMENT,
        help_text="It begins after “Hello Ada Lovelace,” and the event's name, date and venue follow. An empty line "
        "begins a paragraph.",
        widget=forms.Textarea(attrs={"rows": 10}),
    )

    def letter(self) -> Letter:
        return Letter(*(self.cleaned_data[name] for name in Letter._fields))


class WriteToHolders(EventAction):
    name, title, button = "write", "Write to holders", "Send it to all of them"
    permission = "bookings.write_to_holders"
    form_class = LetterForm
    template = "bookings/admin/write.html"
    # The mail, and one who will get it; the user, if they may not see who that is.
    sample: EmailMultiAlternatives | None = None
    addressee: Recipient | None = None

    def closed_reason(self):
        if reason := super().closed_reason():
            return reason
        if not settings.MAIL_ENABLED:
            return MAILS_ARE_OFF
        return MUTED if is_muted(self.subject) else None

    def initial(self):
        return {"addressees": Announcement.Addressees.HOLDERS, "key": new_key()}

    def submit(self, form):
        if "test" in self.request.POST and form.is_valid():
            self.send_test(form)
        return super().submit(form)

    def send_test(self, form) -> None:
        to = self.request.user
        if not to.email:
            messages.error(self.request, NO_ADDRESS)
            return
        try:
            send_test(self.subject, form.letter(), to=to)
        except (NobodyToTell, TemplateFails):
            # The preview says so.
            return
        except (OSError, smtplib.SMTPException) as error:
            # The error itself may have the address in it, and so it is for its reader alone.
            log.warning("A test mail failed (%s).", type(error).__name__)
            messages.error(self.request, f"The mail server did not take the test: {error}")
            return
        messages.success(self.request, f"A test was sent to {to.email}. Nothing was sent to anybody else.")

    def preview(self, form):
        audience, letter = Audience(), form.letter()
        audience.add_live(self.subject, Announcement(addressees=letter.addressees).statuses)
        if not audience.people:
            raise NobodyToTell
        self.addressee = as_recipient(self.request.user)
        if self.request.user.has_perm("bookings.view_booking"):
            address, name = next(iter(audience.people.items()))
            self.addressee = Recipient(name, address, None)
        self.sample = sample(self.subject, letter, to=self.addressee)
        return Preview([*counted_sentences(audience), LEAVES])

    def earlier_report(self, form):
        found = find_announcement(
            self.subject.pk, letter=form.letter(), actor=self.request.user, key=form.cleaned_data["key"]
        )
        return self.report(found) if found else None

    def carry_out(self, form):
        announcement = write_to_holders(
            self.subject.pk, letter=form.letter(), actor=self.request.user, key=form.cleaned_data["key"]
        )
        self.model_admin.log_change(self.request, self.subject, "Wrote to holders.")
        return self.report(announcement)

    def report(self, announcement: Announcement) -> Report:
        return Report([f"“{announcement.subject}” begins to leave within a minute or so."])


class StopWriting(EventAction):
    name, title, button = "stop", "Stop the mail to holders", "Stop it"
    permission = "bookings.write_to_holders"
    is_dangerous = True
    previews_at_once = True

    def closed_reason(self):
        return None if under_way(self.subject).exists() else NOTHING_UNDER_WAY

    def preview(self, form):
        running = [one for one in progress_of(self.subject, limit=MAX_STOPPED) if one.is_under_way]
        lines = [
            f"“{one.announcement.subject}” was sent to {one.sent:,} so far. Nobody else gets it." for one in running
        ]
        return Preview(lines, fingerprint=[one.announcement.pk for one in running])

    def carry_out(self, form):
        stopped = [stop_announcement(pk) for pk in under_way(self.subject).values_list("pk", flat=True)]
        for announcement in stopped:
            delete_waiting_mails(announcement)
        self.model_admin.log_change(self.request, self.subject, "Stopped a mail to holders.")
        return Report([f"Stopped: {', '.join(f'“{one.subject}”' for one in stopped)}."])
