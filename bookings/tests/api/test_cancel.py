import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bookings.api import views
from bookings.exceptions import BookingChanged
from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger, statuses
from bookings.tests.wire import NO_BOOKING, NO_IDS, booking_body, booking_json, failure, invalid

pytestmark = pytest.mark.django_db
DONE = {"message": "Booking cancelled successfully.", "error": False}
ALREADY = failure("This booking is already cancelled.", "already_cancelled")
WHOLE = "Send a whole number."
NULL = "This field may not be null."
AT_LEAST_ONE = "Ensure this value is greater than or equal to 1."
OTHER_ID = "Must be the id in the URL, or be left out."

NO_FIELD = "There is no such field; use bookingId, ticketsToCancel."
DIFFERENT = "The body and the query string say different things."


def url(booking):
    return f"/api/v1/booking/{booking.pk}"


def test_cancel_with_a_name_twice_in_the_query_cancels_nothing(owner, user):
    booking = BookingFactory(user=user, tickets=3)

    response = owner.delete(f"{url(booking)}?ticketsToCancel=1&ticketsToCancel=2")

    assert response.status_code == 400
    assert response.json()["errors"] == {"ticketsToCancel": ["It stands in the query string more than once."]}
    assert Booking.objects.get().tickets_reserved == 3


def test_cancel_of_a_booking_that_is_moved_meanwhile_changes_nothing(owner, user, admin_user, monkeypatch):
    booking = BookingFactory(user=user, tickets=3)

    def move_first(booking, **options):
        # The owner was allowed to see it, and the cancellation has not begun.
        transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
        return cancel_tickets(booking, **options)

    monkeypatch.setattr(views, "cancel_tickets", move_first)

    response = owner.delete(url(booking), {"ticketsToCancel": 1})

    sentence = "The name or the mail address of this booking has just been changed; look again."
    assert (response.status_code, response.json()) == (409, failure(sentence, "holder_changed"))
    stored = Booking.objects.get()
    assert (stored.first_name, stored.tickets_reserved, stored.status) == ("Grace", 3, "completed")
    assert owner.delete(url(booking)).status_code == 404


def test_cancel_as_owner_gives_all_back(owner, user):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=user, tickets=3)

    response = owner.delete(url(booking))

    assert response.status_code == 200
    assert response.json() == DONE
    cancelled = Booking.objects.get()
    assert (cancelled.status, cancelled.tickets_reserved, cancelled.waitlist_number) == ("cancelled", 3, None)
    assert cancelled.updated_at > booking.updated_at == booking.created_at == cancelled.created_at
    assert counts(event) == (10, 10, 0, 0)
    assert ledger(event, after=2) == [(3, "cancelled", 3, 10, 0, booking.pk, user.pk)]
    assert owner.get(url(booking)).json()["data"] == booking_json(cancelled)


def test_cancel_as_staff_gives_all_back(staff, admin_user):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, tickets=3)

    response = staff.delete(url(booking))

    assert (response.status_code, response.json()) == (200, DONE)
    assert statuses(booking) == ["cancelled"]
    assert counts(event) == (10, 10, 0, 0)
    assert ledger(event, after=2) == [(3, "cancelled", 3, 10, 0, booking.pk, admin_user.pk)]


@pytest.mark.parametrize("way", ["header", "query"])
def test_cancel_as_guest_with_token(anonymous, way):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=None, tickets=3)

    if way == "header":
        response = anonymous.delete(url(booking), headers={"Booking-Token": booking.token})
    else:
        response = anonymous.delete(f"{url(booking)}?token={booking.token}&ticketsToCancel=3")

    assert (response.status_code, response.json()) == (200, DONE)
    assert statuses(booking) == ["cancelled"]
    assert counts(event) == (10, 10, 0, 0)
    assert ledger(event, after=2) == [(3, "cancelled", 3, 10, 0, booking.pk, None)]


def test_cancel_as_user_with_a_guests_token(stranger):
    booking = BookingFactory(user=None)

    response = stranger.delete(url(booking), headers={"Booking-Token": booking.token})

    assert response.status_code == 200
    assert statuses(booking) == ["cancelled"]


def test_cancel_as_staff_a_guests_booking(staff):
    booking = BookingFactory(user=None)

    response = staff.delete(url(booking))

    assert response.status_code == 200
    assert statuses(booking) == ["cancelled"]


def test_cancel_as_stranger_is_refused(stranger):
    booking = BookingFactory()
    guests = BookingFactory(user=None)
    before = everything()

    responses = [stranger.delete(url(booking)), stranger.delete(url(guests))]

    for response in responses:
        assert response.status_code == 404
        assert response.json() == NO_BOOKING
    assert everything() == before


@pytest.mark.parametrize("token", [None, "", "wrong", "another's", "hash"])
def test_cancel_as_guest_without_the_token_is_refused(anonymous, token):
    booking = BookingFactory(user=None)
    another = BookingFactory(user=None)
    before = everything()
    given = {"another's": another.token, "hash": booking.token_hash}.get(token, token)

    by_header = anonymous.delete(url(booking), headers={} if given is None else {"Booking-Token": given})
    by_query = anonymous.delete(url(booking) + ("" if given is None else f"?token={given}"))

    for response in (by_header, by_query):
        assert response.status_code == 404
        assert response.json() == NO_BOOKING
    assert everything() == before


@pytest.mark.parametrize("token", [None, "", "None", "wrong"])
def test_cancel_as_anonymous_a_users_booking_is_refused(anonymous, token):
    booking = BookingFactory()
    before = everything()

    response = anonymous.delete(url(booking), headers={} if token is None else {"Booking-Token": token})

    assert response.status_code == 404
    assert response.json() == NO_BOOKING
    assert everything() == before


def test_cancel_with_bad_bearer_token_is_refused_whatever_the_booking_token(anonymous):
    booking = BookingFactory(user=None)
    before = everything()

    response = anonymous.delete(
        url(booking), headers={"Authorization": "Bearer expired", "Booking-Token": booking.token}
    )

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"
    assert everything() == before


@pytest.mark.parametrize("identity", NO_IDS)
def test_cancel_of_no_such_id(staff, identity):
    BookingFactory()
    before = everything()

    response = staff.delete(f"/api/v1/booking/{identity}")

    assert response.status_code == 404
    assert response.json() == NO_BOOKING
    assert everything() == before


@pytest.mark.parametrize("tickets", [2, "2", " 2 "])
def test_cancel_part_by_body(owner, user, tickets):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=user, tickets=5)

    response = owner.delete(url(booking), {"bookingId": booking.pk, "ticketsToCancel": tickets})

    assert (response.status_code, response.json()) == (200, DONE)
    reduced = Booking.objects.get()
    assert (reduced.status, reduced.tickets_reserved) == ("completed", 3)
    assert reduced.updated_at > booking.updated_at
    assert counts(event) == (10, 7, 0, 3)
    assert ledger(event, after=2) == [(3, "reduced", 2, 7, 0, booking.pk, user.pk)]


def test_cancel_part_by_query_string(owner, user):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=user, tickets=5)

    response = owner.delete(f"{url(booking)}?bookingId={booking.pk}&ticketsToCancel=2")

    assert (response.status_code, response.json()) == (200, DONE)
    assert counts(event) == (10, 7, 0, 3)


def test_cancel_part_after_part_until_nothing_is_left(owner, user):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=user, tickets=5)

    answered = [owner.delete(url(booking), {"ticketsToCancel": 2}).status_code for _ in range(3)]
    last = owner.delete(url(booking), {"ticketsToCancel": 1})

    assert answered == [200, 200, 400]
    assert last.status_code == 200
    cancelled = Booking.objects.get()
    assert (cancelled.status, cancelled.tickets_reserved) == ("cancelled", 1)
    assert counts(event) == (10, 10, 0, 0)
    assert [entry[1:4] for entry in ledger(event, after=2)] == [
        ("reduced", 2, 7),
        ("reduced", 2, 9),
        ("cancelled", 1, 10),
    ]


def test_cancel_as_many_as_are_reserved_cancels_it(owner, user):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=user, tickets=5)

    response = owner.delete(url(booking), {"ticketsToCancel": 5})

    assert response.status_code == 200
    assert statuses(booking) == ["cancelled"]
    assert ledger(event, after=2) == [(3, "cancelled", 5, 10, 0, booking.pk, user.pk)]


@pytest.mark.parametrize(("reserved", "words"), [(1, "1 ticket"), (5, "5 tickets")])
def test_cancel_more_than_are_reserved_is_refused(owner, user, reserved, words):
    booking = BookingFactory(user=user, tickets=reserved)
    before = everything()

    response = owner.delete(url(booking), {"ticketsToCancel": reserved + 1})

    sentence = f"This booking has {words}; cancel at most that many."
    assert response.status_code == 400
    assert response.json() == failure(sentence, "more_than_reserved", ticketsToCancel=[sentence])
    assert everything() == before


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("ticketsToCancel", 0, AT_LEAST_ONE),
        ("ticketsToCancel", "0", AT_LEAST_ONE),
        ("ticketsToCancel", -1, AT_LEAST_ONE),
        ("ticketsToCancel", "-1", AT_LEAST_ONE),
        ("ticketsToCancel", None, NULL),
        ("ticketsToCancel", True, WHOLE),
        ("ticketsToCancel", 1.0, WHOLE),
        ("ticketsToCancel", "all", WHOLE),
        ("ticketsToCancel", "", WHOLE),
        ("ticketsToCancel", [1], WHOLE),
        ("ticketsToCancel", 10**29, "Ensure this value is less than or equal to 1000000."),
        ("bookingId", 999_999, OTHER_ID),
        ("bookingId", "999999", OTHER_ID),
        ("bookingId", 0, AT_LEAST_ONE),
        ("bookingId", "this", WHOLE),
        ("bookingId", None, NULL),
        ("bookingId", True, WHOLE),
    ],
)
def test_cancel_with_bad_field_is_refused(owner, user, field, value, sentence):
    booking = BookingFactory(user=user, tickets=2)
    before = everything()

    response = owner.delete(url(booking), {field: value})

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)
    assert everything() == before


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("ticketsToCancel=0", "ticketsToCancel", AT_LEAST_ONE),
        ("ticketsToCancel=some", "ticketsToCancel", WHOLE),
        ("ticketsToCancel=", "ticketsToCancel", WHOLE),
        ("bookingId=999999", "bookingId", OTHER_ID),
    ],
)
def test_cancel_with_bad_query_string_is_refused(owner, user, query, field, sentence):
    booking = BookingFactory(user=user, tickets=2)
    before = everything()

    response = owner.delete(f"{url(booking)}?{query}")

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)
    assert everything() == before


@pytest.mark.parametrize("body", ["[]", "[2]", '"all"', "2", "true", "null"])
def test_cancel_from_no_object_is_refused(owner, user, body):
    booking = BookingFactory(user=user, tickets=2)
    before = everything()

    response = owner.delete(url(booking), body, content_type="application/json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["body"]
    assert everything() == before


def test_cancel_from_broken_json_is_refused(owner, user):
    booking = BookingFactory(user=user)
    before = everything()

    response = owner.delete(url(booking), '{"ticketsToCancel": ', content_type="application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "parse_error"
    assert everything() == before


@pytest.mark.parametrize("body", [{}, {"ticketsToCancel": 1}])
def test_cancel_twice_is_refused(owner, user, body):
    booking = BookingFactory(user=user, tickets=2)
    owner.delete(url(booking))
    before = everything()

    response = owner.delete(url(booking), body)

    assert response.status_code == 409
    assert response.json() == ALREADY
    assert everything() == before


def test_cancel_serves_groups_in_order(staff):
    event = EventFactory(total_tickets=5)
    first = BookingFactory(event=event, tickets=5)
    group = BookingFactory(event=event, tickets=3)
    pair = BookingFactory(event=event, tickets=2)

    response = staff.delete(f"/api/v1/booking/{first.pk}", {"ticketsToCancel": 3})

    assert response.status_code == 200
    assert response.json() == {"message": "Booking cancelled successfully.", "error": False}
    group.refresh_from_db()
    pair.refresh_from_db()
    assert (group.status, pair.status) == ("completed", "waitlisted")
    assert pair.waitlist_position == 1
    event.refresh_from_db()
    assert (event.available_tickets, event.waitlisted_count) == (0, 1)


def test_cancel_serves_several_at_once(owner, user):
    event = EventFactory(total_tickets=5)
    held = BookingFactory(event=event, user=user, tickets=5)
    two, four, one, three, late = (BookingFactory(event=event, tickets=tickets) for tickets in (2, 4, 1, 3, 2))

    response = owner.delete(url(held))

    assert response.status_code == 200
    assert statuses(held, two, four, one, three, late) == [
        "cancelled",
        "completed",
        "waitlisted",
        "completed",
        "waitlisted",
        "completed",
    ]
    assert counts(event) == (5, 0, 2, 5)
    assert ledger(event, after=7) == [
        (8, "cancelled", 5, 5, 5, held.pk, user.pk),
        (9, "promoted", 2, 3, 4, two.pk, user.pk),
        (10, "promoted", 1, 2, 3, one.pk, user.pk),
        (11, "promoted", 2, 0, 2, late.pk, user.pk),
    ]
    assert [Booking.objects.get(pk=booking.pk).waitlist_position for booking in (four, three, late)] == [1, 2, None]
    served = Booking.objects.get(pk=two.pk)
    assert (served.waitlist_number, served.tickets_reserved) == (None, 2)
    assert served.updated_at > two.updated_at


def test_cancel_under_strict_stops_at_who_does_not_fit(owner, user):
    event = EventFactory(total_tickets=5, waitlist_policy="strict")
    held = BookingFactory(event=event, user=user, tickets=5)
    two, four, one = (BookingFactory(event=event, tickets=tickets) for tickets in (2, 4, 1))

    owner.delete(url(held))

    assert statuses(held, two, four, one) == ["cancelled", "completed", "waitlisted", "waitlisted"]
    assert counts(event) == (5, 3, 2, 2)


def test_cancel_serves_guests_who_keep_their_token(owner, user, anonymous):
    event = EventFactory(total_tickets=1)
    held = BookingFactory(event=event, user=user)
    waiting = anonymous.post("/api/v1/booking", booking_body(event, ticketsReserved=1)).json()["data"]

    owner.delete(url(held))

    read = anonymous.get(f"/api/v1/booking/{waiting['id']}", headers={"Booking-Token": waiting["bookingToken"]})
    assert (read.json()["data"]["bookingStatus"], read.json()["data"]["waitlistPosition"]) == ("completed", None)


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
def test_cancel_leaves_other_events_waitlists_alone(owner, user, policy):
    other, event = EventFactory.create_batch(2, total_tickets=1, waitlist_policy=policy)
    BookingFactory(event=other)
    waits_there = BookingFactory(event=other)
    held = BookingFactory(event=event, user=user)
    waits_here = BookingFactory(event=event)

    owner.delete(url(held))

    assert statuses(waits_there, waits_here) == ["waitlisted", "completed"]
    assert counts(event) == (1, 0, 0, 1)
    assert counts(other) == (1, 0, 1, 1)


def test_cancel_part_of_waiting_that_then_fits_serves_it(owner, user):
    event = EventFactory(total_tickets=5)
    held = BookingFactory(event=event, tickets=3)
    ahead = BookingFactory(event=event, tickets=4)
    waiting = BookingFactory(event=event, user=user, tickets=4)

    response = owner.delete(url(waiting), {"ticketsToCancel": 2})

    assert response.status_code == 200
    served = Booking.objects.get(pk=waiting.pk)
    assert (served.status, served.tickets_reserved, served.waitlist_number) == ("completed", 2, None)
    assert statuses(held, ahead) == ["completed", "waitlisted"]
    assert counts(event) == (5, 0, 1, 5)
    assert ledger(event, after=4) == [
        (5, "reduced", 2, 2, 2, waiting.pk, user.pk),
        (6, "promoted", 2, 0, 1, waiting.pk, user.pk),
    ]


def test_cancel_part_of_waiting_that_still_does_not_fit_keeps_its_place(owner, user):
    event = EventFactory(total_tickets=5)
    BookingFactory(event=event, tickets=4)
    waiting = BookingFactory(event=event, user=user, tickets=4)
    behind = BookingFactory(event=event, tickets=2)

    owner.delete(url(waiting), {"ticketsToCancel": 1})

    reduced = Booking.objects.get(pk=waiting.pk)
    assert (reduced.status, reduced.tickets_reserved, reduced.waitlist_position) == ("waitlisted", 3, 1)
    assert Booking.objects.get(pk=behind.pk).waitlist_position == 2
    assert counts(event) == (5, 1, 2, 4)


def test_cancel_waiting_frees_no_tickets(owner, user):
    event = EventFactory(total_tickets=5)
    held = BookingFactory(event=event, tickets=5)
    waiting = BookingFactory(event=event, user=user, tickets=4)
    behind = BookingFactory(event=event, tickets=2)

    owner.delete(url(waiting))

    assert statuses(held, waiting, behind) == ["completed", "cancelled", "waitlisted"]
    assert Booking.objects.get(pk=behind.pk).waitlist_position == 1
    assert counts(event) == (5, 0, 1, 5)
    assert ledger(event, after=4) == [(5, "cancelled", 4, 0, 1, waiting.pk, user.pk)]


def test_cancel_waiting_head_under_strict_frees_the_queue_behind(owner, user):
    event = EventFactory(total_tickets=5, waitlist_policy="strict")
    BookingFactory(event=event, tickets=2)
    head = BookingFactory(event=event, user=user, tickets=4)
    two, one, last = (BookingFactory(event=event, tickets=tickets) for tickets in (2, 1, 1))

    owner.delete(url(head))

    assert statuses(head, two, one, last) == ["cancelled", "completed", "completed", "waitlisted"]
    assert counts(event) == (5, 0, 1, 5)


def test_cancel_of_waiting_in_the_middle_under_strict_serves_nobody(owner, user):
    event = EventFactory(total_tickets=5, waitlist_policy="strict")
    BookingFactory(event=event, tickets=2)
    head = BookingFactory(event=event, tickets=4)
    middle = BookingFactory(event=event, user=user, tickets=2)
    last = BookingFactory(event=event, tickets=1)

    owner.delete(url(middle))

    assert statuses(head, middle, last) == ["waitlisted", "cancelled", "waitlisted"]
    assert Booking.objects.get(pk=last.pk).waitlist_position == 2
    assert counts(event) == (5, 3, 2, 2)


@pytest.mark.parametrize("sold", [0, 200])
def test_cancel_takes_as_many_statements_however_many_are_sold(owner, user, sold):
    event = EventFactory(total_tickets=300)
    booking = BookingFactory(event=event, user=user)
    BookingFactory.create_batch(sold, event=event, user=None)

    with CaptureQueriesContext(connection) as queries:
        owner.delete(url(booking))

    spoken = [query["sql"].split()[0] for query in queries]
    # The queries are the booking, the locks on the event and on the booking, and what follows.
    assert [word for word in spoken if word not in {"SAVEPOINT", "RELEASE"}] == [
        "SELECT",
        "SELECT",
        "SELECT",
        "UPDATE",
        # The ledger, the counts, the hour and the login are in the same round trip if the driver can do it.
        *([] if connection.vendor == "mysql" else ["INSERT", "UPDATE", "INSERT", "SELECT"]),
    ]


@pytest.mark.parametrize(
    ("query", "body", "field", "sentence"),
    [
        ("", {"tickets": 1}, "tickets", "There is no such field; did you mean ticketsToCancel?"),
        ("?ticketToCancel=1", None, "ticketToCancel", "There is no such field; did you mean ticketsToCancel?"),
        ("", {"token": "x"}, "token", "There is no such field; use bookingId, ticketsToCancel."),
        ("", {"format": "json"}, "format", "There is no such field; use bookingId, ticketsToCancel."),
        (
            "",
            {"csrfmiddlewaretoken": "x"},
            "csrfmiddlewaretoken",
            "There is no such field; use bookingId, ticketsToCancel.",
        ),
        ("?ticketsToCancel=1", {"ticketsToCancel": 2}, "ticketsToCancel", DIFFERENT),
    ],
)
def test_cancel_that_says_it_wrong_cancels_nothing(owner, user, query, body, field, sentence):
    booking = BookingFactory(user=user, tickets=3)

    response = owner.delete(url(booking) + query, body)

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)
    booking.refresh_from_db()
    assert (booking.status, booking.tickets_reserved) == ("completed", 3)


def test_cancel_may_say_the_same_twice(owner, user):
    booking = BookingFactory(user=user, tickets=3)

    response = owner.delete(url(booking) + "?ticketsToCancel=1&format=json", {"ticketsToCancel": "1"})

    assert response.status_code == 200
    booking.refresh_from_db()
    assert booking.tickets_reserved == 2


def test_cancel_of_a_large_booking_serves_every_size_in_order(owner, user):
    event = EventFactory(total_tickets=100)
    holder = BookingFactory(event=event, user=user, tickets=100)
    sizes = [90, 20, 100, 30, 7, 50, 3, 1]
    waiting = [BookingFactory(event=event, tickets=size) for size in sizes]

    owner.delete(url(holder), {"ticketsToCancel": 60})

    statuses = [Booking.objects.get(pk=booking.pk).status for booking in waiting]
    assert [size for size, status in zip(sizes, statuses, strict=True) if status == "completed"] == [20, 30, 7, 3]


def test_cancel_of_a_booking_that_has_another_number_by_now_changes_nothing(user):
    booking = BookingFactory(user=user, tickets=4)
    # Two people confirm at once, and both of their pages show this number.
    seen = booking.tickets_reserved
    cancel_tickets(booking, tickets=1, actor=user, expected=seen)
    before = everything()

    with pytest.raises(BookingChanged):
        cancel_tickets(booking, tickets=1, actor=user, expected=seen)

    assert everything() == before
    assert Booking.objects.get(pk=booking.pk).tickets_reserved == 3
