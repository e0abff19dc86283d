"""When sales end: what is proposed for a new event, and what happens then and afterwards."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.models import Booking
from bookings.services.verification import verify_events
from bookings.services.waitlist import serve_out_of_turn
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger, statuses
from bookings.tests.wire import booking_body, event_json, failure, stamp
from events.models import Event

pytestmark = pytest.mark.django_db
CLOSED = failure("Sales for this event are closed.", "sales_closed")
TOO_LATE = "Sales would end at the event's date, before they start. Choose when they end."


def create(client, **fields):
    return client.post("/api/v1/event", {"name": "Concert", "totalTickets": 10, **fields})


def change(client, event, **fields):
    return client.patch(f"/api/v1/event/{event.pk}", fields)


def findings():
    return [finding for report in verify_events() for finding in report.findings]


@pytest.fixture(params=["first_fit", "strict"])
def ended(request):
    """Three of four tickets are held by one booking, and two bookings of two wait. Sales have ended."""
    event = EventFactory(total_tickets=4, waitlist_policy=request.param)
    for tickets in (3, 2, 2):
        BookingFactory(event=event, tickets=tickets)
    Event.objects.filter(pk=event.pk).update(sales_end=timezone.now() - timedelta(seconds=1))
    return event


def holder(event):
    return Booking.objects.filter(event=event, status="completed").get()


@pytest.mark.parametrize(
    ("date", "end"),
    [
        ("2080-06-01T19:30:00Z", "2080-06-01T19:30:00.000Z"),
        ("2080-06-01T19:30:00.250+02:00", "2080-06-01T17:30:00.250Z"),
        ("2080-06-01T00:00:00Z", "2080-06-01T00:00:00.000Z"),
        ("2080-06-01", "2080-06-01T23:59:59.000Z"),
        ("9998-12-31", "9998-12-31T23:59:59.000Z"),
        ("2024-12-01", None),
        ("2024-12-01T19:30:00Z", None),
    ],
)
def test_new_event_sells_until_its_date_where_that_lies_ahead(staff, date, end):
    response = create(staff, date=date)

    assert response.status_code == 201
    data = response.json()["data"]
    assert (data["salesEnd"], data["salesOpen"]) == (end, True)
    assert data == event_json(Event.objects.get())
    # What an event answers can be sent back.
    assert change(staff, Event.objects.get(), salesEnd=data["salesEnd"]).json()["data"]["version"] == 1


def test_new_event_of_today_without_a_time_sells_until_the_day_is_over(staff):
    today = f"{timezone.now():%Y-%m-%d}"

    assert create(staff, date=today).json()["data"]["salesEnd"] == f"{today}T23:59:59.000Z"


@pytest.mark.parametrize("sent", [None, "2080-05-01T00:00:00.000Z", "2080-07-01T00:00:00.000Z"])
def test_new_event_sells_as_long_as_is_sent(staff, sent):
    response = create(staff, date="2080-06-01T19:30:00Z", salesEnd=sent)

    assert response.status_code == 201
    assert response.json()["data"]["salesEnd"] == sent


def test_new_event_of_a_form_that_leaves_the_end_empty_sells_until_its_date(staff):
    fields = {"name": "Concert", "totalTickets": "10", "date": "2080-06-01T19:30:00Z", "salesEnd": ""}

    response = staff.post("/api/v1/event", fields, format="multipart")

    assert response.json()["data"]["salesEnd"] == "2080-06-01T19:30:00.000Z"


def test_new_event_whose_sales_start_after_its_date_must_say_when_they_end(staff):
    refused = create(staff, date="2080-06-01", salesStart="2080-06-02")
    made = create(staff, date="2080-06-01", salesStart="2080-06-02", salesEnd=None)

    assert refused.status_code == 400
    assert refused.json() == failure(TOO_LATE, "invalid", salesEnd=[TOO_LATE])
    assert made.status_code == 201
    assert Event.objects.count() == 1


def test_event_of_the_one_ticket_contract_has_no_end(staff):
    staff.post("/api/events/initialize", {"name": "Concert", "totalTickets": 10})

    assert Event.objects.get().sales_end is None


def test_another_date_leaves_the_end_of_sales(staff):
    create(staff, date="2080-06-01T19:30:00Z")

    response = change(staff, Event.objects.get(), date="2080-07-01T19:30:00Z")

    assert response.json()["data"]["salesEnd"] == "2080-06-01T19:30:00.000Z"


def test_after_the_end_nothing_is_booked(anonymous, owner, user, ended):
    before = everything()

    by_guest = anonymous.post("/api/v1/booking", booking_body(ended))
    plainly = owner.post("/api/events/book", {"eventId": ended.pk, "userId": user.pk})

    assert (by_guest.status_code, by_guest.json()) == (409, CLOSED)
    assert (plainly.status_code, plainly.json()) == (409, {"error": CLOSED["message"]})
    assert everything() == before


@pytest.mark.parametrize("tickets", [None, 2])
def test_after_the_end_a_cancellation_promotes_nobody(staff, ended, tickets):
    response = staff.delete(f"/api/v1/booking/{holder(ended).pk}", {"ticketsToCancel": tickets} if tickets else {})

    assert response.status_code == 200
    freed = tickets or 3
    assert counts(ended) == (4, 1 + freed, 2, 3 - freed)
    assert findings() == []


def test_after_the_end_a_cancellation_by_the_one_ticket_contract_promotes_nobody(staff, ended):
    user = holder(ended).user_id

    response = staff.post("/api/events/cancel", {"eventId": ended.pk, "userId": user})

    assert response.status_code == 200
    assert counts(ended) == (4, 4, 2, 0)


def test_after_the_end_a_larger_event_promotes_nobody(staff, ended):
    response = change(staff, ended, totalTickets=20)

    assert response.status_code == 200
    assert counts(ended) == (20, 17, 2, 3)
    assert findings() == []


def test_after_the_end_staff_serve_by_hand(staff, admin_user, ended):
    change(staff, ended, totalTickets=20)
    first, last = Booking.objects.filter(event=ended).waitlisted().order_by("waitlist_number")

    served = serve_out_of_turn(last, reason="A friend", actor=admin_user)

    assert [claim.id for claim in served.promoted] == [last.pk]
    first.refresh_from_db()
    assert first.status == "waitlisted"
    assert findings() == []


@pytest.mark.parametrize("end", [None, "2080-06-01T00:00:00Z"])
def test_end_that_is_moved_ahead_promotes_who_fits_at_once(staff, admin_user, ended, end):
    staff.delete(f"/api/v1/booking/{holder(ended).pk}", {"ticketsToCancel": 2})
    last = ledger(ended)[-1][0]

    response = change(staff, ended, salesEnd=end)

    assert response.status_code == 200
    data = response.json()["data"]
    assert (data["availableTickets"], data["waitlistedCount"], data["salesOpen"]) == (1, 1, True)
    bookings = Booking.objects.filter(event=ended).order_by("pk")
    assert ledger(ended, after=last) == [
        (last + 1, "edited", 0, 3, 2, None, admin_user.pk),
        (last + 2, "promoted", 2, 1, 1, bookings[1].pk, admin_user.pk),
    ]
    assert statuses(*bookings) == ["completed", "completed", "waitlisted"]
    assert findings() == []


def test_end_that_is_moved_but_stays_past_promotes_nobody(staff, ended):
    staff.delete(f"/api/v1/booking/{holder(ended).pk}")

    change(staff, ended, salesEnd="2024-01-01", totalTickets=30)

    assert counts(ended) == (30, 30, 2, 0)


def test_verification_finds_who_fits_while_sales_go_on(ended):
    Event.objects.filter(pk=ended.pk).update(sales_end=timezone.now() + timedelta(hours=1))
    Booking.objects.filter(event=ended).waitlisted().update(tickets_reserved=1)

    assert any("somebody waits for 1 tickets while 1 are available" in finding for finding in findings())
    Event.objects.filter(pk=ended.pk).update(sales_end=timezone.now() - timedelta(seconds=1))
    assert not any("somebody waits" in finding for finding in findings())


@pytest.mark.parametrize(
    ("start", "end", "is_open"),
    [(None, None, True), (-2, None, True), (None, 2, True), (-2, 2, True), (1, 2, False), (-2, -1, False)],
)
def test_event_says_whether_sales_are_open(owner, start, end, is_open):
    now = timezone.now()
    times = {"sales_start": start, "sales_end": end}
    event = EventFactory(**{name: hours and now + timedelta(hours=hours) for name, hours in times.items()})

    response = owner.get(f"/api/v1/event/{event.pk}")

    assert response.json()["data"] == event_json(event)
    assert response.json()["data"]["salesOpen"] is is_open
    assert response["ETag"] == ('"1.1"' if is_open else '"1.1.closed"')


@pytest.mark.parametrize("url", ["/api/v1/event", "/api/v1/event/{pk}"])
def test_end_of_sales_is_news_to_who_polls(owner, monkeypatch, url):
    end = timezone.now() + timedelta(minutes=5)
    event = EventFactory(sales_end=end)
    url = url.format(pk=event.pk)
    etag = owner.get(url)["ETag"]
    unchanged = owner.get(url, headers={"If-None-Match": etag})
    monkeypatch.setattr("django.utils.timezone.now", lambda: end)

    response = owner.get(url, headers={"If-None-Match": etag})

    assert (unchanged.status_code, response.status_code) == (304, 200)
    assert response["ETag"] != etag


def test_tag_of_a_closed_event_names_its_version(staff):
    event = EventFactory(sales_end=timezone.now() - timedelta(hours=1))
    tag = staff.get(f"/api/v1/event/{event.pk}")["ETag"]

    first = staff.patch(f"/api/v1/event/{event.pk}", {"name": "New"}, headers={"If-Match": tag})
    stale = staff.patch(f"/api/v1/event/{event.pk}", {"name": "Newer"}, headers={"If-Match": tag})

    assert (first.status_code, first["ETag"]) == (200, '"2.2.closed"')
    assert stale.status_code == 412


@pytest.mark.parametrize("value", ["true", "false"])
def test_list_of_what_is_available_asks_whether_sales_are_open(owner, value):
    now, hour = timezone.now(), timedelta(hours=1)
    names = {
        "open": EventFactory(),
        "within": EventFactory(sales_start=now - hour, sales_end=now + hour),
        "sold out": EventFactory(total_tickets=1),
        "over": EventFactory(sales_end=now - hour),
        "not yet": EventFactory(sales_start=now + hour),
    }
    BookingFactory(event=names["sold out"])
    wanted = ["open", "within"] if value == "true" else ["sold out", "over", "not yet"]

    listed = owner.get(f"/api/v1/event?available={value}").json()["data"]

    assert [event["id"] for event in listed] == [names[name].pk for name in wanted]


def test_stamp_of_the_end_is_kept_to_the_millisecond(staff):
    end = datetime(2080, 6, 1, 12, 0, 0, 123000, tzinfo=UTC)

    assert create(staff, date="2080-06-02", salesEnd=stamp(end)).json()["data"]["salesEnd"] == stamp(end)
