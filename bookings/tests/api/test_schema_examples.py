"""The schema's examples: each request is carried out, and answered as the example of its success says."""

import json
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from accounts import tokens
from accounts.link_tokens import Purpose, make_token
from accounts.tests.factories import UserFactory
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import undone

pytestmark = pytest.mark.django_db

PASSWORD = "nine lovely engines"
DATE = datetime(2080, 12, 31, 20, tzinfo=UTC)
# The links whose tokens these operations take.
LINKS = {
    "verify_email": Purpose.VERIFY,
    "confirm_email_change": Purpose.CHANGE,
    "reset_password": Purpose.RESET,
}
FILES = {"application/pdf", "text/calendar"}
BY_ADMIN = {
    *("create_event", "update_event", "delete_event", "one_ticket_create_event"),
    *("list_event_changes", "list_changes"),
}
BY_NOBODY = {"register", "book_tickets", "one_ticket_register"}


def test_examples_are_what_is_sent_and_answered(anonymous, client_of, settings):
    settings.MAIL_ENABLED = True
    schema = json.loads(anonymous.get("/api/schema?format=json").content)
    owner, admin = UserFactory(username="owner", password=PASSWORD), UserFactory(is_staff=True)
    event, other_event = EventFactory(date=DATE), EventFactory()
    booking = BookingFactory(event=event, user=owner, tickets=2)
    real = {"eventId": event.pk, "userId": owner.pk, "currentPassword": PASSWORD}
    real_of = {
        "log_in": {"email": owner.email},
        "one_ticket_log_in": {"username": "owner"},
        "one_ticket_book": {"eventId": other_event.pk},
    }
    compared = []
    for path, method, operation in operations_of(schema):
        name = operation["operationId"]
        with undone():
            sender = anonymous if name in BY_NOBODY else client_of(admin if name in BY_ADMIN else owner)
            if name in LINKS:
                real["token"] = make_token(LINKS[name], owner, asked_at=timezone.now(), email="countess@example.org")
            real["refreshToken"] = tokens.log_in(owner)["refreshToken"]
            sent = body_of(operation, {**real, **real_of.get(name, {})})
            address = path.replace("{id}", str(booking.pk if path.startswith("/api/v1/booking/{id}") else event.pk))
            answered = sender.generic(method.upper(), address, json.dumps(sent), "application/json")
        assert answered.status_code in (200, 201), (name, answered.content)
        success = operation["responses"][str(answered.status_code)]
        kind = answered["Content-Type"].partition(";")[0]
        assert kind in success["content"], name
        if kind not in FILES:
            compared.append((name, answered.json(), example_of(success)))

    assert len(compared) == 32
    for name, answer, example in compared:
        assert answer.get("message") == example.get("message"), name
        assert is_alike(answer, example), (name, answer, example)


def operations_of(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def example_of(body):
    return body["content"]["application/json"]["examples"]["Example"]["value"]


def body_of(operation, real):
    """The example of the request, with values of this database in the place of its own."""
    if "requestBody" not in operation:
        return None
    return {name: real.get(name, value) for name, value in example_of(operation["requestBody"]).items()}


def is_alike(answer, example) -> bool:
    """Whether both have the same names and types. Null is alike to everything."""
    if answer is None or example is None:
        return True
    if isinstance(answer, dict):
        return answer.keys() == example.keys() and all(is_alike(answer[name], example[name]) for name in answer)
    if isinstance(answer, list):
        return all(is_alike(one, example[0]) for one in answer)
    return type(answer) is type(example)
