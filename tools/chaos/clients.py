"""Clients that book and cancel, write down what they are told, and trust it."""

import random
from collections import deque
from dataclasses import dataclass, field

from tools.chaos.acknowledgements import (
    ACKNOWLEDGED,
    REFUSED,
    UNANSWERED,
    UNKNOWN,
    Acknowledgements,
    Booked,
    GivenBack,
)
from tools.chaos.asking import PLAIN, UNCHANGED_CODES, Asker, Ending, is_any, is_final
from tools.chaos.board import Board

BOOKINGS = "/api/v1/booking"
REMEMBERED = 60
USERS, KEYS = 0.5, 0.8


@dataclass
class Stalls:
    """What is for sale, and who buys."""

    # Ids, each as often as it is wanted.
    events: list[int]
    open_events: list[int]
    # (account, bearer token)
    buyers: list[tuple[int, str]]
    seats: list[tuple[int, str]]


@dataclass
class Holding:
    id: int
    tickets: int
    headers: dict


@dataclass
class Seat:
    """One ticket by the one-ticket contract: an account has at most one an event."""

    user: int
    token: str
    event: int
    booking: int | None = None

    @property
    def request(self) -> tuple[dict, dict]:
        return {"eventId": self.event, "userId": self.user}, {"Authorization": f"Bearer {self.token}"}


@dataclass
class Client:
    number: int
    asker: Asker
    chance: random.Random
    stalls: Stalls
    board: Board
    acknowledgements: Acknowledgements
    free_seats: list[Seat]
    taken_seats: list[Seat] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    replayable: deque = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    asked: int = 0

    async def run(self) -> None:
        deeds = [self.book, self.book_seat, self.cancel, self.reduce, self.cancel_seat, self.replay]
        while not self.board.is_over:
            [deed] = self.chance.choices(deeds, weights=[66, 10, 9, 7, 4, 4])
            await deed()
        self.asker.close()

    async def book(self) -> None:
        user, headers = None, {}
        if self.chance.random() < USERS:
            user, token = self.chance.choice(self.stalls.buyers)
            headers = {"Authorization": f"Bearer {token}"}
        has_key = self.chance.random() < KEYS
        key = {"Idempotency-Key": f'"{self.chance.getrandbits(128):032x}"'} if has_key else {}
        body = self.booking_body()
        ending = await self.asker.ask("POST", BOOKINGS, body, headers | key, until=is_final if has_key else is_any)
        told = self.keep_booking(body, user, ending, has_key=has_key)
        if told:
            if "bookingToken" in told:
                headers = {"Booking-Token": told["bookingToken"]}
            self.holdings.append(Holding(told["id"], told["ticketsReserved"], headers))
            if has_key:
                self.replayable.append((body, ({} if user is None else headers) | key, ending.answer.body))

    def booking_body(self) -> dict:
        self.asked += 1
        return {
            "eventId": self.chance.choice(self.stalls.events),
            "firstName": "Ada",
            "lastName": f"Client {self.number}",
            "email": f"r{self.asked}.c{self.number}@chaos.example.org",
            "ticketsReserved": self.chance.randint(1, 4),
        }

    def keep_booking(self, body: dict, user: int | None, ending: Ending, *, has_key: bool) -> dict:
        """The booking as it was acknowledged; empty if it was not."""
        outcome = self.outcome_of_booking(ending, has_key=has_key)
        told = ending.answer.json["data"] if outcome == ACKNOWLEDGED else {}
        self.keep(
            Booked(
                mark=body["email"],
                outcome=outcome,
                event=body["eventId"],
                user=user,
                tickets=body["ticketsReserved"],
                fault=ending.fault,
                has_key=has_key,
                id=told.get("id"),
                reference=told.get("reference"),
                status=told.get("bookingStatus"),
            )
        )
        wanted = {**body, "userId": user}
        if told and {name: told.get(name) for name in wanted} != wanted:
            self.board.find(f"asked for {wanted}, answered {told}")
        return told

    def outcome_of_booking(self, ending: Ending, *, has_key: bool) -> str:
        answer = ending.answer
        if ending.is_unknown:
            return UNANSWERED if has_key else UNKNOWN
        if answer.status == 201:
            return ACKNOWLEDGED
        if answer.code not in {"sold_out", *UNCHANGED_CODES}:
            self.board.find(f"a booking was answered {answer.label}: {answer.body[:300]!r}")
        # With a key, "nothing was changed" speaks of the last attempt alone.
        return UNANSWERED if has_key and answer.code in UNCHANGED_CODES else REFUSED

    async def replay(self) -> None:
        """An answer that was received is asked for again: it must come again, to the byte."""
        if not self.replayable:
            return
        body, headers, first = self.chance.choice(self.replayable)
        ending = await self.asker.ask("POST", BOOKINGS, body, headers, until=is_final)
        answer = ending.answer
        if ending.is_unanswered:
            self.board.find("a replay was never answered")
        elif (answer.status, answer.headers.get("idempotent-replayed"), answer.body) != (201, "true", first):
            self.board.find(f"{first[:400]!r} was replayed as {answer.label} {answer.body[:400]!r}")

    async def cancel(self) -> None:
        holding = self.some_holding(least=1)
        if holding is None:
            return
        path = f"{BOOKINGS}/{holding.id}"
        ending = await self.asker.ask("DELETE", path, None, holding.headers, until=is_final)
        outcome = self.outcome_of(ending, path, good={200}, done_before="409 already_cancelled")
        self.acknowledgements.write(GivenBack(booking=holding.id, outcome=outcome, tickets=None, fault=ending.fault))

    async def reduce(self) -> None:
        """Gives back one of several tickets. Sent twice it counts twice, so it is sent once."""
        holding = self.some_holding(least=2)
        if holding is None:
            return
        path = f"{BOOKINGS}/{holding.id}"
        ending = await self.asker.ask("DELETE", path, {"ticketsToCancel": 1}, holding.headers, until=is_any)
        if ending.is_unknown:
            outcome = UNKNOWN
        elif ending.answer.code in UNCHANGED_CODES:
            outcome = REFUSED
        else:
            outcome = self.outcome_of(ending, path, good={200})
        self.acknowledgements.write(GivenBack(booking=holding.id, outcome=outcome, tickets=1, fault=ending.fault))
        holding.tickets -= outcome == ACKNOWLEDGED
        if outcome != UNKNOWN:
            self.holdings.append(holding)

    async def book_seat(self) -> None:
        if not self.free_seats:
            await self.book()
            return
        seat = self.free_seats.pop(self.chance.randrange(len(self.free_seats)))
        ending = await self.asker.ask("POST", PLAIN + "book", *seat.request, until=is_final)
        # After an attempt without an answer a 409 says: that one booked.
        outcome = self.outcome_of(ending, PLAIN + "book", good={200, 201}, done_before="409")
        told = ending.answer.json if outcome == ACKNOWLEDGED else {}
        self.keep(
            Booked(
                mark=f"seat {seat.user} {seat.event}",
                outcome=outcome,
                event=seat.event,
                user=seat.user,
                tickets=1,
                fault=ending.fault,
                id=told.get("id"),
                status={"booked": "completed", "waiting": "waitlisted"}.get(told.get("status", "")),
            )
        )
        if told.get("id"):
            seat.booking = told["id"]
            self.taken_seats.append(seat)

    async def cancel_seat(self) -> None:
        if not self.taken_seats:
            return
        seat = self.taken_seats.pop(self.chance.randrange(len(self.taken_seats)))
        ending = await self.asker.ask("POST", PLAIN + "cancel", *seat.request, until=is_final)
        outcome = self.outcome_of(ending, PLAIN + "cancel", good={200}, done_before="404")
        self.acknowledgements.write(GivenBack(booking=seat.booking, outcome=outcome, tickets=None, fault=ending.fault))

    def outcome_of(self, ending: Ending, path: str, *, good: set[int], done_before: str = "") -> str:
        """`done_before` is what the server says when an earlier attempt was carried out after all."""
        if ending.is_unanswered:
            return UNANSWERED
        if ending.answer.status in good or (ending.is_ambiguous and ending.answer.label == done_before):
            return ACKNOWLEDGED
        self.board.find(f"{path} was answered {ending.answer.label}: {ending.answer.body[:300]!r}")
        return UNKNOWN

    def keep(self, told: Booked) -> None:
        """Onto the disk, before anything else is asked."""
        self.acknowledgements.write(told)
        if told.outcome == ACKNOWLEDGED:
            self.board.acknowledge(told.fault)

    def some_holding(self, *, least: int) -> Holding | None:
        # The latest ones: on the small events there somebody waits for what is given back.
        places = range(max(0, len(self.holdings) - REMEMBERED), len(self.holdings))
        fitting = [place for place in places if self.holdings[place].tickets >= least]
        return self.holdings.pop(self.chance.choice(fitting)) if fitting else None
