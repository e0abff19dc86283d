"""A person logs in with a browser, at the staff's site and at the browsable API."""

from types import SimpleNamespace

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AttemptCounter, LoginSession
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

ADMIN_LOGIN = "/admin/login/?next=/admin/"
API_LOGIN = "/api-auth/login/"
WRONG = "The name or the password is wrong."


@pytest.fixture
def browser():
    return APIClient(enforce_csrf_checks=True)


@pytest.fixture
def seller(db):
    return UserFactory(username="Seller", email="seller@example.org", password=PASSWORD, is_staff=True)


@pytest.fixture
def one_minute(settings, monkeypatch):
    """Throttles on, in a minute that does not end before the test does."""
    settings.THROTTLE_ENABLED = True
    now = timezone.now().replace(second=15)
    monkeypatch.setattr("accounts.throttles.timezone", SimpleNamespace(now=lambda: now))


def log_in(browser, url, username, password=PASSWORD):
    browser.get(url)
    token = browser.cookies["csrftoken"].value
    fields = {"username": username, "password": password, "csrfmiddlewaretoken": token}
    return browser.post(url, fields, format="multipart")


@pytest.mark.parametrize("username", ["Seller", "seller", "seller@example.org", "SELLER@example.org"])
def test_admin_login_takes_username_and_email(browser, seller, username):
    response = log_in(browser, ADMIN_LOGIN, username)

    assert response.status_code == 302
    assert response["Location"] == "/admin/"
    assert browser.session["_auth_user_id"] == str(seller.pk)
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize(
    ("account", "password"),
    [
        ({"is_staff": True}, "wrong"),
        ({"is_staff": True, "is_active": False}, PASSWORD),
    ],
)
def test_admin_login_refused_stays_on_the_page(browser, account, password):
    UserFactory(username="somebody", password=PASSWORD, **account)

    response = log_in(browser, ADMIN_LOGIN, "somebody", password)

    assert response.status_code == 200
    assert WRONG in response.content.decode()
    assert "_auth_user_id" not in browser.session


def test_admin_login_without_csrf_token_is_403(browser, seller):
    response = browser.post(ADMIN_LOGIN, {"username": "seller", "password": PASSWORD}, format="multipart")

    assert response.status_code == 403
    assert "_auth_user_id" not in browser.session


def test_session_reads_the_api(browser, seller):
    log_in(browser, API_LOGIN, "seller@example.org")

    response = browser.get("/api/v1/auth/me")

    assert response.status_code == 200
    assert response.json()["data"]["username"] == "Seller"


def test_session_shows_the_browsable_api(browser, seller):
    log_in(browser, API_LOGIN, "seller")

    response = browser.get("/api/v1/auth/me", headers={"Accept": "text/html"})

    assert response.status_code == 200
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert "User retrieved successfully." in response.content.decode()


def test_session_without_csrf_token_changes_nothing(browser, seller):
    log_in(browser, API_LOGIN, "seller")

    response = browser.patch("/api/v1/auth/me", {"username": "renamed"})

    assert response.status_code == 403
    assert response.json() == {
        "message": "CSRF Failed: CSRF token missing.",
        "error": True,
        "code": "permission_denied",
    }
    seller.refresh_from_db()
    assert seller.username == "Seller"
    # A guest may do this; a session without its token may not.
    assert browser.post("/api/v1/booking", {}).status_code == 403


def test_session_with_csrf_token_changes_the_account(browser, seller):
    log_in(browser, API_LOGIN, "seller")
    token = browser.cookies["csrftoken"].value

    response = browser.patch("/api/v1/auth/me", {"username": "renamed"}, headers={"X-CSRFToken": token})

    assert response.status_code == 200
    seller.refresh_from_db()
    assert seller.username == "renamed"
    assert browser.post("/api/v1/booking", {}, headers={"X-CSRFToken": token}).status_code == 400


def test_session_of_a_deactivated_user_ends_at_once(browser, seller):
    log_in(browser, API_LOGIN, "seller")
    seller.is_active = False
    seller.save(update_fields=["is_active"])

    response = browser.get("/api/v1/auth/me")

    assert response.status_code == 401


def test_bearer_needs_no_csrf_token(browser, client_of, seller):
    bearer = client_of(seller)._credentials

    response = browser.patch("/api/v1/auth/me", {"username": "renamed"}, **bearer)

    assert response.status_code == 200


@pytest.mark.parametrize("page", [ADMIN_LOGIN, API_LOGIN])
def test_login_pages_limit_wrong_passwords(browser, seller, page, one_minute):

    tries = [log_in(browser, page, "Seller", "wrong").content.decode() for _ in range(11)]
    with_right_password = log_in(browser, page, "Seller")

    assert ["Too many attempts; try again in " in shown for shown in tries] == [False] * 10 + [True]
    assert with_right_password.status_code == 200
    assert "_auth_user_id" not in browser.session


@pytest.mark.parametrize("page", [ADMIN_LOGIN, API_LOGIN])
def test_login_pages_forgive_right_passwords(seller, page, settings):
    settings.THROTTLE_ENABLED = True

    statuses = [log_in(APIClient(enforce_csrf_checks=True), page, "Seller").status_code for _ in range(12)]

    assert statuses == [302] * 12
    assert not AttemptCounter.objects.filter(count__gt=0).exclude(key__startswith="login-known").exists()


def test_password_page_of_staff_limits_wrong_passwords(client, one_minute):
    user = UserFactory(password=PASSWORD, is_staff=True)
    client.force_login(user)
    new = {"new_password1": "another 9 horses", "new_password2": "another 9 horses"}

    tries = [client.post("/admin/password_change/", {**new, "old_password": "wrong"}) for _ in range(11)]
    right = client.post("/admin/password_change/", {**new, "old_password": PASSWORD})

    assert ["Too many attempts; try again in " in shown.content.decode() for shown in tries] == [False] * 10 + [True]
    assert right.status_code == 200
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
