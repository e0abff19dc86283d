"""Writes mails out, from templates that an operator can override, with tickets and calendar entries.

The libraries for files are imported when the first file is made: the server only shows mails."""

import re
from datetime import datetime
from email.mime.text import MIMEText
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from bookings.enums import BookingStatus, FactKind, LedgerKind
from bookings.exceptions import BookingNotFound, NoTickets
from bookings.models import Booking, LedgerEntry, show_cancelled
from bookings.outbox import Mail
from bookings.services.tickets import MAX_IN_FILE, read_ticketed, tickets_of
from ticks.text import CONTROLS, MISLEADING

# An operator's folder may have files of these names: `MAIL_TEMPLATES`.
SUBJECT, TEXT, HTML = (f"bookings/mail/{name}" for name in ("subject.txt", "body.txt", "body.html"))
MAX_SUBJECT = 200
# These change nothing about the tickets. Beside another fact they need no sentence of their own.
BESIDE = {FactKind.EVENT_CHANGED, FactKind.CORRECTED}
# Whoever has just come to a booking must hear that, whatever happened to it afterwards: the mail shows what is left,
# and has the codes that are valid.
OUTRANKED_BY = {
    FactKind.TRANSFERRED: {FactKind.REDUCED, FactKind.VOIDED},
    FactKind.BOOKED: {FactKind.VOIDED},
    FactKind.PROMOTED: {FactKind.VOIDED},
}
BLANK_LINES = re.compile(r"\n{3,}")


class Message:
    """A mail with its booking and event of this moment. `facts` are what happened, the oldest first; `fact` and its
    `kind` are what the mail is about, since several facts end in one state."""

    def __init__(self, mail: Mail):
        self.mail = mail
        self.facts = mail.facts
        self.booking = Booking.objects.select_related("event").get(pk=mail.booking_id)
        self.event = self.booking.event
        show_cancelled([self.booking])
        self.fact = main_fact(self.facts)
        self.kind = FactKind(self.fact["kind"])

    def identity(self) -> str:
        """The Message-ID. It is the same however often the mail is tried, so that a second copy can be recognised; one
        that staff send again is another mail."""
        parts = [self.event.pk, self.mail.sequence, self.booking.pk]
        parts += ["former"] if self.mail.is_to_former else []
        parts += [f"again{self.mail.repeats}"] if self.mail.repeats else []
        domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
        return f"<ticks.{'.'.join(map(str, parts))}@{domain}>"

    def context(self) -> dict[str, Any]:
        """What the templates see. A former holder sees nothing of the booking as it is now."""
        # A mail may have waited while the booking moved to somebody else.
        is_former = self.kind == FactKind.TRANSFERRED_AWAY or self.mail.email != self.booking.email
        is_waiting = self.booking.status == BookingStatus.WAITLISTED
        reduced = [fact for fact in self.facts if fact["kind"] == FactKind.REDUCED]
        return {
            "kind": self.kind,
            "name": one_line(self.mail.name),
            "event": self.event,
            "date": self.event.date,
            "booking": None if is_former else self.booking,
            "position": None if is_former or not is_waiting else self.booking.waitlist_position,
            "by": self.fact.get("by", ""),
            "given_back": sum(fact["tickets"] for fact in reduced),
            "changes": changes_of(self.facts),
        }

    def subject(self) -> str:
        return one_line(render_to_string(SUBJECT, self.context()))[:MAX_SUBJECT]


def main_fact(facts: list[dict]) -> dict:
    """What several facts come to: the last one that says what has become of the booking, if there is one."""
    states = [fact for fact in facts if fact["kind"] not in BESIDE]
    main = (states or facts)[-1]
    for fact in reversed(states):
        if main["kind"] in OUTRANKED_BY.get(fact["kind"], ()):
            main = fact
    return main


def changes_of(facts: list[dict]) -> list[dict]:
    """The fields of the event that changed, each with its old and its new value, over all facts."""
    changes: dict[str, dict] = {}
    for fact in facts:
        for name, old, new in fact.get("changes", []):
            change = changes.setdefault(name, {"field": name, "old": value_of(name, old)})
            change["new"] = value_of(name, new)
    return [change for change in changes.values() if change["old"] != change["new"]]


def value_of(field: str, stored: str | None) -> Any:
    return datetime.fromisoformat(stored) if field == "date" and stored else stored


def one_line(text: str) -> str:
    """A text without line breaks, control characters, and characters that reverse the text around them. None of them
    may get into a header."""
    return " ".join(MISLEADING.sub("", CONTROLS.sub(" ", text)).split())


def compose(mail: Mail) -> EmailMultiAlternatives | None:
    """The mail as it is sent now, with its files; None if all that it would tell was undone meanwhile. Raises whatever
    an operator's template raises."""
    message = Message(mail)
    if message.kind == FactKind.EVENT_CHANGED and not changes_of(message.facts):
        return None
    held = held_by_recipient(message)
    context = message.context() | {
        "has_tickets": held is not None and held.tickets_reserved <= MAX_IN_FILE,
        "has_too_many": held is not None and held.tickets_reserved > MAX_IN_FILE,
    }
    # Parts of a template that say nothing leave blank lines behind.
    text = BLANK_LINES.sub("\n\n", render_to_string(TEXT, context)).strip() + "\n"
    html = render_to_string(HTML, context)
    headers = {"Message-ID": message.identity(), "Auto-Submitted": "auto-generated"}
    email = EmailMultiAlternatives(message.subject(), text, to=[mail.email], headers=headers)
    email.attach_alternative(html, "text/html")
    if context["has_tickets"]:
        email.attach(f"tickets-{held.reference}.pdf", pdf_of(held), "application/pdf")
    if entry := calendar_part(message, held):
        email.attach(entry)
    return email


def held_by_recipient(message: Message) -> Booking | None:
    """The booking with its event and epoch, if it holds tickets and is still the recipient's. All comes from one
    statement, so that nobody gets the codes of somebody to whom the booking was just moved."""
    try:
        held = read_ticketed(message.booking)
    except (BookingNotFound, NoTickets):
        return None
    return held if held.email == message.mail.email and message.kind != FactKind.TRANSFERRED_AWAY else None


def pdf_of(held: Booking) -> bytes:
    from bookings.documents.pdf import tickets_pdf

    return tickets_pdf(held, tickets_of(held, most=MAX_IN_FILE))


def calendar_part(message: Message, held: Booking | None) -> MIMEText | None:
    """The event for the recipient's calendar, or what takes it out again; None if it was never in it or has no date."""
    from bookings.documents.calendar import calendar_entry

    is_over = message.booking.status == BookingStatus.CANCELLED or message.kind == FactKind.TRANSFERRED_AWAY
    if message.event.date is None or not (held or (is_over and has_held_tickets(message.booking))):
        return None
    method = "PUBLISH" if held else "CANCEL"
    part = MIMEText(calendar_entry(held or message.booking, method=method).decode(), "calendar", "utf-8")
    part.set_param("method", method)
    part.add_header("Content-Disposition", "attachment", filename="event.ics")
    return part


def has_held_tickets(booking: Booking) -> bool:
    return LedgerEntry.objects.filter(booking=booking, kind__in=[LedgerKind.BOOKED, LedgerKind.PROMOTED]).exists()
