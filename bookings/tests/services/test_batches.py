"""Jobs of several callers in one transaction, on a real database."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.exceptions import SessionEnded
from accounts.models import LoginSession, User
from accounts.services import open_session
from accounts.tests.factories import UserFactory
from bookings.commands import Cancel, CancelSeat
from bookings.exceptions import (
    AlreadyBooked,
    AlreadyCancelled,
    BookingNotFound,
    KeyReused,
    MoreThanReserved,
    PersonLimit,
    SoldOut,
)
from bookings.models import Booking, IdempotencyKey
from bookings.services import batches, sql
from bookings.services.batch_queue import Batch, Contended
from bookings.services.batches import repeat_job, run_job
from bookings.services.booking import BookingJob, BookingRequest, Receipt, book_tickets
from bookings.services.cancellation import CancelJob, Cancellation, cancel_tickets
from bookings.services.inventory import lock_event, lock_statement
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger, statuses
from bookings.tests.threads import TIMEOUT_SECONDS, run_together
from events.exceptions import EventNotFound
from ticks.db import transactions
from ticks.db.transactions import Busy, OutcomeUnknown
from ticks.exceptions import Refusal
from ticks.tests.faults import wait_for_return
from ticks.tests.served import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
LOST = OperationalError(2013, "Lost connection to server during query")


def request_of(event, tickets=1, **changes):
    return BookingRequest(event_id=event.pk, tickets=tickets, first_name="Ada", **changes)


def booking_of(event, tickets=1, *, key=None, session_id=None, **changes):
    request = request_of(event, tickets, **changes)
    return BookingJob(request, digest=key and request.key_digest(key), session_id=session_id)


def cancelling(booking, tickets=None):
    return CancelJob(booking.event_id, Cancel(booking.pk, tickets))


def cancelling_seat(event, user):
    return CancelJob(event.pk, CancelSeat(user.pk, user))


def served(*jobs):
    batches.run_batch(Batch(jobs))
    return [said(job.result) for job in jobs]


def said(result):
    """A booking's status and position, how many a cancellation served, or the class of the error."""
    if isinstance(result, Receipt):
        return str(result.booking.status), result.booking.waitlist_position
    if isinstance(result, Cancellation):
        return result.promoted
    return type(result)


def findings():
    return [finding for report in verify_events() for finding in report.findings]


BOOKED = ("completed", None)


@pytest.fixture
def event(db):
    return EventFactory(total_tickets=10)


@pytest.fixture
def commit_count(monkeypatch):
    done = []
    commit = connection.commit
    monkeypatch.setattr(connection, "commit", lambda: (done.append(1), commit())[1])
    return done


def unknown_event(event):
    job = booking_of(event)
    job.event_id += 1000
    return job


def sold_out(event):
    event = EventFactory(total_tickets=2, waitlist_enabled=False)
    BookingFactory(event=event)
    return booking_of(event, 2)


def other_body(event):
    book_tickets(request_of(event, 2), key="used")
    return booking_of(event, 3, key="used")


def ended_session(event):
    return booking_of(event, user=UserFactory(), session_id=4711)


def twice_cancelled(event):
    booking = BookingFactory(event=event)
    cancel_tickets(booking)
    return cancelling(booking)


def too_many_back(event):
    return cancelling(BookingFactory(event=event, tickets=2), 3)


def no_seat(event):
    return cancelling_seat(event, UserFactory())


def second_seat(event):
    user = UserFactory()
    BookingFactory(event=event, user=user)
    return booking_of(event, user=user, is_only_one=True)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (unknown_event, EventNotFound),
        (sold_out, SoldOut),
        (other_body, KeyReused),
        (ended_session, SessionEnded),
        (twice_cancelled, AlreadyCancelled),
        (too_many_back, MoreThanReserved),
        (no_seat, BookingNotFound),
        (second_seat, AlreadyBooked),
    ],
)
def test_job_that_is_refused_fails_alone_in_the_same_transaction(event, commit_count, bad, error):
    bad_job = bad(event)
    before = Booking.objects.count()
    commit_count.clear()

    results = served(booking_of(event), bad_job, booking_of(event))

    assert results == [BOOKED, error, BOOKED]
    assert len(commit_count) == 1
    assert Booking.objects.count() == before + 2
    assert findings() == []


def test_job_whose_reference_is_taken_draws_another(event):
    taken = BookingFactory(event=event, user=None)
    job = booking_of(event)
    job.booking.reference = taken.reference
    token = job.token

    results = served(booking_of(event), job, booking_of(event))

    assert results == [BOOKED] * 3
    assert job.result.booking.reference != taken.reference
    assert job.result.token != token
    assert Booking.objects.filter(event=event).count() == 4
    assert findings() == []


def test_job_that_the_database_refuses_fails_alone(event):
    # No request gets this far with it. The name is longer than its column. SQLite takes any length, but not this text.
    bad = booking_of(event)
    bad.booking.first_name = "Ada " * 250 if connection.vendor == "mysql" else "\ud800"

    results = served(booking_of(event), bad, booking_of(event))

    assert results[0] == results[2] == BOOKED
    assert issubclass(results[1], Exception)
    assert not issubclass(results[1], Refusal)
    assert Booking.objects.count() == 2
    assert counts(event) == (10, 8, 0, 2)
    assert findings() == []


def test_batch_that_books_cancels_and_promotes_tells_one_story():
    event = EventFactory(total_tickets=4)
    holder = BookingFactory(event=event, tickets=4)
    first, second = BookingFactory(event=event, tickets=3), BookingFactory(event=event, tickets=2)
    part = BookingFactory(event=event, tickets=4)
    start = ledger(event)[-1][0]
    jobs = [booking_of(event, 2), cancelling(holder), booking_of(event, 1), cancelling(part, 3), booking_of(event, 1)]

    results = served(*jobs)

    # Four tickets are freed: three for the first, one that fits only the newcomer. Positions are as after the commit.
    assert results == [("waitlisted", 3), 1, ("completed", None), 0, ("waitlisted", 4)]
    assert statuses(holder, first, second) == ["cancelled", "completed", "waitlisted"]
    assert counts(event) == (4, 0, 4, 4)
    kinds = [entry[1] for entry in ledger(event, after=start)]
    assert kinds == ["waitlisted", "cancelled", "promoted", "booked", "reduced", "waitlisted"]
    assert Booking.objects.get(pk=jobs[2].result.booking.pk).status == "completed"
    assert findings() == []


@pytest.mark.parametrize("is_waiting", [False, True])
@pytest.mark.parametrize("first", ["cancellation", "seat"])
@pytest.mark.parametrize("second", ["cancellation", "seat"])
def test_two_cancellations_of_one_booking_in_a_batch_free_it_once(event, commit_count, first, second, is_waiting):
    user = UserFactory()
    held = BookingFactory(event=event, tickets=10) if is_waiting else None
    booking = book_tickets(request_of(event, user=user, is_only_one=True)).booking
    make = {"cancellation": lambda: cancelling(booking), "seat": lambda: cancelling_seat(event, user)}
    before = ledger(event)[-1][0]
    commit_count.clear()

    results = served(make[first](), make[second]())

    assert results == [0, AlreadyCancelled if second == "cancellation" else BookingNotFound]
    assert len(commit_count) == 1
    assert [entry[1] for entry in ledger(event, after=before)] == ["cancelled"]
    assert counts(event) == (10, 0 if held else 10, 0, 10 if held else 0)
    assert findings() == []


def test_booking_that_is_reduced_and_cancelled_in_one_batch_keeps_what_it_had_at_the_end(event):
    booking = BookingFactory(event=event, tickets=4)

    results = served(cancelling(booking, 1), cancelling(booking, 1), cancelling(booking))

    assert results == [0, 0, 0]
    booking.refresh_from_db()
    assert (booking.status, booking.tickets_reserved) == ("cancelled", 2)
    assert counts(event) == (10, 10, 0, 0)
    assert findings() == []


def test_booking_that_is_served_and_cancelled_in_one_batch_serves_the_next():
    event = EventFactory(total_tickets=2)
    holder, first, second = (BookingFactory(event=event, tickets=2) for _ in range(3))

    assert served(cancelling(holder), cancelling(first)) == [1, 1]
    assert statuses(holder, first, second) == ["cancelled", "cancelled", "completed"]
    assert counts(event) == (2, 0, 0, 2)
    assert findings() == []


def test_seat_that_is_given_back_is_taken_again_in_the_same_batch(event, commit_count):
    user = UserFactory()
    old = book_tickets(request_of(event, user=user, is_only_one=True)).booking
    again = [booking_of(event, user=user, is_only_one=True) for _ in range(2)]
    commit_count.clear()

    results = served(cancelling_seat(event, user), *again, booking_of(event, user=user))

    assert results == [0, BOOKED, AlreadyBooked, BOOKED]
    assert len(commit_count) == 1
    assert statuses(old, again[0].result.booking) == ["cancelled", "completed"]
    assert counts(event) == (10, 8, 0, 2)
    assert findings() == []


def test_batch_of_several_events_is_one_commit(commit_count):
    events = [EventFactory(total_tickets=2) for _ in range(3)]
    commit_count.clear()

    results = served(*(booking_of(event, 2) for event in events), booking_of(events[0]))

    assert results == [BOOKED] * 3 + [("waitlisted", 1)]
    assert len(commit_count) == 1
    assert [counts(event) for event in events] == [(2, 0, 1, 2), (2, 0, 0, 2), (2, 0, 0, 2)]
    assert findings() == []


def test_batch_of_twenty_takes_as_many_statements_as_one_of_two():
    def statements(size):
        events = [EventFactory(total_tickets=100), EventFactory(total_tickets=100)]
        held = [BookingFactory(event=events[number % 2], user=None) for number in range(size)]
        jobs = [booking_of(events[number % 2], key=f"k{size}.{number}") for number in range(size)]
        with CaptureQueriesContext(connection) as queries:
            assert served(*jobs, *map(cancelling, held)) == [BOOKED] * size + [0] * size
        return len(queries)

    assert statements(20) == statements(2)


def test_batch_keeps_to_the_limit_of_each_person():
    event, other = (EventFactory(total_tickets=100, max_tickets_per_person=limit) for limit in (4, None))
    user = UserFactory()
    BookingFactory(event=event, user=user, tickets=3)
    of_user = [booking_of(event, user=user) for _ in range(10)]
    of_guest = [booking_of(event, email=f"{name}@example.org") for name in ("ada", "ADA") * 5]
    elsewhere = [booking_of(other, 9, user=user), booking_of(other, 9, email="ada@example.org")]

    results = served(*of_user, *of_guest, *elsewhere)

    assert results == [BOOKED, *[PersonLimit] * 9, *[BOOKED] * 4, *[PersonLimit] * 6, BOOKED, BOOKED]
    assert counts(event) == (100, 92, 0, 8)
    assert findings() == []


def test_batch_counts_what_an_earlier_job_of_it_gave_back():
    event = EventFactory(max_tickets_per_person=2)
    held = BookingFactory(event=event, user=None, email="ada@example.org", tickets=2)
    again = [booking_of(event, email="ada@example.org") for _ in range(2)]

    assert served(cancelling(held, 1), *again) == [0, BOOKED, PersonLimit]


def test_batch_of_twenty_people_reads_what_they_have_in_one_statement():
    def statements(size):
        events = [EventFactory(total_tickets=100, max_tickets_per_person=4) for _ in range(2)]
        users = UserFactory.create_batch(size)
        jobs = [booking_of(events[number % 2], user=user) for number, user in enumerate(users)]
        jobs += [booking_of(events[number % 2], email=f"{number}@example.org") for number in range(size)]
        with CaptureQueriesContext(connection) as queries:
            assert served(*jobs) == [BOOKED] * 2 * size
        return len(queries)

    assert statements(20) == statements(2)


def test_known_key_is_replayed_beside_new_ones(event):
    first = book_tickets(request_of(event, 2), key="known")

    jobs = [booking_of(event, key="new"), booking_of(event, 2, key="known"), booking_of(event)]

    assert served(*jobs) == [BOOKED] * 3
    assert [job.result.is_replayed for job in jobs] == [False, True, False]
    assert jobs[1].result.booking.pk == first.booking.pk
    assert jobs[1].result.token == first.token
    assert counts(event) == (10, 6, 0, 4)
    assert IdempotencyKey.objects.count() == 2


def test_known_key_alone_locks_no_event(event):
    book_tickets(request_of(event, 2), key="known")

    with CaptureQueriesContext(connection) as queries:
        served(booking_of(event, 2, key="known"))

    assert not [query for query in queries if "total_tickets" in query["sql"]]


def test_ended_session_is_told_so_though_nothing_is_written(event):
    job = sold_out(event)
    job.session_id, job.user_id = 4711, UserFactory().pk

    assert served(job) == [SessionEnded]


def test_session_of_somebody_else_is_none_of_the_batch(event):
    user = UserFactory()
    session = LoginSession.objects.create(
        user=user,
        auth_hash=user.get_session_auth_hash(),
        expires_at=timezone.now() + timedelta(hours=1),
        refresh_hash="r",
    )
    jobs = [booking_of(event, user=holder, session_id=session.pk) for holder in (user, UserFactory())]

    assert served(*jobs) == [BOOKED, SessionEnded]
    assert counts(event) == (10, 9, 0, 1)


@pytest.mark.mariadb
@pytest.mark.parametrize("is_looked_up_first", [False, True])
def test_account_that_is_deleted_meanwhile_is_told_so_and_hurts_nobody_else(event, monkeypatch, is_looked_up_first):
    # The logins were good when they were looked at; the account goes while the event is locked.
    gone, stays = UserFactory(), UserFactory()
    jobs = [booking_of(event), *(booking_of(event, user=user, session_id=login_of(user)) for user in (gone, stays))]
    monkeypatch.setattr(batches, "logins", batches.LoginOrder())
    if is_looked_up_first:
        batches.logins.check_first()
    lock_events = batches.lock_events

    def lock_and_delete(ids):
        locked = lock_events(ids)
        run_together(1, lambda _: User.objects.filter(pk=gone.pk).delete())
        return locked

    monkeypatch.setattr(batches, "lock_events", lock_and_delete)

    assert served(*jobs) == [BOOKED, SessionEnded, BOOKED]
    assert counts(event) == (10, 8, 0, 2)
    assert set(Booking.objects.values_list("user", flat=True)) == {None, stays.pk}


def test_account_that_was_deleted_is_told_so_and_hurts_nobody_else(event, monkeypatch):
    gone, stays = UserFactory(), UserFactory()
    jobs = [booking_of(event), *(booking_of(event, user=user, session_id=login_of(user)) for user in (gone, stays))]
    monkeypatch.setattr(batches, "logins", batches.LoginOrder())
    User.objects.filter(pk=gone.pk).delete()

    assert served(*jobs) == [BOOKED, SessionEnded, BOOKED]
    assert counts(event) == (10, 8, 0, 2)


def login_of(user):
    return open_session(user, refresh_id="r", lifetime=timedelta(hours=1)).pk


def test_nobody_is_told_before_the_commit(event, monkeypatch):
    jobs = [booking_of(event, key="k1"), booking_of(event), cancelling(BookingFactory(event=event))]
    told = []
    commit = connection.commit

    def look_and_commit():
        told.append([type(job.result) for job in jobs])
        commit()

    monkeypatch.setattr(connection, "commit", look_and_commit)

    assert served(*jobs) == [BOOKED, BOOKED, 0]
    assert told == [[Busy] * 3]


@pytest.mark.parametrize("carried_out", [True, False])
def test_lost_commit_is_unknown_to_everybody_and_keys_find_their_bookings(event, commits, carried_out):
    booking = BookingFactory(event=event, tickets=4)
    jobs = [booking_of(event), booking_of(event, 2, key="k1"), cancelling(booking)]
    commits(LOST, carried_out=carried_out)

    assert served(*jobs) == [OutcomeUnknown] * 3
    assert {job.result.status for job in jobs} == {503}
    wait_for_return()
    assert counts(event) == ((10, 7, 0, 3) if carried_out else (10, 6, 0, 4))
    assert statuses(booking) == ["cancelled" if carried_out else "completed"]

    found = repeat_job(jobs[1], jobs[1].result)

    assert found.is_replayed is carried_out
    assert IdempotencyKey.objects.get().booking_id == found.booking.pk
    assert Booking.objects.filter(event=event).count() == (3 if carried_out else 2)
    assert findings() == []


def test_deadlock_repeats_the_whole_batch(event, commits):
    done = commits(DEADLOCK)

    assert served(booking_of(event), booking_of(event, key="k1"), booking_of(event)) == [BOOKED] * 3
    assert len(done) == 2
    assert counts(event) == (10, 7, 0, 3)
    assert findings() == []


def test_deadlock_of_several_events_is_contended_and_nothing_is_done(event, commits):
    jobs = [booking_of(event), booking_of(EventFactory(), key="k1")]
    before = everything()
    done = commits(DEADLOCK)

    with pytest.raises(Contended):
        batches.run_batch(Batch(jobs))

    assert len(done) == 1
    assert [type(job.result) for job in jobs] == [Busy, Busy]
    assert everything() == before


@pytest.mark.parametrize("carried_out", [True, False])
def test_batch_interrupted_while_it_commits_leaves_the_outcome_unknown(event, commits, carried_out):
    jobs = [booking_of(event), booking_of(event)]
    commits(KeyboardInterrupt(), carried_out=carried_out)

    with pytest.raises(KeyboardInterrupt):
        batches.run_batch(Batch(jobs))
    # The end of the thread does the same.
    connection.close()

    assert [type(job.result) for job in jobs] == [OutcomeUnknown] * 2
    # Django may commit what it was kept from committing, when it turns autocommit on again.
    assert Booking.objects.count() in ([2] if carried_out else [0, 2])
    assert findings() == []


def test_batch_interrupted_before_it_commits_leaves_everybody_busy(event, monkeypatch):
    jobs = [booking_of(event), booking_of(event)]
    write = sql.run_all

    def write_and_die(*statements):
        write(*statements)
        raise KeyboardInterrupt

    monkeypatch.setattr(sql, "run_all", write_and_die)

    with pytest.raises(KeyboardInterrupt):
        batches.run_batch(Batch(jobs))

    assert [type(job.result) for job in jobs] == [Busy] * 2
    assert Booking.objects.count() == 0
    assert findings() == []


@pytest.mark.parametrize("is_on", [True, False])
def test_service_inside_another_transaction_is_refused_though_a_queue_runs(event, queue, settings, is_on):
    settings.GROUP_BOOKING = is_on
    booking = BookingFactory(event=event)

    with transaction.atomic():
        for service in (lambda: book_tickets(request_of(event)), lambda: cancel_tickets(booking)):
            with pytest.raises(RuntimeError, match="transaction of its own"):
                service()

    assert queue.waiting == 0
    assert counts(event) == (10, 9, 0, 1)


@pytest.mark.parametrize("is_on", [True, False])
def test_services_tell_the_same_with_batches_and_without(settings, is_on):
    settings.GROUP_BOOKING = is_on
    event = EventFactory(total_tickets=3)

    first = book_tickets(request_of(event, 2), key="k1")
    second = book_tickets(request_of(event, 2))
    again = book_tickets(request_of(event, 2), key="k1")

    assert [said(receipt) for receipt in (first, second, again)] == [BOOKED, ("waitlisted", 1), BOOKED]
    assert (first.token, first.is_replayed, again.is_replayed) == (again.token, False, True)
    with pytest.raises(KeyReused):
        book_tickets(request_of(event, 1), key="k1")
    with pytest.raises(EventNotFound):
        book_tickets(BookingRequest(event_id=event.pk + 1000, tickets=1, first_name="Ada"))
    assert said(cancel_tickets(first.booking, tickets=1)) == 1
    assert said(cancel_tickets(first.booking)) == 0
    with pytest.raises(AlreadyCancelled):
        cancel_tickets(first.booking)
    assert counts(event) == (3, 1, 0, 2)
    assert findings() == []


def test_who_comes_while_the_events_are_locked_is_told_after_the_same_commit(event, queue, monkeypatch):
    followers = [booking_of(event), booking_of(event, key="late")]
    threads = [threading.Thread(target=ask_and_close, args=[job]) for job in followers]
    lock_events = batches.lock_events
    locked = []

    def lock_while_they_come(event_ids):
        locked.append(event_ids)
        events = lock_events(event_ids)
        for thread in threads:
            thread.start()
        wait_until(lambda: queue.waiting == len(followers))
        return events

    monkeypatch.setattr(batches, "lock_events", lock_while_they_come)

    assert said(run_job(booking_of(event))) == BOOKED
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)

    assert [said(job.result) for job in followers] == [BOOKED, BOOKED]
    assert locked == [[event.pk]]
    assert counts(event) == (10, 7, 0, 3)
    assert findings() == []


def ask_and_close(job):
    run_job(job)
    connection.close()


@contextmanager
def lock_held_elsewhere(event):
    is_held, may_end = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            lock_event(event.pk)
            is_held.set()
            may_end.wait(TIMEOUT_SECONDS)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        may_end.set()
        thread.join(TIMEOUT_SECONDS)


@pytest.mark.mariadb
def test_lock_that_is_held_elsewhere_keeps_only_its_own_event_waiting(queue, monkeypatch):
    monkeypatch.setattr(transactions, "RETRY_SECONDS", 1.5)
    events = [EventFactory() for _ in range(3)]
    began = time.monotonic()
    seconds = {}

    def book(number):
        with connection.cursor() as cursor:
            # The server's connections have the same options.
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        try:
            return said(book_tickets(request_of(events[number % 3])))
        except Busy:
            return Busy
        finally:
            seconds[number] = time.monotonic() - began

    with lock_held_elsewhere(events[0]):
        results = run_together(12, book)

    assert results == [BOOKED if number % 3 else Busy for number in range(12)]
    # Other jobs wait for one lock at most. Jobs of the event itself wait for two attempts, or for the queue's time and
    # one more.
    assert max(took for number, took in seconds.items() if number % 3) < 5
    assert max(seconds.values()) < 12
    assert [counts(event)[1] for event in events] == [10, 6, 6]
    assert findings() == []


@pytest.mark.parametrize(("is_on", "crowd"), [(True, 64), (False, 24)])
def test_crowd_that_books_and_cancels_on_three_events_leaves_them_whole(settings, is_on, crowd):
    """In batches, one thread writes at a time even without the lock. Without batches, as between processes, only the
    lock helps."""
    settings.GROUP_BOOKING = is_on
    events = [EventFactory(total_tickets=20), EventFactory(total_tickets=15, waitlist_policy="strict"), EventFactory()]

    def come_and_go(number):
        event = events[number % 3]
        receipt = book_tickets(request_of(event, number % 4 + 1), key=f"k{number}" if number % 2 else None)
        if number % 4:
            cancel_tickets(receipt.booking, tickets=1)
        if number % 4 == 2:
            cancel_tickets(receipt.booking)
        return said(book_tickets(request_of(event)))[0]

    results = run_together(crowd, come_and_go)

    assert {result if isinstance(result, str) else type(result) for result in results} <= {"completed", "waitlisted"}
    assert Booking.objects.count() == 2 * crowd
    assert findings() == []


def test_events_are_locked_in_the_order_of_their_ids():
    """Events are locked in one order. Otherwise two processes that lock the same two events could wait for each
    other."""
    chosen = connection.ops.quote_name("id")

    assert lock_statement(3).startswith(f"SELECT {connection.ops.quote_name('events_event')}.{chosen}")
    assert "ORDER BY 1 ASC" in lock_statement(3)
