"""What the rules are asked, about which bookings, and what they answer."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bookings.enums import BookingStatus, LedgerKind
from ticks.exceptions import Refusal


@dataclass(slots=True, eq=False)
class Claim:
    """One booking as the rules see it. `booking` is the caller's; the rules never look inside."""

    tickets: int
    status: BookingStatus | None = None
    waitlist_number: int | None = None
    # None until it is written.
    id: int | None = None
    # The account that it is for; None for a guest.
    holder: int | None = None
    # Made by the one-ticket contract, which allows an account one live booking of an event.
    is_one_ticket: bool = False
    booking: Any = None
    # Place in the waitlist, from 1, of one that has just joined it.
    position: int | None = None


class Book(NamedTuple):
    claim: Claim
    actor: Any = None


class Cancel(NamedTuple):
    """Gives back `tickets` of a booking; None gives back all. `expected` is how many it must still have for that."""

    booking_id: int
    tickets: int | None = None
    actor: Any = None
    expected: int | None = None


class CancelSeat(NamedTuple):
    """Cancels an account's live booking whole; the one made by the one-ticket contract goes first."""

    holder: int
    actor: Any = None


class ChangeTerms(NamedTuple):
    """Staff change how many tickets there are or how the waitlist is served."""

    total: int
    policy: str
    actor: Any = None


class CancelEvent(NamedTuple):
    actor: Any = None


class Move(NamedTuple):
    """Gives a waiting booking another number, which nobody has: out of the order of arrival, so with a reason.

    It `serves` nobody while others of the waitlist have still to move: the head may be another one afterwards.
    """

    booking_id: int
    number: int
    note: str = ""
    actor: Any = None
    serves: bool = True


class Serve(NamedTuple):
    """Gives a waiting booking its tickets whoever waits ahead; `adds` what is missing to the capacity first."""

    booking_id: int
    adds: bool = False
    note: str = ""
    actor: Any = None


class Note(NamedTuple):
    """Writes into the ledger what moves no ticket."""

    kind: LedgerKind
    note: str
    booking_id: int | None = None
    actor: Any = None


Command = Book | Cancel | CancelSeat | ChangeTerms | CancelEvent | Move | Serve | Note


class Entry(NamedTuple):
    """One line of the event's ledger: what moved, and the counts after it.

    `tickets` is how many the entry speaks of: the total when opened, the signed difference when the capacity changed,
    the tickets given back when the event was cancelled. `note` is why, or what was edited; `place` the waitlist number
    that somebody was moved to.
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
    """What became of one command: `error`, or the booking that it was about, its entries and whom it promoted."""

    error: Refusal | None = None
    claim: Claim | None = None
    entries: list[Entry] = field(default_factory=list)
    promoted: list[Claim] = field(default_factory=list)
