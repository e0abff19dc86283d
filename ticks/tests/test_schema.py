import json
import os
import re

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command

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
