"""The work of one `manage.py deliver`: it turns ledgers into mails, and sends them."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import close_old_connections

from accounts.mails import send_account_mails
from bookings.services.announcements import (
    ended_announcements,
    read_announcement,
    store_numbers,
    unread_announcements,
)
from bookings.services.link_mails import send_link_mails
from bookings.services.mails import send_mails
from bookings.services.notifications import add_positions, events_with_news, read_part, skip_all
from ticks.db.outgoing import Pause
from ticks.mails import SendResult

log = logging.getLogger("bookings.delivery")
# No part of a ledger is begun after this time, rests included; then mails that wait have their turn.
READ_SECONDS = 2
# Bookings on the same machine or database go first. While ledgers grow, it rests after each full part of one, and after
# sending if something is left to read: so many times as long as that took, but not longer than this.
REST_FACTOR, LONGEST_REST_SECONDS = 3, 3
# While it rests, it looks this often whether it is to stop.
STEP_SECONDS = 0.1


class Delivery:
    """The work of one process. Any number of processes may work on one database, and each may end at any time.

    `is_stopping` says when the work is to end early. A mail that is just being sent is still marked.
    """

    def __init__(self, *, is_stopping: Callable[[], bool] = lambda: False):
        self.is_stopping = is_stopping
        self.mail_server, self.database = Pause(), Pause()
        self.sent = self.failed = 0
        # What `events_with_news` found at the last look, and whether ledgers had grown since the look before.
        self.news: dict[int, int] | None = None
        self.is_growing = False

    def run_once(self) -> bool:
        """Reads what is new and sends some of what is due. Returns whether there may be more to do at once.

        Nothing is raised: what failed is logged, and is tried again after a pause.
        """
        if self.database.is_on():
            return False
        try:
            close_old_connections()
            is_behind = self.read()
            began = time.monotonic()
            has_more = self.send() or is_behind
            if is_behind:
                self.rest_since(began)
        except Exception:
            # No caller could do better than to try again.
            log.warning("The delivery was interrupted, and is tried again.", exc_info=True)
            self.database.begin()
            return False
        self.database.end()
        return has_more

    def read(self) -> bool:
        """Reads the ledgers of events with news. Returns whether there is more to read."""
        if not settings.MAIL_ENABLED:
            skip_all()
            return False
        news = events_with_news()
        self.is_growing = self.news is not None and not news.items() <= self.news.items()
        self.news = news
        if news:
            add_positions()
        until = time.monotonic() + READ_SECONDS
        has_more = self.read_parts(read_part, list(news), name="The ledger of event", until=until)
        # They come after the ledgers, which have what happened before.
        has_more |= self.read_parts(read_announcement, unread_announcements(), name="Announcement", until=until)
        has_more |= self.read_parts(store_numbers, ended_announcements(), name="Announcement", until=until)
        return has_more

    def read_parts(self, read: Callable[[int], bool], pks: Sequence[int], *, name: str, until: float) -> bool:
        left = deque(pks)
        # A part of each after the other, so that one with much to read keeps no other waiting.
        while left and time.monotonic() < until and not self.is_stopping():
            pk, began = left.popleft(), time.monotonic()
            try:
                if read(pk):
                    left.append(pk)
                    self.rest_since(began)
            except Exception:
                # The others do not wait for this one.
                log.warning("%s %s is read later.", name, pk, exc_info=True)
        return bool(left)

    def rest_since(self, began: float) -> None:
        """Rests in proportion to the work since `began`, if ledgers grow. Ends early if the process is to stop."""
        if not self.is_growing:
            return
        now = time.monotonic()
        until = now + min(REST_FACTOR * (now - began), LONGEST_REST_SECONDS)
        while time.monotonic() < until and not self.is_stopping():
            time.sleep(STEP_SECONDS)

    def send(self) -> bool:
        """Sends some mails. Returns whether there may be more to send at once."""
        if not settings.MAIL_ENABLED or self.mail_server.is_on():
            return False
        result = SendResult()
        # Whoever has asked for a link waits for it, so these mails go first.
        for send_due in (send_account_mails, send_link_mails, send_mails):
            result += send_due(is_stopping=self.is_stopping)
            if result.is_server_gone:
                break
        self.sent += result.sent
        self.failed += result.failed
        if result.sent or not result.is_server_gone:
            self.mail_server.end()
        if result.is_server_gone:
            self.mail_server.begin()
            return False
        return result.sent + result.failed + result.dropped > 0
