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
        ("get", "/api/v1/event"),
        ("post", "/api/v1/event"),
        ("get", "/api/v1/event/{id}"),
        ("patch", "/api/v1/event/{id}"),
        ("delete", "/api/v1/event/{id}"),
        ("get", "/api/v1/booking"),
        ("post", "/api/v1/booking"),
        ("get", "/api/v1/booking/{id}"),
        ("delete", "/api/v1/booking/{id}"),
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


def test_schema_requests_are_json(schema):
    kinds = {
        kind for _, operation in operations(schema) for kind in operation.get("requestBody", {}).get("content", [])
    }

    assert kinds == {"application/json"}


def test_schema_names_the_headers_of_every_answer(schema):
    promised = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            required = {header for header, told in response["headers"].items() if told.get("required")}

            assert required - {"ETag"} == {"X-Request-ID"} | promised.get(status, set()), (name, status)


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
    assert codes(responses["409"]) == ["sold_out", "idempotency_key_in_flight"]
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

    assert operation["security"] == [{"bearer": []}, {"cookieAuth": []}]
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
