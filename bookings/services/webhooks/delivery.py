"""The webhooks' part of one `manage.py deliver`: it reads the feed, and sends what is due, many messages at once.

Requests wait in one event loop, so a receiver that hangs holds up nobody else. Whatever asks the database does so in
one thread beside the loop, over one connection."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections, connections
from django.utils import timezone

from bookings.services.webhooks.feed import read_feed
from bookings.services.webhooks.sending import (
    AttemptOutcome,
    Draft,
    lease_drafts,
    record_outcomes,
    send_draft,
    webhooks_with_due,
)
from ticks import outbound
from ticks.db.outgoing import Pause, backoff
from ticks.exceptions import Refusal

log = logging.getLogger("bookings.webhooks")
POLL_SECONDS = 1
# So many requests of this process wait at once for one receiver, and for all of them.
AT_ONE_RECEIVER, AT_ALL = 8, 200
# After so many failures in a row, with no success in between, a receiver gets one message at a time, after pauses that
# double. One message that always fails does not make three in a row: it waits longer after each attempt.
AWAY_AFTER = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1, 30
# Names are looked up in threads, and some take long.
LOOKUP_THREADS = 32


class Receiver:
    """What this process knows of a receiver."""

    def __init__(self):
        self.in_flight = self.failures = 0
        self.paused_until = 0.0

    def room(self) -> int:
        """How many more requests may go to it now."""
        if self.failures < AWAY_AFTER:
            return AT_ONE_RECEIVER - self.in_flight
        return int(self.in_flight == 0 and time.monotonic() >= self.paused_until)

    def note(self, *, has_taken: bool) -> None:
        self.failures = 0 if has_taken else self.failures + 1
        if self.failures >= AWAY_AFTER:
            in_row = self.failures - AWAY_AFTER + 1
            pause = backoff(in_row, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
            self.paused_until = time.monotonic() + pause


class WebhookDelivery:
    """Any number of processes may work on one database, and each may end at any time: what it had leased and not
    recorded is sent again."""

    def __init__(self, *, is_stopping: Callable[[], bool] = lambda: False):
        self.is_stopping = is_stopping
        self.receivers: dict[int, Receiver] = {}
        self.requests: dict[asyncio.Task[AttemptOutcome | None], Draft] = {}
        self.outcomes: list[AttemptOutcome] = []
        self.read_again_at = 0.0
        self.database = Pause()
        self.sent = self.failed = 0

    def run(self, *, once: bool = False) -> None:
        """Delivers until it is stopped, or until nothing is left to do at the moment."""
        with ThreadPoolExecutor(1, "webhooks") as self.thread:
            asyncio.run(self.work(once=once))
            self.thread.submit(connections.close_all).result()

    async def work(self, *, once: bool) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, "lookups"))
        async with outbound.new_session() as session:
            while not self.is_stopping() or self.requests:
                drafts, has_read = await loop.run_in_executor(self.thread, self.use_database)
                for draft in drafts:
                    self.receivers[draft.message.webhook_id].in_flight += 1
                    self.requests[asyncio.create_task(send_draft(session, draft))] = draft
                has_more = self.requests or self.outcomes or has_read
                if once and (self.database.is_on() or not has_more):
                    return
                await self.wait(has_read=has_read)
        # It is stopping: this records what the last requests were answered.
        await loop.run_in_executor(self.thread, self.use_database)

    async def wait(self, *, has_read: bool) -> None:
        """Waits for the end of a request, or for the time to look again."""
        seconds = 0 if has_read else POLL_SECONDS
        if not self.requests:
            await asyncio.sleep(seconds)
            return
        done, _ = await asyncio.wait(self.requests, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for request in done:
            receiver = self.receivers[self.requests.pop(request).message.webhook_id]
            receiver.in_flight -= 1
            if outcome := request.result():
                receiver.note(has_taken=outcome.has_taken)
                self.sent += outcome.has_taken
                self.failed += not outcome.has_taken
                self.outcomes.append(outcome)

    def use_database(self) -> tuple[list[Draft], bool]:
        """Records what was answered, reads the feed, and leases what is to be sent next. Returns this, and whether
        there may be more to read.

        Nothing is raised: what failed is logged, and is tried again after a pause.
        """
        if self.database.is_on():
            return [], False
        try:
            close_old_connections()
            self.record()
            if self.is_stopping():
                return [], False
            # What is leased waits until its lease ends if this is interrupted, so nothing comes after it.
            has_read = self.read()
            drafts = self.lease()
        except Exception:
            # No caller could do better than to try again.
            log.warning("Webhooks were interrupted, and are tried again.", exc_info=True)
            self.database.begin()
            return [], False
        self.database.end()
        return drafts, has_read

    def record(self) -> None:
        outcomes, self.outcomes = self.outcomes, []
        try:
            record_outcomes(outcomes)
        except Refusal:
            # The database is away or busy. After any other error the messages are sent again when their leases end.
            self.outcomes = outcomes
            raise

    def read(self) -> bool:
        """Reads the feed again while it goes on, otherwise once a second: to look for its end reads all events."""
        if time.monotonic() < self.read_again_at:
            return False
        has_read = read_feed()
        self.read_again_at = 0.0 if has_read else time.monotonic() + POLL_SECONDS
        return has_read

    def lease(self) -> list[Draft]:
        drafts: list[Draft] = []
        due = webhooks_with_due(now=timezone.now())
        # Nobody is always the last one.
        random.shuffle(due)
        for webhook in due:
            room = self.receivers.setdefault(webhook.pk, Receiver()).room()
            room = min(room, AT_ALL - len(self.requests) - len(drafts))
            if room > 0:
                try:
                    drafts += lease_drafts(webhook, limit=room)
                except Exception:
                    # The others do not wait for this one, and what is leased is sent.
                    log.warning("Messages of webhook %s are leased later.", webhook.pk, exc_info=True)
        return drafts
