"""The fast lane: bookings and reads of an event's status that need nothing of Django or DRF.

It takes the plain, wholly valid request alone; in the slightest doubt it lets Django have it. It holds no rule:
tokens, fields, throttle, service, wording, envelope and log line are those of the viewsets in `bookings.views`.
"""

import logging
import threading

from django.db import connection

from bookings.lane.booking import BookingVisit
from bookings.lane.status import STATUS_PATH, StatusVisit, polls
from bookings.lane.visits import Visit
from bookings.services.counter import LEADERS
from bookings.services.groups import counter
from ticks.lane import Head, is_plain

log = logging.getLogger("ticks.lane")
BOOKING_PATH = "/api/v1/booking"


class Lane:
    """One process's: finds the visit that a request is, and has threads that ask the database for it."""

    def visit(self, head: Head) -> Visit | None:
        if head.path == BOOKING_PATH:
            kind = BookingVisit
        elif head.path.startswith(STATUS_PATH):
            kind = StatusVisit
        else:
            return None
        return kind(head) if is_plain(head) and kind.takes(head) else None

    def open(self) -> None:
        """Starts its threads, each with a database connection of its own once it is needed."""
        called = threading.Semaphore(0)
        counter().summon = called.release
        for _ in range(LEADERS):
            threading.Thread(target=lead_when_called, args=[called], name="lane", daemon=True).start()
        threading.Thread(target=polls.run, name="polls", daemon=True).start()

    def look(self) -> None:
        """Now and then, for those who have waited too long."""
        counter().look()


def lead_when_called(called: threading.Semaphore) -> None:
    while True:
        called.acquire()
        try:
            # One that was closed, or has grown old, while nobody came.
            connection.close_if_unusable_or_obsolete()
            counter().lead()
        except Exception:
            # Those of the group know; without its threads the lane would leave the next ones waiting.
            log.exception("A group of bookings failed.")
