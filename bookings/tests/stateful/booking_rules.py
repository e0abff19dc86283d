from urllib.parse import urlencode

from hypothesis import strategies as st

from bookings.tests.model.bookings import cancel, list_bookings, read_booking
from bookings.tests.model.one_ticket import book_seat, cancel_seat, live_bookings
from bookings.tests.model.world import COMPLETED, Booking, Login
from bookings.tests.stateful.event_rules import EventRules
from bookings.tests.stateful.machine import CALLERS, CHOICES, NO_ID, PEOPLE, TICKETS, Sent, latest
from bookings.tests.stateful.moves import move

EMAILS = st.sampled_from(["ada@example.org", "BOB@example.org"])
WHOSE = st.sampled_from(["own"] * 8 + [*PEOPLE, "no user"])
KEYS = st.sampled_from(["k1", "k2", '"k2"', "k3"])
# This person's token of a booking is used: mostly their own.
HANDS = st.sampled_from(["holder"] * 9 + ["chief", "chief", "stranger", "other guest", "nobody"])
# Mostly nothing is changed, so that the first answer comes once more.
CHANGES = st.sampled_from(["nothing"] * 6 + ["tickets", "event", "name", "who"])


def is_held_before_a_queue(booking: Booking) -> bool:
    return booking.status == COMPLETED and bool(booking.event.waitlist)


def how_many_of_the_user(booking: Booking) -> int:
    return len(live_bookings(booking.event, booking.user)) if booking.user else 0


def is_group(booking: Booking) -> bool:
    return booking.tickets > 1


class BookingRules(EventRules):
    @move(9, who=CALLERS, event=CHOICES, tickets=TICKETS, email=EMAILS)
    def book_tickets(self, who, event, tickets, email):
        self.book("book", self.login_of(who), self.event_of(event), tickets, email)

    @move(4, event=CHOICES, tickets=TICKETS)
    def book_as_guest(self, event, tickets):
        self.book("book as guest", None, self.event_of(event), tickets, "guest@example.org")

    @move(7, event=CHOICES, more=st.sampled_from([0, 0, 1, 2]))
    def book_what_is_left(self, event, more):
        event = self.event_of(event)
        self.book("book what is left", None, event, max(1, event.available + more), "rush@example.org")

    @move(6, who=CALLERS, event=CHOICES, tickets=TICKETS, key=KEYS)
    def book_with_key(self, who, event, tickets, key):
        self.book("book with key", self.login_of(who), self.event_of(event), tickets, "ada@example.org", key)

    @move(1, who=CALLERS)
    def book_no_event(self, who):
        self.book("book no event", self.login_of(who), None, 1, "ada@example.org")

    @move(5, which=CHOICES, change=CHANGES)
    def send_again(self, which, change):
        known = latest(sorted(self.world.keys, key=lambda known: known.is_past), which)
        if known is None:
            return
        login = self.login_of(known.caller.username) if known.caller else None
        asked = dict(known.asked)
        event = asked.pop("event")
        if change == "who":
            # The same key of another person is another key.
            login = None if login else self.login_of("ada")
        elif change == "event":
            event = next((other for other in self.world.events if other is not event), event)
        elif change != "nothing":
            asked[{"tickets": "tickets", "name": "first_name"}[change]] = 5 if change == "tickets" else "Another"
        self.send_booking("send again", login, event, asked, known.key)

    # One ticket for one account.

    @move(5, who=CALLERS, event=CHOICES, whose=WHOSE)
    def book_a_seat(self, who, event, whose):
        self.seat("book seat", "/api/events/book", book_seat, who, self.event_of(event), whose)

    @move(1, who=CALLERS, event=CHOICES, whose=WHOSE)
    def cancel_a_seat(self, who, event, whose):
        self.seat("cancel seat", "/api/events/cancel", cancel_seat, who, self.event_of(event), whose)

    @move(4, booking=CHOICES)
    def cancel_own_seat(self, booking):
        """Prefers a user who has several bookings to choose from."""
        booking = self.booking_of(booking // 4, prefer=how_many_of_the_user)
        if booking and booking.user:
            who = booking.user.username
            self.seat("cancel seat", "/api/events/cancel", cancel_seat, who, booking.event, "own")

    def seat(self, name, path, request, who, event, whose):
        login = self.login_of(who)
        user = (login and login.user) if whose == "own" else self.user_called(whose)
        body = {"eventId": event.id.value, "userId": str(user.id.value) if user else NO_ID}
        self.ask_to_write(Sent(name, "post", path, body), login, request, login, event, user)

    # The following methods choose among existing bookings.

    def booking_of(self, number: int, *, prefer=lambda booking: False) -> Booking:
        """Live ones first, those that are preferred before the others; at the end one that is cancelled."""
        live = sorted((booking for booking in self.world.bookings if booking.is_live), key=prefer)
        cancelled = [booking for booking in self.world.bookings if not booking.is_live]
        return latest(cancelled[-1:] + live, number)

    def hand(self, booking: Booking, whose: str) -> tuple[Login | None, str | None]:
        """The login and the booking token that a caller sends."""
        if whose == "holder":
            return (self.login_of(booking.user.username), None) if booking.user else (None, booking.token.value)
        if whose == "other guest":
            others = [other.token.value for other in self.world.bookings if other.token and other is not booking]
            return None, latest(others, 0)
        if whose == "stranger":
            return self.login_of("bob" if booking.user and booking.user.username == "ada" else "ada"), None
        return self.login_of(whose if whose == "chief" else "guest"), None

    @move(4, booking=CHOICES, whose=HANDS, named=st.sampled_from([True, False, False, "another"]))
    def cancel_a_booking(self, booking, whose, named):
        booking = self.booking_of(booking, prefer=is_held_before_a_queue)
        self.cancel("cancel", booking, whose, tickets=None, named=named)

    @move(3, booking=CHOICES, whose=HANDS, in_query=st.booleans())
    def cancel_again(self, booking, whose, in_query):
        booking = self.booking_of(booking)
        self.cancel("cancel again", booking, whose, tickets=None, named=False, in_query=in_query)
        self.cancel("cancel again", booking, whose, tickets=None, named=False, in_query=in_query)

    @move(3, booking=CHOICES, whose=st.sampled_from(["stranger", "stranger", "other guest", "nobody"]))
    def try_another_s_booking(self, booking, whose):
        booking = self.booking_of(booking, prefer=lambda booking: booking.user is not None)
        self.read("read another's", booking, whose)
        self.cancel("cancel another's", booking, whose, tickets=None, named=False)

    @move(9, booking=CHOICES, whose=HANDS, tickets=st.sampled_from([1, 1, 1, 1, 1, 2, 2, 3]), in_query=st.booleans())
    def cancel_a_part(self, booking, whose, tickets, in_query):
        booking = self.booking_of(booking, prefer=is_group)
        self.cancel("part-cancel", booking, whose, tickets=tickets, named=False, in_query=in_query)

    def cancel(self, name, booking, whose, *, tickets, named, in_query=False):
        if booking is None:
            return
        login, token = self.hand(booking, whose)
        named_id = booking.id.value if named != "another" else NO_ID
        fields = {"bookingId": named_id} if named else {}
        if tickets is not None:
            fields["ticketsToCancel"] = tickets
        query = {**(fields if in_query else {}), **({"token": token} if token and in_query else {})}
        sent = Sent(
            name,
            "delete",
            f"/api/v1/booking/{booking.id.value}" + (f"?{urlencode(query)}" if query else ""),
            None if in_query else fields,
            {"Booking-Token": token} if token and not in_query else {},
        )
        self.ask_to_write(sent, login, cancel, login, booking, token, tickets, named_id)

    @move(2, booking=CHOICES, whose=HANDS)
    def read_a_booking(self, booking, whose):
        self.read("read booking", self.booking_of(booking), whose)

    def read(self, name, booking, whose):
        if booking is None:
            return
        login, token = self.hand(booking, whose)
        headers = {"Booking-Token": token} if token else {}
        sent = Sent(name, "get", f"/api/v1/booking/{booking.id.value}", None, headers)
        self.ask(sent, login, read_booking, login, booking, token)

    @move(2, who=CALLERS, event=CHOICES, status=st.sampled_from([None, None, "completed", "waitlisted", "cancelled"]))
    def list_own_bookings(self, who, event, status):
        login, event = self.login_of(who), self.event_of(event)
        query = {"bookingStatus": status, "eventId": event.id.value} if status else {}
        sent = Sent("list bookings", "get", "/api/v1/booking?" + urlencode(query))
        wanted = {"event": event, "status": status} if status else {}
        self.ask(sent, login, list_bookings, login, **wanted)
