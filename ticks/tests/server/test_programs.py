"""A program is answered as a browser would be that asks for the same; only what leads there is shorter."""

import pytest
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory

from ticks.programs import is_program

pytestmark = pytest.mark.django_db

BOOKING = "/api/v1/booking"
FIXED_ID = {"X-Request-ID": "fixed"}


@pytest.fixture
def event(staff):
    """Its id."""
    made = staff.post("/api/v1/event", {"name": "Concert", "date": "2099-12-01", "totalTickets": 50})
    return made.json()["data"]["id"]


@pytest.fixture
def passed(monkeypatch):
    """The names of the middleware of browsers that a request went through."""
    names = []
    for middleware in (SessionMiddleware, CsrfViewMiddleware, MessageMiddleware):

        def process(self, request, original=middleware.process_request, name=middleware.__name__):
            names.append(name)
            return original(self, request)

        monkeypatch.setattr(middleware, "process_request", process)
    return names


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (BOOKING, {}, True),
        (BOOKING, {"Accept": "*/*"}, True),
        (BOOKING, {"Accept": "application/json"}, True),
        (BOOKING, {"Accept": "application/json, text/plain, */*"}, True),
        ("/api/events/1", {}, True),
        ("/api/users/login", {}, True),
        (BOOKING, {"Accept": "text/html"}, False),
        (BOOKING, {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, False),
        (BOOKING, {"Accept": "application/json; indent=4"}, False),
        (BOOKING, {"Cookie": "sessionid=x"}, False),
        (BOOKING, {"Cookie": ""}, True),
        (f"{BOOKING}?format=api", {}, False),
        ("/api/docs", {}, False),
        ("/api/schema", {}, False),
        ("/api-auth/login/", {}, False),
        ("/admin/", {}, False),
        ("/", {}, False),
    ],
)
def test_who_is_a_program(path, headers, expected):
    assert is_program(RequestFactory().get(path, headers=headers)) is expected


def test_program_passes_by_what_only_browsers_need(anonymous, owner, event, passed):
    statuses = [anonymous.get(f"{BOOKING}/status/{event}").status_code, owner.get(BOOKING).status_code]

    assert statuses == [200, 200]
    assert passed == []


@pytest.mark.parametrize("headers", [{"Cookie": "a=b"}, {"Accept": "text/html"}])
def test_browser_passes_through_all_of_it(anonymous, event, passed, headers):
    anonymous.get(f"{BOOKING}/status/{event}", headers=headers)

    assert sorted(passed) == ["CsrfViewMiddleware", "MessageMiddleware", "SessionMiddleware"]


@pytest.mark.parametrize("who", ["anonymous", "owner"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/v1/booking/status/{event}"),
        ("get", "/api/v1/event"),
        ("get", "/api/v1/auth/me"),
        ("get", "/api/v1/nothing"),
        ("post", BOOKING),
        ("put", BOOKING),
        ("options", BOOKING),
        ("get", "/api/events/{event}"),
    ],
)
def test_program_is_answered_as_who_has_some_cookie(request, event, who, method, path):
    client = request.getfixturevalue(who)
    url = path.format(event=event)

    answers = [getattr(client, method)(url, headers={**FIXED_ID, **more}) for more in ({}, {"Cookie": "a=b"})]

    assert [answer.status_code for answer in answers] == [answers[0].status_code] * 2
    assert [list(answer.items()) for answer in answers] == [list(answers[0].items())] * 2
    assert [answer.content for answer in answers] == [answers[0].content] * 2


def test_guests_answer_tells_caches_of_the_cookie_and_a_users_does_not(anonymous, owner, event):
    url = f"{BOOKING}/status/{event}"

    assert anonymous.get(url)["Vary"] == "Accept, Cookie"
    assert owner.get(url)["Vary"] == "Accept"


def test_program_with_a_host_that_is_not_ours_is_refused(anonymous, event):
    response = anonymous.get(f"{BOOKING}/status/{event}", headers={"Host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "bad_host")


def test_program_is_sent_to_https(anonymous, event, settings):
    settings.SECURE_SSL_REDIRECT = True

    response = anonymous.get(f"{BOOKING}/status/{event}")

    assert response.status_code == 301
    assert response["Location"].startswith("https://")
