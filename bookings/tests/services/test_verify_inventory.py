import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from bookings.models import Booking, LedgerEntry, LinePart, SalesHour
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.services.verification import CHUNK, snapshot, verify_event, verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.threads import run_together
from events.models import Event

# No outer transaction: the command opens a snapshot of its own.
pytestmark = pytest.mark.django_db(transaction=True)


def verify(*args):
    out = StringIO()
    call_command("verify_inventory", *args, stdout=out)
    return out.getvalue()


def damage(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        assert cursor.rowcount == 1


@pytest.fixture
def event():
    """Ten tickets: eight held, groups of four and three waiting; every kind of entry in its ledger."""
    event = EventFactory(total_tickets=5)
    booking = BookingFactory(event=event, tickets=4)
    BookingFactory(event=event, tickets=5)
    change_event(event.pk, changes={"total_tickets": 10}, actor=event.created_by)
    cancel_tickets(booking, tickets=1)
    BookingFactory(event=event, tickets=4)
    BookingFactory(event=event, tickets=3)
    cancel_tickets(BookingFactory(event=event, tickets=1))
    event.refresh_from_db()
    assert (event.available_tickets, event.waitlisted_count) == (2, 2)
    return event


def test_verify_of_a_true_inventory_agrees(event):
    deleted = EventFactory()
    BookingFactory(event=deleted, tickets=9)
    BookingFactory(event=deleted, tickets=9)
    cancel_event(deleted.pk, actor=deleted.created_by)

    out = verify()

    assert re.search(rf"^ +{event.pk}  {event.name} +10 +8 +2 +2 +10  agrees$", out, re.MULTILINE)
    assert out.endswith("2 events verified.\n")


def test_verify_of_one_event_reads_that_one(event):
    damaged = EventFactory()
    Event.objects.filter(pk=damaged.pk).update(available_tickets=3)

    assert verify("--event", str(event.pk)).endswith("1 event verified.\n")


def test_verify_of_an_unknown_event_fails():
    for unknown in ("7", "0"):
        with pytest.raises(CommandError, match=f"There is no event {unknown}"):
            verify("--event", unknown)


DAMAGES = [
    ("UPDATE events_event SET available_tickets = 1 WHERE id = {event}", "counter says 1 available, bookings leave 2"),
    ("UPDATE events_event SET waitlisted_count = 3 WHERE id = {event}", "counter says 3 waiting, bookings say 2"),
    (
        "UPDATE events_event SET waitlisted_tickets = 8 WHERE id = {event}",
        "counter says 8 tickets waited for, bookings say 7",
    ),
    ("UPDATE events_event SET completed_count = 1 WHERE id = {event}", "counter says 1 completed, bookings say 2"),
    ("UPDATE events_event SET booking_count = 9 WHERE id = {event}", "counter says 9 in all, bookings say 5"),
    (
        "UPDATE bookings_linepart SET waiting = 3 WHERE event_id = {event}",
        "the line from 0 counts 3 waiting, bookings say 2",
    ),
    (
        "UPDATE bookings_linepart SET first_number = 268435456 WHERE event_id = {event}",
        "the line from 268435456 counts 2 waiting, bookings say 0",
    ),
    ("UPDATE events_event SET ledger_sequence = 12 WHERE id = {event}", "ledger says 10 entries, the event says 12"),
    ("UPDATE events_event SET total_tickets = 11 WHERE id = {event}", "ledger says 10 tickets in total"),
    (
        "UPDATE bookings_booking SET tickets_reserved = 6 WHERE id = {held}",
        "counter says 2 available, bookings leave 1",
    ),
    ("UPDATE bookings_booking SET tickets_reserved = 8 WHERE id = {held}", "oversold: 11 tickets held of 10"),
    (
        "UPDATE bookings_booking SET tickets_reserved = 2 WHERE id = {waiting}",
        "waits for 2 tickets while 2 are available",
    ),
    ("UPDATE bookings_booking SET waitlist_number = 99 WHERE id = {waiting}", "its ledger entries say"),
    ("DELETE FROM bookings_ledgerentry WHERE event_id = {event} AND sequence = 6", "ledger entry 6 is missing"),
    ("UPDATE bookings_ledgerentry SET tickets = 2 WHERE event_id = {event} AND sequence = 6", "(reduced 2) goes from"),
    ("UPDATE bookings_ledgerentry SET available_after = 0 WHERE event_id = {event} AND sequence = 10", "to 0, 2"),
    ("UPDATE bookings_ledgerentry SET kind = 'booked' WHERE event_id = {event} AND sequence = 5", "(booked 5) goes"),
    (
        "UPDATE bookings_ledgerentry SET booking_id = {held} WHERE event_id = {event} AND sequence = 6",
        "its ledger entries say",
    ),
]


@pytest.mark.parametrize(("sql", "finding"), DAMAGES, ids=[finding for _, finding in DAMAGES])
def test_verify_finds(event, sql, finding):
    held = Booking.objects.get(event=event, tickets_reserved=5).pk
    waiting = Booking.objects.waitlisted().order_by("waitlist_number").first().pk
    damage(sql.format(event=event.pk, held=held, waiting=waiting))

    with pytest.raises(CommandError) as error:
        verify()

    assert finding in str(error.value)


def test_verify_finds_a_served_place_behind_a_strict_head():
    event = EventFactory(total_tickets=5, waitlist_policy="strict")
    BookingFactory(event=event, tickets=4)
    BookingFactory(event=event, tickets=3)
    assert verify().endswith("1 event verified.\n")
    damage(f"UPDATE bookings_booking SET tickets_reserved = 1 WHERE event_id = {event.pk} AND status = 'waitlisted'")

    with pytest.raises(CommandError, match="somebody waits for 1 tickets while 1 are available"):
        verify()


def test_verify_finds_a_live_booking_of_a_deleted_event(event):
    cancel_event(event.pk, actor=event.created_by)
    booking = Booking.objects.filter(event=event).first()
    damage(f"UPDATE bookings_booking SET status = 'completed' WHERE id = {booking.pk}")

    with pytest.raises(CommandError, match="deleted, but has live bookings"):
        verify()


def test_verify_accepts_an_event_that_was_cancelled_by_one_entry(event):
    """So events were cancelled before their bookings got entries of their own for it."""
    hour = SalesHour.objects.get()
    LedgerEntry.objects.create(
        event=event,
        sequence=11,
        kind="event_cancelled",
        tickets=8,
        available_after=10,
        waitlisted_after=0,
        created_at=hour.hour,
    )
    SalesHour.objects.update(held=0, waiting=0)
    Booking.objects.filter(event=event).update(status="cancelled", waitlist_number=None)
    LinePart.objects.all().delete()
    none_left = {"available_tickets": 10, "waitlisted_count": 0, "waitlisted_tickets": 0, "completed_count": 0}
    Event.objects.filter(pk=event.pk).update(**none_left, ledger_sequence=11, deleted_at=hour.hour)

    assert verify().endswith("1 event verified.\n")


# The ledger of the cancelled event ends with entry 11 for the event, and with 12 to 15 for its live bookings. Those
# bookings have 3, 5, 4 and 3 tickets, and the last two wait.
DAMAGES_OF_CANCELLED = [
    ("DELETE FROM bookings_ledgerentry WHERE event_id = {event} AND sequence = 15", "ledger says 14 entries"),
    ("DELETE FROM bookings_ledgerentry WHERE event_id = {event} AND sequence = 12", "ledger entry 12 is missing"),
    (
        "UPDATE bookings_ledgerentry SET booking_id = {gone} WHERE event_id = {event} AND sequence = 12",
        "is ('cancelled', 3, None), its ledger entries say (BookingStatus.COMPLETED, 3, None)",
    ),
    ("UPDATE bookings_ledgerentry SET tickets = 1 WHERE event_id = {event} AND sequence = 12", "(cancelled 1) goes"),
    (
        "UPDATE bookings_ledgerentry SET tickets = 9 WHERE event_id = {event} AND sequence = 11",
        "(event_cancelled 9) goes",
    ),
    (
        "UPDATE bookings_ledgerentry SET available_after = 10, waitlisted_after = 0"
        " WHERE event_id = {event} AND sequence = 11",
        "ledger entry 12 (cancelled 3) goes from 10 available, 0 waiting to 5, 2",
    ),
]


@pytest.mark.parametrize(("sql", "finding"), DAMAGES_OF_CANCELLED, ids=[found for _, found in DAMAGES_OF_CANCELLED])
def test_verify_finds_in_a_cancelled_event(event, sql, finding):
    cancel_event(event.pk, actor=event.created_by)
    assert verify().endswith("1 event verified.\n")
    gone = LedgerEntry.objects.get(event=event, kind="cancelled", sequence__lt=11).booking_id
    damage(sql.format(event=event.pk, gone=gone))

    with pytest.raises(CommandError) as error:
        verify()

    assert finding in str(error.value)


def test_verify_stops_at_the_first_disagreement(event):
    other = EventFactory()
    Event.objects.update(ledger_sequence=99)

    with pytest.raises(CommandError) as error:
        verify()

    assert f"event {event.pk} disagrees" in str(error.value)
    assert f"event {other.pk}" not in str(error.value)


def test_verify_reads_in_pages():
    event = EventFactory(total_tickets=100_000)
    for _ in range(3):
        BookingFactory(event=event)
    more = CHUNK + 5
    Booking.objects.bulk_create(
        Booking(reference=f"paged {n}", event=event, first_name="Ada", tickets_reserved=1, status="completed")
        for n in range(more)
    )
    made = Booking.objects.filter(reference__startswith="paged").order_by("pk")
    hour = SalesHour.objects.get()
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            event=event,
            sequence=5 + n,
            booking=booking,
            kind="booked",
            tickets=1,
            available_after=100_000 - 4 - n,
            waitlisted_after=0,
            created_at=hour.hour,
        )
        for n, booking in enumerate(made)
    )
    SalesHour.objects.update(bookings=3 + more, tickets=3 + more, held=3 + more)
    Event.objects.update(
        available_tickets=100_000 - 3 - more,
        booking_count=3 + more,
        completed_count=3 + more,
        ledger_sequence=4 + more,
    )

    assert [report.findings for report in verify_events()] == [[]]

    damage(f"UPDATE bookings_ledgerentry SET tickets = 2 WHERE booking_id = {made.last().pk}")
    assert [len(report.findings) > 0 for report in verify_events()] == [True]


def test_verify_sees_one_moment_and_blocks_nobody(event):
    """A booking from elsewhere commits while a snapshot is open, and the snapshot does not see it."""
    with snapshot():
        before = Event.objects.get(pk=event.pk)
        [_] = run_together(1, lambda _: BookingFactory(event=event, tickets=2))
        report = verify_event(Event.objects.get(pk=event.pk))

    assert (before.available_tickets, report.event.available_tickets, report.findings) == (2, 2, [])
    assert Event.objects.get(pk=event.pk).available_tickets == 0
    assert verify().endswith("1 event verified.\n")


@pytest.mark.mariadb
def test_verify_cannot_write(event):
    with snapshot(), pytest.raises(DatabaseError, match="READ ONLY"):
        Event.objects.update(version=9)
