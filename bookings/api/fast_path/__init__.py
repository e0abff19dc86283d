"""The fast lane: bookings and reads of an event's status that need nothing of Django or DRF.

It takes the plain, wholly valid request alone; in the slightest doubt it lets Django have it. It holds no rule:
tokens, fields, throttle, service, wording, envelope and log line are those of the viewsets in `bookings.api.views`.
"""

import threading

from bookings.api.fast_path.booking import BookingVisit
from bookings.api.fast_path.status import STATUS_PATH, StatusVisit, polls
from bookings.api.fast_path.visits import Visit
from bookings.services.batches import queue
from ticks.server.fast_path import Head, is_plain

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
        queue().start()
        threading.Thread(target=polls.run, name="polls", daemon=True).start()

    def look(self) -> None:
        """Now and then, for those who have waited too long."""
        queue().refuse_late()
