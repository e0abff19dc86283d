"""The change feed while transactions commit late and out of the order of their ids."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from bookings.models import FeedPart, LedgerEntry
from bookings.services import batches
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.changes import BEGINNING, changes_after, latest_changes
from bookings.tests.factories import EventFactory
from bookings.tests.threads import run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mariadb]

EVENTS, WRITERS, BOOKINGS, READERS = 8, 16, 12, 3
# The database may keep a booking waiting for a second.
LATEST_SECONDS = 0.12


@pytest.fixture
def events(settings, monkeypatch):
    """Events whose bookings commit up to a tenth of a second after they have got the ids of their entries."""
    settings.GROUP_BOOKING = False
    write = batches.write

    def write_and_wait(*args, **kwargs):
        rows = write(*args, **kwargs)
        time.sleep(random.choice([0, 0, LATEST_SECONDS]))  # noqa: S311 (no secret)
        return rows

    monkeypatch.setattr(batches, "write", write_and_wait)
    return [EventFactory(total_tickets=1000) for _ in range(EVENTS)]


class FeedReader:
    def __init__(self):
        self.cursor, self.read = BEGINNING, []

    def step(self) -> bool:
        """Reads a page. Returns whether it was the end."""
        entries, end = changes_after(self.cursor, limit=7)
        self.read += [(entry.event_id, entry.sequence) for entry in entries]
        is_end, self.cursor = end == self.cursor, end
        return is_end


class IdReader:
    """Takes the largest id that it has read for a cursor."""

    def __init__(self):
        self.cursor, self.read = 0, []

    def step(self) -> bool:
        entries = list(LedgerEntry.objects.filter(pk__gt=self.cursor).order_by("pk")[:7])
        self.read += [(entry.event_id, entry.sequence) for entry in entries]
        self.cursor = entries[-1].pk if entries else self.cursor
        return not entries


def read_during_a_crowd(events, readers):
    """Each reader goes on until the last booking is committed, and then to the end."""
    is_over = threading.Event()

    def follow(reader):
        try:
            while not (reader.step() and is_over.is_set()):
                pass
            # What was committed since the last look.
            while not reader.step():
                pass
        finally:
            connection.close()

    def book(number):
        for place in range(BOOKINGS):
            event = events[(number + place) % EVENTS]
            book_tickets(BookingRequest(event_id=event.pk, tickets=1, first_name="Ada"))

    with ThreadPoolExecutor(len(readers)) as pool:
        following = [pool.submit(follow, reader) for reader in readers]
        results = run_together(WRITERS, book)
        is_over.set()
        for one in following:
            one.result()
    assert results == [None] * WRITERS
    connections.close_all()
    return {(event, n) for event, last in latest_changes([e.pk for e in events]).items() for n in range(1, last + 1)}


def test_feed_skips_no_late_commit(events):
    readers = [FeedReader() for _ in range(READERS)]

    committed = read_during_a_crowd(events, readers)

    assert len(committed) == EVENTS + WRITERS * BOOKINGS
    for reader in readers:
        assert len(reader.read) == len(committed)
        assert set(reader.read) == committed
        for event in events:
            sequences = [sequence for event_id, sequence in reader.read if event_id == event.pk]
            assert sequences == sorted(sequences)
        assert reader.read == readers[0].read
    numbers = list(FeedPart.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))


def test_control_a_cursor_that_is_an_id_skips_late_commits(events):
    reader = IdReader()

    committed = read_during_a_crowd(events, [reader])

    assert set(reader.read) < committed


def test_readers_do_not_wait_for_a_locked_event_nor_the_other_way_round(events):
    """A part names an event, but locks nothing of it."""
    reader = FeedReader()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM events_event WHERE id = %s FOR UPDATE", [events[0].pk])
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            pool.submit(lambda: (reader.step(), connection.close())).result()
        seconds = time.monotonic() - began
        cursor.execute("ROLLBACK")

    assert len(reader.read) == 7
    # A lock wait would last a second.
    assert seconds < 0.9
