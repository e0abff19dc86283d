"""A new password by the link in a mail: `auth/password/reset` asks for it, `auth/password/reset/confirm` sets it."""

import pytest
from django.utils import timezone

from accounts import tokens
from accounts.models import AccountMail, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import latest_token, queued

pytestmark = pytest.mark.django_db

ASK = "/api/v1/auth/password/reset"
CONFIRM = "/api/v1/auth/password/reset/confirm"
NEW = "another 9 password"
ON_ITS_WAY = {"message": "If this address is known here and needs it, a mail is on its way.", "error": False}
NOT_VALID = {
    "message": "This link is not valid, or no longer: it is good for an hour, and once. Ask for a new one.",
    "error": True,
    "code": "link_not_valid",
    "errors": {"token": ["This link is not valid, or no longer: it is good for an hour, and once. Ask for a new one."]},
}


@pytest.fixture(autouse=True)
def _mails_on(settings):
    settings.MAIL_ENABLED = True


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD)


@pytest.fixture
def token(anonymous, account):
    anonymous.post(ASK, {"email": account.email})
    return latest_token()


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous"])
def test_anybody_asks_for_a_reset(request, account, persona):
    response = request.getfixturevalue(persona).post(ASK, {"email": "DIVINE@example.org"})

    assert (response.status_code, response.json()) == (200, ON_ITS_WAY)
    assert queued() == [("reset", "divine@example.org")]


@pytest.mark.parametrize("email", ["divine@example.org", "inactive@example.org", "nobody@example.org"])
def test_asking_is_the_same_whether_there_is_an_account(anonymous, account, email, django_assert_num_queries):
    UserFactory(username="inactive", is_active=False)
    anonymous.post(ASK, {"email": "first@example.org"})

    with django_assert_num_queries(3) as queries:
        response = anonymous.post(ASK, {"email": email})

    assert (response.status_code, response.json()) == (200, ON_ITS_WAY)
    # The account is not even looked for.
    assert not any("accounts_user" in query["sql"] for query in queries.captured_queries)
    assert queued()[1:] == [("reset", email)]


@pytest.mark.parametrize(
    ("sent", "field"),
    [({}, "email"), ({"email": "nonsense"}, "email"), ({"email": None}, "email"), ({"email": "a@b.org", "x": 1}, "x")],
)
def test_asking_wrongly_is_400(anonymous, sent, field):
    response = anonymous.post(ASK, sent)

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", [field])
    assert queued() == []


def test_asking_without_a_mail_server_is_409(anonymous, account, settings):
    settings.MAIL_ENABLED = False

    response = anonymous.post(ASK, {"email": account.email})

    assert response.status_code == 409
    assert response.json() == {
        "message": "This installation sends no mails. Ask those who run it.",
        "error": True,
        "code": "mails_off",
    }
    assert queued() == []


@pytest.mark.parametrize("url", [ASK, CONFIRM])
def test_reset_takes_no_idempotency_key(anonymous, url):
    response = anonymous.post(url, {}, headers={"Idempotency-Key": "a"})

    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous"])
def test_link_sets_the_password_and_ends_every_login(request, account, token, client_of, persona):
    bearer = client_of(account)
    elsewhere = client_of(UserFactory())

    response = request.getfixturevalue(persona).post(CONFIRM, {"token": token, "newPassword": NEW})

    assert response.status_code == 200
    assert response.json() == {"message": "Password changed successfully; log in again.", "error": False}
    account.refresh_from_db()
    assert (account.check_password(NEW), account.check_password(PASSWORD)) == (True, False)
    assert bearer.get("/api/v1/auth/me").status_code == 401
    assert elsewhere.get("/api/v1/auth/me").status_code == 200
    # Whoever has the link has the mailbox.
    assert account.has_verified_email


def test_link_ends_browser_sessions(anonymous, account, token):
    anonymous.force_login(account)

    anonymous.post(CONFIRM, {"token": token, "newPassword": NEW})

    assert not account.browser_sessions.exists()
    assert not account.login_sessions.exists()


def test_link_is_good_once(anonymous, account, token):
    anonymous.post(CONFIRM, {"token": token, "newPassword": NEW})

    response = anonymous.post(CONFIRM, {"token": token, "newPassword": PASSWORD})

    assert (response.status_code, response.json()) == (400, NOT_VALID)
    account.refresh_from_db()
    assert account.check_password(NEW)


def test_weak_password_leaves_the_link_good(anonymous, account, token):
    response = anonymous.post(CONFIRM, {"token": token, "newPassword": "divine"})

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", ["newPassword"])
    account.refresh_from_db()
    assert account.check_password(PASSWORD)
    assert anonymous.post(CONFIRM, {"token": token, "newPassword": NEW}).status_code == 200


@pytest.mark.parametrize("change", ["password", "email", "is_active"])
def test_link_ends_with_what_it_was_made_for(anonymous, account, token, change):
    if change == "password":
        account.set_password("yet another 9")
    else:
        setattr(account, change, {"email": "other@example.org", "is_active": False}[change])
    account.save()
    before = User.objects.values().get(pk=account.pk)

    response = anonymous.post(CONFIRM, {"token": token, "newPassword": NEW})

    assert (response.status_code, response.json()) == (400, NOT_VALID)
    assert User.objects.values().get(pk=account.pk) == before


def test_link_that_was_verified_meanwhile_is_still_good(anonymous, account, token):
    verified_at = timezone.now()
    User.objects.update(email_verified_at=verified_at)

    assert anonymous.post(CONFIRM, {"token": token, "newPassword": NEW}).status_code == 200

    account.refresh_from_db()
    assert account.email_verified_at == verified_at


def test_account_without_a_password_gets_its_first(anonymous):
    invited = UserFactory(username="invited")
    anonymous.post(ASK, {"email": invited.email})

    response = anonymous.post(CONFIRM, {"token": latest_token(), "newPassword": NEW})

    assert response.status_code == 200
    assert tokens.log_in(User.objects.get())
    assert User.objects.get().check_password(NEW)


@pytest.mark.parametrize("wrong", ["", "nonsense", "a.b", "x" * 1001, None, 5])
def test_wrong_token_is_400(anonymous, account, wrong):
    sent = {"token": wrong, "newPassword": NEW}

    response = anonymous.post(CONFIRM, sent)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["token"]
    account.refresh_from_db()
    assert account.check_password(PASSWORD)


def test_token_of_half_a_character_is_400(anonymous):
    sent = b'{"token": "a\\ud800", "newPassword": "another 9 password"}'

    response = anonymous.generic("POST", CONFIRM, sent, content_type="application/json")

    assert (response.status_code, list(response.json()["errors"])) == (400, ["token"])


def test_token_is_not_in_the_table(anonymous, account, token):
    for column in AccountMail.objects.values_list().get():
        assert token not in str(column)
        assert token.partition(".")[0] not in str(column)
