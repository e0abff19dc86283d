"""Writes mails out, from templates that an operator can override, with tickets and calendar entries.

The libraries for files are imported when the first file is made: the server only shows mails."""

import re
from datetime import datetime
from email.mime.text import MIMEText
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils.translation import gettext, gettext_lazy, override

from accounts.models import User
from bookings.enums import BookingStatus, FactKind, LedgerKind
from bookings.models import Booking, LedgerEntry, show_cancelled
from bookings.outbox import FormerHolder, Mail, MailChoice
from bookings.services.links import link_to
from bookings.services.tickets import MAX_IN_FILE, pdf_name, tickets_of
from ticks.formatting import local_time
from ticks.mails import new_email, render_text
from ticks.text import one_line

# An operator's folder may have files of these names: `MAIL_TEMPLATES`.
SUBJECT, SENTENCE, STATE, TEXT, HTML = (
    f"bookings/mail/{name}" for name in ("subject.txt", "sentence.txt", "state.txt", "body.txt", "body.html")
)
# These change nothing about the tickets. Beside another fact they need no sentence of their own.
MINOR_KINDS = {FactKind.EVENT_CHANGED, FactKind.CORRECTED}
# Whoever has just come to a booking must hear that, whatever happened to it afterwards: the mail shows what is left,
# and has the codes that are valid.
OUTRANKS = {
    FactKind.TRANSFERRED: {FactKind.REDUCED, FactKind.VOIDED},
    FactKind.BOOKED: {FactKind.VOIDED},
    FactKind.PROMOTED: {FactKind.REDUCED, FactKind.VOIDED},
    # New codes have a sentence of their own beside it (`has_new_codes`).
    FactKind.REDUCED: {FactKind.VOIDED},
}
CHANGE_LABELS = {
    "name": gettext_lazy("Name"),
    "date": gettext_lazy("Date"),
    "time_zone": gettext_lazy("Time zone"),
    "venue": gettext_lazy("Venue"),
}
BLANK_LINES = re.compile(r"\n{3,}")


class Message:
    """A mail with its booking and event of this moment. `facts` are what happened, the oldest first; `fact` and its
    `kind` are what the mail is about, since several facts end in one state. `held` is the booking, if the recipient
    holds tickets."""

    def __init__(self, mail: Mail):
        self.mail = mail
        self.announcement = mail.announcement
        self.facts = mail.facts
        self.fact = main_fact(self.facts)
        self.kind = FactKind(self.fact["kind"])
        # All comes from one statement, so that nobody gets the codes of somebody to whom the booking was just moved.
        self.booking = Booking.objects.select_related("event", "ticket_epoch", "user").get(pk=mail.booking_id)
        self.event = self.booking.event
        show_cancelled([self.booking])
        # A mail may have waited while the booking moved to somebody else.
        self.is_former = self.kind == FactKind.TRANSFERRED_AWAY or mail.email != self.booking.email
        # What staff write to everybody is about the event, and has no tickets with it.
        self.is_about_booking = not self.is_former and self.announcement is None
        holds_tickets = self.booking.status == BookingStatus.COMPLETED and self.is_about_booking
        self.held = self.booking if holds_tickets else None
        self.language = former_language(mail) if self.is_former else self.booking.holder_language

    def identity(self) -> str:
        """A text that no other mail has. If staff send a mail again, that is another mail."""
        parts = [self.event.pk, self.mail.sequence, self.booking.pk]
        parts += ["former"] if self.mail.is_to_former else []
        parts += [f"again{self.mail.repeats}"] if self.mail.repeats else []
        return ".".join(map(str, parts))

    @cached_property
    def context(self) -> dict[str, Any]:
        """What the templates see. A former holder sees nothing of the booking as it is now."""
        booking, by = self.booking if self.is_about_booking else None, self.fact.get("by", "")
        reduced = [fact for fact in self.facts if fact["kind"] == FactKind.REDUCED]
        if self.kind == FactKind.REDUCED and len({fact["by"] for fact in reduced}) > 1:
            by = "several"
        # Whoever has just come to the booking has no old codes.
        is_told_of_codes = self.kind in (FactKind.REDUCED, FactKind.VOIDED)
        has_new_codes = is_told_of_codes and any(fact["kind"] == FactKind.VOIDED for fact in self.facts)
        with override(self.language):
            context = {
                "kind": self.kind,
                "language": self.language,
                "name": one_line(self.mail.name),
                "event": self.event,
                "date": written_date(self.event.date, self.event.zone),
                "booking": booking,
                "position": booking and booking.waitlist_position,
                "link": booking and link_to(booking),
                "by": by,
                "given_back": sum(fact["tickets"] for fact in reduced),
                "has_new_codes": has_new_codes,
                "changes": changes_of(self.facts, self.event.time_zone),
                "notes": [self.announcement.text] if self.announcement else notes_of(self.facts),
                "has_tickets": self.held is not None and self.held.tickets_reserved <= MAX_IN_FILE,
                "has_too_many": self.held is not None and self.held.tickets_reserved > MAX_IN_FILE,
            }
        sentences = {"sentence": SENTENCE, "state": STATE}
        texts = {name: render_text(path, context, language=self.language) for name, path in sentences.items()}
        return context | {name: one_line(text) for name, text in texts.items()}

    def rendered(self, name: str) -> str:
        return render_text(name, self.context, language=self.language)

    def subject(self) -> str:
        return self.announcement.subject if self.announcement else self.rendered(SUBJECT)

    def text(self) -> str:
        # Parts of a template that say nothing leave blank lines behind.
        return BLANK_LINES.sub("\n\n", self.rendered(TEXT)).strip() + "\n"

    def html(self) -> str:
        return self.rendered(HTML)

    def is_pointless(self) -> bool:
        """Whether all that it would tell was undone meanwhile, or is for somebody else now."""
        if self.announcement is None:
            return self.kind == FactKind.EVENT_CHANGED and not self.context["changes"]
        # Whoever has several bookings gets one mail, also if this booking is not among them any more.
        same = Booking.objects.filter(email=self.mail.email, event=self.event)
        return (
            self.announcement.stopped_at is not None or not same.filter(status__in=self.announcement.statuses).exists()
        )

    def is_over(self) -> bool:
        """Whether the recipient has lost the booking, or it is cancelled."""
        is_cancelled = self.booking.status == BookingStatus.CANCELLED and self.is_about_booking
        return is_cancelled or self.kind == FactKind.TRANSFERRED_AWAY

    def has_held_tickets(self) -> bool:
        """Whether the booking held tickets when the facts of this mail happened, or before."""
        given = LedgerEntry.objects.filter(booking=self.booking, kind__in=[LedgerKind.BOOKED, LedgerKind.PROMOTED])
        return given.filter(sequence__lte=self.facts[-1]["sequence"]).exists()


def former_language(mail: Mail) -> str:
    """The language of somebody who has the booking no more."""
    former = FormerHolder.objects.filter(booking=mail.booking_id, email=mail.email).order_by("sequence").last()
    if former is None:
        return settings.DEFAULT_LANGUAGE
    account = User.objects.filter(pk=former.account).first()
    return (account and account.language) or former.language or settings.DEFAULT_LANGUAGE


def main_fact(facts: list[dict]) -> dict:
    """What several facts come to: the last one that says what has become of the booking, if there is one."""
    states = [fact for fact in facts if fact["kind"] not in MINOR_KINDS]
    main = (states or facts)[-1]
    for fact in reversed(states):
        if main["kind"] in OUTRANKS.get(fact["kind"], ()):
            main = fact
    return main


def changes_of(facts: list[dict], time_zone: str) -> list[dict]:
    """The fields of the event that changed, each with its old and its new value, over all facts. Dates are in the time
    zone that went with them: in the event's, if that has not changed."""
    values: dict[str, list] = {}
    for fact in facts:
        for name, old, new in fact.get("changes", []):
            values.setdefault(name, [old, new])[1] = new
    zones = [ZoneInfo(name) for name in values.get("time_zone", [time_zone, time_zone])]
    changes = []
    for name, stored in values.items():
        old, new = (written_value(name, value, zone) for value, zone in zip(stored, zones, strict=True))
        if old != new:
            changes.append({"field": name, "label": str(CHANGE_LABELS[name]), "old": old, "new": new})
    return changes


def notes_of(facts: list[dict]) -> list[str]:
    """What staff have added to these facts, each note once."""
    ids = [fact["choice"] for fact in facts if "choice" in fact]
    choices = MailChoice.objects.in_bulk(ids) if ids else {}
    return list(dict.fromkeys(choices[pk].note for pk in ids if pk in choices))


def written_value(field: str, stored: str | None, zone: ZoneInfo) -> str:
    if field == "date":
        return written_date(stored and datetime.fromisoformat(stored), zone)
    return one_line(stored or "")


def written_date(moment: datetime | None, zone: ZoneInfo) -> str:
    """A date such as "1 December 2030, 19:30 UTC"; nothing for none."""
    # Translators: a date and a time in Django's letters, such as "1 December 2030, 19:30".
    wanted = gettext("j F Y, H:i")
    return local_time(moment, zone, wanted) if moment else ""


def compose_mail(mail: Mail) -> EmailMultiAlternatives | None:
    """The mail as it is sent now, with its files; None if all that it would tell was undone meanwhile. Raises whatever
    an operator's template raises."""
    message = Message(mail)
    return None if message.is_pointless() else email_of(message)


def email_of(message: Message) -> EmailMultiAlternatives:
    email = new_email(
        message.mail.email,
        subject=message.subject(),
        text=message.text(),
        html=message.html(),
        identity=message.identity(),
    )
    if message.context["has_tickets"]:
        email.attach(pdf_name(message.held), pdf_of(message.held), "application/pdf")
    if entry := calendar_part(message):
        email.attach(entry)
    return email


def pdf_of(held: Booking) -> bytes:
    from bookings.documents.pdf import tickets_pdf

    return tickets_pdf(held, tickets_of(held, most=MAX_IN_FILE))


def calendar_part(message: Message) -> MIMEText | None:
    """The event for the recipient's calendar, or what takes it out again; None if it was never in it or has no date."""
    from bookings.documents.calendar import calendar_entry

    is_taken_out = message.is_over() and message.has_held_tickets()
    if message.event.date is None or not (message.held or is_taken_out):
        return None
    method = "PUBLISH" if message.held else "CANCEL"
    entry = calendar_entry(message.booking, method=method, is_described=not message.is_former)
    part = MIMEText(entry.decode(), "calendar", "utf-8")
    part.set_param("method", method)
    part.add_header("Content-Disposition", "attachment", filename="event.ics")
    return part
