"""Tickets: one for each seat of a booking that holds tickets.

A ticket's code is derived and not stored. It names the booking, the seat (from 1) and the booking's epoch, and is
signed with `TICKET_SECRET`. To void the codes that are out, the epoch is raised. If some tickets of a booking are
cancelled, the highest seats are void."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from bookings.enums import BookingStatus, TicketState
from bookings.exceptions import BookingNotFound, NoSuchSeat, NoTickets
from bookings.models import Booking, TicketEpoch
from bookings.services.epochs import epoch_of, with_epochs
from bookings.services.references import ALPHABET, is_signed, signature_of
from bookings.services.sql import add_counts, run_all
from ticks.parsing import MAX_ID

# The first letter of a code says how to read the rest: `T-booking-seat-epoch-signature`, numbers in base 23. Capitals,
# digits and hyphens are what a QR code has its short form for.
FORMAT = "T"
BASE = len(ALPHABET)
# 23**18 is more than 2**81.
SIGNATURE_LENGTH = 18
# A file has at most so many tickets. A page takes 5 ms, in which Python does nothing else.
MAX_IN_FILE = 100
# The page of a larger booking offers the first files; the others have the same address with another seat.
MAX_FILES = 20
# A booking's id has at most 14 letters, a seat and an epoch at most 7.
MAX_CODE = 60


class Ticket(NamedTuple):
    seat: int
    code: str


class TicketReading(NamedTuple):
    """What a code is worth now. The booking and the seat are None if there is no ticket with this code."""

    state: TicketState
    booking: Booking | None = None
    seat: int | None = None


def read_ticketed(booking: Booking) -> Booking:
    """The booking as it is now, with its event, epoch and account. Raises `NoTickets` unless it holds tickets.

    All comes from one statement, in which the booking still has the account, the guest's token and the address that it
    had when its caller was allowed to see it. Otherwise that caller could get the codes of somebody to whom it was just
    moved. Raises `BookingNotFound` if it was.
    """
    # The account says in which language its tickets are.
    held = with_epochs().select_related("user")
    same = {name: getattr(booking, name) for name in ("pk", "user_id", "token_hash", "email")}
    held = held.filter(**same).first()
    if held is None:
        raise BookingNotFound
    if held.status != BookingStatus.COMPLETED or held.event.deleted_at:
        raise NoTickets
    return held


def tickets_of(booking: Booking, *, first_seat: int = 1, most: int) -> list[Ticket]:
    """At most `most` tickets of a booking from `read_ticketed`, from a seat on. Raises `NoSuchSeat`."""
    if not 1 <= first_seat <= booking.tickets_reserved:
        raise NoSuchSeat(booking.tickets_reserved)
    epoch, last_seat = epoch_of(booking), min(first_seat + most - 1, booking.tickets_reserved)
    return [Ticket(seat, ticket_code(booking.pk, seat, epoch)) for seat in range(first_seat, last_seat + 1)]


def seats_of_files(booking: Booking) -> list[tuple[int, int]]:
    """The first and the last seat of each file with tickets that a page of the booking offers."""
    last = booking.tickets_reserved
    starts = range(1, min(last, MAX_FILES * MAX_IN_FILE) + 1, MAX_IN_FILE)
    return [(first, min(first + MAX_IN_FILE - 1, last)) for first in starts]


def pdf_name(booking: Booking) -> str:
    # A reference is made of capitals, digits and a hyphen.
    return f"tickets-{booking.reference}.pdf"


def ticket_code(booking_id: int, seat: int, epoch: int, secret: str | None = None) -> str:
    """The code of a ticket, such as `T-96-4-3-QKXY7A3PDWRT4MCG6H`, signed with the present secret or with another."""
    named = "-".join([FORMAT, *map(in_letters, (booking_id, seat, epoch))])
    signature = int.from_bytes(signature_of(f"ticks ticket {named}", secret)) % BASE**SIGNATURE_LENGTH
    return f"{named}-{in_letters(signature).rjust(SIGNATURE_LENGTH, ALPHABET[0])}"


def in_letters(number: int) -> str:
    letters = ALPHABET[number % BASE]
    while number := number // BASE:
        letters = ALPHABET[number % BASE] + letters
    return letters


def from_letters(letters: str) -> int:
    """Raises `ValueError` for what `in_letters` does not write."""
    number = 0
    for letter in letters:
        number = number * BASE + ALPHABET.index(letter)
    return number


def read_ticket(code: str) -> TicketReading:
    """The ticket with this code, and whether it is valid now, or why it is not. Capitals and spaces do not matter."""
    named = signed_parts(code)
    if named is None:
        return TicketReading(TicketState.UNKNOWN)
    booking_id, seat, epoch = named
    booking = with_epochs().filter(pk=booking_id).first()
    if booking is None:
        return TicketReading(TicketState.UNKNOWN)
    return TicketReading(ticket_state(booking, seat, epoch), booking, seat)


def signed_parts(code: str) -> Sequence[int] | None:
    """The booking's id, the seat and the epoch that a code names; None unless one of our secrets has signed it.

    The code that they would have is computed and compared whole. So there is no second way to write a code.
    """
    code = "".join(code.split()).upper() if len(code) <= 2 * MAX_CODE else ""
    parts = code.split("-")
    if len(parts) != 5 or not code.isascii() or len(code) > MAX_CODE:
        return None
    try:
        named = [from_letters(part) for part in parts[1:4]]
    except ValueError:
        return None
    if max(named) > MAX_ID:
        return None
    return named if is_signed(code, partial(ticket_code, *named)) else None


def ticket_state(booking: Booking, seat: int, epoch: int) -> TicketState:
    if booking.event.deleted_at:
        return TicketState.EVENT_CANCELLED
    if booking.status != BookingStatus.COMPLETED:
        return TicketState.CANCELLED
    if epoch != epoch_of(booking):
        return TicketState.VOIDED
    return TicketState.VALID if seat <= booking.tickets_reserved else TicketState.GIVEN_BACK


def raise_epoch(booking: Booking) -> None:
    """Must run while the event and the booking are locked."""
    run_all(add_counts(TicketEpoch, [(booking.pk, 1)], key=("booking_id",), added=("epoch",)))
