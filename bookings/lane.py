"""The fast lane: bookings and reads of an event's status that need nothing of Django or DRF.

It takes the plain, wholly valid request alone; in the slightest doubt it lets Django have it. It holds no rule:
tokens, fields, throttle, service, wording, envelope and log line are those of the viewsets in `bookings.views`.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from django.db import connection
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework_simplejwt.exceptions import InvalidToken

from accounts.authentication import bearer_token
from accounts.exceptions import SessionEnded
from accounts.tokens import read_access_token, session_id
from bookings.serializers import BOOKING_CREATE
from bookings.services.booking import BookingOrder, BookingRequest, book_by_key
from bookings.services.counter import LEADERS
from bookings.services.groups import carried_out, counter
from bookings.views.bookings import receipt_answer
from bookings.views.headers import key_in
from ticks.envelope import success
from ticks.lane import JSON_SENT, MAX_BODY, Answer, Head, address_parts, answer_with, is_plain, refusal_body
from ticks.parsers import parse
from ticks.refusals import Refusal
from ticks.throttling import allow, network_of, take_back
from ticks.transactions import Busy, OutcomeUnknown

BOOKING_PATH = "/api/v1/booking"
BOOKING_ALLOW = "GET, POST, HEAD, OPTIONS"
# A name for each, as a body has them: one more, or one that is missing, is Django's to judge.
FIELDS = frozenset(BOOKING_CREATE.fields)


class Caller:
    """Somebody who shows a good token; whether the login still stands, the group's transaction looks up."""

    __slots__ = ("pk",)

    def __init__(self, pk: int):
        self.pk = pk


class LaneOrder(BookingOrder):
    """A booking that no thread waits for: `done` is called with it, from the thread that served it."""

    done: Callable[["LaneOrder"], None] = staticmethod(lambda order: None)

    def finish(self) -> None:
        self.done(self)


class BookingVisit:
    """One request on its way: `order` reads it, somebody serves the order, `answer` says what became of it."""

    has_body = True

    def __init__(self, head: Head):
        self.head = head
        self.caller: Caller | None = None
        self.counted_as: tuple[str, str] | None = None

    def order(self, body: bytes) -> LaneOrder | None:
        """None: not for the lane."""
        try:
            fields = parse(body.decode())
            if not isinstance(fields, dict) or fields.keys() != FIELDS:
                return None
            wanted = BOOKING_CREATE.run_validation(fields)
            given = self.head.headers.get("idempotency-key")
            key = None if given is None else key_in(given)
            session = self.identify()
        # RecursionError and UnicodeDecodeError among them; and what is no claim of ours.
        except (ValueError, RecursionError, ValidationError, AuthenticationFailed, InvalidToken):
            return None
        if not self.is_counted():
            return None
        request = BookingRequest(**wanted, user=self.caller)
        return LaneOrder(request, digest=request.key_digest(key) if key else None, session_id=session)

    def identify(self) -> int | None:
        """The login that the token names, None for a guest. Raises where Django should look at it."""
        header = self.head.headers.get("authorization")
        if header is None:
            return None
        claims = read_access_token(bearer_token(header))
        session = session_id(claims)
        if session is None:
            raise InvalidToken
        self.caller = Caller(int(claims["sub"]))
        return session

    def is_counted(self) -> bool:
        """Whether the throttles let it pass. Who is refused is not counted, and Django says so."""
        if self.caller:
            self.counted_as = ("user", str(self.caller.pk))
        else:
            self.counted_as = ("guest", network_of(address_parts(self.head)))
        return allow(*self.counted_as)

    def put(self, order: LaneOrder) -> None:
        """Has it served by some thread, which calls `order.done`. At once if too many wait."""
        try:
            counter().put(order)
        except Busy as busy:
            order.result = busy
            order.finish()

    def serve(self, order: LaneOrder) -> None:
        """The same, waited for."""
        # The result says all; it is raised too.
        with suppress(Exception):
            carried_out(order)

    def is_unsettled(self, order: LaneOrder) -> bool:
        return isinstance(order.result, OutcomeUnknown) and order.digest is not None

    def settle(self, order: LaneOrder) -> None:
        """Finds out what became of it, by its key. Takes its time."""
        try:
            order.result = book_by_key(order.request, digest=order.digest, unknown=order.result)
        except Refusal as refusal:
            order.result = refusal

    def answer(self, order: LaneOrder) -> Answer | None:
        """None: nothing was done, and Django is to say why."""
        result, user = order.result, self.caller and self.caller.pk
        if isinstance(result, Exception) and (isinstance(result, SessionEnded) or not isinstance(result, Refusal)):
            take_back(*self.counted_as)
            return None
        if isinstance(result, Refusal):
            status, headers, body = refusal_body(self.head, result)
        else:
            message, data, replayed = receipt_answer(result)
            status, headers, body = 201, list(replayed.items()), success(message, data)
        return answer_with(self.head, body, status=status, user=user, headers=headers, allow=BOOKING_ALLOW)


class Lane:
    """One process's: finds the visit that a request is, and has threads that lead groups for it."""

    def visit(self, head: Head) -> BookingVisit | None:
        if head.method == "POST" and head.path == BOOKING_PATH and is_plain(head) and is_plain_body(head):
            return BookingVisit(head)
        return None

    def open(self) -> None:
        """Starts its threads, each with a database connection of its own once it is needed."""
        called = threading.Semaphore(0)
        counter().summon = called.release
        for _ in range(LEADERS):
            threading.Thread(target=lead_when_called, args=[called], name="lane", daemon=True).start()

    def look(self) -> None:
        """Now and then, for those who have waited too long."""
        counter().look()


def lead_when_called(called: threading.Semaphore) -> None:
    while True:
        called.acquire()
        # One that was closed, or has grown old, while nobody came.
        connection.close_if_unusable_or_obsolete()
        counter().lead()


def is_plain_body(head: Head) -> bool:
    length = head.headers.get("content-length", "")
    return (
        head.headers.get("content-type", "").lower() in JSON_SENT
        and length.isascii()
        and length.isdigit()
        and len(length) < 6
        and 0 < int(length) <= MAX_BODY
        and "if-none-match" not in head.headers
    )
