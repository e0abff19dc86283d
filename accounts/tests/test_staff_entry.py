"""The login page lets staff into the staff's site, and tells others why it does not let them in."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from accounts.models import AttemptCounter, BrowserSession, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.personas import PERSONAS, as_persona, clerks, member, permissions

pytestmark = pytest.mark.django_db

HOME = "/admin/"
LOGIN = "/admin/login/?next=/admin/"
ACCOUNTS = "/admin/accounts/user/"
NO_ENTRY = "This account may not use the staff&#x27;s site. If it should, ask a manager to give it a role."
WRONG = "The name or the password is wrong."
MAY_ENTER = {"superuser", "manager", "box office", "plain staff"}


def log_in(client, username, password=PASSWORD):
    return client.post(LOGIN, {"username": username, "password": password, "next": HOME})


def is_logged_in(client):
    return "_auth_user_id" in client.session


@pytest.fixture
def stopped_clock(settings, monkeypatch):
    """Gives a function that turns throttles on and stops the time some seconds before the minute ends."""
    settings.THROTTLE_ENABLED = True

    def stop(seconds_left):
        now = datetime(2026, 11, 22, 12, 0, 60 - seconds_left, tzinfo=UTC)
        monkeypatch.setattr("accounts.throttles.timezone", SimpleNamespace(now=lambda: now))

    return stop


@pytest.mark.parametrize("persona", PERSONAS)
def test_home_of_the_staff_site(client, persona):
    as_persona(client, persona)

    response = client.get(HOME)

    expected = (200, None) if persona in MAY_ENTER else (302, "/admin/login/?next=/admin/")
    assert (response.status_code, response.get("Location")) == expected


@pytest.mark.parametrize("persona", [name for name in PERSONAS if name != "anonymous"])
def test_login_to_the_staff_site(client, persona):
    PERSONAS[persona](username="somebody", password=PASSWORD)

    response = log_in(client, "somebody")

    if persona in MAY_ENTER:
        assert (response.status_code, response["Location"]) == (302, HOME)
        assert is_logged_in(client)
    else:
        assert response.status_code == 200
        assert NO_ENTRY in response.content.decode()
        assert not BrowserSession.objects.exclude(user=None).exists()


@pytest.mark.parametrize("persona", ["manager", "user"])
def test_login_with_a_wrong_password_does_not_tell_who_may_enter(client, persona):
    PERSONAS[persona](username="somebody", password=PASSWORD)

    shown = log_in(client, "somebody", "wrong").content.decode()

    assert WRONG in shown
    assert NO_ENTRY not in shown
    assert not is_logged_in(client)


def test_login_of_a_deactivated_member_is_refused(client):
    member(clerks(), username="somebody", password=PASSWORD, is_active=False)

    assert WRONG in log_in(client, "somebody").content.decode()
    assert not is_logged_in(client)


def test_entry_ends_with_the_role(client):
    clerk = as_persona(client, "box office")
    before = client.get(HOME)

    clerk.groups.clear()

    assert (before.status_code, client.get(HOME).status_code) == (200, 302)


def test_entry_ends_with_the_account(client):
    clerk = as_persona(client, "box office")

    clerk.is_active = False
    clerk.save(update_fields=["is_active"])

    assert client.get(HOME).status_code == 302


def test_entry_by_a_permission_of_ones_own(client):
    account = as_persona(client, "user")
    account.user_permissions.set(permissions("use_staff_site"))

    assert client.get(HOME).status_code == 200


def test_role_makes_nobody_an_admin_of_the_api(client_of):
    bearer = client_of(PERSONAS["manager"]())

    assert bearer.get("/api/v1/auth/me").json()["data"]["isAdmin"] is False
    assert bearer.post("/api/v1/event", {}).status_code == 403


@pytest.mark.parametrize("persona", ["superuser", "manager", "box office"])
def test_login_page_limits_wrong_passwords_of_every_role(client, stopped_clock, persona):
    stopped_clock(seconds_left=45)
    PERSONAS[persona](username="somebody", password=PASSWORD)

    tries = [log_in(client, "somebody", "wrong").content.decode() for _ in range(10)]
    with_right_password = log_in(client, "somebody")

    assert [WRONG in shown for shown in tries] == [True] * 10
    assert "Too many attempts; try again in 45 seconds." in with_right_password.content.decode()
    assert not is_logged_in(client)


def test_login_page_says_one_second(client, stopped_clock):
    stopped_clock(seconds_left=1)
    UserFactory(username="somebody")
    for _ in range(10):
        log_in(client, "somebody", "wrong")

    assert "Too many attempts; try again in 1 second." in log_in(client, "somebody", "wrong").content.decode()


def test_login_page_counts_right_passwords_of_who_may_not_enter_by_address(client, stopped_clock, monkeypatch):
    monkeypatch.setattr(User, "check_password", lambda self, password: password == PASSWORD)
    stopped_clock(seconds_left=45)
    UserFactory(username="somebody")

    shown = [log_in(client, "somebody").content.decode() for _ in range(31)]

    # These are no guesses at the account.
    assert [NO_ENTRY in page for page in shown] == [True] * 30 + [False]
    counts = AttemptCounter.objects.filter(count__gt=0).values_list("key", "count")
    assert sorted((key.partition(":")[0], count) for key, count in counts) == [
        ("login-address", 31),
        ("login-known", 30),
    ]


@pytest.mark.parametrize("persona", PERSONAS)
def test_accounts_are_a_managers(client, persona):
    other = UserFactory()
    as_persona(client, persona)
    pages = [ACCOUNTS, *(f"{ACCOUNTS}{other.pk}/{page}/" for page in ("change", "history", "password", "end-logins"))]

    statuses = {client.get(page).status_code for page in pages}

    expected = 200 if persona in ("superuser", "manager") else 403 if persona in MAY_ENTER else 302
    assert statuses == {expected}


def test_home_of_box_office_says_nothing_of_accounts(client):
    as_persona(client, "box office")

    assert ACCOUNTS not in client.get(HOME).content.decode()
