"""The state of the model: accounts, logins, events, bookings and keys, in lists."""

from collections import Counter
from dataclasses import dataclass, field

from bookings.tests.model.seen import Seen, a_reference, an_id, this_moment
from bookings.tests.wire import failure, invalid

COMPLETED, WAITLISTED, CANCELLED = "completed", "waitlisted", "cancelled"


@dataclass
class Answer:
    status: int
    body: dict | list
    headers: dict = field(default_factory=dict)
    # This refusal is meant to leave a trace.
    changes: bool = False


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str, field: str | None = None, *, changes: bool = False):
        super().__init__(message)
        self.status, self.code, self.message, self.field, self.changes = status, code, message, field, changes

    def enveloped(self) -> Answer:
        errors = {self.field: [self.message]} if self.field else {}
        return Answer(self.status, failure(self.message, self.code, **errors), changes=self.changes)

    def plain(self) -> Answer:
        return Answer(self.status, {"error": self.message}, changes=self.changes)


class Invalid(Refused):
    """A field at fault, named in the sentence too."""

    def __init__(self, field: str, sentence: str):
        super().__init__(400, "invalid", f"{field}: {sentence}")
        self.sentence = sentence
        self.named = field

    def enveloped(self) -> Answer:
        return Answer(400, invalid(self.named, self.sentence))


def said(message: str, data=None, *, status: int = 200, **beside) -> Answer:
    body = {"message": message, "error": False, **beside}
    if data is not None:
        body["data"] = data
    return Answer(status, body)


@dataclass(eq=False)
class User:
    username: str
    email: str | None
    password: str
    is_active: bool = True
    is_admin: bool = False
    id: Seen = field(default_factory=an_id)


@dataclass(eq=False)
class Login:
    user: User
    tokens: list[Seen]
    refresh_tokens: list[Seen] = field(default_factory=list)
    # These were never used, and are valid.
    unused: list[Seen] = field(default_factory=list)
    is_over: bool = False

    @property
    def is_good(self) -> bool:
        return not self.is_over and self.user.is_active


@dataclass(eq=False)
class Event:
    name: str
    total: int
    created_by: User
    date: str | None = None
    zone: str = "UTC"
    policy: str = "first_fit"
    waitlist_enabled: bool = True
    limit: int | None = None
    limit_of_a_person: int | None = None
    sales_start: str | None = None
    sales_end: str | None = None
    version: int = 1
    is_deleted: bool = False
    id: Seen = field(default_factory=an_id)
    created_at: Seen = field(default_factory=this_moment)
    updated_at: Seen = None
    # The bookings are in the order of arrival.
    bookings: list = field(default_factory=list)
    waitlist: list = field(default_factory=list)
    # Each ETag has the answer that it came with.
    tags: dict = field(default_factory=dict)

    def __post_init__(self):
        self.updated_at = self.created_at

    @property
    def held(self) -> int:
        return sum(booking.tickets for booking in self.bookings if booking.status == COMPLETED)

    @property
    def available(self) -> int:
        return self.total - self.held

    # Sales start and end in the far past or future only, never meanwhile.

    @property
    def has_started(self) -> bool:
        return self.sales_start is None or self.sales_start.startswith("20")

    @property
    def has_ended(self) -> bool:
        return self.sales_end is not None and self.sales_end.startswith("20")

    @property
    def sales_open(self) -> bool:
        return self.has_started and not self.has_ended

    def body(self) -> dict:
        return {
            "id": self.id,
            "name": self.name,
            "date": self.date,
            "timeZone": self.zone,
            "description": "",
            "venue": "",
            "totalTickets": self.total,
            "availableTickets": self.available,
            "waitlistedCount": len(self.waitlist),
            "salesStart": self.sales_start,
            "salesEnd": self.sales_end,
            "maxTicketsPerBooking": self.limit,
            "maxTicketsPerPerson": self.limit_of_a_person,
            "waitlistEnabled": self.waitlist_enabled,
            "waitlistPolicy": self.policy,
            "salesOpen": self.sales_open,
            "version": self.version,
            "createdBy": self.created_by.id,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }


@dataclass(eq=False)
class Booking:
    event: Event
    user: User | None
    first_name: str
    last_name: str
    email: str
    tickets: int
    status: str = ""
    # The one-ticket contract made the booking.
    is_seat: bool = False
    token: Seen | None = None
    id: Seen = field(default_factory=an_id)
    reference: Seen = field(default_factory=a_reference)
    created_at: Seen = field(default_factory=this_moment)
    updated_at: Seen = None
    # None while it is live, and if a guest cancelled it.
    cancelled_by: User | None = None

    def __post_init__(self):
        self.updated_at = self.created_at

    @property
    def is_live(self) -> bool:
        return self.status in (COMPLETED, WAITLISTED)

    @property
    def position(self) -> int | None:
        return self.event.waitlist.index(self) + 1 if self.status == WAITLISTED else None

    def body(self) -> dict:
        return {
            "id": self.id,
            "reference": self.reference,
            "eventId": self.event.id,
            "userId": self.user and self.user.id,
            "firstName": self.first_name,
            "lastName": self.last_name,
            "email": self.email,
            # The walks ask for no language.
            "language": None,
            "ticketsReserved": self.tickets,
            "bookingStatus": self.status,
            "waitlistPosition": self.position,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }


@dataclass(eq=False)
class Key:
    caller: User | None
    key: str
    asked: dict
    answer: Answer
    booking: Booking
    # This is the first answer, byte for byte.
    content: bytes = b""

    @property
    def is_past(self) -> bool:
        """Whether the booking has changed since it was answered."""
        return self.booking.updated_at is not self.booking.created_at


@dataclass
class World:
    users: list[User] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    # These are writes with a key that are no bookings.
    keyed_writes: int = 0
    # This counts how often each case that is worth testing has occurred.
    happened: Counter = field(default_factory=Counter)

    def note(self, happening: str) -> None:
        self.happened[happening] += 1
