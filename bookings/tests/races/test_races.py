"""Races with threads and real commits, and controls without the lock."""

import random
import sqlite3
import threading
from collections import Counter
from contextlib import nullcontext

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from bookings.enums import BookingStatus
from bookings.exceptions import KeyInFlight
from bookings.models import Booking, LedgerEntry
from bookings.services import batches, inventory, sql
from bookings.services.batch_queue import Batch
from bookings.services.booking import BookingJob, BookingRequest, Receipt, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import change_event
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.verification import verify_events
from bookings.services.waitlist import move_in_waitlist, serve_out_of_turn
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.threads import TIMEOUT_SECONDS, run_together
from events.models import Event
from ticks.exceptions import Refusal

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 50


@pytest.fixture(params=["groups", "one by one"])
def _both_ways(request, settings):
    """Runs with and without batches. With batches one thread of a process writes at a time; without, all threads do."""
    settings.GROUP_BOOKING = request.param == "groups"


both_ways = pytest.mark.usefixtures("_both_ways")


def ask_for_one(event):
    return book_tickets(BookingRequest(event_id=event.pk, tickets=1, first_name="Ada")).booking.status


def held(event):
    return Booking.objects.filter(event=event, status="completed").aggregate(n=Sum("tickets_reserved"))["n"] or 0


def findings():
    return [finding for report in verify_events() for finding in report.findings]


@both_ways
def test_last_ticket_is_sold_once():
    event = EventFactory(total_tickets=1, waitlist_enabled=False)

    results = run_together(CROWD, lambda _: ask_for_one(event))

    told = Counter(result if isinstance(result, str) else result.code for result in results)
    assert told == {"completed": 1, "sold_out": CROWD - 1}
    assert held(event) == 1
    assert findings() == []


@both_ways
def test_crowd_waits_in_one_unbroken_line():
    event = EventFactory(total_tickets=1)

    results = run_together(CROWD, lambda _: ask_for_one(event))

    assert Counter(results) == {"completed": 1, "waitlisted": CROWD - 1}
    assert findings() == []


@pytest.fixture
def ask_unlocked(monkeypatch):
    """Books without the lock, with the race window wide open: all threads have read before one writes.

    Then they write one after the other. If they wrote at once, MariaDB's lock on the event for the foreign key would
    make them deadlock, and read again on the retry. That would be luck, not a guard.
    """
    everybody_has_read = threading.Barrier(CROWD)
    writing = threading.Lock()
    write = batches.write

    def write_when_all_have_read(*args, **kwargs):
        everybody_has_read.wait(TIMEOUT_SECONDS)
        writing.acquire(timeout=TIMEOUT_SECONDS)
        return write(*args, **kwargs)

    monkeypatch.setattr(batches, "lock_events", Event.objects.in_bulk)
    monkeypatch.setattr(batches, "write", write_when_all_have_read)

    def ask(event, *, digest=None, **changes):
        request = BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", **changes)
        try:
            # Each job runs by itself, as if it were the only one in its process.
            order = BookingJob(request, digest=digest)
            receipt = batches.Attempt(Batch([order])).run()[order]
            return receipt.booking.status
        finally:
            writing.release()

    return ask


@pytest.mark.mariadb
def test_control_without_lock_and_ledger_oversells(monkeypatch, ask_unlocked):
    monkeypatch.setattr(sql, "insert_entries", lambda *args: [])
    event = EventFactory(total_tickets=1, waitlist_enabled=False)

    results = run_together(CROWD, lambda _: ask_unlocked(event))

    assert Counter(results) == {"completed": CROWD}
    assert held(event) == CROWD
    assert any("oversold" in finding for finding in findings())


@pytest.mark.mariadb
def test_control_without_lock_the_ledger_stops_the_second_sale(ask_unlocked):
    """The ledger's unique number is the last guard. No ticket is sold twice, but the crowd gets errors."""
    event = EventFactory(total_tickets=1, waitlist_enabled=False)

    results = run_together(CROWD, lambda _: ask_unlocked(event))

    assert Counter(map(type, results)) == {BookingStatus: 1, IntegrityError: CROWD - 1}
    assert held(event) == 1


@pytest.mark.mariadb
def test_what_is_read_after_the_lock_was_committed_last():
    event = EventFactory()

    with transaction.atomic():
        before = Booking.objects.count()
        run_together(1, lambda _: ask_for_one(event))
        locked = inventory.lock_event(event.pk)
        after = Booking.objects.count()

    assert (before, after, locked.available_tickets) == (0, 1, 9)


@pytest.mark.embedded
def test_transaction_on_sqlite_keeps_other_writers_out_from_its_beginning():
    # Two that read first and write then would have to fail, however long they wait.
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0)

    with transaction.atomic(), pytest.raises(sqlite3.OperationalError, match="database is locked"):
        other.execute("BEGIN IMMEDIATE")

    other.close()


@both_ways
def test_one_key_in_twenty_requests_books_once():
    event = EventFactory(total_tickets=100)
    request = BookingRequest(event_id=event.pk, tickets=2, first_name="Ada", email="ada@example.org")

    answers = run_together(20, lambda _: book_tickets(request, key="one-key"))

    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    others = {type(answer) for answer in answers if not isinstance(answer, Receipt)}
    assert others <= ({KeyInFlight} if connection.vendor == "mysql" else set())
    assert len({receipt.booking.pk for receipt in receipts}) == 1
    assert len({receipt.token for receipt in receipts}) == 1
    assert Counter(receipt.is_replayed for receipt in receipts)[False] == 1
    assert held(event) == 2


@both_ways
def test_one_key_on_two_events_books_one_of_them():
    events = [EventFactory(), EventFactory()]

    def book(number):
        return book_tickets(BookingRequest(event_id=events[number % 2].pk, tickets=1, first_name="Ada"), key="same")

    results = run_together(8, book)

    assert Booking.objects.count() == 1
    told = Counter(getattr(result, "code", "booked") for result in results)
    assert told["booked"] <= 4
    assert told["idempotency_key_reused"] <= 4
    in_flight = {"idempotency_key_in_flight"} if connection.vendor == "mysql" else set()
    assert told.keys() <= {"booked", "idempotency_key_reused", *in_flight}


@pytest.mark.mariadb
def test_control_without_lock_one_key_gets_errors(monkeypatch, ask_unlocked):
    """No request finds the key. Its unique index is the last guard, and the retries get no answer."""
    monkeypatch.setattr(batches, "lock_keys", nullcontext)
    monkeypatch.setattr(sql, "insert_entries", lambda *args: [])
    event = EventFactory(total_tickets=100)

    results = run_together(CROWD, lambda _: ask_unlocked(event, digest="one key"))

    assert Counter(map(type, results)) == {BookingStatus: 1, IntegrityError: CROWD - 1}


@both_ways
def test_cancelling_at_once_frees_once():
    event = EventFactory(total_tickets=4)
    booking = BookingFactory(event=event, tickets=4)

    results = run_together(20, lambda _: cancel_tickets(booking))

    told = Counter(getattr(result, "code", "cancelled") for result in results)
    assert told == {"cancelled": 1, "already_cancelled": 19}
    event.refresh_from_db()
    assert event.available_tickets == 4
    assert findings() == []


@both_ways
def test_one_ticket_a_user_holds_at_once(admin_user):
    event = EventFactory(total_tickets=10)
    request = BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", user=admin_user, is_only_one=True)

    results = run_together(20, lambda _: book_tickets(request))

    assert Counter(getattr(result, "code", "booked") for result in results) == {"booked": 1, "already_booked": 19}


@pytest.mark.mariadb
def test_control_without_lock_one_user_gets_errors(monkeypatch, ask_unlocked, admin_user):
    """No request sees the other's seat. The unique holder is the last guard."""
    monkeypatch.setattr(sql, "insert_entries", lambda *args: [])
    event = EventFactory(total_tickets=100)

    results = run_together(CROWD, lambda _: ask_unlocked(event, user=admin_user, is_only_one=True))

    assert Counter(map(type, results)) == {BookingStatus: 1, IntegrityError: CROWD - 1}


@both_ways
@pytest.mark.parametrize("is_guest", [True, False])
def test_person_who_asks_many_times_at_once_gets_the_limit(admin_user, is_guest):
    event = EventFactory(total_tickets=100, max_tickets_per_person=4)
    person = {"email": "ada@example.org"} if is_guest else {"user": admin_user}
    request = BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", **person)

    results = run_together(20, lambda _: book_tickets(request))

    assert Counter(getattr(result, "code", "booked") for result in results) == {"booked": 4, "person_limit": 16}
    assert held(event) == 4
    assert findings() == []


@pytest.mark.mariadb
def test_control_without_lock_a_person_gets_more_than_the_limit(monkeypatch, ask_unlocked):
    """Each request counts what the person had before any of the others wrote."""
    monkeypatch.setattr(sql, "insert_entries", lambda *args: [])
    event = EventFactory(total_tickets=100, max_tickets_per_person=4)

    results = run_together(CROWD, lambda _: ask_unlocked(event, email="ada@example.org"))

    assert Counter(results) == {"completed": CROWD}


@both_ways
def test_bookings_that_are_moved_to_one_person_at_once_keep_to_the_limit(admin_user):
    event = EventFactory(total_tickets=100, max_tickets_per_person=4)
    bookings = BookingFactory.create_batch(8, event=event, user=None)
    grace = Holder("Grace", "Hopper", "grace@example.org")

    results = run_together(8, lambda number: transfer_booking(bookings[number], holder=grace, actor=admin_user))

    assert Counter(getattr(result, "code", "moved") for result in results) == {"moved": 4, "person_limit": 4}
    assert Booking.objects.filter(event=event, email="grace@example.org").count() == 4
    assert findings() == []


@both_ways
def test_mixed_run_keeps_every_promise():
    threads, operations = 48, 2000 if connection.vendor == "mysql" else 480
    events = [
        EventFactory(total_tickets=60),
        EventFactory(total_tickets=40, waitlist_policy="strict"),
        EventFactory(total_tickets=30, waitlist_enabled=False),
    ]
    admin = events[0].created_by

    def work(number):
        chance = random.Random(number)  # noqa: S311 (the same dice each run)
        mine, told = [], Counter()
        for _ in range(operations // threads + 1):
            try:
                told[operate(chance, mine)] += 1
            except Refusal as refusal:
                told[refusal.code] += 1
        return told

    def operate(chance, mine):
        event = chance.choice(events)
        dice = chance.random()
        if dice < 0.55 or not mine:
            request = BookingRequest(event_id=event.pk, tickets=chance.randint(1, 5), first_name="Ada")
            mine.append(book_tickets(request).booking)
            return "booked"
        if dice < 0.75:
            cancel_tickets(chance.choice(mine), tickets=1)
            return "reduced"
        if dice < 0.97:
            cancel_tickets(mine.pop(chance.randrange(len(mine))))
            return "cancelled"
        change_event(event.pk, changes={"total_tickets": chance.randint(30, 80)}, actor=admin)
        return "resized"

    results = run_together(threads, work)

    assert [result for result in results if not isinstance(result, Counter)] == []
    told = sum(results, Counter())
    assert told.total() >= operations
    assert min(told["booked"], told["reduced"], told["cancelled"], told["resized"]) > 0
    assert LedgerEntry.objects.filter(kind="promoted").exists()
    assert findings() == []


@pytest.mark.mariadb
@both_ways
def test_waitlist_by_hand_beside_the_public_keeps_every_promise():
    threads, turns = 16, 25
    events = [EventFactory(total_tickets=12), EventFactory(total_tickets=12, waitlist_policy="strict")]
    manager = events[0].created_by
    for event in events:
        BookingFactory.create_batch(16, event=event, tickets=2)

    def work(number):
        chance = random.Random(number)  # noqa: S311 (the same dice each run)
        told = Counter()
        for _ in range(turns):
            try:
                told[operate(chance)] += 1
            except Refusal as refusal:
                told[refusal.code] += 1
        return told

    def operate(chance):
        event = chance.choice(events)
        # This is the state before the lock: others may have served or cancelled the booking meanwhile.
        waiting = list(Booking.objects.filter(event=event).waitlisted()[:20])
        dice = chance.random()
        if dice < 0.35 or not waiting:
            book_tickets(BookingRequest(event_id=event.pk, tickets=chance.randint(1, 3), first_name="Ada"))
            return "booked"
        booking = chance.choice(waiting)
        if dice < 0.6:
            move_in_waitlist(booking, position=chance.randint(1, 8), reason="Why", actor=manager)
            return "moved"
        if dice < 0.75:
            serve_out_of_turn(booking, reason="Why", actor=manager, adds=chance.random() < 0.3)
            return "served"
        cancel_tickets(chance.choice([booking, Booking.objects.filter(event=event).live().first()]), actor=manager)
        return "cancelled"

    results = run_together(threads, work)

    assert [result for result in results if not isinstance(result, Counter)] == []
    told = sum(results, Counter())
    assert told.total() == threads * turns
    assert min(told["booked"], told["moved"], told["served"], told["cancelled"]) > 0
    assert findings() == []
