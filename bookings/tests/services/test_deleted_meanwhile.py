"""An account that is deleted between the look at its token and its write: 401, and nothing is written."""

import json

import pytest
from rest_framework.test import APIClient
from rest_framework.views import APIView

from accounts import services, tokens
from accounts.models import LoginSession, User
from accounts.tests.factories import PASSWORD, UserFactory
from bookings.models import Booking, LedgerEntry
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.wire import CHALLENGE
from events.models import Event

# SQLite looks at foreign keys when a transaction ends.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def deleted_once_seen(monkeypatch):
    """Gives a function that deletes an account as soon as a view has identified it as its caller and has let it in."""
    let_in = APIView.initial

    def delete_soon(user):
        def let_in_and_delete(view, request, *args, **kwargs):
            let_in(view, request, *args, **kwargs)
            User.objects.filter(pk=user.pk).delete()

        monkeypatch.setattr(APIView, "initial", let_in_and_delete)

    return delete_soon


PERSON = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org"}
WRITES = {
    "profile": ("PATCH", "/api/v1/auth/me", {"username": "renamed"}),
    "password": ("POST", "/api/v1/auth/password", {"currentPassword": PASSWORD, "newPassword": "a new pass 4711"}),
    "event": ("POST", "/api/v1/event", {"name": "New", "date": "2080-01-01", "totalTickets": 5}),
    "change": ("PATCH", "/api/v1/event/{event}", {"totalTickets": 20}),
    "delete": ("DELETE", "/api/v1/event/{event}", {}),
    "book": ("POST", "/api/v1/booking", {**PERSON, "eventId": "{event}", "ticketsReserved": 2}),
    "cancel": ("DELETE", "/api/v1/booking/{booking}", {}),
    "part": ("DELETE", "/api/v1/booking/{booking}", {"ticketsToCancel": 1}),
    "plain event": ("POST", "/api/events/initialize", {"name": "New", "totalTickets": 5}),
    "plain book": ("POST", "/api/events/book", {"userId": "{user}", "eventId": "{event}"}),
    "plain book for another": ("POST", "/api/events/book", {"userId": "{other}", "eventId": "{event}"}),
    "plain cancel": ("POST", "/api/events/cancel", {"userId": "{holder}", "eventId": "{event}"}),
}


@pytest.mark.parametrize("name", WRITES)
def test_account_deleted_before_its_write_is_401(deleted_once_seen, settings, name):
    settings.FAST_PATH = False
    booking = BookingFactory(event=EventFactory(total_tickets=10), tickets=3)
    admin = UserFactory(is_staff=True, password=PASSWORD)
    ids = {
        "event": booking.event_id,
        "booking": booking.pk,
        "user": admin.pk,
        "other": UserFactory().pk,
        "holder": booking.user_id,
    }
    method, path, body = WRITES[name]
    body = {key: value.format(**ids) if isinstance(value, str) else value for key, value in body.items()}
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.log_in(admin)['token']}")
    deleted_once_seen(admin)

    response = client.generic(method, path.format(**ids), json.dumps(body), content_type="application/json")

    assert (response.status_code, response.get("WWW-Authenticate")) == (401, CHALLENGE)
    assert not User.objects.filter(pk=admin.pk).exists()
    assert (Event.objects.count(), Booking.objects.count(), LedgerEntry.objects.count()) == (1, 1, 2)
    assert Booking.objects.get().tickets_reserved == 3


def test_account_deleted_during_its_login_is_401(anonymous, monkeypatch):
    user = UserFactory(password=PASSWORD)
    open_session = services.open_session

    def delete_first(account, **kwargs):
        User.objects.filter(pk=account.pk).delete()
        return open_session(account, **kwargs)

    monkeypatch.setattr(tokens, "open_session", delete_first)

    response = anonymous.post("/api/v1/auth/login", {"username": user.username, "password": PASSWORD})

    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    assert not LoginSession.objects.exists()
