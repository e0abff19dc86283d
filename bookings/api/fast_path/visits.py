"""What the requests of the lane have in common: who asks, the throttle, how an answer leaves."""

import time
from typing import Any

from rest_framework_simplejwt.exceptions import InvalidToken

from accounts.authentication import bearer_token
from accounts.callers import Caller, caller_of
from accounts.exceptions import SessionEnded
from accounts.tokens import read_access_token
from ticks.api.throttling import allow, network_of, take_back
from ticks.exceptions import Refusal
from ticks.server.fast_path import Answer, Head, address_parts, answer_with, refusal_body


class Visit:
    """One request on its way: `order` reads it, `put` has it served, `answer` says what became of it."""

    has_body = False
    allow: str

    def __init__(self, head: Head):
        self.head = head
        self.caller: Caller | None = None

    @staticmethod
    def takes(head: Head) -> bool:
        """Whether a plain head is one of this kind's."""
        raise NotImplementedError

    def read(self, body: bytes) -> Any:
        """The order; or None, or any error, where it is not for the lane."""
        raise NotImplementedError

    def order(self, body: bytes) -> Any:
        """What is to be served; None: not for the lane, and nothing was counted."""
        # As in Django, whose clock starts when the body has come: how long that takes is up to the client.
        self.head.began = time.perf_counter()
        try:
            self.caller = self.identify()
            order = self.read(body)
        except Exception:
            # Whatever it is, Django meets it too, and has words for it.
            return None
        # Who is refused is not counted, and Django says so.
        return order if order is not None and allow(*self.counted_as()) else None

    def identify(self) -> Caller | None:
        """Who the token names, None for a guest."""
        header = self.head.headers.get("authorization")
        if header is None:
            return None
        caller = caller_of(read_access_token(bearer_token(header)))
        if caller is None:
            raise InvalidToken
        return caller

    def counted_as(self) -> tuple[str, str]:
        if self.caller:
            return "user", str(self.caller.pk)
        return "guest", network_of(address_parts(self.head))

    def put(self, order: Any) -> None:
        """Has it served by some thread, which calls `order.done`."""
        raise NotImplementedError

    def is_unsettled(self, order: Any) -> bool:
        """Whether `settle`, which takes its time, finds out what became of it."""
        return False

    def settle(self, order: Any) -> None:
        raise NotImplementedError

    def success(self, result: Any) -> tuple[int, dict[str, str], dict | None]:
        """Status, headers and body. Raises what Django refuses."""
        raise NotImplementedError

    def answer(self, order: Any) -> Answer | None:
        """None: nothing was done, and Django is to say why."""
        result = order.result
        if isinstance(result, SessionEnded) or (isinstance(result, Exception) and not isinstance(result, Refusal)):
            take_back(*self.counted_as())
            return None
        if isinstance(result, Refusal):
            status, headers, body = refusal_body(self.head, result)
        else:
            status, headers, body = self.success(result)
        user = self.caller and self.caller.pk
        return answer_with(self.head, body, status=status, user=user, headers=headers, allow=self.allow)
