"""The commands that the rules carry out, the bookings that they are about, and the outcomes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bookings.enums import BookingStatus, LedgerKind
from ticks.exceptions import Refusal


@dataclass(slots=True, eq=False)
class Claim:
    """One booking as the rules see it. `booking` is the caller's object; the rules never look inside it."""

    tickets: int
    status: BookingStatus | None = None
    waitlist_number: int | None = None
    # The id is None until the booking is written.
    id: int | None = None
    # This is the account that the booking is for; None for a guest.
    holder: int | None = None
    # The booking was made by the one-ticket contract, which allows an account one live booking of an event.
    is_one_ticket: bool = False
    booking: Any = None
    # This is the place in the waitlist, counted from 1, if the booking has just joined it.
    position: int | None = None


class Book(NamedTuple):
    claim: Claim
    actor: Any = None


class Cancel(NamedTuple):
    """Gives back `tickets` of a booking; None gives back all. `expected` is how many tickets the booking must still
    have."""

    booking_id: int
    tickets: int | None = None
    actor: Any = None
    expected: int | None = None


class CancelSeat(NamedTuple):
    """Cancels an account's live booking whole; the one made by the one-ticket contract goes first."""

    holder: int
    actor: Any = None


class ChangeTerms(NamedTuple):
    """Staff change how many tickets there are, how the waitlist is served, or when sales end (None: never)."""

    total: int
    policy: str
    sales_end: datetime | None
    actor: Any = None


class CancelEvent(NamedTuple):
    actor: Any = None


class Move(NamedTuple):
    """Gives a waiting booking a free waitlist number. This breaks the order of arrival, so the `note` says why.

    `serves` is false while other bookings still have to move, since the head of the waitlist may be another one
    afterwards.
    """

    booking_id: int
    number: int
    note: str = ""
    actor: Any = None
    serves: bool = True


class Serve(NamedTuple):
    """Gives a waiting booking its tickets, even if others wait ahead. `adds` first adds the missing tickets to the
    capacity."""

    booking_id: int
    adds: bool = False
    note: str = ""
    actor: Any = None


class Note(NamedTuple):
    """Writes into the ledger something that moves no ticket."""

    kind: LedgerKind
    note: str
    claim: Claim | None = None
    actor: Any = None


Command = Book | Cancel | CancelSeat | ChangeTerms | CancelEvent | Move | Serve | Note


class Entry(NamedTuple):
    """One line of the event's ledger: what moved, and the counts after it.

    `tickets` is the number that the entry is about: the total when opened, the signed difference when the capacity
    changed, the tickets held when the event was cancelled. `note` says why it was done, or what was edited.
    `place` is the new waitlist number of a moved booking.
    """

    sequence: int
    kind: LedgerKind
    tickets: int
    available: int
    waitlisted: int
    claim: Claim | None
    actor: Any
    note: str = ""
    place: int | None = None


@dataclass(slots=True)
class Outcome:
    """The result of one command: `error`, or its booking, its entries and the claims that it promoted."""

    error: Refusal | None = None
    claim: Claim | None = None
    entries: list[Entry] = field(default_factory=list)
    promoted: list[Claim] = field(default_factory=list)
