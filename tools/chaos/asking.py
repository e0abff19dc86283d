"""How a good client asks: the same again until it has an answer, no sooner than it is asked to."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.chaos.board import Board
from tools.chaos.wire import Answer, Connection, NoAnswer

PATIENCE_SECONDS = 90
LONGEST_PAUSE_SECONDS = 2
# Two of the clients ask again at once: they see when the server books again, which politer ones would oversleep.
IMPATIENT_CLIENTS = 2
IMPATIENT_PAUSE_SECONDS = 0.05
# With these the server says that nothing was changed.
UNCHANGED_CODES = {"busy", "database_unavailable"}
ANNOUNCED_503 = UNCHANGED_CODES | {"outcome_unknown"}
# The one-ticket contract, whose failures have a sentence and no code.
PLAIN = "/api/events/"


@dataclass
class Ending:
    """The last answer to a request. `is_ambiguous`: an earlier attempt may have been carried out."""

    answer: Answer | None
    fault: str
    is_ambiguous: bool = False

    @property
    def is_unanswered(self) -> bool:
        return self.answer is None or self.answer.status == 503

    @property
    def is_unknown(self) -> bool:
        return self.answer is None or self.answer.code == "outcome_unknown"


class Asker:
    def __init__(self, number: int, port: int, chance: random.Random, board: Board):
        self.is_impatient = number < IMPATIENT_CLIENTS
        self.chance, self.board = chance, board
        self.connection = Connection(port)

    async def ask(
        self, method: str, path: str, body: dict | None, headers: dict, *, until: Callable[[Answer | None], bool]
    ) -> Ending:
        request = self.board.set_out()
        began = time.monotonic()
        is_ambiguous = False
        tries = 0
        while True:
            answer = await self.attempt(request, method, path, body, headers)
            waited = time.monotonic() - began
            if until(answer) or waited > PATIENCE_SECONDS:
                break
            is_ambiguous = is_ambiguous or is_doubtful(answer)
            tries += 1
            await asyncio.sleep(self.pause(answer, tries))
        ending = Ending(answer, self.board.arrive(request, seconds=waited), is_ambiguous)
        if ending.is_unanswered:
            # Whatever this client asks for next, the server wants to be left alone for a while.
            await asyncio.sleep(self.pause(answer, tries + 1))
        return ending

    async def attempt(self, request: int, method: str, path: str, body: dict | None, headers: dict) -> Answer | None:
        began = time.monotonic()
        try:
            answer = await self.connection.ask(method, path, body, headers)
            label = answer.label
        except NoAnswer as failure:
            answer, label = None, f"none {failure}"
        failed = answer is None or answer.status == 503
        self.board.note_answer(request, label, seconds=time.monotonic() - began, failed=failed)
        if failed and answer is not None:
            self.check_announced(path, answer)
        return answer

    def check_announced(self, path: str, answer: Answer) -> None:
        has_code = answer.code in ANNOUNCED_503 or (path.startswith(PLAIN) and "error" in answer.json)
        if not has_code or answer.retry_after is None:
            self.board.find(f"a 503 of {path} that is not announced: {answer.headers} {answer.body[:300]!r}")

    def pause(self, answer: Answer | None, tries: int) -> float:
        if self.is_impatient:
            return IMPATIENT_PAUSE_SECONDS
        asked = answer.retry_after if answer is not None else None
        seconds = 0.1 * 2**tries if asked is None else asked
        return min(seconds, LONGEST_PAUSE_SECONDS) * self.chance.uniform(1, 1.25)

    def close(self) -> None:
        self.connection.close()


def is_any(_answer: Answer | None) -> bool:
    return True


def is_final(answer: Answer | None) -> bool:
    return answer is not None and answer.status != 503 and answer.code != "idempotency_key_in_flight"


def is_doubtful(answer: Answer | None) -> bool:
    """Whether it may have been carried out: no answer, or one that does not say that nothing was changed."""
    return answer is None or answer.code not in UNCHANGED_CODES
