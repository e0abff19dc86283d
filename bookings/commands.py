"""The commands that the rules carry out, the event and the bookings that they are about, and the outcomes."""

from collections import Counter
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
    # This is the person that the booking is for: the id of an account, or a guest's mail address. None is a guest
    # without an address.
    holder: int | str | None = None
    # The booking was made by the one-ticket contract, which allows an account one live booking of an event.
    is_one_ticket: bool = False
    booking: Any = None
    # This is the place in the waitlist, counted from 1, if the booking has just joined it.
    position: int | None = None
    # These values say who holds the booking (`held_by` in `bookings.services.inventory`); None for a new booking.
    held_by: tuple | None = None


@dataclass(slots=True)
class Inventory:
    """One event's locked state, and the bookings that the commands can get to."""

    total: int
    available: int
    waitlisted: int
    # This is how many tickets the waiting bookings want.
    waitlisted_tickets: int = 0
    # `bookings` counts all bookings ever made, `completed` those that hold tickets, and `asked` the tickets that the
    # new ones asked for.
    bookings: int = 0
    completed: int = 0
    asked: int = 0
    sequence: int = 0
    time_zone: str = "UTC"
    policy: str = "first_fit"
    waitlist_enabled: bool = True
    sales_start: datetime | None = None
    sales_end: datetime | None = None
    max_tickets_per_booking: int | None = None
    max_tickets_per_person: int | None = None
    is_deleted: bool = False
    # These are waiting bookings in order: not all of them, only those that `reach` allows.
    queue: list[Claim] = field(default_factory=list)
    # These are the bookings that commands name, by id.
    claims: dict[int, Claim] = field(default_factory=dict)
    # For each person that a command asks about (`Claim.holder`), these are the bookings that were live when they were
    # loaded, and the new ones.
    claims_by_holder: dict[int | str, list[Claim]] = field(default_factory=dict)
    # For each part of the waitlist, this counts how many bookings joined or left it. The key is the part's first
    # number.
    part_changes: Counter[int] = field(default_factory=Counter)

    @property
    def held(self) -> int:
        return self.total - self.available

    def has_ended(self, now: datetime) -> bool:
        """Whether sales have ended. Then nothing is booked, and only staff promote waiting bookings."""
        return self.sales_end is not None and now >= self.sales_end

    def live_claims_of(self, holder: int | str | None) -> list[Claim]:
        return [claim for claim in self.claims_by_holder.get(holder, ()) if claim.status != BookingStatus.CANCELLED]


class Book(NamedTuple):
    claim: Claim
    actor: Any = None


class Cancel(NamedTuple):
    """Gives back `tickets` of a booking; None gives back all. `expected` is how many tickets the booking must still
    have, and `held_by` who must still hold it (`Claim.held_by`)."""

    booking_id: int
    tickets: int | None = None
    actor: Any = None
    expected: int | None = None
    held_by: tuple | None = None


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

    `promotes` is false while other bookings still have to move, since the head of the waitlist may be another one
    afterwards.
    """

    booking_id: int
    number: int
    note: str = ""
    actor: Any = None
    promotes: bool = True


class Serve(NamedTuple):
    """Gives a waiting booking its tickets, even if others wait ahead. `adds` first adds the missing tickets to the
    capacity."""

    booking_id: int
    adds: bool = False
    note: str = ""
    actor: Any = None


class Transfer(NamedTuple):
    """Moves a live booking to another person, or to another name of the same person."""

    claim: Claim
    holder: int | str | None
    note: str = ""
    actor: Any = None


class Note(NamedTuple):
    """Writes into the ledger something that is about no booking."""

    kind: LedgerKind
    note: str
    actor: Any = None


Command = Book | Cancel | CancelSeat | ChangeTerms | CancelEvent | Move | Serve | Transfer | Note


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
