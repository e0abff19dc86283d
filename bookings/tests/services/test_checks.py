"""Quick checks and whole checks of an event's inventory, and the permission to begin one."""

import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from django.utils import timezone

from bookings.exceptions import AlreadyChecking, OtherCheckRuns
from bookings.models import InventoryCheck, LedgerEntry
from bookings.services import checks
from bookings.services.cancellation import cancel_tickets
from bookings.services.checks import (
    begin_check,
    check_inventory,
    check_of,
    quick_findings,
    start_check,
)
from bookings.services.events import cancel_event
from bookings.services.verification import snapshot
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.threads import run_together
from events.exceptions import EventNotFound
from events.models import Event

pytestmark = pytest.mark.django_db
TIMEOUT_SECONDS = 30


def sold(**options):
    """An event with bookings that hold tickets, wait, and have gone."""
    event = EventFactory(total_tickets=5, **options)
    cancel_tickets(BookingFactory(event=event, tickets=1))
    BookingFactory(event=event, tickets=4)
    BookingFactory(event=event, tickets=3)
    event.refresh_from_db()
    return event


def spoil(event, **columns):
    """Changes the event directly, past every rule."""
    Event.objects.filter(pk=event.pk).update(**columns)
    event.refresh_from_db()


def finish(event):
    """Waits for the check's thread."""
    for thread in threading.enumerate():
        if thread.name == "inventory-check":
            thread.join(TIMEOUT_SECONDS)
            assert not thread.is_alive()
    return check_of(event.pk)


def test_quick_look_finds_nothing_where_nothing_differs(django_assert_num_queries):
    deleted = sold()
    cancel_event(deleted.pk, actor=deleted.created_by)
    events = [sold(), EventFactory(), deleted]

    with django_assert_num_queries(1):
        findings = quick_findings(events)

    assert findings == {}


@pytest.mark.parametrize(
    ("columns", "finding"),
    [
        ({"available_tickets": 0}, "ledger says 1 available, the event says 0"),
        ({"waitlisted_count": 2, "booking_count": 9}, "ledger says 1 waiting, the event says 2"),
        ({"ledger_sequence": 4}, "ledger says 5 entries, the event says 4"),
    ],
)
def test_quick_look_finds_the_event_that_differs(django_assert_num_queries, columns, finding):
    events = [sold(), sold(), sold()]
    spoil(events[1], **columns)

    with django_assert_num_queries(1):
        findings = quick_findings(events)

    assert findings == {events[1].pk: [finding]}


def test_quick_look_finds_a_ledger_without_entries():
    event = EventFactory(total_tickets=5)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM bookings_ledgerentry")

    assert quick_findings([event]) == {
        event.pk: ["ledger says 0 entries, the event says 1", "ledger says 0 available, the event says 5"]
    }


def test_quick_look_reads_the_counts_of_now():
    event = EventFactory(total_tickets=5)
    BookingFactory(event=Event.objects.get(pk=event.pk))

    # The event in hand is from before.
    assert event.available_tickets == 5
    assert quick_findings([event]) == {}


def test_quick_look_at_no_events_is_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert quick_findings([]) == {}


def test_check_stores_what_it_found_and_up_to_where():
    event = sold()
    before = timezone.now()

    check = check_inventory(event.pk)

    assert (check.event_id, check.sequence, check.findings) == (event.pk, event.ledger_sequence, [])
    assert before <= check.started_at <= check.finished_at <= timezone.now()
    assert InventoryCheck.objects.get() == check


def test_later_check_takes_the_place_of_the_one_before():
    event = sold()
    first = check_inventory(event.pk)
    spoil(event, completed_count=0)

    second = check_inventory(event.pk)

    assert second.findings == ["counter says 0 completed, bookings say 1"]
    assert second.pk == first.pk
    assert second.started_at > first.finished_at
    assert InventoryCheck.objects.count() == 1


def test_check_that_began_earlier_does_not_take_the_place_of_a_later_one():
    event = sold()
    [report] = checks.verify_events(event.pk)
    BookingFactory(event=event)
    later = check_inventory(event.pk)

    kept = checks.store_report(report)

    assert (kept.sequence, kept.started_at) == (later.sequence, later.started_at)
    assert kept.sequence == report.event.ledger_sequence + 1


def test_check_of_no_event_is_refused():
    with pytest.raises(EventNotFound):
        check_inventory(999_999)

    assert not InventoryCheck.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_command_stores_its_verdicts():
    event, other = sold(), sold()
    spoil(other, completed_count=0)
    out = StringIO()

    with pytest.raises(CommandError):
        call_command("verify_inventory", stdout=out)

    assert check_of(event.pk).findings == []
    assert check_of(other.pk).findings == ["counter says 0 completed, bookings say 1"]
    assert out.getvalue().count("agrees") == 1
    assert out.getvalue().count("DIFFERS") == 1


@pytest.mark.django_db(transaction=True)
def test_command_that_may_not_write_gives_its_verdict_all_the_same():
    event = sold()
    out, err = StringIO(), StringIO()

    def refuse(execute, sql, *args):
        if sql.startswith(("UPDATE", "INSERT")):
            raise OperationalError(1142, "UPDATE command denied")
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        call_command("verify_inventory", stdout=out, stderr=err)

    assert out.getvalue().endswith("1 event verified.\n")
    assert err.getvalue() == (f"The verdict on event {event.pk} is not stored: (1142, 'UPDATE command denied')\n")
    assert not InventoryCheck.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_check_that_is_begun_ends_in_a_thread_of_its_own(admin_user):
    event = sold()

    start_check(event.pk, actor=admin_user)
    check = finish(event)

    assert (check.sequence, check.findings) == (event.ledger_sequence, [])
    assert check.finished_at >= check.started_at
    assert not checks.checking.locked()


@pytest.mark.django_db(transaction=True)
def test_check_runs_while_it_runs_and_is_begun_once(admin_user, monkeypatch):
    event, other = sold(), sold()
    first = check_inventory(event.pk)
    held, verify = threading.Event(), checks.verify_events

    def verify_when_told(event_id):
        assert held.wait(TIMEOUT_SECONDS)
        return verify(event_id)

    monkeypatch.setattr(checks, "verify_events", verify_when_told)
    start_check(event.pk, actor=admin_user)

    running = check_of(event.pk)
    with pytest.raises(AlreadyChecking):
        start_check(event.pk, actor=admin_user)
    with pytest.raises(OtherCheckRuns):
        start_check(other.pk, actor=admin_user)
    held.set()
    done = finish(event)

    assert running.is_running(timezone.now())
    assert (running.started_at > first.started_at, running.finished_at) == (True, None)
    assert done.finished_at is not None
    assert check_of(other.pk) is None


def test_check_of_no_event_is_not_begun(admin_user):
    with pytest.raises(EventNotFound):
        start_check(999_999, actor=admin_user)

    assert not checks.checking.locked()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_first", [True, False])
def test_check_that_fails_has_not_ended_and_can_be_begun_again(admin_user, monkeypatch, is_first, caplog):
    event = sold()
    if not is_first:
        check_inventory(event.pk)

    def fail(event_id):
        with snapshot():
            raise RuntimeError("made up")

    with monkeypatch.context() as patched:
        patched.setattr(checks, "check_inventory", fail)
        start_check(event.pk, actor=admin_user)
        after = finish(event)

    assert (after.finished_at, after.is_running(timezone.now())) == (None, False)
    assert not checks.checking.locked()
    assert "could not be verified" in caplog.text
    start_check(event.pk, actor=admin_user)
    assert finish(event).finished_at is not None


def test_check_whose_worker_died_is_begun_again_when_it_is_stale():
    event = sold()
    now = timezone.now()
    lost = InventoryCheck.objects.create(event=event, started_at=now - InventoryCheck.STALE + timedelta(minutes=1))
    with pytest.raises(AlreadyChecking):
        begin_check(event.pk)
    InventoryCheck.objects.update(started_at=now - InventoryCheck.STALE - timedelta(seconds=1))

    begin_check(event.pk)

    check = check_of(event.pk)
    assert (check.pk, check.finished_at) == (lost.pk, None)
    assert check.started_at >= now


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_first", [True, False])
def test_one_of_the_workers_that_begin_at_once_has_it(is_first):
    event = sold()
    if not is_first:
        check_inventory(event.pk)

    outcomes = run_together(4, lambda _: begin_check(event.pk))

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyChecking"] * 3 + ["datetime"]


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_statement_of_a_check_may_take_longer_than_a_request(admin_user, monkeypatch):
    event = sold()
    options, verify = connections.settings["default"]["OPTIONS"], checks.verify_events
    monkeypatch.setitem(options, "read_timeout", 1)
    asked = []

    def verify_slowly(event_id):
        with connection.cursor() as cursor:
            cursor.execute("SELECT SLEEP(1.5)")
            asked.append(cursor.fetchone()[0])
        return verify(event_id)

    monkeypatch.setattr(checks, "verify_events", verify_slowly)

    start_check(event.pk, actor=admin_user)
    check = finish(event)

    assert asked == [0]
    assert check.finished_at is not None
    # The time-out of requests has not changed.
    assert options["read_timeout"] == 1


def test_ledger_is_untouched_by_checks():
    event = sold()
    before = list(LedgerEntry.objects.values())

    check_inventory(event.pk)

    assert list(LedgerEntry.objects.values()) == before
    event_after = Event.objects.get(pk=event.pk)
    assert (event_after.version, event_after.updated_at) == (event.version, event.updated_at)
