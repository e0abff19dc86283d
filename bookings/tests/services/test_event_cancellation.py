"""An event with many bookings is cancelled part by part, and in between nobody sees a live booking of it."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

from accounts.tests.factories import UserFactory
from bookings.services import events as event_service
from bookings.services.cancellation import cancel_tickets
from bookings.services.checks import quick_findings
from bookings.services.events import cancel_event, finish_cancellation, unfinished_cancellations
from bookings.services.reports import inventory_findings
from bookings.services.upkeep import keep_up
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts
from bookings.tests.threads import run_together
from events.models import Event
from ticks.db.transactions import Busy, OutcomeUnknown, Unavailable
from ticks.server import stopping

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _parts_of_two(monkeypatch):
    monkeypatch.setattr(event_service, "BOOKINGS_A_PART", 2)


@pytest.fixture
def event(user):
    """Five tickets: five bookings hold one each, two wait for three each. One that had held a ticket was cancelled.

    The third booking that holds a ticket and the last one that waits are the user's.
    """
    event = EventFactory(total_tickets=5)
    cancel_tickets(BookingFactory(event=event))
    owners = [*UserFactory.create_batch(2), user, *UserFactory.create_batch(3), user]
    for owner, tickets in zip(owners, (1, 1, 1, 1, 1, 3, 3), strict=True):
        BookingFactory(event=event, tickets=tickets, user=owner)
    return event


@pytest.fixture
def half_cancelled(event, monkeypatch):
    """The event after its cancellation was interrupted behind the first part: two of seven bookings are cancelled."""
    with monkeypatch.context() as patch:
        patch.setattr(event_service, "cancel_part", unavailable)
        cancel_event(event.pk, actor=event.created_by)
    event.refresh_from_db()
    return event


def unavailable(event_id):
    raise Unavailable


def live(event):
    return event.bookings.live().count()


def findings():
    return [finding for report in verify_events() for finding in report.findings]


def entries_of_cancellation(event):
    """The entries of the seven bookings and their event, as they are after it."""
    deleted_at = Event.objects.get(pk=event.pk).deleted_at
    rows = event.ledger.filter(created_at=deleted_at).order_by("sequence")
    return list(rows.values_list("sequence", "kind", "tickets", "available_after", "waitlisted_after", "actor_id"))


def assert_is_finished(event):
    by = event.created_by_id
    assert live(event) == 0
    assert counts(event) == (5, 5, 0, 0)
    # Before it were the opening, the first booking with its cancellation, and the seven bookings.
    assert entries_of_cancellation(event) == [
        (11, "event_cancelled", 5, 0, 2, by),
        *((11 + number, "cancelled", 1, number, 2, by) for number in range(1, 6)),
        (17, "cancelled", 3, 5, 1, by),
        (18, "cancelled", 3, 5, 0, by),
    ]
    deleted_at = Event.objects.get(pk=event.pk).deleted_at
    assert {booking.updated_at for booking in event.bookings.order_by("pk")[1:]} == {deleted_at}
    assert not unfinished_cancellations().exists()
    assert findings() == []


def test_large_event_is_cancelled_in_parts(event, monkeypatch):
    parts = []
    part = event_service.cancel_part
    monkeypatch.setattr(event_service, "cancel_part", lambda event_id: parts.append(live(event)) or part(event_id))

    cancel_event(event.pk, actor=event.created_by)

    # The first part is in the transaction that closes the event; the last look finds none.
    assert parts == [5, 3, 1, 0]
    assert_is_finished(event)


def test_small_event_is_cancelled_in_one_transaction(event, monkeypatch):
    monkeypatch.setattr(event_service, "BOOKINGS_A_PART", 7)
    monkeypatch.setattr(event_service, "cancel_part", unavailable)

    cancel_event(event.pk, actor=event.created_by)

    assert_is_finished(event)


@pytest.mark.parametrize("place", ["cancel_part", "unfinished_cancellations"])
@pytest.mark.parametrize("error", [Unavailable, OutcomeUnknown, Busy, OperationalError])
def test_cancellation_that_is_interrupted_is_answered_all_the_same(event, staff, monkeypatch, error, place):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(event_service, place, fail)

    response = staff.delete(f"/api/v1/event/{event.pk}")

    assert (response.status_code, response.json()["message"]) == (200, "Event deleted successfully.")
    assert live(event) == 5


def test_request_leaves_to_the_server_what_takes_too_long(event, monkeypatch):
    monkeypatch.setattr(event_service, "CANCEL_SECONDS", 0)

    cancel_event(event.pk, actor=event.created_by)

    assert live(event) == 3


def test_server_that_is_about_to_stop_leaves_the_rest(half_cancelled):
    stopping.stage[0] = stopping.DRAINING
    try:
        finish_cancellation(half_cancelled.pk)
    finally:
        stopping.stage[0] = stopping.SERVING

    assert live(half_cancelled) == 3


@pytest.mark.parametrize("finish", [keep_up, lambda: call_command("prune", stdout=StringIO())], ids=["server", "prune"])
def test_interrupted_cancellation_is_finished(half_cancelled, finish):
    finish()

    assert_is_finished(half_cancelled)


def test_event_that_cannot_be_finished_keeps_no_other_one_waiting(half_cancelled, user, monkeypatch):
    later = EventFactory(total_tickets=100)
    BookingFactory.create_batch(5, event=later)
    with monkeypatch.context() as patch:
        patch.setattr(event_service, "cancel_part", unavailable)
        cancel_event(later.pk, actor=user)
    part = event_service.cancel_part

    def fail_for_the_first(event_id):
        if event_id == half_cancelled.pk:
            raise Busy
        return part(event_id)

    monkeypatch.setattr(event_service, "cancel_part", fail_for_the_first)
    keep_up()

    assert (live(half_cancelled), live(later)) == (5, 0)


def test_part_whose_commit_was_not_answered_is_not_done_twice(half_cancelled, monkeypatch):
    part = event_service.cancel_part

    def lose_answer(event_id):
        part(event_id)
        raise OutcomeUnknown

    with monkeypatch.context() as patch:
        patch.setattr(event_service, "cancel_part", lose_answer)
        keep_up()
    assert live(half_cancelled) == 3

    keep_up()

    assert_is_finished(half_cancelled)


def test_half_cancelled_event_agrees(half_cancelled):
    [report] = verify_events()

    assert (report.findings, report.left) == ([], 5)
    assert quick_findings([half_cancelled]) == {}
    assert inventory_findings(5) == {}
    out = StringIO()
    call_command("verify_inventory", stdout=out)
    assert "agrees, 5 bookings still to be cancelled with it\n" in out.getvalue()


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        (
            "UPDATE bookings_booking SET status = 'completed' WHERE event_id = {event} AND id = {done}",
            "has live bookings",
        ),
        ("UPDATE bookings_booking SET tickets_reserved = 2 WHERE id = {next}", "available"),
        ("UPDATE events_event SET ledger_sequence = 19 WHERE id = {event}", "has live bookings"),
        ("UPDATE events_event SET completed_count = 0, booking_count = 9 WHERE id = {event}", "9 in all"),
    ],
)
def test_half_cancelled_event_that_differs_is_found(half_cancelled, sql, finding):
    done, following = half_cancelled.bookings.order_by("pk").values_list("pk", flat=True)[2:4]
    with connection.cursor() as cursor:
        cursor.execute(sql.format(event=half_cancelled.pk, done=done, next=following))

    assert any(finding in found for found in findings())


def test_api_shows_no_live_booking_of_a_half_cancelled_event(half_cancelled, owner, staff, user):
    elsewhere = BookingFactory(user=user)
    waiting, held = half_cancelled.bookings.live().first(), half_cancelled.bookings.live().last()
    shown = []

    for client in (owner, staff):
        listed = {row["id"]: row for row in client.get("/api/v1/booking").json()["data"]}
        assert [pk for pk, row in listed.items() if row["bookingStatus"] != "cancelled"] == [elsewhere.pk]
        for booking in (waiting, held):
            shown.append(client.get(f"/api/v1/booking/{booking.pk}").json()["data"])
            assert shown[-1] == listed[booking.pk]
            assert (shown[-1]["bookingStatus"], shown[-1]["waitlistPosition"]) == ("cancelled", None)
        assert client.get("/api/v1/booking?bookingStatus=waitlisted").json()["data"] == []
        completed = client.get("/api/v1/booking?bookingStatus=completed").json()
        assert [row["id"] for row in completed["data"]] == [elsewhere.pk]
        assert completed["pagination"]["count"] == 1
    refused = owner.delete(f"/api/v1/booking/{held.pk}")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_cancelled")
    keep_up()
    for booking, before in zip((waiting, held), shown[:2], strict=True):
        assert owner.get(f"/api/v1/booking/{booking.pk}").json()["data"] == before


def test_pages_show_no_live_booking_of_a_half_cancelled_event(half_cancelled, superuser_client):
    left = half_cancelled.bookings.live().last()
    lists = "/admin/bookings/booking/"

    listed = superuser_client.get(lists).context["cl"]
    held = superuser_client.get(f"{lists}?status=completed").context["cl"]
    page = superuser_client.get(f"{lists}{left.pk}/")
    export = b"".join(superuser_client.get(f"{lists}export/csv/").streaming_content).decode()
    waiting = b"".join(superuser_client.get(f"{lists}export/csv/?status=waitlisted").streaming_content).decode()
    cancel = superuser_client.get(f"{lists}{left.pk}/cancel/", follow=True)

    assert {booking.status for booking in listed.result_list} == {"cancelled"}
    assert "8 are cancelled" in listed.summary
    assert list(held.result_list) == []
    assert (page.context["booking"].status, page.context["actions"]) == ("cancelled", [])
    assert export.count("Cancelled") == len(export.splitlines()) - 1 == 8
    assert len(waiting.splitlines()) == 1
    assert "already cancelled" in cancel.content.decode()


def test_choice_of_bookings_of_a_half_cancelled_event_is_cancelled_already(half_cancelled, superuser_client):
    left = half_cancelled.bookings.live().first()

    asked = superuser_client.post(
        "/admin/bookings/booking/", {"action": "cancel_bookings", "_selected_action": [left.pk]}, follow=True
    )

    assert "There is nothing to cancel: all selected bookings are cancelled already." in asked.content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_servers_finish_a_cancellation_together(half_cancelled):
    answers = run_together(2, lambda number: keep_up())

    assert answers == [None, None]
    assert_is_finished(half_cancelled)
