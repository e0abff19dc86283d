"""A guided tour: which of our functions one booking enters on its way from the request to COMMIT, in their order.

`.venv/bin/python -m pytest bookings/tests/test_tour.py -s` prints both ways. The limits keep the ways short: whoever
reads along opens each of these functions.
"""

import asyncio
import json
import sys
import threading
from pathlib import Path

import pytest
from django.conf import settings

from accounts import tokens
from accounts.tests.factories import UserFactory
from bookings.api.fast_path import FastPath
from bookings.models import Booking
from bookings.services.batch_queue import BatchQueue
from bookings.services.batches import queue
from bookings.tests.factories import EventFactory
from ticks.server.worker import Worker
from ticks.tests.server.test_app import Headers, scope

# The limits on functions and on files. MariaDB's backend has nine or ten of the functions in two files.
LIMITS = {"fast path": (105, 27), "viewset": (125, 32)}
APPS = tuple(f"{settings.BASE_DIR}/{app}/" for app in ("ticks", "accounts", "events", "bookings"))


class Tour:
    """Records the functions of the apps that any thread enters, until a transaction is committed."""

    def __init__(self):
        self.entered: dict[tuple[str, str], None] = {}
        self.translations: list[str] = []
        self.is_on = False
        # Released each time the queue's thread begins to wait for a batch.
        self.waits = threading.Semaphore(0)

    def look(self, frame, event, called) -> None:
        if event == "call" and frame.f_code is BatchQueue.next_batch.__code__:
            self.waits.release()
        if not self.is_on:
            return
        if event == "c_call" and called.__name__ == "commit":
            self.is_on = False
        elif event == "call":
            code = frame.f_code
            if code.co_qualname in ("gettext", "ngettext"):
                self.translations.append(code.co_filename)
            if code.co_filename.startswith(APPS) and "/tests/" not in code.co_filename and code.co_name[0] != "<":
                path = str(Path(code.co_filename).relative_to(settings.BASE_DIR))
                self.entered.setdefault((path, code.co_qualname))


class Protocol:
    """Stands in for granian's protocol object of a request."""

    def __init__(self, body):
        self.body, self.status = body, None

    async def __call__(self):
        return self.body

    def response_bytes(self, status, headers, body):
        self.status = status


@pytest.fixture
def tour(transactional_db):
    tour = Tour()
    before = sys.getprofile()
    threading.setprofile(tour.look)
    sys.setprofile(tour.look)
    yield tour
    sys.setprofile(before)
    threading.setprofile(None)


def scope_of_booking(body, token, *, key):
    headers = {
        "host": "localhost",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "authorization": f"Bearer {token}",
        "idempotency-key": key,
    }
    return scope(method="POST", path="/api/v1/booking", headers=Headers(list(headers.items())))


async def book(tour, body, token):
    loop = asyncio.get_running_loop()
    worker = Worker(FastPath, queue(), keep_up=None)
    worker.loop, worker.fast_path = loop, FastPath(loop, worker.threads)
    # The first booking connects the only thread. Another might have to connect for the second one.
    worker.queue.threads = 1
    worker.queue.start()
    # The first one loads the routes and fills caches.
    await worker.__rsgi__(scope_of_booking(body, token, key="first"), Protocol(body))
    # The queue's thread goes on after the answer. It must wait for a batch again, as it does before most bookings: it
    # has waited once since it was started, and waits again after the first booking.
    for _ in range(2):
        assert tour.waits.acquire(timeout=10)
    protocol = Protocol(body)
    tour.is_on = True
    await worker.__rsgi__(scope_of_booking(body, token, key="tour"), protocol)
    worker.threads.shutdown()
    return protocol.status


@pytest.mark.parametrize("way", LIMITS)
def test_way_of_a_booking_is_short(tour, settings, way):
    settings.FAST_PATH = way == "fast path"
    settings.GROUP_BOOKING = True
    queue.cache_clear()
    event = EventFactory(total_tickets=5)
    token = tokens.log_in(UserFactory())["token"]
    body = {"eventId": event.pk, "firstName": "Ada", "lastName": "L", "email": "ada@example.org", "ticketsReserved": 2}

    status = asyncio.run(book(tour, json.dumps(body).encode(), token))
    queue().stop()
    queue.cache_clear()

    assert (status, Booking.objects.count()) == (201, 2)
    files = dict.fromkeys(path for path, _ in tour.entered)
    print(f"\nThrough the {way}: {len(tour.entered)} functions in {len(files)} files.")  # noqa: T201
    for path, function in tour.entered:
        print(f"  {path:40} {function}")  # noqa: T201
    # A sentence that nobody reads costs 5 us, which is a fortieth of a booking.
    assert tour.translations == []
    assert len(tour.entered) <= LIMITS[way][0]
    assert len(files) <= LIMITS[way][1]
