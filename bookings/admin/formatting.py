"""Bookings, ledger entries, and what happens to an event's tickets, in words and links for staff.

Templates load the filters of this module as `staff`."""

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from bookings.commands import Claim
from bookings.enums import BookingStatus, FactKind, LedgerKind
from bookings.models import VOIDED_NOTE, WROTE_NOTE, Booking, InventoryCheck, LedgerEntry
from bookings.outbox import Announcement, AnnouncementProgress, Mail
from bookings.services.inventory import EventWork
from events.models import Event
from ticks.formatting import badge, bar, counted, exact_time, format_duration, time_tag

register = template.Library()
register.filter("bar", bar)
MAX_NAMES = 8
# The words of every page for a status, and their colours. Exports have the API's words, for programs.
STATUS_WORDS = {
    BookingStatus.COMPLETED: ("Holds tickets", "good"),
    BookingStatus.WAITLISTED: ("Waiting", "warn"),
    BookingStatus.CANCELLED: ("Cancelled", "quiet"),
}
MAIL_TONES = {Mail.State.WAITING: "quiet", Mail.State.SENT: "good", Mail.State.GIVEN_UP: "bad"}
ENTRY_TONES = {
    LedgerKind.BOOKED: "good",
    LedgerKind.PROMOTED: "good",
    LedgerKind.WAITLISTED: "warn",
    LedgerKind.REDUCED: "quiet",
    LedgerKind.CANCELLED: "quiet",
    LedgerKind.EVENT_CANCELLED: "bad",
}
# These are for actions of the booking's holder. `SENTENCES` has all others.
SENTENCES_BY_HOLDER = {
    LedgerKind.BOOKED: "{holder} booked {tickets}",
    LedgerKind.WAITLISTED: "{holder} joined the waitlist for {tickets}",
    LedgerKind.REDUCED: "{holder} gave back {tickets}",
    LedgerKind.CANCELLED: "{holder} cancelled {tickets}",
    LedgerKind.TRANSFERRED: "{holder} corrected the booking of {tickets}",
}
SENTENCES = {
    LedgerKind.BOOKED: "{actor} booked {tickets} for {holder}",
    LedgerKind.WAITLISTED: "{actor} put {holder} on the waitlist for {tickets}",
    LedgerKind.REDUCED: "{actor} gave back {tickets} of {holder}",
    LedgerKind.CANCELLED: "{actor} cancelled {tickets} of {holder}",
    LedgerKind.PROMOTED: "{holder} was promoted, {tickets}",
    LedgerKind.MOVED: "{actor} moved {holder} in the waitlist",
    LedgerKind.TRANSFERRED: "{actor} changed the holder of {tickets}",
    LedgerKind.OPENED: "{actor} opened the event with {tickets}",
    LedgerKind.EDITED: "{actor} edited the event",
    LedgerKind.EVENT_CANCELLED: "{actor} cancelled the event, with {tickets} held",
}
PROMOTED_BY_HAND = "{actor} served {holder} out of turn, {tickets}"
TICKETS_VOIDED = "{actor} gave {holder} new codes for {tickets}"
NOBODY_TOLD = "nobody was told"
CAPACITY_RAISED = "{actor} raised the capacity by {number}"
CAPACITY_LOWERED = "{actor} lowered the capacity by {number}"


class InventoryBadge(NamedTuple):
    """The state of an inventory for people. `tone` is good, bad or quiet."""

    tone: str
    message: str
    findings: list[str] = []


def event_url(event_id: int) -> str:
    return reverse("admin:bookings_event_page", args=[event_id])


def booking_url(booking_id: int) -> str:
    return reverse("admin:bookings_booking_page", args=[booking_id])


def webhook_url(webhook_id: int) -> str:
    return reverse("admin:bookings_webhook_page", args=[webhook_id])


def event_link(event: Event) -> str:
    return format_html('<a href="{}">{}</a>', event_url(event.pk), event)


@register.filter
def moment(value: datetime | None, zone: tzinfo | None = None) -> str:
    return time_tag(value, zone=zone)


@register.filter
def exact(value: datetime, zone: tzinfo) -> str:
    return exact_time(value, zone)


@register.filter
def number(value: int) -> str:
    """A number with a comma between thousands."""
    return f"{value:,}"


@register.filter
def status_badge(booking: Booking) -> str:
    return badge(*STATUS_WORDS[booking.status])


@register.filter
def mail_badge(mail: Mail) -> str:
    if mail.state == Mail.State.WAITING and mail.error:
        return badge("Failing", "bad")
    is_in_file = mail.state == Mail.State.SENT and not settings.MAIL_SERVER
    return badge("Written to a file" if is_in_file else mail.get_state_display(), MAIL_TONES[mail.state])


@register.filter
def mail_topics(mail: Mail) -> str:
    """What a mail tells, such as "Booked, Promoted"."""
    if mail.announcement:
        return f"{FactKind.ANNOUNCED.label}: {mail.announcement.subject}"
    return ", ".join(FactKind(fact["kind"]).label for fact in mail.facts)


@register.filter
def addressees(announcement: Announcement) -> str:
    text = announcement.get_addressees_display()
    return text[0].lower() + text[1:]


@register.filter
def progress(one: AnnouncementProgress) -> str:
    """What has become of what staff wrote, such as "210 sent, 3 waiting, 1 failed"."""
    if one.announcement.stopped_at:
        return f"Stopped: {one.sent:,} sent"
    # Mails are deleted after some time, and before if nobody is left to be told.
    gone = one.made - one.sent - one.waiting - one.failed
    parts = [(one.sent, "sent"), (one.waiting, "waiting"), (one.failed, "failed"), (gone, "no longer listed")]
    texts = [f"{number:,} {word}" for number, word in parts if number > 0]
    texts += ["not all are ready yet"] if one.announcement.finished_at is None else []
    return ", ".join(texts) or "0 sent"


@register.filter
def waited(booking: Booking) -> str:
    return format_duration(timezone.now() - booking.created_at)


@register.filter
def entry_tone(entry: LedgerEntry) -> str:
    return ENTRY_TONES.get(entry.kind, "")


def actor_name(entry: LedgerEntry) -> str:
    """Who did it. Without a login one can only act on a booking, by its token or the link in its mail. A promotion is
    done by whoever gave tickets back."""
    return entry.actor.username if entry.actor else "a holder"


@register.filter
def describe_entry(entry: LedgerEntry) -> str:
    """One entry as a sentence without its full stop, such as `Ada Lovelace cancelled 2 tickets`.

    Reads the entry's `booking` and `actor`, so select them with a list, and `mail_choice`, if it was attached. A
    transferred booking has its present name in its earlier entries too.
    """
    booking = entry.booking
    # Guests act for themselves, so anybody else who acts on a booking is staff.
    is_by_holder = entry.actor_id is None or (booking and entry.actor_id == booking.user_id)
    sentence = (is_by_holder and SENTENCES_BY_HOLDER.get(entry.kind)) or SENTENCES.get(entry.kind)
    if entry.kind == LedgerKind.CAPACITY_CHANGED:
        sentence = CAPACITY_RAISED if entry.tickets > 0 else CAPACITY_LOWERED
    elif entry.kind == LedgerKind.PROMOTED and entry.note:
        # Only staff who serve a booking out of turn give a reason.
        sentence = PROMOTED_BY_HAND
    elif entry.kind == LedgerKind.TRANSFERRED and entry.note.startswith(VOIDED_NOTE):
        sentence = TICKETS_VOIDED
    elif entry.kind == LedgerKind.EDITED and entry.note.startswith(WROTE_NOTE):
        return f"{entry.actor} {entry.note}"
    sentence = sentence.format(
        actor=actor_name(entry),
        holder=booking and booking.full_name,
        tickets=counted(entry.tickets, "ticket"),
        number=f"{abs(entry.tickets):,}",
    )
    sentence = f"{sentence}: {entry.note}" if entry.note else sentence
    choice = getattr(entry, "mail_choice", None)
    if choice is None:
        return sentence
    return f"{sentence} ({NOBODY_TOLD if choice.is_silent else f'with a note in the mail: {choice.note}'})"


def promoted(claims: Sequence[Claim], *, verb: str) -> str:
    """A sentence such as "Promotes 3 bookings, 17 tickets: Ada Lovelace (4), ..."; empty if nobody is promoted."""
    if not claims:
        return ""
    tickets = sum(claim.tickets for claim in claims)
    bookings = Booking.objects.in_bulk([claim.id for claim in claims[:MAX_NAMES]])
    named = [bookings[claim.id] for claim in claims[:MAX_NAMES] if claim.id in bookings]
    names = [f"{booking.full_name} ({booking.tickets_reserved})" for booking in named]
    more = f" and {len(claims) - MAX_NAMES:,} more" if len(claims) > MAX_NAMES else ""
    return f"{verb} {counted(len(claims), 'booking')}, {counted(tickets, 'ticket')}: {', '.join(names)}{more}."


def promotes(forecast: EventWork) -> str:
    """The bookings that a preview promotes from the waitlist."""
    if forecast.promoted or not forecast.event.waitlisted_count:
        return promoted(forecast.promoted, verb="Promotes")
    return "No waiting booking is promoted."


def waiting_reason(event: Event, *, tickets: int, position: int) -> str:
    """The reason why a waiting booking of so many tickets is not served yet."""
    if tickets > event.available_tickets:
        return f"needs {tickets:,}, {event.available_tickets:,} available"
    if event.waitlist_policy == Event.WaitlistPolicy.STRICT and position > 1:
        return f"would fit, but nobody passes number 1: {counted(position - 1, 'booking')} ahead"
    if event.has_ended(timezone.now()):
        return "would fit, but sales have ended; serve it out of turn"
    return "is served next"


def counts(available: int, waitlisted: int, waitlisted_tickets: int) -> str:
    """A text such as "3 tickets available, 2 bookings (5 tickets) waiting"."""
    left = f"{counted(available, 'ticket')} available"
    if not waitlisted:
        return f"{left}, nobody waiting"
    return f"{left}, {counted(waitlisted, 'booking')} ({counted(waitlisted_tickets, 'ticket')}) waiting"


def counts_in_words(event: Event) -> str:
    return counts(event.available_tickets, event.waitlisted_count, event.waitlisted_tickets)


def counts_after(forecast: EventWork) -> str:
    inventory = forecast.inventory
    return f"Then {counts(inventory.available, inventory.waitlisted, inventory.waitlisted_tickets)}."


def inventory_badge(
    event: Event, check: InventoryCheck | None, *, quick: Iterable[str] = (), now: datetime | None = None
) -> InventoryBadge:
    """The badge to show beside an event, from its latest whole check and from the findings of a quick look."""
    findings = list(quick)
    if findings:
        return InventoryBadge("bad", "Differs from its ledger", findings)
    if check and check.is_running(now or timezone.now()):
        return InventoryBadge("quiet", "Being verified")
    if check is None or check.finished_at is None:
        return InventoryBadge("quiet", "Not verified yet" if check is None else "Its last check did not end")
    at = f"at entry {check.sequence:,}"
    # The page may have read the event before the check did, so the difference can be negative.
    since = max(0, event.ledger_sequence - check.sequence)
    if since:
        at += f", {since:,} {'entry' if since == 1 else 'entries'} since"
    if check.findings:
        return InventoryBadge("bad", f"Differed {at}", check.findings)
    return InventoryBadge("good", f"Verified {at}")
