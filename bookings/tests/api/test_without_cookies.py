"""A program that talks JSON has no cookie: it is answered as a browser would be, and has no session."""

import pytest

from accounts.models import BrowserSession

pytestmark = pytest.mark.django_db

BOOKING = "/api/v1/booking"
FIXED_ID = {"X-Request-ID": "fixed"}


@pytest.fixture
def event(staff):
    """The id of an event."""
    made = staff.post("/api/v1/event", {"name": "Concert", "date": "2099-12-01", "totalTickets": 50})
    return made.json()["data"]["id"]


def test_guest_without_a_cookie_touches_no_session(anonymous, event, django_assert_num_queries):
    with django_assert_num_queries(1):
        response = anonymous.get(f"{BOOKING}/status/{event}")

    assert response.status_code == 200
    assert "Set-Cookie" not in response
    assert not BrowserSession.objects.exists()


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
    assert [sorted(answer.items()) for answer in answers] == [sorted(answers[0].items())] * 2
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
