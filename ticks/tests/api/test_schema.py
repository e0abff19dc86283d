import json
import os
import re

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.urls import get_resolver
from jsonschema import Draft202012Validator

pytestmark = pytest.mark.django_db

AUTH = "/api/v1/auth/"
OPERATIONS = [
    *("register", "log_in", "refresh_tokens", "log_out", "get_account", "update_account", "change_password"),
    *("send_verification", "verify_email", "change_email", "confirm_email_change"),
    *("send_password_reset", "reset_password"),
    *("list_events", "create_event", "get_event", "update_event", "delete_event", "get_event_status"),
    *("list_bookings", "book_tickets", "get_booking", "cancel_booking"),
    *("list_tickets", "get_tickets_pdf", "get_calendar_entry"),
    *("list_event_changes", "list_changes"),
    *("one_ticket_register", "one_ticket_log_in", "one_ticket_get_event", "one_ticket_create_event"),
    *("one_ticket_book", "one_ticket_cancel"),
]


@pytest.fixture
def schema(anonymous):
    response = anonymous.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    return json.loads(response.content)


def test_schema_is_generated_without_warnings():
    call_command("spectacular", validate=True, fail_on_warn=True, file=os.devnull)


def test_schema_is_served_as_openapi_3_1(anonymous):
    response = anonymous.get("/api/schema")

    assert response.status_code == 200
    assert response["Content-Type"] == "application/vnd.oai.openapi; charset=utf-8"
    assert anonymous.get("/api/schema?format=json")["Content-Type"] == "application/vnd.oai.openapi+json"
    assert response.content.decode().startswith("openapi: 3.1.0\ninfo:\n  title: Ticks\n")


def test_schema_names_every_route_of_the_contract(schema):
    routes = {
        (method, path)
        for path, operations in schema["paths"].items()
        for method in operations
        if method in {"get", "post", "put", "patch", "delete"}
    }

    assert schema["openapi"] == "3.1.0"
    assert routes == {
        ("post", AUTH + "register"),
        ("post", AUTH + "login"),
        ("post", AUTH + "refresh"),
        ("post", AUTH + "logout"),
        ("get", AUTH + "me"),
        ("patch", AUTH + "me"),
        ("post", AUTH + "password"),
        ("post", AUTH + "password/reset"),
        ("post", AUTH + "password/reset/confirm"),
        ("post", AUTH + "email/verification"),
        ("post", AUTH + "email/verify"),
        ("post", AUTH + "email/change"),
        ("post", AUTH + "email/change/confirm"),
        ("get", "/api/v1/event"),
        ("post", "/api/v1/event"),
        ("get", "/api/v1/event/{id}"),
        ("patch", "/api/v1/event/{id}"),
        ("delete", "/api/v1/event/{id}"),
        ("get", "/api/v1/event/{id}/changes"),
        ("get", "/api/v1/changes"),
        ("get", "/api/v1/booking"),
        ("post", "/api/v1/booking"),
        ("get", "/api/v1/booking/{id}"),
        ("delete", "/api/v1/booking/{id}"),
        ("get", "/api/v1/booking/{id}/tickets"),
        ("get", "/api/v1/booking/{id}/tickets.pdf"),
        ("get", "/api/v1/booking/{id}/calendar.ics"),
        ("get", "/api/v1/booking/status/{id}"),
        ("post", "/api/users/register"),
        ("post", "/api/users/login"),
        ("get", "/api/events/{id}"),
        ("post", "/api/events/initialize"),
        ("post", "/api/events/book"),
        ("post", "/api/events/cancel"),
    }


def test_schema_says_what_registration_answers(schema):
    answers = schema["paths"][AUTH + "register"]["post"]["responses"]

    assert sorted(answers) == ["201", "400", "406", "409", "413", "415", "429", "503"]
    assert schema["components"]["securitySchemes"]["bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }


def operations(schema):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "post", "patch", "delete"}:
                yield f"{method} {path}", operation


def bodies(operation):
    yield operation.get("requestBody", {})
    yield from operation["responses"].values()


def test_schema_examples_are_valid(schema):
    said = [
        (example["value"], content["schema"])
        for _, operation in operations(schema)
        for body in bodies(operation)
        for content in body.get("content", {}).values()
        for example in content.get("examples", {}).values()
    ]

    assert len(said) > 100
    for value, its_schema in said:
        Draft202012Validator({**its_schema, "components": schema["components"]}).validate(value)


def test_schema_has_an_example_of_every_request_and_answer(schema):
    without = [
        name
        for name, operation in operations(schema)
        for body in bodies(operation)
        for content in body.get("content", {}).values()
        if not content.get("examples")
    ]

    assert without == []


def test_schema_types_are_plain(schema):
    """Generators of clients turn other unions than those with null into "any", or into types of odd names."""
    unions = [schema_ for schema_ in parts(schema) if "anyOf" in schema_ or len(set(types_of(schema_)) - {"null"}) > 1]
    components = schema["components"]["schemas"]
    ids = {
        parameter["schema"]["type"]
        for _, operation in operations(schema)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path"
    }

    assert unions == []
    assert ids == {"integer"}
    for name in ("date", "salesStart", "salesEnd"):
        assert components["EventCreateRequest"]["properties"][name]["format"] == "date-time"


def parts(node):
    """Every object of the schema, however deep."""
    if isinstance(node, dict):
        yield node
        for inner in node.values():
            yield from parts(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from parts(inner)


def types_of(node):
    types = node.get("type")
    return types if isinstance(types, list) else []


def test_schema_says_whether_an_answer_is_a_failure(schema):
    components = schema["components"]["schemas"]
    said = {
        name: component["properties"]["error"]
        for name, component in components.items()
        if "error" in component.get("properties", {}) and not name.startswith("Plain")
    }

    assert len(said) > 8
    assert said.pop("Error") == {"type": "boolean", "const": True}
    assert [(name, error["type"], error["const"]) for name, error in said.items() if error["const"] is not False] == []


def test_schema_has_ids_of_operations_that_say_what_is_done(schema):
    ids = [operation["operationId"] for _, operation in operations(schema)]

    assert sorted(ids) == sorted(OPERATIONS)


def test_schema_publishes_no_docstring(schema):
    described = {name for name, component in schema["components"]["schemas"].items() if "description" in component}
    views = [operation["description"] for _, operation in operations(schema) if "description" in operation]

    # The words of a choice are described.
    assert described == {"BookingStatus", "ChangeKind", "Language", "WaitlistPolicy"}
    assert [text for text in views if "`" not in text and text != "Its bookings are kept, cancelled with it."] == []


def test_schema_lists_the_codes_of_each_status(schema):
    cancel = schema["paths"]["/api/v1/booking/{id}"]["delete"]["responses"]

    assert {status: codes(response) for status, response in cancel.items() if status != "200"} == {
        "400": ["invalid", "parse_error", "more_than_reserved"],
        "401": ["token_not_valid", "bad_authorization_header", "api_key_not_valid"],
        "403": ["permission_denied", "missing_scope_bookings_write"],
        "404": ["booking_not_found"],
        "406": ["not_acceptable"],
        "409": ["already_cancelled", "holder_changed", "idempotency_key_in_flight"],
        "413": ["too_large"],
        "415": ["unsupported_media_type"],
        "422": ["idempotency_key_reused"],
        "429": ["throttled"],
        "503": ["busy", "database_unavailable", "outcome_unknown"],
    }
    assert cancel["404"]["description"].endswith("Codes: `booking_not_found`.")


def test_schema_requests_are_json(schema):
    kinds = {
        kind for _, operation in operations(schema) for kind in operation.get("requestBody", {}).get("content", [])
    }

    assert kinds == {"application/json"}


def test_schema_names_the_challenge_that_is_sent(anonymous, schema):
    sent = anonymous.get(AUTH + "me")["WWW-Authenticate"]

    promised = {
        json.dumps(operation["responses"]["401"]["headers"]["WWW-Authenticate"]["schema"])
        for _, operation in operations(schema)
        if "401" in operation["responses"]
    }
    assert promised == {json.dumps({"const": sent})}


def test_schema_names_the_headers_of_every_answer(schema):
    promised = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            required = {header for header, told in response["headers"].items() if told.get("required")}

            assert required - {"ETag", "Location"} == {"X-Request-ID"} | promised.get(status, set()), (name, status)


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/api/v1/event", ["200", "304"]),
        ("get", "/api/v1/event/{id}", ["200", "304"]),
        ("post", "/api/v1/event", ["201"]),
        ("patch", "/api/v1/event/{id}", ["200"]),
        ("get", "/api/v1/booking/status/{id}", ["200", "304"]),
    ],
)
def test_schema_says_where_an_etag_is(schema, method, path, statuses):
    responses = schema["paths"][path][method]["responses"]

    assert [status for status, response in responses.items() if "ETag" in response["headers"]] == statuses


@pytest.mark.parametrize("path", ["/api/v1/booking/status/{id}", "/api/v1/event", "/api/v1/event/{id}"])
def test_schema_says_that_nothing_changed_has_no_body(schema, path):
    operation = schema["paths"][path]["get"]

    assert "content" not in operation["responses"]["304"]
    assert "If-None-Match" in [parameter["name"] for parameter in operation["parameters"]]


def test_schema_says_how_a_booking_is_repeated(schema):
    responses = schema["paths"]["/api/v1/booking"]["post"]["responses"]

    assert responses["201"]["headers"]["Idempotent-Replayed"]["schema"] == {"const": "true"}
    assert "required" not in responses["409"]["headers"]["Retry-After"]
    refused = ["sold_out", "sales_not_open", "sales_closed", "person_limit", "idempotency_key_in_flight"]
    assert codes(responses["409"]) == refused
    assert codes(responses["503"]) == ["busy", "database_unavailable", "outcome_unknown"]


def codes(response):
    return [example["value"]["code"] for example in response["content"]["application/json"]["examples"].values()]


def test_schema_knows_the_body_of_a_cancellation(schema):
    operation = schema["paths"]["/api/v1/booking/{id}"]["delete"]

    body = operation["requestBody"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/CancellationRequest"}
    assert "required" not in body


def test_schema_of_the_list_of_bookings_is_of_users_and_has_the_admins_filter(schema):
    operation = schema["paths"]["/api/v1/booking"]["get"]

    assert operation["security"] == [{"bearer": []}, {"apiKey": []}, {"cookieAuth": []}]
    assert "email" in [parameter["name"] for parameter in operation["parameters"]]


def test_docs_come_from_here_alone(anonymous):
    response = anonymous.get("/api/docs")

    assert response.status_code == 200
    page = response.content.decode()
    assert "swagger-ui" in page
    assert re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]*""", page) == []
    assert re.findall(r"https?://[^\s\"'<>]+", page) == []
    local = re.findall(r"""(?:src|href)\s*=\s*["'](/static/[^"']+)["']""", page)
    assert len(local) >= 3
    for path in local:
        assert finders.find(path.removeprefix("/static/")), path


def test_schema_is_the_same_whatever_is_asked_for(anonymous):
    # drf-spectacular would keep a translation in memory for each language that anybody names.
    plain = anonymous.get("/api/schema")
    asked = [anonymous.get(f"/api/schema?{query}") for query in ("lang=x", "lang=../../etc", "version=%00", "lang=de")]

    assert {response.content for response in asked} == {plain.content}
    assert {response["Content-Disposition"] for response in asked} == {'inline; filename="Ticks.yaml"'}


def test_schema_is_made_once(anonymous, monkeypatch):
    anonymous.get("/api/schema")
    monkeypatch.setattr("ticks.api.views.SchemaGenerator", None)

    assert anonymous.get("/api/schema").status_code == 200


def test_schema_lists_exactly_the_routes_of_the_api(schema):
    resolver = get_resolver()
    listed = {re.sub(r"\{\w+\}", "1", path) for path in schema["paths"]}
    served = {re.sub(r"<[\w:]+>|\(\?P<\w+>.*?\)(?=/|$)", "1", route) for route in api_routes(resolver.url_patterns)}

    # These are the indexes, the schema itself, its page, and the routes that answer 404 to everything else.
    indexes = {"/api/", "/api/v1", "/api/v1/"}
    assert served - listed == {*indexes, "/api/schema", "/api/docs", "/api/.+", "/api/(?:events|users)(?:/|$)"}
    assert listed - served == set()


def api_routes(patterns, prefix="/"):
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if hasattr(pattern, "url_patterns"):
            yield from api_routes(pattern.url_patterns, route)
        elif route.startswith("/api/"):
            yield route
