"""Booking and logging in with a browser, on the API's own pages."""

import json
import re
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.test.client import MULTIPART_CONTENT

from accounts.tests.factories import PASSWORD, UserFactory
from bookings.models import Booking
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True, headers=HTML)


def csrf_token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1]


def booking_form(event, **changes):
    return {
        "eventId": event.pk,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.org",
        "ticketsReserved": 2,
        **changes,
    }


def test_guest_books_by_the_form(browser):
    event = EventFactory(total_tickets=10)
    page = browser.get("/api/v1/booking")

    response = browser.post("/api/v1/booking", booking_form(event, csrfmiddlewaretoken=csrf_token(page)))

    assert page.status_code == 401
    assert "The form below needs no account." in page.content.decode()
    assert response.status_code == 201
    booking = Booking.objects.get()
    assert (booking.user, booking.tickets_reserved) == (None, 2)
    assert booking.reference in response.content.decode()


def test_guest_finds_a_filled_example_that_books(browser):
    EventFactory(pk=1)
    page = browser.get("/api/v1/booking").content.decode()

    example = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1].replace("&quot;", '"')
    response = browser.post("/api/v1/booking", example, content_type="application/json")

    assert response.status_code == 201
    assert Booking.objects.get().first_name == "Ada"


def test_refused_field_says_why_and_the_form_keeps_the_input(browser):
    event = EventFactory(total_tickets=10)

    response = browser.post("/api/v1/booking", booking_form(event, firstName="Kept", email="nobody"))

    assert response.status_code == 400
    content = response.content.decode()
    assert '<span class="help-block">Enter a valid email address.</span>' in content
    assert 'value="Kept"' in content
    assert not Booking.objects.exists()


def test_refusal_by_a_rule_is_on_the_page_with_an_empty_form(browser):
    event = EventFactory(total_tickets=10)

    response = browser.post("/api/v1/booking", booking_form(event, ticketsReserved=11))

    assert response.status_code == 400
    content = response.content.decode()
    assert "This event sells at most 10 tickets a booking." in content
    assert 'name="firstName"' in content
    assert not Booking.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("[1]", "application/json", 400),
        ("x", "text/plain", 415),
        ("", "text/plain", 400),
    ],
)
def test_unreadable_body_shows_the_page_all_the_same(browser, body, content_type, status):
    response = browser.post("/api/v1/booking", body, content_type=content_type)

    assert response.status_code == status
    assert 'name="firstName"' in response.content.decode()


def test_login_and_logout_by_the_page(browser):
    UserFactory(username="ada", password=PASSWORD)
    login = browser.get("/api-auth/login/?next=/api/v1/event")
    fields = {"username": "ADA@example.org", "next": "/api/v1/event", "csrfmiddlewaretoken": csrf_token(login)}

    wrong = browser.post("/api-auth/login/", {**fields, "password": "wrong"})
    right = browser.post("/api-auth/login/", {**fields, "password": PASSWORD})

    assert wrong.status_code == 200
    assert "The name or the password is wrong." in wrong.content.decode()
    assert right["Location"] == "/api/v1/event"
    page = browser.get("/api/v1/event")
    assert page.status_code == 200
    out = browser.post("/api-auth/logout/", {"csrfmiddlewaretoken": csrf_token(page)})
    assert out.status_code == 200
    assert browser.get("/api/v1/event").status_code == 401


def test_session_post_without_csrf_token_is_403_in_json():
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory())
    event = EventFactory()

    response = client.post("/api/v1/booking", booking_form(event), content_type="application/json")

    assert response.status_code == 403
    assert response.json()["code"] == "permission_denied"
    assert not Booking.objects.exists()


def test_session_books_by_the_form_as_the_user(browser):
    user = UserFactory()
    event = EventFactory()
    browser.force_login(user)
    page = browser.get("/api/v1/booking")

    response = browser.post("/api/v1/booking", booking_form(event, csrfmiddlewaretoken=csrf_token(page)))

    assert response.status_code == 201
    assert Booking.objects.get().user == user


def test_event_form_as_it_stands_opens_an_event_with_a_waitlist(browser):
    browser.force_login(UserFactory(is_staff=True))
    page = browser.get("/api/v1/event")
    content = page.content.decode()
    [checkbox] = re.findall(r'<input type="checkbox" name="waitlistEnabled"[^>]*>', content)

    assert "checked" in checkbox
    assert "Tickets in total" in content


@pytest.mark.parametrize(
    ("sent", "is_enabled"), [([], True), (["false"], False), (["false", "true"], True)], ids=["left out", "off", "on"]
)
@pytest.mark.parametrize("encoding", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_event_form_sets_the_waitlist_as_its_box_says(staff, sent, is_enabled, encoding):
    fields = [
        ("name", "E"),
        ("date", "2080-01-01"),
        ("totalTickets", "5"),
        *(("waitlistEnabled", word) for word in sent),
    ]
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    body = f"{parts}--x--\r\n" if encoding.startswith("multipart") else urlencode(fields)

    response = staff.post("/api/v1/event", body, content_type=encoding)

    assert response.status_code == 201
    assert response.json()["data"]["waitlistEnabled"] is is_enabled


def test_event_form_sends_a_box_without_its_tick(browser):
    browser.force_login(UserFactory(is_staff=True))

    content = browser.get("/api/v1/event").content.decode()

    hidden, box = re.findall(r'<input type="(\w+)" name="waitlistEnabled"', content)
    assert (hidden, box) == ("hidden", "checkbox")


def test_booking_page_of_a_guest_shows_it_with_its_token(browser):
    booking = BookingFactory(user=None)

    response = browser.get(f"/api/v1/booking/{booking.pk}?token={booking.token}")

    assert response.status_code == 200
    assert booking.reference in response.content.decode()


@pytest.mark.parametrize("date", ["tomorrow", "01.02.2027", "2027-13-01", 5, True, [], {}, "\ud800"])
def test_event_form_with_a_wrong_date_is_shown_again(staff, date):
    body = {"name": "E", "date": date, "totalTickets": 5}

    response = staff.post("/api/v1/event", json.dumps(body), content_type="application/json", headers=HTML)

    assert response.status_code == 400
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/api/v1/booking", {"eventId": 1, "firstName": "\ud800"}),
        ("/api/v1/event", {"name": "E", "date": "2027-01-01", "totalTickets": 5, "waitlistPolicy": "\ud800"}),
        ("/api/users/login", {"username": "\ud800", "\ud800": 1}),
    ],
)
def test_half_a_character_is_400_in_every_format(staff, url, body, accept):
    response = staff.post(url, json.dumps(body), content_type="application/json", headers={"Accept": accept})

    assert response.status_code == 400
    assert response["Content-Type"].startswith(accept)


@pytest.mark.parametrize("as_form", [True, False])
@pytest.mark.parametrize(
    ("path", "sent", "secrets"),
    [
        ("auth/login", {"username": "Kept", "password": "my secret 4711"}, ["my secret 4711"]),
        ("auth/register", {"username": "Kept", "email": "x", "password": "my secret 4711"}, ["my secret 4711"]),
        ("auth/refresh", {"refreshToken": "my.secret.4711"}, ["my.secret.4711"]),
        ("auth/logout", {"refreshToken": "my.secret.4711"}, ["my.secret.4711"]),
        ("auth/password", {"currentPassword": "secret 1", "newPassword": "secret 2"}, ["secret 1", "secret 2"]),
    ],
)
def test_refused_page_does_not_show_a_secret_again(path, sent, secrets, as_form):
    browser = Client(headers=HTML)
    browser.force_login(UserFactory())
    body, kind = (sent, MULTIPART_CONTENT) if as_form else (json.dumps(sent), "application/json")

    response = browser.post(f"/api/v1/{path}", body, content_type=kind)

    assert response.status_code in (400, 401)
    content = response.content.decode()
    assert [secret for secret in secrets if secret in content] == []
