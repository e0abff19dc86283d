from datetime import UTC, datetime

import pytest

from bookings.models import Booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger, statuses
from bookings.tests.wire import (
    CHALLENGE,
    NO_EVENT,
    NO_IDS,
    NOT_ADMIN,
    NOT_LOGGED_IN,
    event_json,
    failure,
    invalid,
)
from events.models import Event

pytestmark = pytest.mark.django_db
STALE = failure("Somebody changed this event in the meantime; read it again and repeat your change.", "stale_version")
INVERTED = failure("Sales must end after they start.", "invalid", salesEnd=["Sales must end after they start."])


def change(client, event, body, **headers):
    return client.patch(f"/api/v1/event/{event.pk}", body, headers=headers)


def queue(event, *sizes):
    return [BookingFactory(event=event, tickets=size) for size in sizes]


def test_change_event_sets_what_is_sent_and_nothing_else(staff, admin_user):
    event = EventFactory(
        total_tickets=10,
        venue="Cellar",
        description="Two sets.",
        date=datetime(2024, 12, 1, tzinfo=UTC),
        sales_start=datetime(2024, 1, 1, tzinfo=UTC),
        max_tickets_per_booking=4,
    )

    response = change(staff, event, {"name": "Renamed", "salesStart": None, "date": "2024-12-02"})

    assert response.status_code == 200
    changed = Event.objects.get()
    assert response.json() == {"message": "Event updated successfully.", "data": event_json(changed), "error": False}
    assert response["ETag"] == '"2.2"'
    assert (changed.name, changed.sales_start, changed.date) == ("Renamed", None, datetime(2024, 12, 2, tzinfo=UTC))
    assert (changed.venue, changed.description, changed.max_tickets_per_booking) == ("Cellar", "Two sets.", 4)
    assert (changed.version, changed.created_at) == (2, event.created_at)
    assert changed.updated_at > event.updated_at
    assert counts(event) == (10, 10, 0, 0)
    assert ledger(event, after=1) == [(2, "edited", 0, 10, 0, None, admin_user.pk)]


@pytest.mark.parametrize(
    ("sent", "zone", "date", "end"),
    [
        ({"timeZone": "Asia/Tokyo"}, "Asia/Tokyo", (1, 18), (1, 16)),
        ({"date": "2080-06-02"}, "Europe/Berlin", (1, 22), (1, 16)),
        ({"date": "2080-06-02", "timeZone": "Asia/Tokyo"}, "Asia/Tokyo", (1, 15), (1, 16)),
        ({"salesEnd": "2080-06-03", "timeZone": "Asia/Tokyo"}, "Asia/Tokyo", (1, 18), (2, 15)),
        ({"date": "2080-06-02T00:00", "timeZone": "Asia/Tokyo"}, "Asia/Tokyo", (2, 0), (1, 16)),
    ],
)
def test_change_event_moves_days_by_the_zone_and_moments_not(staff, sent, zone, date, end):
    times = {"date": datetime(2080, 6, 1, 18, tzinfo=UTC), "sales_end": datetime(2080, 6, 1, 16, tzinfo=UTC)}
    event = EventFactory(**times, time_zone="Europe/Berlin")
    etag = event.etag

    response = change(staff, event, sent, **{"If-Match": etag})

    assert (response.status_code, response["ETag"]) == (200, '"2.2"')
    assert response["ETag"] != etag
    event.refresh_from_db()
    assert event.time_zone == zone
    assert (event.date, event.sales_end) == (datetime(2080, 6, *date, tzinfo=UTC), datetime(2080, 6, *end, tzinfo=UTC))
    assert response.json()["data"] == event_json(event)


def test_change_event_to_the_day_that_it_has_changes_nothing(staff):
    event = EventFactory(date=datetime(2080, 5, 31, 22, tzinfo=UTC), time_zone="Europe/Berlin")
    before = everything()

    response = change(staff, event, {"date": "2080-06-01", "timeZone": "Europe/Berlin"})

    assert (response.status_code, response["ETag"]) == (200, '"1.1"')
    assert everything() == before


def test_change_event_to_a_day_that_ends_sales_before_they_start_is_refused(staff):
    event = EventFactory(sales_start=datetime(2080, 5, 31, 16, tzinfo=UTC), time_zone="Asia/Tokyo")
    before = everything()

    response = change(staff, event, {"salesEnd": "2080-06-01"})

    assert response.status_code == 400
    assert response.json() == INVERTED
    assert everything() == before


def test_change_event_with_a_key_is_the_same_request_in_another_zone(staff):
    event = EventFactory(date=datetime(2080, 5, 31, 22, tzinfo=UTC), time_zone="Europe/Berlin")
    key = {"Idempotency-Key": "a-day"}

    first = change(staff, event, {"date": "2080-06-02"}, **key)
    change(staff, event, {"timeZone": "Asia/Tokyo"})
    again = change(staff, event, {"date": "2080-06-02"}, **key)

    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (200, 200, "true")
    assert again.content == first.content


def test_change_event_from_current_etag(staff):
    event = EventFactory()
    etag = staff.get(f"/api/v1/event/{event.pk}")["ETag"]

    first = change(staff, event, {"name": "Once"}, **{"If-Match": etag})
    second = change(staff, event, {"name": "Twice"}, **{"If-Match": first["ETag"]})

    assert (first.status_code, second.status_code) == (200, 200)
    assert (first["ETag"], second["ETag"]) == ('"2.2"', '"3.3"')
    event.refresh_from_db()
    assert (event.name, event.version) == ("Twice", 3)


def test_change_event_with_bookings_in_between(staff):
    event = EventFactory()
    etag = staff.get(f"/api/v1/event/{event.pk}")["ETag"]
    BookingFactory(event=event, tickets=3)

    response = change(staff, event, {"name": "Renamed"}, **{"If-Match": etag})

    assert response.status_code == 200
    assert response["ETag"] == '"2.3"'
    assert response.json()["data"]["availableTickets"] == 7
    assert counts(event) == (10, 7, 0, 3)


def test_change_event_from_stale_etag_is_refused(staff):
    event = EventFactory()
    etag = staff.get(f"/api/v1/event/{event.pk}")["ETag"]
    change(staff, event, {"name": "First"}, **{"If-Match": etag})
    before = everything()

    response = change(staff, event, {"name": "Second"}, **{"If-Match": etag})

    assert response.status_code == 412
    assert response.json() == STALE
    assert everything() == before


@pytest.mark.parametrize("tag", ["*", " * ", '"1"', '"1.77"', 'W/"1.1"'])
def test_change_event_if_match_fits(staff, tag):
    event = EventFactory()

    response = change(staff, event, {"name": "Renamed"}, **{"If-Match": tag})

    assert response.status_code == 200


@pytest.mark.parametrize("tag", ['""', '"x"', '"0.1"', '"2.1"', '"99999999999"'])
def test_change_event_if_match_does_not_fit_is_refused(staff, tag):
    event = EventFactory()
    before = everything()

    response = change(staff, event, {"name": "Renamed"}, **{"If-Match": tag})

    assert response.status_code == 412
    assert response.json() == STALE
    assert everything() == before


@pytest.mark.parametrize("tag", ["", "1", "1.1", '"1.1', '"1.1"x', '"1.1", "2.2"', "é"])
def test_change_event_if_match_that_is_no_tag_is_400(staff, tag):
    event = EventFactory()
    before = everything()

    response = change(staff, event, {"name": "Renamed"}, **{"If-Match": tag})

    assert response.status_code == 400
    assert response.json() == invalid("If-Match", "Send the event's ETag as it came, with its quotes; or *.")
    assert everything() == before


def test_change_event_to_more_tickets_serves_several_groups_in_order(staff, admin_user):
    event = EventFactory(total_tickets=2)
    held, three, one, two, four = queue(event, 2, 2, 1, 2, 2)

    response = change(staff, event, {"totalTickets": "7"})

    assert response.status_code == 200
    data = response.json()["data"]
    assert (data["totalTickets"], data["availableTickets"], data["waitlistedCount"]) == (7, 0, 1)
    assert response["ETag"] == '"2.10"'
    assert statuses(held, three, one, two, four) == ["completed", "completed", "completed", "completed", "waitlisted"]
    assert Booking.objects.get(pk=four.pk).waitlist_position == 1
    assert counts(event) == (7, 0, 1, 7)
    assert ledger(event, after=6) == [
        (7, "capacity_changed", 5, 5, 4, None, admin_user.pk),
        (8, "promoted", 2, 3, 3, three.pk, admin_user.pk),
        (9, "promoted", 1, 2, 2, one.pk, admin_user.pk),
        (10, "promoted", 2, 0, 1, two.pk, admin_user.pk),
    ]


def test_change_event_to_more_tickets_under_first_fit_passes_who_does_not_fit(staff):
    event = EventFactory(total_tickets=4)
    held, four, two, one = queue(event, 4, 4, 2, 1)

    change(staff, event, {"totalTickets": 7})

    assert statuses(held, four, two, one) == ["completed", "waitlisted", "completed", "completed"]
    assert Booking.objects.get(pk=four.pk).waitlist_position == 1
    assert counts(event) == (7, 0, 1, 7)


def test_change_event_to_more_tickets_under_strict_passes_nobody(staff):
    event = EventFactory(total_tickets=4, waitlist_policy="strict")
    held, four, two, one = queue(event, 4, 4, 2, 1)

    change(staff, event, {"totalTickets": 7})

    assert statuses(held, four, two, one) == ["completed", "waitlisted", "waitlisted", "waitlisted"]
    assert counts(event) == (7, 3, 3, 4)


def test_change_event_from_strict_to_first_fit_serves_who_now_fits(staff, admin_user):
    event = EventFactory(total_tickets=6, waitlist_policy="strict")
    held, four, two, one = queue(event, 4, 4, 2, 1)

    response = change(staff, event, {"waitlistPolicy": "first_fit"})

    assert response.status_code == 200
    assert response.json()["data"]["waitlistPolicy"] == "first_fit"
    assert statuses(held, four, two, one) == ["completed", "waitlisted", "completed", "waitlisted"]
    assert counts(event) == (6, 0, 2, 6)
    assert ledger(event, after=5) == [
        (6, "edited", 0, 2, 3, None, admin_user.pk),
        (7, "promoted", 2, 0, 2, two.pk, admin_user.pk),
    ]


def test_change_event_from_first_fit_to_strict_moves_nobody(staff, admin_user):
    event = EventFactory(total_tickets=6)
    bookings = queue(event, 4, 4)

    response = change(staff, event, {"waitlistPolicy": "strict"})

    assert response.status_code == 200
    assert statuses(*bookings) == ["completed", "waitlisted"]
    assert counts(event) == (6, 2, 1, 4)
    assert ledger(event, after=3) == [(4, "edited", 0, 2, 1, None, admin_user.pk)]


def test_change_event_without_waitlist_keeps_who_waits(staff):
    event = EventFactory(total_tickets=2)
    bookings = queue(event, 2, 1)

    response = change(staff, event, {"waitlistEnabled": False})

    assert response.status_code == 200
    assert statuses(*bookings) == ["completed", "waitlisted"]
    assert counts(event) == (2, 0, 1, 2)


def test_change_event_to_as_many_tickets_as_are_held(staff, admin_user):
    event = EventFactory(total_tickets=10)
    BookingFactory(event=event, tickets=6)

    response = change(staff, event, {"totalTickets": 6})

    assert response.status_code == 200
    assert counts(event) == (6, 0, 0, 6)
    assert ledger(event, after=2) == [(3, "capacity_changed", -4, 0, 0, None, admin_user.pk)]


def test_change_event_to_fewer_tickets_than_are_held_is_refused(staff):
    event = EventFactory(total_tickets=10)
    BookingFactory(event=event, tickets=6)
    before = everything()

    response = change(staff, event, {"totalTickets": 5, "name": "Smaller"})

    sentence = "6 tickets are held; the total cannot be lower. Cancel bookings first."
    assert response.status_code == 409
    assert response.json() == failure(sentence, "capacity_below_held", totalTickets=[sentence])
    assert everything() == before


@pytest.mark.parametrize(
    "body",
    [
        {"salesStart": "2024-03-01", "salesEnd": "2024-02-01"},
        {"salesStart": "2024-03-01", "salesEnd": "2024-03-01"},
        {"salesEnd": "2023-12-31"},
        {"salesStart": "2024-02-02", "totalTickets": 99},
    ],
)
def test_change_event_to_sales_that_end_before_they_start_is_refused(staff, body):
    event = EventFactory(
        total_tickets=1,
        sales_start=datetime(2024, 1, 1, tzinfo=UTC),
        sales_end=datetime(2024, 2, 1, tzinfo=UTC),
    )
    before = everything()

    response = change(staff, event, body)

    assert response.status_code == 400
    assert response.json() == INVERTED
    assert everything() == before


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("availableTickets", 5, "It follows from the bookings; change totalTickets instead."),
        ("availableTickets", 10, "It follows from the bookings; change totalTickets instead."),
        ("totalTickets", 0, "Ensure this value is greater than or equal to 1."),
        ("totalTickets", "-5", "Ensure this value is greater than or equal to 1."),
        ("totalTickets", 10**29, "Ensure this value is less than or equal to 1000000."),
        ("totalTickets", True, "Send a whole number."),
        ("totalTickets", 7.0, "Send a whole number."),
        ("totalTickets", None, "This field may not be null."),
        ("name", " ", "This field may not be blank."),
        ("date", None, "This field may not be null."),
        ("maxTicketsPerBooking", 0, "Ensure this value is greater than or equal to 1."),
        ("waitlistPolicy", "random", "Send one of these: first_fit, strict."),
        ("waitlistEnabled", "maybe", "Send true or false."),
        ("timeZone", "Berlin", "There is no such time zone; did you mean Europe/Berlin?"),
        ("timeZone", "", "This field may not be blank."),
        ("timeZone", None, "This field may not be null."),
    ],
)
def test_change_event_with_bad_field_is_refused(staff, field, value, sentence):
    event = EventFactory(total_tickets=10)
    before = everything()

    response = change(staff, event, {field: value})

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)
    assert everything() == before


@pytest.mark.parametrize("body", ["[]", '"name"', "null"])
def test_change_event_from_no_object_is_refused(staff, body):
    event = EventFactory()
    before = everything()

    response = staff.patch(f"/api/v1/event/{event.pk}", body, content_type="application/json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["body"]
    assert everything() == before


@pytest.mark.parametrize("persona", ["owner", "stranger"])
def test_change_event_as_user_is_refused(request, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory()
    before = everything()

    response = change(client, event, {"totalTickets": 99})

    assert response.status_code == 403
    assert response.json() == NOT_ADMIN
    assert everything() == before


def test_change_event_as_anonymous_is_refused(anonymous, settings):
    settings.PUBLIC_EVENTS = True
    event = EventFactory()
    before = everything()

    response = change(anonymous, event, {"totalTickets": 99})

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == CHALLENGE
    assert everything() == before


@pytest.mark.parametrize("identity", NO_IDS)
def test_change_event_of_no_such_id(staff, identity):
    EventFactory()
    before = everything()

    response = staff.patch(f"/api/v1/event/{identity}", {"name": "Renamed"})

    assert response.status_code == 404
    assert response.json() == NO_EVENT
    assert everything() == before


def test_change_event_of_deleted_is_refused(staff):
    event = EventFactory()
    staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    response = change(staff, event, {"totalTickets": 99})

    assert response.status_code == 404
    assert response.json() == NO_EVENT
    assert everything() == before


@pytest.mark.parametrize("changes", [{}, {"name": "Concert"}, {"totalTickets": "10", "waitlistPolicy": "first_fit"}])
def test_change_event_to_what_it_is_is_no_edit(staff, changes):
    event = EventFactory(name="Concert", total_tickets=10)

    response = staff.patch(f"/api/v1/event/{event.pk}", changes, headers={"If-Match": event.etag})

    assert response.status_code == 200
    assert response["ETag"] == event.etag
    assert response.json()["data"]["version"] == 1
