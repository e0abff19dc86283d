from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings.models import Booking, LedgerEntry
from bookings.services import booking as booking_service
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger
from bookings.tests.wire import NO_EVENT, booking_body, booking_json, failure, invalid

pytestmark = pytest.mark.django_db
WHOLE = "Send a whole number."
REQUIRED = "This field is required."
BLANK = "This field may not be blank."
NOTHING_SHOWN = "Write at least one character that can be seen."
OTHER_DIRECTION = "Characters that change the direction of writing are not allowed."
NULL = "This field may not be null."
NO_EMAIL = "Enter a valid email address."
LINE_BREAK = "Control characters such as line breaks are not allowed."
LONG_NAME = "Ensure this field has no more than 100 characters."
AT_LEAST_ONE = "Ensure this value is greater than or equal to 1."
AT_MOST_A_MILLION = "Ensure this value is less than or equal to 1000000."
AT_MOST_AN_ID = f"Ensure this value is less than or equal to {2**63 - 1}."
SOLD_OUT = failure("Not enough tickets are left, and this event has no waitlist.", "sold_out")


def book(client, event, **changes):
    return client.post("/api/v1/booking", booking_body(event, **changes))


def test_book_as_user_holds_tickets(owner, user):
    event = EventFactory(total_tickets=10)

    response = owner.post("/api/v1/booking", booking_body(event))

    assert response.status_code == 201
    booking = Booking.objects.get()
    assert response.json() == {
        "message": "Booking created successfully.",
        "data": {
            "id": booking.pk,
            "reference": booking.reference,
            "eventId": event.pk,
            "userId": user.pk,
            "firstName": "Divine",
            "lastName": "Alphonsus",
            "email": "divinealph@example.com",
            "language": None,
            "ticketsReserved": 2,
            "bookingStatus": "completed",
            "waitlistPosition": None,
            "createdAt": response.json()["data"]["createdAt"],
            "updatedAt": response.json()["data"]["createdAt"],
        },
        "error": False,
    }
    assert response.json()["data"] == booking_json(booking)
    assert (booking.user, booking.token_hash, booking.one_ticket_holder) == (user, None, None)
    event.refresh_from_db()
    assert event.available_tickets == 8
    entry = LedgerEntry.objects.get(kind="booked")
    assert (entry.sequence, entry.booking, entry.tickets, entry.available_after) == (2, booking, 2, 8)
    assert entry.actor == user


def test_book_as_guest_hands_out_a_token_once(anonymous):
    event = EventFactory(total_tickets=10)

    response = book(anonymous, event)

    assert response.status_code == 201
    booking = Booking.objects.get()
    token = response.json()["data"]["bookingToken"]
    assert response.json()["data"] == {**booking_json(booking), "userId": None, "bookingToken": token}
    assert len(token) == 43
    assert token not in str(everything())
    assert counts(event) == (10, 8, 0, 2)
    assert ledger(event, after=1) == [(2, "booked", 2, 8, 0, booking.pk, None)]
    again = anonymous.get(f"/api/v1/booking/{booking.pk}", headers={"Booking-Token": token})
    assert again.json()["data"] == booking_json(booking)


def test_book_as_guests_hands_out_different_tokens_and_references(anonymous):
    event = EventFactory()

    first, second = (book(anonymous, event).json()["data"] for _ in range(2))

    assert first["bookingToken"] != second["bookingToken"]
    assert first["reference"] != second["reference"]


def test_book_draws_another_reference_when_the_first_is_taken(anonymous, monkeypatch):
    taken = BookingFactory().reference
    drawn = iter([taken, "FRESH-REFERE"])
    # This stands in for a collision of 49 random bits.
    monkeypatch.setattr(booking_service, "new_reference", lambda: next(drawn))
    event = EventFactory()

    response = book(anonymous, event)

    assert response.status_code == 201
    assert response.json()["data"]["reference"] == "FRESH-REFERE"
    assert counts(event) == (10, 8, 0, 2)
    assert [entry[:2] for entry in ledger(event)] == [(1, "opened"), (2, "booked")]


@pytest.mark.parametrize(("persona", "username"), [("staff", "staff"), ("stranger", "stranger")])
def test_book_as_any_account_is_its_own(request, persona, username):
    client = request.getfixturevalue(persona)
    event = EventFactory()

    response = book(client, event)

    assert response.status_code == 201
    assert "bookingToken" not in response.json()["data"]
    booking = Booking.objects.get()
    assert booking.user.username == username
    assert ledger(event, after=1)[0][-1] == booking.user_id == response.json()["data"]["userId"]


def test_book_for_another_account_is_not_possible(owner, user, admin_user):
    event = EventFactory()

    before = everything()

    response = book(owner, event, userId=admin_user.pk, bookingStatus="cancelled", id=77)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["userId", "bookingStatus", "id"]
    assert everything() == before


def test_book_with_bad_token_is_refused(anonymous):
    event = EventFactory()
    before = everything()

    response = anonymous.post("/api/v1/booking", booking_body(event), headers={"Authorization": "Bearer no.token.this"})

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert everything() == before


def test_book_with_numbers_as_strings(anonymous):
    event = EventFactory(total_tickets=10)

    response = book(anonymous, event, eventId=str(event.pk), ticketsReserved=" 10 ")

    assert response.status_code == 201
    data = response.json()["data"]
    assert (data["eventId"], data["ticketsReserved"]) == (event.pk, 10)
    assert counts(event) == (10, 0, 0, 10)


def test_book_by_form(anonymous):
    event = EventFactory()

    response = anonymous.post("/api/v1/booking", booking_body(event), format="multipart")

    assert response.status_code == 201
    assert response.json()["data"]["ticketsReserved"] == 2


def test_book_normalises_the_email(anonymous):
    event = EventFactory()

    response = book(anonymous, event, email="  Divine.Alph@EXAMPLE.com ")

    assert response.json()["data"]["email"] == "divine.alph@example.com"
    assert Booking.objects.get().email == "divine.alph@example.com"


def test_book_keeps_any_letters(anonymous):
    event = EventFactory()

    response = book(anonymous, event, firstName=" Zoë 🎸 ", lastName="李")

    booking = Booking.objects.get()
    assert (booking.first_name, booking.last_name) == ("Zoë 🎸", "李")
    assert response.json()["data"]["firstName"] == "Zoë 🎸"


def test_book_the_last_ticket(anonymous):
    event = EventFactory(total_tickets=2)

    response = book(anonymous, event, ticketsReserved=2)

    assert response.json()["data"]["bookingStatus"] == "completed"
    assert counts(event) == (2, 0, 0, 2)


def test_book_beyond_available_is_waitlisted_whole(anonymous):
    event = EventFactory(total_tickets=3)
    BookingFactory(event=event, tickets=2)

    response = anonymous.post("/api/v1/booking", booking_body(event))

    assert response.status_code == 201
    data = response.json()["data"]
    assert data["bookingStatus"] == "waitlisted"
    assert data["waitlistPosition"] == 1
    assert len(data["bookingToken"]) == 43
    assert counts(event) == (3, 1, 1, 2)
    assert ledger(event, after=2) == [(3, "waitlisted", 2, 1, 1, data["id"], None)]


def test_book_counts_positions_from_one(anonymous):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)

    positions = [book(anonymous, event, ticketsReserved=1).json()["data"]["waitlistPosition"] for _ in range(3)]

    assert positions == [1, 2, 3]
    assert counts(event) == (1, 0, 3, 1)


def test_book_counts_positions_past_who_left(anonymous, staff):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    waiting = BookingFactory.create_batch(3, event=event)
    staff.delete(f"/api/v1/booking/{waiting[0].pk}")

    response = book(anonymous, event, ticketsReserved=1)

    assert response.json()["data"]["waitlistPosition"] == 3
    assert Booking.objects.get(pk=response.json()["data"]["id"]).waitlist_position == 3


def test_book_under_first_fit_passes_who_does_not_fit(anonymous):
    event = EventFactory(total_tickets=5)
    BookingFactory(event=event, tickets=3)
    BookingFactory(event=event, tickets=3)

    response = book(anonymous, event, ticketsReserved=2)

    assert response.json()["data"]["bookingStatus"] == "completed"
    assert counts(event) == (5, 0, 1, 5)


def test_book_under_strict_queues_behind_who_waits(anonymous):
    event = EventFactory(total_tickets=5, waitlist_policy="strict")
    BookingFactory(event=event, tickets=3)
    BookingFactory(event=event, tickets=3)

    response = book(anonymous, event, ticketsReserved=2)

    data = response.json()["data"]
    assert (data["bookingStatus"], data["waitlistPosition"]) == ("waitlisted", 2)
    assert counts(event) == (5, 2, 2, 3)


def test_book_more_than_the_event_has_is_refused(anonymous):
    event = EventFactory(total_tickets=3)
    before = everything()

    response = book(anonymous, event, ticketsReserved=4)

    sentence = "This event sells at most 3 tickets a booking."
    assert response.status_code == 400
    assert response.json() == failure(sentence, "too_many_tickets", ticketsReserved=[sentence])
    assert everything() == before


def test_book_more_than_the_limit_is_refused(anonymous):
    event = EventFactory(total_tickets=10, max_tickets_per_booking=1)
    before = everything()

    response = book(anonymous, event, ticketsReserved=2)

    sentence = "This event sells at most 1 ticket a booking."
    assert response.status_code == 400
    assert response.json() == failure(sentence, "too_many_tickets", ticketsReserved=[sentence])
    assert everything() == before


def test_book_as_many_as_the_limit(anonymous):
    event = EventFactory(total_tickets=10, max_tickets_per_booking=4)

    response = book(anonymous, event, ticketsReserved=4)

    assert response.status_code == 201
    assert counts(event) == (10, 6, 0, 4)


def test_book_sold_out_without_waitlist_is_refused(anonymous):
    event = EventFactory(total_tickets=3, waitlist_enabled=False)
    BookingFactory(event=event, tickets=2)
    before = everything()

    response = book(anonymous, event, ticketsReserved=2)

    assert response.status_code == 409
    assert response.json() == SOLD_OUT
    assert everything() == before


def test_book_without_waitlist_what_is_left(anonymous):
    event = EventFactory(total_tickets=3, waitlist_enabled=False)
    BookingFactory(event=event, tickets=2)

    response = book(anonymous, event, ticketsReserved=1)

    assert response.status_code == 201
    assert counts(event) == (3, 0, 0, 3)


def test_book_before_sales_open_is_refused(anonymous):
    event = EventFactory(sales_start=datetime(2100, 1, 1, 10, 30, tzinfo=UTC))
    before = everything()

    response = book(anonymous, event)

    assert response.status_code == 409
    assert response.json() == failure("Sales for this event open on 1 Jan 2100, 10:30 UTC.", "sales_not_open")
    assert everything() == before


def test_book_before_sales_open_is_told_when_in_the_zone_of_the_event(anonymous):
    event = EventFactory(sales_start=datetime(2100, 7, 1, 10, 30, tzinfo=UTC), time_zone="Europe/Berlin")

    response = book(anonymous, event)

    assert response.status_code == 409
    assert response.json() == failure("Sales for this event open on 1 Jul 2100, 12:30 CEST.", "sales_not_open")


def test_book_after_sales_closed_is_refused(anonymous):
    event = EventFactory(sales_end=timezone.now() - timedelta(minutes=1))
    before = everything()

    response = book(anonymous, event)

    assert response.status_code == 409
    assert response.json() == failure("Sales for this event are closed.", "sales_closed")
    assert everything() == before


def test_book_within_sales_for_an_event_of_the_past(anonymous):
    now = timezone.now()
    minute = timedelta(minutes=1)
    event = EventFactory(sales_start=now - minute, sales_end=now + minute, date=now - timedelta(days=365))

    response = book(anonymous, event)

    assert response.status_code == 201


@pytest.mark.parametrize("identity", [999_999, "999999", 2**63 - 1])
def test_book_unknown_event_is_refused(anonymous, identity):
    event = EventFactory()
    before = everything()

    response = book(anonymous, event, eventId=identity)

    assert response.status_code == 404
    assert response.json() == NO_EVENT
    assert everything() == before


def test_book_deleted_event_is_refused(anonymous, staff):
    event = EventFactory()
    staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    response = book(anonymous, event)

    assert response.status_code == 404
    assert response.json() == NO_EVENT
    assert everything() == before


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("eventId", ..., REQUIRED),
        ("eventId", None, NULL),
        ("eventId", True, WHOLE),
        ("eventId", 1.0, WHOLE),
        ("eventId", "1 OR 1=1", WHOLE),
        ("eventId", "", WHOLE),
        ("eventId", {"id": 1}, WHOLE),
        ("eventId", 0, AT_LEAST_ONE),
        ("eventId", "-1", AT_LEAST_ONE),
        ("eventId", 2**63, AT_MOST_AN_ID),
        ("eventId", 10**29, AT_MOST_AN_ID),
        ("ticketsReserved", ..., REQUIRED),
        ("ticketsReserved", None, NULL),
        ("ticketsReserved", True, WHOLE),
        ("ticketsReserved", 2.0, WHOLE),
        ("ticketsReserved", 1e3, WHOLE),
        ("ticketsReserved", "2.5", WHOLE),
        ("ticketsReserved", "two", WHOLE),
        ("ticketsReserved", "+2", WHOLE),
        ("ticketsReserved", "1_0", WHOLE),
        ("ticketsReserved", [2], WHOLE),
        ("ticketsReserved", 0, AT_LEAST_ONE),
        ("ticketsReserved", -2, AT_LEAST_ONE),
        ("ticketsReserved", "-2", AT_LEAST_ONE),
        ("ticketsReserved", 1_000_001, AT_MOST_A_MILLION),
        ("ticketsReserved", 10**29, AT_MOST_A_MILLION),
        ("firstName", ..., REQUIRED),
        ("firstName", None, NULL),
        ("firstName", "", BLANK),
        ("firstName", " \t ", BLANK),
        ("firstName", "x" * 101, LONG_NAME),
        ("firstName", "a\nb", LINE_BREAK),
        ("firstName", ["a"], "Not a valid string."),
        ("firstName", True, "Not a valid string."),
        ("lastName", ..., REQUIRED),
        ("firstName", "\u3164", NOTHING_SHOWN),
        ("lastName", "\u2800\u200b", NOTHING_SHOWN),
        ("firstName", "Ada\u202e", OTHER_DIRECTION),
        ("lastName", " " * 101, LONG_NAME),
        ("lastName", "x" * 101, LONG_NAME),
        ("lastName", "a\x7fb", LINE_BREAK),
        ("email", ..., REQUIRED),
        ("email", None, NULL),
        ("email", "", BLANK),
        ("email", "divinealph", NO_EMAIL),
        ("email", "divine alph@example.com", NO_EMAIL),
        ("email", "a@b.com, c@d.com", NO_EMAIL),
        ("email", 0, "Not a valid string."),
    ],
)
def test_book_with_bad_field_is_refused(anonymous, field, value, sentence):
    event = EventFactory()
    before = everything()
    body = booking_body(event, **{field: value})
    if value is ...:
        del body[field]

    response = anonymous.post("/api/v1/booking", body)

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)
    assert everything() == before


def test_book_for_a_person_with_one_name(anonymous):
    response = book(anonymous, EventFactory(), lastName="")

    assert response.status_code == 201
    assert response.json()["data"]["lastName"] == Booking.objects.get().last_name == ""


def test_book_with_other_spellings_of_the_same_text(anonymous):
    names = {"firstName": "Noe\u0308l", "lastName": "A\u030angstro\u0308m", "email": "\ufeffNoel@EXA\u0308MPLE.org"}

    response = book(anonymous, EventFactory(), **names)

    booking = Booking.objects.get()
    assert response.status_code == 201
    assert (booking.first_name, booking.last_name) == ("Noël", "Ångström")
    assert booking.email == response.json()["data"]["email"] == "noel@xn--exmple-cua.org"


@pytest.mark.parametrize("email", ["noel@exämple.org", "NOEL@xn--exmple-cua.org", "noel@exa\u0308mple.org\u200b"])
def test_bookings_of_an_address_are_found_by_each_spelling(staff, anonymous, email):
    book(anonymous, EventFactory(), email="noel@exämple.org")

    response = staff.get("/api/v1/booking", {"email": email})

    assert [found["email"] for found in response.json()["data"]] == ["noel@xn--exmple-cua.org"]


@pytest.mark.parametrize("email", ["x" * 243 + "@example.com", "a@" + ".".join(["İ" * 15] * 15) + ".com"])
def test_book_with_email_longer_than_its_column_is_refused(anonymous, email):
    event = EventFactory()
    before = everything()

    response = book(anonymous, event, email=email)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["email"]
    assert everything() == before


def test_book_with_lone_surrogate_is_refused(anonymous):
    event = EventFactory()
    before = everything()
    body = (
        f'{{"eventId": {event.pk}, "firstName": "\\ud800", "lastName": "b", "email": "a@b.co", "ticketsReserved": 1}}'
    )

    response = anonymous.post("/api/v1/booking", body, content_type="application/json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["firstName"]
    assert everything() == before


def test_book_names_every_bad_field(anonymous):
    response = anonymous.post("/api/v1/booking", {"email": "x"})

    assert response.status_code == 400
    assert response.json()["errors"] == {
        "eventId": [REQUIRED],
        "firstName": [REQUIRED],
        "lastName": [REQUIRED],
        "email": [NO_EMAIL],
        "ticketsReserved": [REQUIRED],
    }


@pytest.mark.parametrize("body", ["[]", '"two"', "null", "2"])
def test_book_from_no_object_is_refused(anonymous, body):
    response = anonymous.post("/api/v1/booking", body, content_type="application/json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["body"]
    assert not Booking.objects.exists()


def test_book_from_broken_json_is_refused(anonymous):
    response = anonymous.post("/api/v1/booking", '{"eventId": 1,', content_type="application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "parse_error"


def test_book_from_text_is_refused(anonymous):
    response = anonymous.post("/api/v1/booking", "two tickets", content_type="text/plain")

    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"


def statements_after_the_lock(queries):
    """The statements that run while the event is locked, without BEGIN and COMMIT."""
    spoken = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN"))]
    locks = [number for number, sql in enumerate(spoken) if "events_event" in sql and sql.startswith("SELECT")]
    return spoken[locks[0] + 1 :]


@pytest.mark.parametrize("sold", [0, 200])
def test_book_takes_four_statements_under_the_lock(anonymous, sold):
    event = EventFactory(total_tickets=300)
    BookingFactory.create_batch(sold, event=event, user=None)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = book(anonymous, event)

    assert response.json()["data"]["bookingStatus"] == "completed"
    # The booking, the ledger, the counts and the hour are one round trip if the driver can do it.
    written = ["INSERT"] if connection.vendor == "mysql" else ["INSERT", "INSERT", "UPDATE", "INSERT"]
    assert [sql.split()[0] for sql in statements_after_the_lock(queries)] == written


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
def test_book_takes_at_most_six_statements_under_the_lock(anonymous, policy):
    event = EventFactory(total_tickets=10, waitlist_policy=policy)
    BookingFactory(event=event, tickets=6)
    BookingFactory.create_batch(3, event=event, tickets=5)

    with CaptureQueriesContext(connection) as queries:
        response = anonymous.post("/api/v1/booking", booking_body(event), headers={"Idempotency-Key": "k"})

    assert response.status_code == 201
    assert 0 < len(statements_after_the_lock(queries)) <= 6


def test_book_by_other_methods_is_refused(staff):
    response = staff.put("/api/v1/booking", {})

    assert response.status_code == 405
    assert response.json() == failure('Method "PUT" not allowed.', "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"
