"""The language of a booking and of an account, from `Accept-Language`; and the API's own, which stays English."""

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from bookings.models import Booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.wire import booking_body

pytestmark = pytest.mark.django_db
HEADERS = [("de-AT,de;q=0.9,en;q=0.5", "de"), ("en", "en"), ("fr", ""), (None, "")]


def spoken(header):
    return {} if header is None else {"Accept-Language": header}


@pytest.mark.parametrize(("header", "language"), HEADERS)
@pytest.mark.parametrize("persona", ["anonymous", "owner"])
def test_booking_has_the_language_of_its_request(request, persona, header, language):
    client = request.getfixturevalue(persona)

    response = client.post("/api/v1/booking", booking_body(EventFactory()), headers=spoken(header))

    assert response.status_code == 201
    assert response.json()["data"]["language"] == (language or None)
    assert Booking.objects.get().language == language


@pytest.mark.parametrize(("header", "language"), HEADERS)
def test_booking_of_the_one_ticket_contract_has_the_language_of_its_request(owner, user, header, language):
    body = {"eventId": EventFactory().pk, "userId": user.pk}

    assert owner.post("/api/events/book", body, headers=spoken(header)).status_code == 201
    assert Booking.objects.get().language == language


def test_booking_that_an_admin_makes_for_an_account_has_not_the_admins_language(staff, user):
    body = {"eventId": EventFactory().pk, "userId": user.pk}

    assert staff.post("/api/events/book", body, headers={"Accept-Language": "de"}).status_code == 201
    assert Booking.objects.get().language == ""


def test_repetition_in_another_language_is_the_same_request(anonymous):
    body = booking_body(EventFactory())
    first, again = (
        anonymous.post("/api/v1/booking", body, headers={"Idempotency-Key": "k", "Accept-Language": language})
        for language in ("de", "en")
    )

    assert again["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert Booking.objects.get().language == "de"


@pytest.mark.parametrize(
    ("of_account", "of_booking", "default", "language"),
    [
        ("de", "en", "en", "de"),
        ("", "de", "en", "de"),
        ("", "", "de", "de"),
        (None, "de", "en", "de"),
        (None, "", "de", "de"),
    ],
)
def test_holder_is_told_in_the_accounts_language_or_the_bookings(settings, of_account, of_booking, default, language):
    settings.DEFAULT_LANGUAGE = default
    account = None if of_account is None else UserFactory(language=of_account)
    booking = BookingFactory(user=account)
    booking.language = of_booking

    assert booking.holder_language == language


# Accounts


@pytest.mark.parametrize(("header", "language"), HEADERS)
@pytest.mark.parametrize("path", ["/api/v1/auth/register", "/api/users/register"])
def test_account_has_the_language_of_its_registration(anonymous, path, header, language):
    body = {"username": "ada", "password": PASSWORD}
    body |= {"email": "ada@example.org"} if "v1" in path else {}

    assert anonymous.post(path, body, headers=spoken(header)).status_code == 201
    assert User.objects.get(username="ada").language == language


@pytest.mark.parametrize(("sent", "stored"), [("de", "de"), ("en", "en"), (None, "")])
def test_account_changes_its_language(owner, user, sent, stored):
    User.objects.update(language="en")

    response = owner.patch("/api/v1/auth/me", {"language": sent})

    assert response.status_code == 200
    assert response.json()["data"]["language"] == sent
    assert owner.get("/api/v1/auth/me").json()["data"]["language"] == sent
    assert User.objects.get(pk=user.pk).language == stored


@pytest.mark.parametrize("sent", ["fr", "DE", "", 1, ["de"], {}])
def test_account_takes_no_language_that_mails_have_not(owner, user, sent):
    response = owner.patch("/api/v1/auth/me", {"language": sent})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["language"]
    assert User.objects.get(pk=user.pk).language == ""


# What is not translated


@pytest.mark.parametrize("default", ["en", "de"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/api/v1/auth/register", {"username": "", "email": "x", "password": "1"}),
        ("post", "/api/v1/auth/register", {"username": "ada", "email": "ada@example.org", "password": "12345678"}),
        ("post", "/api/v1/booking", {"eventId": None, "firstName": "", "lastName": 1, "ticketsReserved": 0}),
        ("post", "/api/users/login", {"username": "nobody", "password": "wrong"}),
        ("get", "/api/v1/booking", None),
        ("get", "/api/v1/booking/1/tickets", None),
        ("get", "/api/v1/event/x", None),
        ("delete", "/api/v1/event/1", None),
        ("put", "/api/v1/booking", {}),
        ("get", "/api/nowhere", None),
    ],
)
def test_api_answers_in_english_whatever_a_browser_asks_for(settings, method, path, body, default):
    settings.DEFAULT_LANGUAGE = default
    plain, german = APIClient(), APIClient(headers={"Accept-Language": "de"})

    expected, answered = (getattr(client, method)(path, body) for client in (plain, german))

    assert expected.status_code >= 400
    assert answered.content == expected.content
    assert "Content-Language" not in answered


@pytest.mark.parametrize("path", ["/admin/", "/admin/bookings/booking/", "/admin/accounts/user/add/", "/admin/nowhere"])
def test_staff_site_is_in_english_whatever_a_browser_asks_for(superuser_client, path):
    superuser_client.cookies["django_language"] = "de"

    page = superuser_client.get(path, headers={"Accept-Language": "de"}).content.decode()

    assert 'lang="en' in page
    assert not [word for word in ("Benutzer", "Abmelden", "Startseite", "nicht gefunden") if word in page]
