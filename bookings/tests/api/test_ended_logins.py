"""A login that has ended books and cancels nothing: it gets its 401, by the fast path and by the viewset."""

import pytest
from django.conf import settings as in_force
from django.utils import timezone

from accounts import tokens
from accounts.models import LoginSession, User
from accounts.tests.factories import UserFactory
from bookings.models import Booking
from bookings.services import batches
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import digest_of_all_tables
from bookings.tests.wire import CHALLENGE, booking_body, failure
from ticks.api.throttling import MOVING_WINDOWS

pytestmark = pytest.mark.django_db
URL = "/api/v1/booking"
REFUSAL = failure("This token is not valid, or no longer; log in again.", "token_not_valid")


def log_out(user):
    LoginSession.objects.filter(user=user).delete()


def expire(user):
    LoginSession.objects.filter(user=user).update(expires_at=timezone.now())


def deactivate(user):
    user.is_active = False
    user.save(update_fields=["is_active"])


def set_password(user):
    user.set_password("another one, and long")
    user.save(update_fields=["password"])


def hand_over(user):
    """The login belongs to another account with the same password. No token that names both was ever issued."""
    other = UserFactory()
    User.objects.filter(pk=other.pk).update(password=user.password)
    LoginSession.objects.filter(user=user).update(user=other)


def book(client, booking):
    return client.post(URL, booking_body(booking.event), format="json")


def book_by_key(client, booking):
    return client.post(URL, booking_body(booking.event), format="json", headers={"Idempotency-Key": "k1"})


def book_badly(client, booking):
    return client.post(URL, booking_body(booking.event, ticketsReserved=0), format="json")


def book_what_is_not_there(client, booking):
    return client.post(URL, booking_body(booking.event, eventId=booking.event_id + 1000), format="json")


def send_no_json(client, booking):
    return client.post(URL, b"{", content_type="application/json")


def cancel(client, booking):
    return client.delete(f"{URL}/{booking.pk}")


def cancel_too_many(client, booking):
    return client.delete(f"{URL}/{booking.pk}", {"ticketsToCancel": 1000}, format="json")


def cancel_what_is_not_there(client, booking):
    return client.delete(f"{URL}/{booking.pk + 1000}")


REQUESTS = [
    book,
    book_by_key,
    book_badly,
    book_what_is_not_there,
    send_no_json,
    cancel,
    cancel_too_many,
    cancel_what_is_not_there,
]


@pytest.fixture(autouse=True, params=["fast path", "viewset"])
def _way(request, settings, monkeypatch):
    settings.FAST_PATH = request.param == "fast path"
    # All logins are looked up first for a second after one has ended. A login that another test has ended would hide
    # faults here.
    monkeypatch.setattr(batches, "logins", batches.LoginOrder())


@pytest.fixture
def booking(user):
    return BookingFactory(event=EventFactory(total_tickets=10), user=user)


@pytest.mark.parametrize("end", [log_out, expire, deactivate, set_password, hand_over])
@pytest.mark.parametrize("send", REQUESTS)
def test_ended_login_is_told_so_before_anything_else(owner, user, booking, send, end):
    end(user)
    before = digest_of_all_tables()

    response = send(owner, booking)

    assert (response.status_code, response.json()) == (401, REFUSAL)
    assert response["WWW-Authenticate"] == CHALLENGE
    assert digest_of_all_tables() == before


@pytest.mark.parametrize("send", REQUESTS)
def test_ended_login_does_not_count_against_the_account(owner, user, booking, send, settings):
    settings.THROTTLE_ENABLED = True
    log_out(user)

    send(owner, booking)

    assert not MOVING_WINDOWS["user"].callers.get(str(user.pk))


def test_ended_login_is_told_so_by_a_throttle_that_is_full(owner, user, settings, monkeypatch):
    booking = BookingFactory()
    settings.THROTTLE_ENABLED = True
    monkeypatch.setitem(in_force.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "user", "2/min")
    statuses = [book(owner, booking).status_code for _ in range(3)]
    log_out(user)

    statuses.append(book(owner, booking).status_code)

    assert statuses == [201, 201, 429, 401]
    assert len(MOVING_WINDOWS["user"].callers[str(user.pk)]) == 2


@pytest.mark.parametrize(
    ("send", "status"), [(book_badly, 400), (cancel_too_many, 400), (cancel_what_is_not_there, 404)]
)
def test_good_login_is_told_what_is_wrong(owner, booking, send, status):
    assert send(owner, booking).status_code == status


def test_staff_cancel_what_is_not_theirs_and_others_do_not(staff, stranger, booking):
    assert [cancel(client, booking).status_code for client in (stranger, staff, staff)] == [404, 200, 409]
    assert Booking.objects.get().status == "cancelled"


def test_token_of_another_account_is_of_no_use(owner, user, booking):
    """The signature is ours, as if a secret had leaked. But the account that the token names never had this login."""
    other = UserFactory()
    pair = tokens.log_in(other)
    caller = tokens.read_access_token(pair["token"])
    assert caller.pk == other.pk
    LoginSession.objects.filter(pk=caller.session_id).update(user=user)
    owner.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['token']}")

    assert [send(owner, booking).status_code for send in REQUESTS] == [401] * len(REQUESTS)


@pytest.mark.parametrize("send", [book, cancel])
def test_ended_login_is_nobody_in_the_log(owner, user, booking, caplog, send):
    log_out(user)

    response = send(owner, booking)

    assert [record.user for record in caplog.records if record.name == "ticks.request"] == [None]
    assert "Cookie" not in response["Vary"]


@pytest.mark.parametrize("end", [log_out, deactivate])
def test_key_is_answered_to_nobody_who_is_logged_out(owner, user, booking, end):
    first = book_by_key(owner, booking)
    end(user)
    before = digest_of_all_tables()

    again = book_by_key(owner, booking)

    assert (first.status_code, again.status_code, again.json()) == (201, 401, REFUSAL)
    assert digest_of_all_tables() == before
