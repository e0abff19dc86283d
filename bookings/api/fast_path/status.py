import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.exceptions import SessionEnded
from accounts.services import holders_of_sessions
from bookings.api.fast_path.visits import Caller, Visit
from bookings.api.views import status_answer
from events.exceptions import EventNotFound
from events.models import counts_of
from ticks.api.envelope import success
from ticks.db.outage import drop_if_lost
from ticks.parsing import parse_id
from ticks.server.fast_path import Head

STATUS_PATH = "/api/v1/booking/status/"


class Poll:
    """One read of an event's counts; `done` is called with it, from the thread that read them."""

    done: Callable[["Poll"], None]

    def __init__(self, event_id: int, caller: Caller | None):
        self.event_id, self.caller = event_id, caller
        self.result: Any = None


class Polls:
    """Reads whatever was asked for meanwhile with one query, in a thread of its own."""

    def __init__(self):
        self.waiting: deque[Poll] = deque()
        self.called = threading.Semaphore(0)

    def put(self, poll: Poll) -> None:
        self.waiting.append(poll)
        self.called.release()

    def run(self) -> None:
        while True:
            self.called.acquire()
            polls = [self.waiting.popleft() for _ in range(len(self.waiting))]
            if polls:
                with suppress(Exception):
                    # One that was closed, or has grown old.
                    connection.close_if_unusable_or_obsolete()
                read(polls)
                for poll in polls:
                    poll.done(poll)


polls = Polls()


def read(polls: Sequence[Poll]) -> None:
    """Sets each poll's result: its event's counts, or an error that Django will meet too."""
    try:
        counts = counts_of({poll.event_id for poll in polls})
        holders = holders_of_sessions({poll.caller.session for poll in polls if poll.caller}, now=timezone.now())
    except Exception as error:
        # Whatever it is, nobody waits for ever.
        with suppress(Exception):
            drop_if_lost(error)
        for poll in polls:
            poll.result = error
        return
    for poll in polls:
        if poll.caller and holders.get(poll.caller.session) != poll.caller.pk:
            poll.result = SessionEnded()
        else:
            poll.result = counts.get(poll.event_id) or EventNotFound()


class StatusVisit(Visit):
    allow = "GET, HEAD, OPTIONS"

    @staticmethod
    def takes(head: Head) -> bool:
        headers = head.headers
        return head.method == "GET" and headers.get("content-length", "0") == "0" and "idempotency-key" not in headers

    def read(self, body: bytes) -> Poll | None:
        event_id = parse_id(self.head.path.removeprefix(STATUS_PATH))
        return None if event_id is None else Poll(event_id, self.caller)

    def put(self, poll: Poll) -> None:
        polls.put(poll)

    def success(self, counts: tuple[int, int]) -> tuple[int, dict[str, str], dict | None]:
        message, data, headers = status_answer(counts, known=self.head.headers.get("if-none-match"))
        if data is None:
            return 304, headers, None
        return 200, headers, success(message, data)
