"""Clients that book and cancel. Each records an answer before its next request, and trusts the answer."""

import asyncio
import json
import random
import time
from collections import deque
from dataclasses import dataclass

from ticks.load import Connection, ServerAnswer, request
from tools.chaos.report import Board
from tools.service import HOST, Service

BOOKINGS = "/api/v1/booking"
# This is the one-ticket contract, whose failures have a sentence and no code.
ONE_TICKET = "/api/events/"
# This is far longer than Ticks promises. A client that waits this long for an answer gets none.
ANSWER_SECONDS = 15
GIVE_UP_SECONDS = 90
LONGEST_PAUSE_SECONDS = 2
# Two of the clients ask again at once. They see when the server books again; the polite clients would notice it too
# late.
IMPATIENT_CLIENTS = 2
IMPATIENT_PAUSE_SECONDS = 0.05
# With these codes the server says that nothing was changed.
UNCHANGED_CODES = {"busy", "database_unavailable"}
ANNOUNCED_503 = UNCHANGED_CODES | {"outcome_unknown"}
# These are the ends of a request. `refused` promises that nothing was changed. `unknown` may have been carried out, and
# is not sent again. `unanswered` was sent until the client gave up.
ACKNOWLEDGED, REFUSED, UNKNOWN, UNANSWERED = "acknowledged", "refused", "unknown", "unanswered"
REMEMBERED = 60
ACCOUNTS_SHARE, KEYS_SHARE = 0.5, 0.8
BUYERS = 100
# Two of three bookings go to events that never sell out. The others meet a waitlist or a sold-out event.
SALE = """
import json
from accounts.models import User
from accounts import tokens
from bookings.services.events import open_event
admin = User.objects.create_superuser("chaos", "chaos@example.org", None)
def people(name, many):
    users = [User.objects.create_user(f"{name}{n}", f"{name}{n}@example.org", None) for n in range(many)]
    return [(user.pk, tokens.log_in(user)["token"]) for user in users]
def opened(name, tickets, **terms):
    return [open_event({"name": name, "total_tickets": tickets, **terms}, actor=admin).pk for _ in range(%(copies)d)]
hall = opened("Hall", 2_000_000)
arena = opened("Arena", 2_000_000, waitlist_policy="strict")
club = opened("Club", 2_000_000, waitlist_enabled=False)
theatre = opened("Theatre", %(size)d)
cellar = opened("Cellar", 60)
attic = opened("Attic", 40, waitlist_policy="strict")
closet = opened("Closet", 30, waitlist_enabled=False)
print(json.dumps({
    "events": hall * 6 + arena * 4 + club * 4 + theatre * 3 + cellar * 2 + attic * 2 + closet,
    "waitlist_events": hall + arena + club + theatre + cellar + attic,
    "buyers": people("buyer", %(buyers)d),
    "seats": people("seat", %(seats)d),
}))
"""


@dataclass
class Sale:
    """The events for sale, and the accounts that buy, each with its id and token."""

    # These are event ids. An id stands here as often as the event is wanted.
    events: list[int]
    waitlist_events: list[int]
    buyers: list[tuple[int, str]]
    seats: list[tuple[int, str]]

    def seats_of(self, number: int, clients: int) -> list["Seat"]:
        """The seats of one of so many clients, who all have different ones."""
        return [Seat(*account, event) for account in self.seats[number::clients] for event in self.waitlist_events]


def open_sale(service: Service, *, bookings: int, copies: int = 1) -> Sale:
    """Makes the events, `copies` of each kind, and the accounts."""
    service.manage("migrate", "-v0")
    # The theatre sells out half way. An account can have one seat booking for each event.
    script = SALE % {"size": bookings // 7, "copies": copies, "buyers": BUYERS, "seats": max(40, bookings // 40)}
    return Sale(**json.loads(service.shell(script)))


@dataclass(frozen=True, kw_only=True)
class Booked:
    """The result of one booking for its client. `mark` is unique to the request: the mail address, or the account."""

    mark: str
    outcome: str
    event: int
    user: int | None
    tickets: int
    fault: str
    has_key: bool = False
    id: int | None = None
    reference: str | None = None
    status: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """The result of one cancellation for its client. `tickets` is None if all tickets were cancelled."""

    booking: int
    outcome: str
    tickets: int | None


# These are the answers to the clients, in order. The run is judged only by this.
Journal = list[Booked | Cancelled]


def code_of(answer: ServerAnswer | None) -> str:
    return answer.json.get("code", "") if answer else ""


def label_of(answer: ServerAnswer | None) -> str:
    """The status, with the code of a refusal."""
    return f"{answer.status} {code_of(answer)}".strip() if answer else "none"


@dataclass
class Ending:
    """The last answer to a request. `is_ambiguous`: an earlier attempt may have been carried out."""

    answer: ServerAnswer | None
    fault: str
    is_ambiguous: bool = False

    @property
    def is_unanswered(self) -> bool:
        return self.answer is None or self.answer.status == 503

    @property
    def is_unknown(self) -> bool:
        return self.answer is None or code_of(self.answer) == "outcome_unknown"


def is_final(answer: ServerAnswer | None) -> bool:
    return answer is not None and answer.status != 503 and code_of(answer) != "idempotency_key_in_flight"


class Asker:
    """Sends a request as a good client does: again until it has an answer, and not sooner than the server allows."""

    def __init__(self, number: int, port: int, chance: random.Random, board: Board):
        self.is_impatient = number < IMPATIENT_CLIENTS
        self.chance, self.board = chance, board
        self.connection = Connection((HOST, port), answer_seconds=ANSWER_SECONDS)

    async def ask(
        self, method: str, path: str, body: dict | None, headers: dict, *, is_repeatable: bool = True
    ) -> Ending:
        sent = request(method, path, host=HOST, headers=headers, body=body and json.dumps(body).encode())
        began, fault, is_ambiguous, tries = time.monotonic(), self.board.fault, False, 0
        while True:
            answer = await self.attempt(path, sent, fault)
            if not is_repeatable or is_final(answer) or time.monotonic() - began > GIVE_UP_SECONDS:
                break
            is_ambiguous = is_ambiguous or code_of(answer) not in UNCHANGED_CODES
            tries += 1
            await asyncio.sleep(self.pause(answer, tries))
        ending = Ending(answer, self.board.fault_since(fault), is_ambiguous)
        if ending.is_unanswered:
            # The server wants a pause, so this client's next request of any kind waits too.
            await asyncio.sleep(self.pause(answer, tries + 1))
        return ending

    async def attempt(self, path: str, sent: bytes, fault: str) -> ServerAnswer | None:
        began = time.monotonic()
        answer = await self.connection.ask(sent)
        self.board.note_answer(label_of(answer), seconds=time.monotonic() - began, fault=fault)
        if answer is not None and answer.status == 503:
            is_announced = code_of(answer) in ANNOUNCED_503 or (path.startswith(ONE_TICKET) and "error" in answer.json)
            if not is_announced or answer.header("Retry-After") is None:
                self.board.find(f"a 503 of {path} that is not announced: {answer.head!r} {answer.body[:300]!r}")
        return answer

    def pause(self, answer: ServerAnswer | None, tries: int) -> float:
        if self.is_impatient:
            return IMPATIENT_PAUSE_SECONDS
        asked = answer.header("Retry-After") if answer is not None else None
        seconds = float(asked) if asked and asked.isdigit() else 0.1 * 2**tries
        return min(seconds, LONGEST_PAUSE_SECONDS) * self.chance.uniform(1, 1.25)


@dataclass
class Holding:
    id: int
    tickets: int
    headers: dict


@dataclass
class Seat:
    """Books one ticket by the one-ticket contract. An account has at most one for each event."""

    user: int
    token: str
    event: int
    booking: int | None = None

    @property
    def request(self) -> tuple[dict, dict]:
        return {"eventId": self.event, "userId": self.user}, {"Authorization": f"Bearer {self.token}"}


class Client:
    def __init__(self, number: int, asker: Asker, sale: Sale, journal: Journal, *, seats: list[Seat]):
        self.number, self.asker, self.sale, self.journal = number, asker, sale, journal
        self.chance, self.board = asker.chance, asker.board
        self.free_seats, self.taken_seats = seats, []
        self.holdings: list[Holding] = []
        self.replayable: deque = deque(maxlen=REMEMBERED)
        self.asked = 0

    async def run(self) -> None:
        actions = [self.book, self.book_seat, self.cancel, self.reduce, self.cancel_seat, self.replay]
        while not self.board.is_over:
            [action] = self.chance.choices(actions, weights=[66, 10, 9, 7, 4, 4])
            await action()
        self.asker.connection.close()

    async def book(self) -> None:
        user, headers = None, {}
        if self.chance.random() < ACCOUNTS_SHARE:
            user, token = self.chance.choice(self.sale.buyers)
            headers = {"Authorization": f"Bearer {token}"}
        has_key = self.chance.random() < KEYS_SHARE
        key = {"Idempotency-Key": f'"{self.chance.getrandbits(128):032x}"'} if has_key else {}
        body = self.booking_body()
        ending = await self.asker.ask("POST", BOOKINGS, body, headers | key, is_repeatable=has_key)
        booking = self.keep_booking(body, user, ending, has_key=has_key)
        if booking:
            if has_key:
                self.replayable.append((body, headers | key, ending.answer.body))
            if "bookingToken" in booking:
                headers = {"Booking-Token": booking["bookingToken"]}
            self.holdings.append(Holding(booking["id"], booking["ticketsReserved"], headers))

    def booking_body(self) -> dict:
        self.asked += 1
        return {
            "eventId": self.chance.choice(self.sale.events),
            "firstName": "Ada",
            "lastName": f"Client {self.number}",
            "email": f"r{self.asked}.c{self.number}@chaos.example.org",
            "ticketsReserved": self.chance.randint(1, 4),
        }

    def keep_booking(self, body: dict, user: int | None, ending: Ending, *, has_key: bool) -> dict:
        """The booking as the server acknowledged it; empty if it did not."""
        outcome = self.outcome_of_booking(ending, has_key=has_key)
        booking = ending.answer.json["data"] if outcome == ACKNOWLEDGED else {}
        self.keep(
            Booked(
                mark=body["email"],
                outcome=outcome,
                event=body["eventId"],
                user=user,
                tickets=body["ticketsReserved"],
                fault=ending.fault,
                has_key=has_key,
                id=booking.get("id"),
                reference=booking.get("reference"),
                status=booking.get("bookingStatus"),
            )
        )
        wanted = {**body, "userId": user}
        if booking and {name: booking.get(name) for name in wanted} != wanted:
            self.board.find(f"asked for {wanted}, answered {booking}")
        return booking

    def outcome_of_booking(self, ending: Ending, *, has_key: bool) -> str:
        answer, code = ending.answer, code_of(ending.answer)
        if ending.is_unknown:
            return UNANSWERED if has_key else UNKNOWN
        if answer.status == 201:
            return ACKNOWLEDGED
        if code not in {"sold_out", *UNCHANGED_CODES}:
            self.board.find(f"a booking was answered {label_of(answer)}: {answer.body[:300]!r}")
        # With a key, "nothing was changed" is only about the last attempt.
        return UNANSWERED if has_key and code in UNCHANGED_CODES else REFUSED

    async def replay(self) -> None:
        """Repeats a request that was answered. The same answer must come again, byte for byte."""
        if not self.replayable:
            return
        body, headers, first = self.chance.choice(self.replayable)
        ending = await self.asker.ask("POST", BOOKINGS, body, headers)
        answer = ending.answer
        if ending.is_unanswered:
            self.board.find("a replay was never answered")
        elif (answer.status, answer.header("Idempotent-Replayed"), answer.body) != (201, "true", first):
            self.board.find(f"{first[:400]!r} was replayed as {label_of(answer)} {answer.body[:400]!r}")

    async def cancel(self) -> None:
        holding = self.some_holding(least=1)
        if holding is None:
            return
        path = f"{BOOKINGS}/{holding.id}"
        ending = await self.asker.ask("DELETE", path, None, holding.headers)
        outcome = self.outcome_of(ending, path, good={200}, done_before="409 already_cancelled")
        self.journal.append(Cancelled(booking=holding.id, outcome=outcome, tickets=None))

    async def reduce(self) -> None:
        """Gives back one of several tickets. If it were sent twice it would count twice, so it is sent once."""
        holding = self.some_holding(least=2)
        if holding is None:
            return
        path = f"{BOOKINGS}/{holding.id}"
        ending = await self.asker.ask("DELETE", path, {"ticketsToCancel": 1}, holding.headers, is_repeatable=False)
        if ending.is_unknown:
            outcome = UNKNOWN
        elif code_of(ending.answer) in UNCHANGED_CODES:
            outcome = REFUSED
        else:
            outcome = self.outcome_of(ending, path, good={200})
        self.journal.append(Cancelled(booking=holding.id, outcome=outcome, tickets=1))
        holding.tickets -= outcome == ACKNOWLEDGED
        if outcome != UNKNOWN:
            self.holdings.append(holding)

    async def book_seat(self) -> None:
        if not self.free_seats:
            await self.book()
            return
        seat = self.free_seats.pop(self.chance.randrange(len(self.free_seats)))
        ending = await self.asker.ask("POST", ONE_TICKET + "book", *seat.request)
        # After an attempt without an answer, a 409 means that this attempt booked.
        outcome = self.outcome_of(ending, ONE_TICKET + "book", good={200, 201}, done_before="409")
        booking = ending.answer.json if outcome == ACKNOWLEDGED else {}
        self.keep(
            Booked(
                mark=f"seat {seat.user} {seat.event}",
                outcome=outcome,
                event=seat.event,
                user=seat.user,
                tickets=1,
                fault=ending.fault,
                id=booking.get("id"),
                status={"booked": "completed", "waiting": "waitlisted"}.get(booking.get("status", "")),
            )
        )
        if booking.get("id"):
            seat.booking = booking["id"]
            self.taken_seats.append(seat)

    async def cancel_seat(self) -> None:
        if not self.taken_seats:
            return
        seat = self.taken_seats.pop(self.chance.randrange(len(self.taken_seats)))
        ending = await self.asker.ask("POST", ONE_TICKET + "cancel", *seat.request)
        outcome = self.outcome_of(ending, ONE_TICKET + "cancel", good={200}, done_before="404")
        self.journal.append(Cancelled(booking=seat.booking, outcome=outcome, tickets=None))

    def outcome_of(self, ending: Ending, path: str, *, good: set[int], done_before: str = "") -> str:
        """`done_before` is the server's code if an earlier attempt was carried out after all."""
        if ending.is_unanswered:
            return UNANSWERED
        label = label_of(ending.answer)
        if ending.answer.status in good or (ending.is_ambiguous and label == done_before):
            return ACKNOWLEDGED
        self.board.find(f"{path} was answered {label}: {ending.answer.body[:300]!r}")
        return UNKNOWN

    def keep(self, entry: Booked) -> None:
        self.journal.append(entry)
        if entry.outcome == ACKNOWLEDGED:
            self.board.acknowledge(entry.fault)

    def some_holding(self, *, least: int) -> Holding | None:
        # The latest bookings are chosen: on the small events, somebody then waits for the tickets that are given back.
        places = range(max(0, len(self.holdings) - REMEMBERED), len(self.holdings))
        fitting = [place for place in places if self.holdings[place].tickets >= least]
        return self.holdings.pop(self.chance.choice(fitting)) if fitting else None
