"""Clients who book and cancel through several servers at once, and write down how they are answered."""

import asyncio
import random
from collections.abc import Awaitable, Sequence

from tools.chaos.clients import BOOKINGS, Asker, Client, Journal, Sale, code_of
from tools.chaos.report import Board

MOST_CLIENTS = 64
LAST_ANSWERS_SECONDS = 30


class Twin(Client):
    """Sends each booking through two servers at the same moment with one key. Both must name the same booking."""

    other: Asker

    async def run(self) -> None:
        while not self.board.is_over:
            await self.book_twice()
        self.asker.connection.close()
        self.other.connection.close()

    async def book_twice(self) -> None:
        key = {"Idempotency-Key": f'"{self.chance.getrandbits(128):032x}"'}
        body = self.booking_body()
        one, two = await asyncio.gather(*(asker.ask("POST", BOOKINGS, body, key) for asker in (self.asker, self.other)))
        answered = [ending for ending in (one, two) if not ending.is_unanswered]
        # A refusal takes no key: one of the two may have come to a sold-out event before a ticket was given back.
        taken = [ending for ending in answered if code_of(ending.answer) != "sold_out"]
        if len({ending.answer.body for ending in taken}) > 1:
            self.board.find(f"two answers to one key: {one.answer.body[:400]!r} {two.answer.body[:400]!r}")
        without_answer = [ending for ending in (one, two) if ending.is_unanswered]
        [ending, *_] = [*taken, *without_answer, one]
        self.keep_booking(body, None, ending, has_key=True)


class Crowd:
    """Clients with these numbers, which no other crowd of the same events may have; the last `twins` are twins."""

    def __init__(self, sale: Sale, journal: Journal, *, ports: Sequence[int], numbers: range, twins: int = 0):
        self.board = Board()
        self.journal = journal
        self.clients = []
        for number in numbers:
            kind = Twin if number >= numbers.stop - twins else Client
            chance = random.Random(number)  # noqa: S311 (the same dice each run)
            asker = self.asker(ports[number % len(ports)], chance)
            client = kind(number, asker, sale, journal, seats=sale.seats_of(number, MOST_CLIENTS))
            if kind is Twin:
                client.other = self.asker(ports[(number + 1) % len(ports)], chance)
            self.clients.append(client)

    def asker(self, port: int, chance: random.Random) -> Asker:
        # Number 0 is one of those who do not wait as long as a 503 asks them to: more of their requests meet.
        return Asker(0, port, chance, self.board)

    async def book_during(self, meanwhile: Awaitable[None]) -> None:
        players = [asyncio.create_task(client.run()) for client in self.clients]
        try:
            await meanwhile
            self.board.is_over = True
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                await asyncio.gather(*players)
        finally:
            for player in players:
                player.cancel()

    async def longest_silence(self, seconds: float) -> float:
        """The longest time without an acknowledged booking during the next `seconds`."""
        clock = asyncio.get_running_loop().time
        began = last = clock()
        longest, seen = 0.0, self.board.acknowledged
        while clock() - began < seconds:
            await asyncio.sleep(0.01)
            if self.board.acknowledged > seen:
                seen, last = self.board.acknowledged, clock()
            longest = max(longest, clock() - last + 0.01)
        return longest
