"""Every operation of the served schema, as nobody, user and admin: no 5xx, no answer outside the schema.

`make test` tries a few requests of each operation, each as one of the three;
`HYPOTHESIS_PROFILE=nightly` many more, and each as all three.
"""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zlib import crc32

import pytest
import schemathesis
from django.core import signals
from django.db import close_old_connections
from hypothesis import HealthCheck, note, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection

from accounts import tokens
from accounts.tests.factories import UserFactory
from bookings.api.views import IF_MATCH
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import undone
from ticks.parsing import MAX_ID
from ticks.server.app import django_application, made_readable

pytestmark = pytest.mark.drawn
IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
# So many requests are drawn for each operation, beside the boundary values that are always tried.
CASES = int(os.environ.get("CONFORMANCE_CASES", 200 if IS_LONG else 6))
CHAINS = int(os.environ.get("CONFORMANCE_CHAINS", 100 if IS_LONG else 3))
PASSWORD = "nine lovely engines"
PERSONAS = ["nobody", "user", "admin"]
DATE = datetime(2080, 12, 31, 20, tzinfo=UTC)

# Rules may refuse valid requests to these operations with a 400. No other operation may do so.
REFUSED_BY_RULES = [
    "POST /api/users/register",  # a weak password
    "POST /api/v1/auth/register",  # the same
    "POST /api/users/login",  # a name with a letter that is none
    "PATCH /api/v1/auth/me",  # the same
    "POST /api/v1/auth/login",  # both names, or neither
    "POST /api/v1/auth/password",  # the current password is another
    "POST /api/v1/auth/email/change",  # the same
    "POST /api/v1/auth/email/change/confirm",  # the token is that of no link
    "POST /api/v1/auth/email/verify",  # the same
    "POST /api/v1/auth/password/reset/confirm",  # the same
    "GET /api/v1/booking",  # admins alone filter by email
    "POST /api/v1/booking",  # more tickets than the event has
    "DELETE /api/v1/booking/{id}",  # more tickets than the booking has
    "POST /api/v1/event",  # sales that end before they start
    "PATCH /api/v1/event/{id}",  # the same
    "GET /api/v1/event",  # times before 1900
    "GET /api/v1/changes",  # a cursor that no answer has named
]
# These stand for values that exist only once a test runs (`World`).
STAND_INS = {
    "events": [11, 12],
    "users": [21, 22],
    "usernames": ["ada", "charles"],
    "emails": ["ada@example.org"],
    "passwords": [PASSWORD],
    "refresh_tokens": ["refresh-token"],
    "etags": ['"etag"', "*"],
}


TAG = re.compile(IF_MATCH.type["pattern"])
LENIENT = re.compile(r"\s*-?\d+\s*|\d{4}-\d\d-\d\d|(?i:\s*(true|false)\s*)")


def often(name: str) -> dict:
    return {"dictionary": name, "probability": 0.6}


CONFIG = {
    "seed": 1,
    "generation": {"deterministic": True, "database": "none", "max-examples": CASES},
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx"]},
        # The schema cannot say that a tag is stale or that a key was used.
        "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", 401, 403, 404, 409, 412, 422]},
    },
    # The boundary values start from the examples.
    "phases": {"examples": {"enabled": IS_LONG}},
    "dictionaries": {name: {"values": values} for name, values in STAND_INS.items()},
    "parameters": {
        "query.eventId": often("events"),
        "body.eventId": often("events"),
        "body.userId": often("users"),
        "body.username": often("usernames"),
        "body.email": often("emails"),
        "body.password": often("passwords"),
        "body.currentPassword": often("passwords"),
        "body.refreshToken": often("refresh_tokens"),
        "header.If-Match": often("etags"),
        "header.If-None-Match": often("etags"),
    },
    "operations": [
        {"include-name": REFUSED_BY_RULES, "checks": {"positive_data_acceptance": {"enabled": False}}},
    ],
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """An answer with a field that the schema does not name is outside it: nothing leaks unseen."""
    for name, component in raw_schema["components"]["schemas"].items():
        if not name.endswith("Request") and component["type"] == "object":
            component.setdefault("additionalProperties", False)


def application(environ, start_response):
    return django_application(made_readable(environ), start_response)


schema = schemathesis.openapi.from_wsgi("/api/schema", application, config=SchemathesisConfig.from_dict(CONFIG))


@dataclass
class World:
    """The rows that exist when a request comes."""

    headers: dict[str, dict[str, str]]
    ids: dict[str, list[int]]
    real: dict


@pytest.fixture
def world(db):
    # Django's own test client does this too, since the connection is the test's.
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield furnished()
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


def furnished() -> World:
    ada = UserFactory(username="ada", password=PASSWORD)
    charles = UserFactory(username="charles", is_staff=True)
    event, full = EventFactory(total_tickets=100, date=DATE), EventFactory(total_tickets=2)
    guest = BookingFactory(event=event, user=None, tickets=2)
    bookings = [
        guest,
        BookingFactory(event=full, user=ada, tickets=2),
        BookingFactory(event=full, user=ada, tickets=1),
        BookingFactory(event=event, user=charles, is_only_one=True),
    ]
    refresh_token = tokens.log_in(ada)["refreshToken"]
    return World(
        headers={
            "nobody": {"Booking-Token": guest.token},
            "user": {"Authorization": f"Bearer {tokens.log_in(ada)['token']}"},
            "admin": {"Authorization": f"Bearer {tokens.log_in(charles)['token']}"},
        },
        ids={"event": [event.pk, full.pk], "booking": [booking.pk for booking in bookings]},
        real={
            # The schema's examples have these two values.
            1: event.pk,
            "eyJhbGciOi...": refresh_token,
            **dict(zip(STAND_INS["events"], [event.pk, full.pk], strict=True)),
            **dict(zip(STAND_INS["users"], [ada.pk, charles.pk], strict=True)),
            "refresh-token": refresh_token,
            '"etag"': event.etag,
        },
    )


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(7200 if IS_LONG else 120)
def test_answers_are_as_the_schema_says(case, world):
    number = crc32(repr((case.method, case.path_parameters, case.query, case.body)).encode(errors="replace"))
    aim(case, world, number)

    for persona in PERSONAS if IS_LONG else [PERSONAS[number % len(PERSONAS)]]:
        note(f"as {persona}")
        # Each request finds the same world, so that what fails once fails again.
        with undone():
            case.call_and_validate(
                headers=world.headers[persona],
                additional_checks=[code_is_one_of_the_route],
                excluded_checks=not_checked(case),
            )


def code_is_one_of_the_route(context, response, case):
    """The schema lists each code that a route can answer, under its status."""
    is_this_method = case.method.upper() == case.operation.method.upper()
    if response.status_code >= 400 and is_this_method and case.path.startswith("/api/v1/"):
        answers = case.operation.definition.raw["responses"][str(response.status_code)]["content"]
        codes = {example["value"]["code"] for example in answers["application/json"]["examples"].values()}

        assert response.json()["code"] in codes


def not_checked(case) -> list:
    """Ticks also takes what the schema leaves out for the sake of plain types: an empty filter, a number as a decimal
    string, a bare date, and a switch as a word."""
    sent = [*case.query.values(), *(case.body.values() if hasattr(case.body, "values") else [])]
    is_lenient = any(isinstance(value, str) and (not value or LENIENT.fullmatch(value)) for value in sent)
    return [negative_data_rejection] if is_lenient else []


def aim(case, world: World, number: int) -> None:
    """Makes four of five requests ask for something that exists."""
    for sent in (case.body, case.query, case.headers):
        for name, value in sent.items() if hasattr(sent, "items") else ():
            if isinstance(value, float) and value.is_integer():
                # JSON Schema takes 17.0 for an integer; Ticks does not.
                sent[name] = int(value)
            elif isinstance(value, int | str) and not isinstance(value, bool):
                sent[name] = world.real.get(value, value)
    if case.meta and case.meta.generation.mode.is_positive and not TAG.fullmatch(case.headers.get("If-Match", "*")):
        # Schemathesis also draws tags without the quotes that their pattern demands.
        case.headers["If-Match"] = "*"
    identity = case.path_parameters.get("id")
    if type(identity) is int and abs(identity) <= MAX_ID and number % 5:
        ids = world.ids["booking" if case.path.startswith("/api/v1/booking/{id}") else "event"]
        case.path_parameters["id"] = ids[number % len(ids)]


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.timeout(7200 if IS_LONG else 120)
def test_chains_of_requests_are_as_the_schema_says(world, persona):
    """The next request reads, changes and deletes what an answer has named."""

    class Chain(schema.as_state_machine()):
        def setup(self):
            self.around = undone()
            self.around.__enter__()

        def teardown(self):
            self.around.__exit__(None, None, None)

        def get_call_kwargs(self, case):
            return {"headers": world.headers[persona]}

        def before_call(self, case):
            aim(case, world, 0)

        def validate_response(self, response, case, additional_checks=None, **sent):
            # The headers are passed again. Otherwise the token would count as made up, which must not be accepted.
            case.validate_response(
                response,
                transport_kwargs=sent,
                recorder=self.recorder,
                additional_checks=[code_is_one_of_the_route],
                excluded_checks=not_checked(case),
                **sent,
            )

    Chain.run(
        settings=settings(
            max_examples=CHAINS,
            stateful_step_count=8,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    )
