"""Pages of the origins in `CORS_ALLOWED_ORIGINS` may call the API; by default no page of another origin may."""

import http.client
import json

import pytest

from ticks.environment import Environment
from ticks.tests.served import TIMEOUT_SECONDS, booking

SHOP, APP, EVIL = "https://shop.example.org", "capacitor://localhost", "https://shop.example.org.evil.example"
ALLOWED = "access-control-allow-"


@pytest.fixture
def ask(port):
    """Gives a function that sends a request, and returns the status and the headers of the answer."""

    def send(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}

    return send


@pytest.mark.django_db(transaction=True)
def test_page_of_an_allowed_origin_asks_first_and_reads_every_answer(start, ask):
    start(CORS_ALLOWED_ORIGINS=f"{SHOP}, {APP}")
    preflight = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "idempotency-key"}

    status, asked = ask("OPTIONS", "/api/v1/booking/1", Origin=SHOP, **preflight)
    answers = {
        "status": ask("GET", "/api/v1/booking/status/999", Origin=SHOP),
        "refused": ask("POST", "/api/v1/booking", {}, Origin=SHOP),
        "without a login": ask("GET", "/api/v1/auth/me", Origin=APP),
        "bad token": ask("POST", "/api/v1/booking", booking(1), Origin=SHOP, Authorization="Bearer x"),
        "unknown": ask("GET", "/api/v1/nothing", Origin=SHOP),
        "schema": ask("GET", "/api/schema", Origin=SHOP),
    }
    others = {
        "another origin": ask("GET", "/api/v1/booking/status/999", Origin=EVIL),
        "another origin asks": ask("OPTIONS", "/api/v1/booking/1", Origin=EVIL, **preflight),
        "no origin": ask("GET", "/api/v1/booking/status/999"),
        "docs": ask("GET", "/api/docs?script=", Origin=SHOP),
        "staff's site": ask("GET", "/admin/login/", Origin=SHOP),
        "probe": ask("GET", "/healthz", Origin=SHOP),
    }

    assert status == 200
    assert {name: value for name, value in asked.items() if name.startswith(ALLOWED)} == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "GET, HEAD, OPTIONS, POST, PATCH, DELETE",
        "access-control-allow-headers": (
            "accept, authorization, content-type, booking-token, idempotency-key, if-match, if-none-match, x-request-id"
        ),
    }
    assert [answer[0] for answer in answers.values()] == [404, 400, 401, 401, 404, 200]
    for name, (_, headers) in answers.items():
        assert headers["access-control-allow-origin"] == (APP if name == "without a login" else SHOP), name
        assert headers["access-control-expose-headers"] == (
            "ETag, Location, Retry-After, Idempotent-Replayed, X-Request-ID"
        )
        assert "access-control-allow-credentials" not in headers
        assert "origin" in headers["vary"]
    for name, (_, headers) in others.items():
        assert not [header for header in headers if header.startswith("access-control-")], name
    assert {others[name][1]["vary"] for name in ("another origin", "no origin")} == {"Accept, Cookie, origin"}


def test_origins_are_read_as_people_write_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TICKS_ENV_FILE", "")
    monkeypatch.setenv("ORIGINS", f" {SHOP},http://localhost:3000 , {APP},,http://[::1]:8080")

    assert Environment(tmp_path).origins("ORIGINS") == [SHOP, "http://localhost:3000", APP, "http://[::1]:8080"]
    assert Environment(tmp_path).origins("NO_ORIGINS") == []
