"""What one `manage.py deliver` does in turns: it reads news, and it sends."""

import logging
import random
import time
from collections.abc import Callable

from django.conf import settings
from django.db import close_old_connections

from bookings.services.news import add_positions, events_with_news, pass_all, read_part
from bookings.services.sending import send_some

log = logging.getLogger("bookings.delivery")
# A turn reads for this long at most. Then mails that wait have their turn.
READ_SECONDS = 2
# While the mail server is away, it is tried after these pauses, which double.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1, 60


class Delivery:
    """The work of one process. Any number of processes may work on one database, and each may end at any time.

    `is_stopping` says when the turn is to end early. A mail that is just being sent is still marked.
    """

    def __init__(self, *, is_stopping: Callable[[], bool] = lambda: False):
        self.is_stopping = is_stopping
        self.failures = 0
        # Until this time the mail server is not tried.
        self.away_until = 0.0
        self.sent = self.failed = 0

    def turn(self) -> bool:
        """Reads what is new and sends some of what is due. Returns whether there may be more to do at once.

        Nothing is raised: what failed is logged, and is done in a later turn.
        """
        close_old_connections()
        try:
            has_read = self.read()
            return self.send() or has_read
        except Exception:
            # No caller could do better than the next turn does.
            log.warning("Deliveries were interrupted, and are tried again.", exc_info=True)
            return False

    def read(self) -> bool:
        if not settings.MAIL_ON:
            pass_all()
            return False
        until = time.monotonic() + READ_SECONDS
        event_ids, has_read = events_with_news(), False
        if event_ids:
            add_positions()
        # A part of each event after the other, so that an event with much news keeps no other waiting.
        while event_ids and time.monotonic() < until and not self.is_stopping():
            event_ids = [event_id for event_id in event_ids if self.read_part(event_id)]
            has_read = has_read or bool(event_ids)
        return has_read

    def read_part(self, event_id: int) -> int:
        try:
            return read_part(event_id)
        except Exception:
            # The other events do not wait for this one.
            log.warning("The ledger of event %s is read later.", event_id, exc_info=True)
            return 0

    def send(self) -> bool:
        if not settings.MAIL_ON or time.monotonic() < self.away_until:
            return False
        outcome = send_some(is_stopping=self.is_stopping)
        self.sent += outcome.sent
        self.failed += outcome.failed
        if outcome.sent:
            self.failures = 0
        if outcome.is_away:
            self.failures += 1
            pause = min(FIRST_PAUSE_SECONDS * 2 ** min(self.failures - 1, 20), LONGEST_PAUSE_SECONDS)
            self.away_until = time.monotonic() + pause * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)
            return False
        if outcome.sent or outcome.failed:
            self.failures = 0
        return outcome.sent + outcome.failed > 0
