"""The scope that each route takes of an API key: every route, with a key for each scope alone, for all and for none."""

import json

import pytest

from accounts.models import Scope
from accounts.tests.factories import client_with_key
from bookings.tests.api.test_access import FORM, ROWS, body, concrete
from bookings.tests.state import digest_of_all_tables, undone

pytestmark = pytest.mark.django_db
# The scope that each route takes, and what it answers then. Every other route that looks at the caller refuses keys.
TABLE = """
GET    /api/v1/booking                                bookings:read    200
POST   /api/v1/booking                                bookings:write   201
DELETE /api/v1/booking/<str:pk>#user's                bookings:write   200
DELETE /api/v1/booking/<str:pk>#guest's               bookings:write   200
GET    /api/v1/booking/<str:pk>#user's                bookings:read    200
GET    /api/v1/booking/<str:pk>#guest's               bookings:read    200
GET    /api/v1/booking/<str:pk>/calendar.ics#user's   bookings:read    409
GET    /api/v1/booking/<str:pk>/calendar.ics#guest's  bookings:read    409
GET    /api/v1/booking/<str:pk>/tickets#user's        bookings:read    200
GET    /api/v1/booking/<str:pk>/tickets#guest's       bookings:read    200
GET    /api/v1/booking/<str:pk>/tickets.pdf#user's    bookings:read    200
GET    /api/v1/booking/<str:pk>/tickets.pdf#guest's   bookings:read    200
GET    /api/v1/booking/status/<str:pk>                events:read      200
GET    /api/v1/changes                                changes:read     200
GET    /api/v1/event                                  events:read      200
POST   /api/v1/event                                  events:write     201
DELETE /api/v1/event/<str:pk>                         events:write     200
GET    /api/v1/event/<str:pk>                         events:read      200
PATCH  /api/v1/event/<str:pk>                         events:write     200
GET    /api/v1/event/<str:pk>/changes                 changes:read     200
"""
TAKEN = {
    (method, route): (scope, int(status)) for method, route, scope, status in map(str.split, TABLE.strip().splitlines())
}
API = [(method, route) for method, route, *_ in ROWS if route.startswith("/api/")]
# These look at no caller at all, so a header that is wrong changes nothing.
PUBLIC = {"/api", "/api/", "/api/v1", "/api/v1/", "/api/docs", "/api/schema"}
UNKNOWN = {"/api/.+", "/api/(?:events|users)(?:/|$)"}
LOGINS = {f"/api/v1/auth/{name}" for name in ("login", "logout", "refresh", "register")}
LOGINS |= {f"/api/v1/auth/email/{name}" for name in ("change/confirm", "verification", "verify")}
LOGINS |= {f"/api/v1/auth/password/{name}" for name in ("reset", "reset/confirm")}
LOGINS |= {f"/api/users/{name}" for name in ("login", "register")}
OPEN = {(method, route) for method, route in API if route in PUBLIC | UNKNOWN | LOGINS}


@pytest.fixture(scope="module")
def keys(world):
    """A client for each scope alone, one with every scope, and one with none."""
    clients = {scope: client_with_key(scope) for scope in Scope.values}
    return {**clients, "all": client_with_key(*Scope.values), "none": client_with_key()}


@pytest.fixture(autouse=True, params=["fast path", "viewset"])
def _way(request, settings):
    settings.FAST_PATH = request.param == "fast path"


def ask(client, world, method, route):
    sent = body(world, route, method)
    content, content_type = (json.dumps(sent), "application/json") if sent else ("", FORM)
    return client.generic(method, concrete(world, route), content, content_type=content_type)


@pytest.mark.parametrize(("method", "route"), API)
def test_route_takes_the_scope_that_it_names_and_no_other(world, keys, method, route):
    got = {}
    for name, client in keys.items():
        with undone():
            # The first request of a key is left to Django.
            client.get("/api/v1/auth/me")
            before = digest_of_all_tables()
            response = ask(client, world, method, route)
            got[name] = response.status_code, response.json().get("code") if response.status_code == 403 else None
            if response.status_code == 403:
                assert digest_of_all_tables() == before

    if (method, route) in OPEN:
        anonymous = ask(world.clients["anonymous"], world, method, route).status_code
        assert {status for status, _ in got.values()} == {anonymous}
        return
    scope, status = TAKEN.get((method, route), (None, None))
    lacking = (403, f"missing_scope_{scope.replace(':', '_')}" if scope else "api_key_not_accepted")
    if route.startswith("/api/events"):
        # The failures of the one-ticket contract have no codes.
        lacking = (403, None)
    assert got == {name: (status, None) if scope and name in (scope, "all") else lacking for name in keys}


def test_table_names_no_route_that_is_gone():
    assert set(TAKEN) <= set(API)
    assert not set(TAKEN) & OPEN


def test_schema_names_the_scope_of_each_route(anonymous):
    schema = anonymous.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()

    named, secured = {}, {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            at = method.upper(), path
            sentence = operation.get("description", "").rpartition("Scope of API keys: `")[2]
            named[at] = sentence.removesuffix("`.") if sentence.endswith("`.") else None
            secured[at] = {"apiKey": []} in operation.get("security", [])
            codes = operation["responses"].get("403", {}).get("description", "")
            assert ("missing_scope_" in codes) == secured[at], at
    expected = {
        (method, route.partition("#")[0].replace("<str:pk>", "{id}")): scope
        for (method, route), (scope, _) in TAKEN.items()
    }
    assert {at: scope for at, scope in named.items() if scope in Scope.values} == expected
    assert {at for at, is_secured in secured.items() if is_secured} == set(expected)
    assert schema["components"]["securitySchemes"]["apiKey"] == {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Enter: `Api-Key <key>`",
    }
