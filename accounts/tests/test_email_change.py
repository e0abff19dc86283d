"""Another mail address by a link: `auth/email/change` asks for it, `auth/email/change/confirm` makes the change."""

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import latest_token, queued

pytestmark = pytest.mark.django_db

ASK = "/api/v1/auth/email/change"
CONFIRM = "/api/v1/auth/email/change/confirm"
NEW = "countess@example.org"


def right(token):
    return {"token": token, "currentPassword": PASSWORD}


@pytest.fixture(autouse=True)
def _mails_on(settings):
    settings.MAIL_ENABLED = True


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD, email_verified_at=timezone.now())


@pytest.fixture
def holder(client_of, account):
    return client_of(account)


@pytest.fixture
def token(holder):
    holder.post(ASK, {"email": NEW, "currentPassword": PASSWORD})
    return latest_token()


def test_link_goes_to_the_new_address_and_changes_nothing_yet(holder, account):
    response = holder.post(ASK, {"email": NEW.upper(), "currentPassword": PASSWORD})

    assert response.status_code == 200
    assert response.json() == {
        "message": "A mail is on its way to the new address; open its link to make the change.",
        "error": False,
    }
    assert queued() == [("change", NEW)]
    account.refresh_from_db()
    assert (account.email, account.has_verified_email) == ("divine@example.org", True)


def test_asking_without_a_login_is_401(anonymous):
    assert anonymous.post(ASK, {"email": NEW, "currentPassword": PASSWORD}).status_code == 401
    assert queued() == []


@pytest.mark.parametrize("persona", ["stranger", "staff"])
def test_asking_with_somebody_elses_password_is_400(request, account, persona):
    response = request.getfixturevalue(persona).post(ASK, {"email": NEW, "currentPassword": PASSWORD})

    assert (response.status_code, response.json()["code"]) == (400, "wrong_password")
    assert queued() == []


def test_asking_for_a_taken_address_is_answered_the_same(holder, account):
    UserFactory(username="countess")

    response = holder.post(ASK, {"email": NEW, "currentPassword": PASSWORD})

    assert response.status_code == 200
    assert queued() == [("change", NEW)]


def test_asking_without_a_mail_server_is_409(holder, settings):
    settings.MAIL_ENABLED = False

    response = holder.post(ASK, {"email": NEW, "currentPassword": PASSWORD})

    assert (response.status_code, response.json()["code"]) == (409, "mails_off")


@pytest.mark.parametrize("url", [ASK, CONFIRM])
def test_change_takes_no_idempotency_key(holder, url):
    response = holder.post(url, {}, headers={"Idempotency-Key": "a"})

    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous", "holder"])
def test_link_changes_the_address_and_tells_the_former_one(request, account, token, persona):
    response = request.getfixturevalue(persona).post(CONFIRM, right(token))

    assert response.status_code == 200
    assert response.json() == {"message": "Address changed successfully.", "error": False}
    account.refresh_from_db()
    assert (account.email, account.has_verified_email) == (NEW, True)
    assert queued() == [("change", NEW), ("changed", "divine@example.org")]
    assert User.objects.bearing(NEW).get() == account
    assert not User.objects.bearing("divine@example.org").exists()


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous", "holder"])
def test_link_without_the_password_of_its_account_changes_nothing(request, account, token, persona):
    wrong = {"token": token, "currentPassword": "wrong"}

    response = request.getfixturevalue(persona).post(CONFIRM, wrong)

    assert (response.status_code, response.json()["code"]) == (400, "wrong_password")
    account.refresh_from_db()
    assert account.email == "divine@example.org"
    assert queued() == [("change", NEW)]


def test_link_is_good_once(anonymous, account, token):
    anonymous.post(CONFIRM, right(token))
    User.objects.filter(pk=account.pk).update(email="divine@example.org")

    response = anonymous.post(CONFIRM, right(token))

    assert (response.status_code, response.json()["code"]) == (400, "link_not_valid")
    assert User.objects.get(pk=account.pk).email == "divine@example.org"


def test_new_password_ends_the_link(anonymous, account, token):
    account.set_password("another 9 password")
    account.save(update_fields=["password"])

    response = anonymous.post(CONFIRM, right(token))

    assert (response.status_code, response.json()["code"]) == (400, "link_not_valid")
    account.refresh_from_db()
    assert account.email == "divine@example.org"


def test_address_that_somebody_took_meanwhile_is_409(anonymous, account, token):
    UserFactory(username="countess")

    response = anonymous.post(CONFIRM, right(token))

    assert (response.status_code, response.json()["code"]) == (409, "email_taken")
    account.refresh_from_db()
    assert (account.email, account.has_verified_email) == ("divine@example.org", True)
    assert queued() == [("change", NEW)]


def test_account_without_an_address_gets_its_first(client_of, anonymous):
    plain = UserFactory(username="plain", email=None, password=PASSWORD)
    client_of(plain).post(ASK, {"email": NEW, "currentPassword": PASSWORD})

    response = anonymous.post(CONFIRM, right(latest_token()))

    assert response.status_code == 200
    plain.refresh_from_db()
    assert (plain.email, plain.has_verified_email) == (NEW, True)
    # There is no former address to tell.
    assert queued() == [("change", NEW)]
