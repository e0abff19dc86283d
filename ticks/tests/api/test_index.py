"""`/api` leads on, and neither it nor the docs use up what the throttle allows."""

import pytest
from rest_framework.settings import api_settings

pytestmark = pytest.mark.django_db

ADDRESSES = ["/api", "/api/", "/api/v1", "/api/v1/"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_index_names_addresses_that_are_there(anonymous, address):
    response = anonymous.get(address)

    assert response.status_code == 200
    assert response.json() == {
        "message": "The addresses of the API; /api/docs explains them.",
        "data": {
            "docs": "http://testserver/api/docs",
            "schema": "http://testserver/api/schema",
            "events": "http://testserver/api/v1/event",
            "bookings": "http://testserver/api/v1/booking",
            "login": "http://testserver/api/v1/auth/login",
            "oneTicketLogin": "http://testserver/api/users/login",
            "oneTicketBook": "http://testserver/api/events/book",
        },
        "error": False,
    }
    assert 404 not in {anonymous.get(url).status_code for url in response.json()["data"].values()}


@pytest.mark.parametrize("address", ADDRESSES)
def test_index_leads_a_browser_to_the_docs(anonymous, address):
    response = anonymous.get(address, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    assert (response.status_code, response["Location"]) == (302, "/api/docs")


def test_index_takes_no_other_method(anonymous):
    response = anonymous.post("/api/v1", {})

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"


def test_docs_schema_and_index_are_not_throttled(anonymous, settings, monkeypatch):
    settings.THROTTLE_ENABLED = True
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest", "2/min")

    pages = [anonymous.get(path).status_code for path in ("/api/docs", "/api/schema", "/api") for _ in range(3)]
    counted = [anonymous.get("/api/v1/booking/status/1").status_code for _ in range(3)]
    afterwards = [anonymous.get(path).status_code for path in ("/api/docs", "/api/docs?script=", "/api/schema", "/api")]

    assert pages == [200] * 9
    assert counted == [404, 404, 429]
    assert afterwards == [200] * 4
