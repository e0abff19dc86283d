"""Another site cannot make a browser that is logged in here do anything."""

import json

import pytest
from rest_framework.test import APIClient

from accounts.tests.factories import PASSWORD, UserFactory
from bookings.tests.state import digest_of_all_tables, undone
from bookings.tests.writes import WRITES, body_of, path_of

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
BY_SESSION = [name for name, (persona, *_) in WRITES.items() if persona != "anonymous"]
BY_NOBODY = [name for name, (persona, *_) in WRITES.items() if persona == "anonymous" and name != "guest"]
ELSEWHERE = ["//evil.example", "https://evil.example/", "javascript:alert(1)", "/\\evil.example", "http:///evil.example",
             "\thttps://evil.example", "\0", "https:evil.example"]  # fmt: skip


@pytest.fixture
def browser_of(world):
    def browser_of(persona):
        browser = APIClient(enforce_csrf_checks=True)
        browser.cookies["sessionid"] = world.clients[persona].cookies["sessionid"].value
        return browser

    return browser_of


@pytest.mark.parametrize("content_type", ["application/json", FORM, "text/plain", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("name", [*BY_SESSION, "guest"])
def test_session_without_its_csrf_token_writes_nothing(world, browser_of, name, content_type):
    persona, method, _ = WRITES[name]
    browser = browser_of("owner" if persona == "anonymous" else persona)
    body = json.dumps(body_of(world, name)) if content_type == "application/json" else "a=b"
    with undone():
        response = browser.generic(method, path_of(world, name), body, content_type=content_type)

        assert response.status_code == 403
        assert "CSRF" in response.content.decode()
        assert digest_of_all_tables() == world.digest


@pytest.mark.parametrize("name", [*BY_SESSION, "guest"])
def test_session_with_its_csrf_token_writes(world, browser_of, name):
    # This is the control: only the token makes the difference.
    persona, method, _ = WRITES[name]
    browser = browser_of("owner" if persona == "anonymous" else persona)
    with undone():
        browser.get("/api-auth/login/")
        token = browser.cookies["csrftoken"].value
        response = browser.generic(
            method, path_of(world, name), json.dumps(body_of(world, name)), "application/json",
            headers={"X-CSRFToken": token},
        )  # fmt: skip

        assert response.status_code in (200, 201, 400)
        assert response.json().get("code") in (None, "wrong_password")


def test_csrf_token_sent_from_another_site_is_refused(world, browser_of):
    browser = browser_of("owner")
    browser.get("/api-auth/login/")
    headers = {"X-CSRFToken": browser.cookies["csrftoken"].value, "Origin": "https://evil.example"}

    response = browser.patch("/api/v1/auth/me", {"username": "renamed"}, headers=headers)

    assert response.status_code == 403
    assert digest_of_all_tables() == world.digest


STAFF_FORMS = ["accounts/user/add", "events/event/add", "events/event", "bookings/booking", "auth/group/add"]


@pytest.mark.parametrize("path", [*STAFF_FORMS, "password_change", "logout"])
def test_staff_page_without_csrf_token_is_403(world, browser_of, path):
    with undone():
        response = browser_of("superuser").post(f"/admin/{path}/", "name=a&username=a", content_type=FORM)

        assert response.status_code == 403
        assert digest_of_all_tables() == world.digest


@pytest.mark.parametrize("page", ["/api-auth/login/", "/admin/login/"])
def test_form_of_another_site_logs_nobody_in(world, page):
    with undone():
        UserFactory(username="attacker", password=PASSWORD, is_staff=True)
        browser = APIClient(enforce_csrf_checks=True)

        response = browser.post(page, {"username": "attacker", "password": PASSWORD}, format="multipart")

        assert response.status_code == 403
        assert "sessionid" not in browser.cookies


@pytest.mark.parametrize("name", BY_NOBODY)
def test_request_that_anybody_may_send_opens_no_session_and_reads_none(world, browser_of, name):
    with undone():
        for browser in (APIClient(enforce_csrf_checks=True), browser_of("owner")):
            response = browser.post(path_of(world, name), body_of(world, name))

            assert "Set-Cookie" not in response.headers
            assert not response.cookies


def test_answers_are_readable_by_no_other_site(world):
    for path in ("/api/v1/booking/status/1", "/api/v1/auth/me", "/api/events/1", "/api/schema"):
        response = world.clients["owner"].get(path, headers={"Origin": "https://evil.example"})
        asked = world.clients["owner"].options(path, headers={"Origin": "https://evil.example"})

        for answered in (response, asked):
            assert not [name for name in answered.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("page", ["/api-auth/login/", "/admin/login/"])
def test_login_leads_to_no_other_site(world, client_of_pages, page, elsewhere):
    response = client_of_pages.post(page, {"username": "keeper", "password": PASSWORD, "next": elsewhere})

    assert response.status_code == 302
    assert response["Location"] in ("/", "/admin/")


@pytest.fixture
def client_of_pages(client, monkeypatch):
    # The login itself is not the subject, and its hash is most of its cost.
    keeper = UserFactory(username="keeper", is_staff=True)
    monkeypatch.setattr(type(keeper), "check_password", lambda self, password: True)
    return client


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("page", ["/api-auth/logout/", "/admin/logout/"])
def test_logout_leads_to_no_other_site(client, page, elsewhere):
    client.force_login(UserFactory(is_staff=True))

    response = client.post(page, {"next": elsewhere})

    assert response.status_code == 200
    assert "Location" not in response.headers


@pytest.mark.parametrize("line", ["/a\r\nSet-Cookie: b=c", "/a%0d%0aSet-Cookie:%20b=c", "/a\nb"])
def test_way_on_after_the_login_starts_no_second_header(client_of_pages, line):
    response = client_of_pages.post("/api-auth/login/", {"username": "keeper", "password": PASSWORD, "next": line})

    assert "\n" not in response["Location"]
    assert "\r" not in response["Location"]
    assert set(response.cookies) == {"sessionid", "csrftoken"}
