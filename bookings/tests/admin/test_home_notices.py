from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.admin.home import inventory_notices, opening_notices, waitlist_notices
from bookings.models import InventoryCheck, LedgerEntry
from bookings.services.events import cancel_event, change_event
from bookings.services.reports import event_totals
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
DAY = timedelta(hours=24)
MICROSECOND = timedelta(microseconds=1)


def texts(notices):
    return [(notice.level, notice.badge, notice.subject, notice.text) for notice in notices]


def waitlists():
    now = timezone.now()
    return texts(waitlist_notices(now, count=event_totals(now)["sold_out_with_waitlist"]))


def openings():
    return texts(opening_notices(NOW, count=event_totals(NOW)["opening_soon"]))


def sold_out(name, *, waiting=(2,), **fields):
    event = EventFactory(name=name, total_tickets=3, **fields)
    BookingFactory(event=event, tickets=3)
    for tickets in waiting:
        BookingFactory(event=event, tickets=tickets)
    return event


def test_sold_out_with_a_waitlist_needs_attention():
    event = sold_out("Gala", waiting=(1, 2))

    [notice] = waitlist_notices(timezone.now(), count=1)

    assert texts([notice]) == [("warn", "Sold out", "Gala", "2 bookings waiting for 3 tickets")]
    assert notice.url == f"/admin/events/event/{event.pk}/"


def test_sold_out_that_nobody_waits_for_needs_none():
    sold_out("Gala", waiting=())

    assert waitlists() == []


def test_waitlist_with_tickets_left_needs_none():
    event = EventFactory(total_tickets=3)
    BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=2)

    assert Event.objects.get(pk=event.pk).available_tickets == 1
    assert waitlists() == []


def test_waitlist_of_what_is_not_on_sale_needs_none(admin_user):
    closed, cancelled = sold_out("Closed"), sold_out("Cancelled")
    change_event(closed.pk, changes={"sales_end": timezone.now() - MICROSECOND}, actor=admin_user)
    cancel_event(cancelled.pk, actor=admin_user)

    assert waitlists() == []


def test_longest_waitlists_come_first_and_the_rest_is_counted():
    for tickets in range(1, 8):
        sold_out(f"Event {tickets}", waiting=(1,) * tickets)

    found = waitlist_notices(timezone.now(), count=event_totals(timezone.now())["sold_out_with_waitlist"])

    assert [notice.subject for notice in found[:2]] == ["Event 7", "Event 6"]
    assert len(found) == 6
    assert texts(found)[-1] == ("warn", "Sold out", "and 2 more events", "")
    assert found[-1].url == "/admin/events/event/?state=sold_out"


def opens(when):
    return [("quiet", "Opens soon", "Gala", f"on sale {when}")]


@pytest.mark.parametrize(
    ("sales_start", "notice"),
    [
        (NOW + MICROSECOND, opens("today 14:30 UTC, in moments")),
        (NOW + timedelta(minutes=1), opens("today 14:31 UTC, in 1 minute")),
        (NOW + timedelta(hours=3, minutes=20), opens("today 17:50 UTC, in 3 hours")),
        (NOW + DAY, opens("tomorrow 14:30 UTC, in 1 day")),
        (NOW, []),
        (NOW + DAY + MICROSECOND, []),
        (None, []),
    ],
)
def test_sales_that_open_within_a_day_need_attention(sales_start, notice):
    EventFactory(name="Gala", sales_start=sales_start)

    assert openings() == notice


def test_opening_of_a_cancelled_event_needs_none(admin_user):
    cancel_event(EventFactory(sales_start=NOW + MICROSECOND).pk, actor=admin_user)

    assert openings() == []


def test_first_to_open_comes_first_and_the_rest_is_counted():
    for hours in range(7, 0, -1):
        EventFactory(name=f"In {hours}", sales_start=NOW + timedelta(hours=hours))

    found = opening_notices(NOW, count=event_totals(NOW)["opening_soon"])

    assert [notice.subject for notice in found[:-1]] == ["In 1", "In 2", "In 3", "In 4", "In 5"]
    assert texts(found)[-1] == ("quiet", "Opens soon", "and 2 more events", "")
    assert found[-1].url == "/admin/events/event/?state=not_open"


def test_as_many_as_are_shown_leave_no_rest():
    for hours in range(5):
        EventFactory(sales_start=NOW + timedelta(hours=1 + hours))

    assert len(openings()) == 5


def checked(event, *findings):
    InventoryCheck.objects.create(event=event, findings=list(findings))


@pytest.mark.parametrize(
    ("findings", "notice"),
    [
        ([], []),
        (["oversold"], [("bad", "Does not verify", "Gala", "oversold")]),
        (["oversold", "a"], [("bad", "Does not verify", "Gala", "oversold, and 1 more finding")]),
        (["oversold", "a", "b"], [("bad", "Does not verify", "Gala", "oversold, and 2 more findings")]),
    ],
)
def test_check_with_findings_needs_attention(findings, notice):
    checked(EventFactory(name="Gala"), *findings)

    assert texts(inventory_notices()) == notice


@pytest.mark.parametrize(
    ("damage", "findings"),
    [
        ({}, None),
        ({"available_tickets": 7}, "ledger says 8 available, the event says 7"),
        (
            {"waitlisted_count": 1, "waitlisted_tickets": 1, "booking_count": 2},
            "ledger says 0 waiting, the event says 1",
        ),
        ({"ledger_sequence": 1}, "ledger says 2 entries, the event says 1"),
        (
            {"ledger_sequence": 3, "available_tickets": 7},
            "ledger says 2 entries, the event says 3, and 1 more finding",
        ),
    ],
)
def test_counts_that_differ_from_the_ledger_need_attention(damage, findings):
    event = EventFactory(name="Gala", total_tickets=10)
    BookingFactory(event=event, tickets=2)
    EventFactory(name="Other")
    if damage:
        Event.objects.filter(pk=event.pk).update(**damage)

    assert texts(inventory_notices()) == ([("bad", "Does not verify", "Gala", findings)] if findings else [])


def test_event_is_named_once_however_it_was_found():
    event = EventFactory(name="Gala")
    checked(event, "oversold")
    Event.objects.filter(pk=event.pk).update(ledger_sequence=9)

    assert texts(inventory_notices()) == [("bad", "Does not verify", "Gala", "oversold")]


def test_inventories_that_agree_need_no_attention(admin_user):
    full, cancelled = sold_out("Full"), sold_out("Cancelled")
    cancel_event(cancelled.pk, actor=admin_user)
    change_event(full.pk, changes={"total_tickets": 9}, actor=admin_user)

    assert LedgerEntry.objects.filter(kind="promoted").count() == 1
    assert inventory_notices() == []


@pytest.mark.parametrize(("broken", "more"), [(5, False), (6, True)])
def test_many_broken_inventories_are_not_all_listed(broken, more):
    for _ in range(broken):
        checked(EventFactory(), "oversold")

    found = inventory_notices()

    assert len([notice for notice in found if notice.subject]) == 5
    assert ("and more: run manage.py verify_inventory" in [notice.text for notice in found]) is more
