from datetime import UTC, datetime

import pytest

from accounts.tests.factories import UserFactory
from bookings.tests.state import everything, ledger
from bookings.tests.wire import CHALLENGE, NOT_ADMIN, NOT_LOGGED_IN, failure, invalid, stamp
from events.models import Event

pytestmark = pytest.mark.django_db
CONCERT = {"name": "Concert", "date": "2024-12-01", "totalTickets": 100}
WHOLE = "Send a whole number."
REQUIRED = "This field is required."
NULL = "This field may not be null."
AT_LEAST_ONE = "Ensure this value is greater than or equal to 1."
AT_MOST_A_MILLION = "Ensure this value is less than or equal to 1000000."
ISO = "Send a date or time in ISO 8601, such as 2024-12-01 or 2024-12-01T19:30:00Z."
YEARS = "Send a time from the year 1900 to the year 9998."
NOT_AVAILABLE = "Must equal totalTickets, or be left out."


def test_create_event_as_staff_opens_it(staff, admin_user):
    response = staff.post("/api/v1/event", {**CONCERT, "availableTickets": 100})

    assert response.status_code == 201
    event = Event.objects.get()
    assert response.json() == {
        "message": "Event created successfully.",
        "data": {
            "id": event.pk,
            "name": "Concert",
            "date": "2024-12-01T00:00:00.000Z",
            "timeZone": "UTC",
            "description": "",
            "venue": "",
            "totalTickets": 100,
            "availableTickets": 100,
            "waitlistedCount": 0,
            "salesStart": None,
            "salesEnd": None,
            "maxTicketsPerBooking": None,
            "maxTicketsPerPerson": None,
            "waitlistEnabled": True,
            "waitlistPolicy": "first_fit",
            "salesOpen": True,
            "version": 1,
            "createdBy": admin_user.pk,
            "createdAt": stamp(event.created_at),
            "updatedAt": stamp(event.created_at),
        },
        "error": False,
    }
    assert response["ETag"] == '"1.1"'
    assert (event.total_tickets, event.available_tickets, event.date) == (100, 100, datetime(2024, 12, 1, tzinfo=UTC))
    assert ledger(event) == [(1, "opened", 100, 100, 0, None, admin_user.pk)]


def test_create_event_with_all_fields_keeps_them(staff):
    fields = {
        "name": "Jazz",
        "date": "2080-06-01T19:30:00.250+02:00",
        "timeZone": "Europe/Berlin",
        "totalTickets": 40,
        "description": "Two sets.\nOne break.",
        "venue": "Cellar",
        "salesStart": "2080-01-01T00:00:00Z",
        "salesEnd": "2080-06-01",
        "maxTicketsPerBooking": 6,
        "maxTicketsPerPerson": 12,
        "waitlistEnabled": False,
        "waitlistPolicy": "strict",
    }

    response = staff.post("/api/v1/event", fields)

    assert response.status_code == 201
    shown = {
        **fields,
        "date": "2080-06-01T17:30:00.250Z",
        "salesStart": "2080-01-01T00:00:00.000Z",
        "salesEnd": "2080-05-31T22:00:00.000Z",
    }
    data = response.json()["data"]
    assert {name: data[name] for name in fields} == shown
    again = staff.get(f"/api/v1/event/{data['id']}")
    assert again.json()["data"] == data


def test_create_event_with_numbers_as_strings(staff):
    numbers = {"totalTickets": "100", "availableTickets": " 100 ", "maxTicketsPerBooking": "4"}

    response = staff.post("/api/v1/event", {**CONCERT, **numbers})

    assert response.status_code == 201
    data = response.json()["data"]
    assert (data["totalTickets"], data["availableTickets"], data["maxTicketsPerBooking"]) == (100, 100, 4)


def test_create_event_refuses_what_it_does_not_take(staff, admin_user):
    unasked = {"id": 7, "createdBy": 7, "version": 7, "waitlistedCount": 7, "deletedAt": "2024-01-01"}

    response = staff.post("/api/v1/event", {**CONCERT, **unasked})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == list(unasked)
    assert not Event.objects.exists()


def test_create_event_keeps_any_letters(staff):
    response = staff.post("/api/v1/event", {**CONCERT, "name": "  Ænima 🎸 «Ω»  "})

    assert response.json()["data"]["name"] == "Ænima 🎸 «Ω»"
    assert Event.objects.get().name == "Ænima 🎸 «Ω»"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", ..., REQUIRED),
        ("name", "", "This field may not be blank."),
        ("name", None, NULL),
        ("name", "x" * 201, "Ensure this field has no more than 200 characters."),
        ("name", "two\nlines", "Control characters such as line breaks are not allowed."),
        ("name", ["Concert"], "Not a valid string."),
        ("date", ..., REQUIRED),
        ("date", None, NULL),
        ("date", "1 December", ISO),
        ("date", "2024-02-30", ISO),
        ("date", "", ISO),
        ("date", 20241201, ISO),
        ("date", True, ISO),
        ("date", {}, ISO),
        ("date", "0001-01-01T00:00:00+14:00", "Send a time from the year 1900 to the year 9998."),
        ("date", "1899-12-31T23:59:59.999Z", YEARS),
        ("date", "9999-01-01", YEARS),
        ("totalTickets", ..., REQUIRED),
        ("totalTickets", None, NULL),
        ("totalTickets", True, WHOLE),
        ("totalTickets", 1.0, WHOLE),
        ("totalTickets", 1.5, WHOLE),
        ("totalTickets", "1.0", WHOLE),
        ("totalTickets", "ten", WHOLE),
        ("totalTickets", "", WHOLE),
        ("totalTickets", "\u0661\u0660", WHOLE),
        ("totalTickets", [10], WHOLE),
        ("totalTickets", 0, AT_LEAST_ONE),
        ("totalTickets", -1, AT_LEAST_ONE),
        ("totalTickets", "-1", AT_LEAST_ONE),
        ("totalTickets", 1_000_001, AT_MOST_A_MILLION),
        ("totalTickets", 10**29, AT_MOST_A_MILLION),
        ("totalTickets", "1" + "0" * 29, AT_MOST_A_MILLION),
        ("totalTickets", "1" + "0" * 30, WHOLE),
        ("availableTickets", 99, NOT_AVAILABLE),
        ("availableTickets", 101, NOT_AVAILABLE),
        ("availableTickets", "99", NOT_AVAILABLE),
        ("availableTickets", 0, NOT_AVAILABLE),
        ("availableTickets", True, WHOLE),
        ("description", "x" * 5001, "Ensure this field has no more than 5000 characters."),
        ("description", "\x00", "Control characters other than line breaks and tabs are not allowed."),
        ("description", "a\x1bb", "Control characters other than line breaks and tabs are not allowed."),
        ("description", "a\u2028b", "Control characters other than line breaks and tabs are not allowed."),
        ("venue", "x" * 201, "Ensure this field has no more than 200 characters."),
        ("salesStart", "soon", ISO),
        ("salesEnd", "later", ISO),
        ("maxTicketsPerBooking", 0, AT_LEAST_ONE),
        ("maxTicketsPerBooking", False, WHOLE),
        ("maxTicketsPerBooking", 10**29, AT_MOST_A_MILLION),
        ("maxTicketsPerPerson", 0, AT_LEAST_ONE),
        ("maxTicketsPerPerson", "two", WHOLE),
        ("maxTicketsPerPerson", 1_000_001, AT_MOST_A_MILLION),
        ("waitlistEnabled", "perhaps", "Send true or false."),
        ("waitlistEnabled", None, NULL),
        ("waitlistPolicy", "lottery", "Send one of these: first_fit, strict."),
        ("timeZone", "Europe/Berlim", "There is no such time zone; did you mean Europe/Berlin?"),
        ("timeZone", "+02:00", "There is no such time zone; use a name such as Europe/Berlin or UTC."),
        ("timeZone", "x" * 65, "Ensure this field has no more than 64 characters."),
        ("timeZone", "", "This field may not be blank."),
        ("timeZone", None, NULL),
        ("timeZone", 2, "Not a valid string."),
    ],
)
def test_create_event_with_bad_field_is_refused(staff, field, value, sentence):
    body = {**CONCERT, field: value}
    if value is ...:
        del body[field]

    response = staff.post("/api/v1/event", body)

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("sent", "date", "end"),
    [
        # A day begins and ends in the zone; a moment is what it is.
        ({"timeZone": "Asia/Tokyo", "date": "2080-06-01"}, "2080-05-31T15:00:00.000Z", "2080-06-01T14:59:59.000Z"),
        ({"timeZone": "UTC", "date": "2080-06-01"}, "2080-06-01T00:00:00.000Z", "2080-06-01T23:59:59.000Z"),
        ({"date": "2080-06-01"}, "2080-06-01T04:00:00.000Z", "2080-06-02T03:59:59.000Z"),
        ({"timeZone": "Asia/Tokyo", "date": "2080-06-01T20:00"}, "2080-06-01T20:00:00.000Z",
         "2080-06-01T20:00:00.000Z"),
        ({"timeZone": "Asia/Tokyo", "date": "2080-06-01T20:00+02:00"}, "2080-06-01T18:00:00.000Z",
         "2080-06-01T18:00:00.000Z"),
        ({"timeZone": "Asia/Tokyo", "date": "2080-06-01", "salesEnd": "2080-05-30"}, "2080-05-31T15:00:00.000Z",
         "2080-05-29T15:00:00.000Z"),
        # Neither the first nor the last day lies within the bounds everywhere.
        ({"timeZone": "Asia/Tokyo", "date": "1900-01-01"}, "1900-01-01T00:00:00.000Z", None),
        ({"timeZone": "America/New_York", "date": "9998-12-31"}, "9998-12-31T05:00:00.000Z",
         "9998-12-31T23:59:59.000Z"),
    ],
)  # fmt: skip
def test_create_event_with_a_day_takes_it_in_the_zone(staff, settings, sent, date, end):
    settings.EVENT_TIME_ZONE = "America/New_York"

    response = staff.post("/api/v1/event", {**CONCERT, **sent})

    assert response.status_code == 201
    data = response.json()["data"]
    zone = sent.get("timeZone", "America/New_York")
    assert (data["timeZone"], data["date"], data["salesEnd"]) == (zone, date, end)
    assert Event.objects.get().time_zone == zone


def test_create_event_by_a_form_that_leaves_the_zone_empty_has_the_usual_one(staff, settings):
    settings.EVENT_TIME_ZONE = "Asia/Tokyo"

    response = staff.post("/api/v1/event", {**CONCERT, "timeZone": ""}, format="multipart")

    assert response.status_code == 201
    assert Event.objects.get().time_zone == "Asia/Tokyo"


def test_create_event_plainly_has_the_usual_zone(staff, settings):
    settings.EVENT_TIME_ZONE = "Asia/Tokyo"

    response = staff.post("/api/events/initialize", {"name": "Concert", "totalTickets": 5})

    assert response.status_code == 201
    assert Event.objects.get().time_zone == "Asia/Tokyo"


def test_create_event_names_every_bad_field(staff):
    response = staff.post("/api/v1/event", {"totalTickets": 0})

    assert response.status_code == 400
    assert response.json()["errors"] == {"name": [REQUIRED], "date": [REQUIRED], "totalTickets": [AT_LEAST_ONE]}


@pytest.mark.parametrize("end", ["2024-01-01", "2023-12-31T23:59:59Z"])
def test_create_event_with_sales_that_end_before_they_start_is_refused(staff, end):
    response = staff.post("/api/v1/event", {**CONCERT, "salesStart": "2024-01-01", "salesEnd": end})

    sentence = "Sales must end after they start."
    assert response.status_code == 400
    assert response.json() == failure(sentence, "invalid", salesEnd=[sentence])
    assert not Event.objects.exists()


@pytest.mark.parametrize("body", ["[]", '"Concert"', "null", "7"])
def test_create_event_from_no_object_is_refused(staff, body):
    response = staff.post("/api/v1/event", body, content_type="application/json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["body"]
    assert not Event.objects.exists()


def test_create_event_from_broken_json_is_refused(staff):
    response = staff.post("/api/v1/event", '{"name": "Concert",', content_type="application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "parse_error"
    assert not Event.objects.exists()


@pytest.mark.parametrize("persona", ["owner", "stranger"])
def test_create_event_as_user_is_refused(request, persona):
    client = request.getfixturevalue(persona)
    before = everything()

    response = client.post("/api/v1/event", CONCERT)

    assert response.status_code == 403
    assert response.json() == NOT_ADMIN
    assert everything() == before


def test_create_event_as_anonymous_is_refused(anonymous, settings):
    settings.PUBLIC_EVENTS = True

    response = anonymous.post("/api/v1/event", CONCERT)

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == CHALLENGE
    assert not Event.objects.exists()


def test_create_event_follows_the_account_not_the_token(client_of):
    promoted = UserFactory()
    client = client_of(promoted)
    promoted.is_staff = True
    promoted.save()

    as_staff = client.post("/api/v1/event", CONCERT)
    promoted.is_staff = False
    promoted.save()
    as_user = client.post("/api/v1/event", CONCERT)

    assert (as_staff.status_code, as_user.status_code) == (201, 403)
    assert Event.objects.count() == 1
