"""What the ledger's entries say, in plain words, for people."""

from collections.abc import Callable

from bookings.models import LedgerEntry
from ticks.words import counted


def worded(entry: LedgerEntry) -> str:
    """One entry as a sentence without its full stop, such as `Ada Lovelace cancelled 2 tickets`.

    Reads the entry's `booking` and `actor`: select them with a list. A booking that was transferred has the name
    that it has now, in its earlier entries too.
    """
    said = WORDS[entry.kind](entry) if entry.kind in WORDS else plainly(entry)
    return f"{said}: {entry.note}" if entry.note else said


def opened(entry: LedgerEntry) -> str:
    return f"{actor_of(entry)} opened the event with {tickets_of(entry)}"


def booked(entry: LedgerEntry) -> str:
    if is_by_holder(entry):
        return f"{holder_of(entry)} booked {tickets_of(entry)}"
    return f"{actor_of(entry)} booked {tickets_of(entry)} for {holder_of(entry)}"


def waitlisted(entry: LedgerEntry) -> str:
    if is_by_holder(entry):
        return f"{holder_of(entry)} joined the waitlist for {tickets_of(entry)}"
    return f"{actor_of(entry)} put {holder_of(entry)} on the waitlist for {tickets_of(entry)}"


def promoted(entry: LedgerEntry) -> str:
    # Whoever freed the tickets did not choose whom they serve; who serves out of turn says why.
    if entry.note:
        return f"{actor_of(entry)} served {holder_of(entry)} out of turn, {tickets_of(entry)}"
    return f"{holder_of(entry)} was promoted, {tickets_of(entry)}"


def reduced(entry: LedgerEntry) -> str:
    return given_up(entry, "gave back")


def cancelled(entry: LedgerEntry) -> str:
    return given_up(entry, "cancelled")


def given_up(entry: LedgerEntry, verb: str) -> str:
    if is_by_holder(entry):
        return f"{holder_of(entry)} {verb} {tickets_of(entry)}"
    return f"{actor_of(entry)} {verb} {tickets_of(entry)} of {holder_of(entry)}"


def capacity_changed(entry: LedgerEntry) -> str:
    verb = "raised" if entry.tickets > 0 else "lowered"
    return f"{actor_of(entry)} {verb} the capacity by {abs(entry.tickets):,}"


def event_cancelled(entry: LedgerEntry) -> str:
    return f"{actor_of(entry)} cancelled the event, with {tickets_of(entry)} held"


def moved(entry: LedgerEntry) -> str:
    return f"{actor_of(entry)} moved {holder_of(entry)} in the waitlist"


def transferred(entry: LedgerEntry) -> str:
    return f"{actor_of(entry)} changed whom {tickets_of(entry)} {'is' if entry.tickets == 1 else 'are'} for"


def edited(entry: LedgerEntry) -> str:
    return f"{actor_of(entry)} edited the event"


def plainly(entry: LedgerEntry) -> str:
    return f"{actor_of(entry)}: {entry.get_kind_display().lower()}"


WORDS: dict[str, Callable[[LedgerEntry], str]] = {
    word.__name__: word
    for word in (
        opened,
        booked,
        waitlisted,
        promoted,
        reduced,
        cancelled,
        capacity_changed,
        event_cancelled,
        moved,
        transferred,
        edited,
    )
}


def tickets_of(entry: LedgerEntry) -> str:
    return counted(entry.tickets, "ticket")


def holder_of(entry: LedgerEntry) -> str:
    return entry.booking.full_name or entry.booking.reference


def actor_of(entry: LedgerEntry) -> str:
    return entry.actor.username if entry.actor_id else "A guest"


def is_by_holder(entry: LedgerEntry) -> bool:
    """Guests act for themselves; somebody else who acts on a booking is staff."""
    return entry.actor_id is None or entry.actor_id == entry.booking.user_id
