"""Verification of a mail address: after registration, when it is asked for again, and where logins need it."""

import pytest
from django.utils import timezone

from accounts.mails import compose_account_mail
from accounts.models import AccountMail, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import latest_token, queued

pytestmark = pytest.mark.django_db

REGISTER = "/api/v1/auth/register"
LOGIN = "/api/v1/auth/login"
ONE_TICKET_LOGIN = "/api/users/login"
AGAIN = "/api/v1/auth/email/verification"
VERIFY = "/api/v1/auth/email/verify"
NOT_VERIFIED = (
    "Verify the account's mail address first: open the link in the mail that was sent to it, or ask for another."
)


def right(token):
    return {"token": token, "currentPassword": PASSWORD}


@pytest.fixture(autouse=True)
def _mails_on(settings):
    settings.MAIL_ENABLED = True


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD)


@pytest.fixture
def token(anonymous, account):
    anonymous.post(AGAIN, {"email": account.email})
    return latest_token()


@pytest.mark.parametrize(("mode", "expected"), [("off", []), ("asked", ["verify"]), ("required", ["verify"])])
def test_registration_sends_a_link_unless_it_is_off(anonymous, settings, mode, expected):
    settings.EMAIL_VERIFICATION = mode

    response = anonymous.post(REGISTER, {"username": "ada", "email": "ada@example.org", "password": PASSWORD})

    assert response.status_code == 201
    assert queued() == [(kind, "ada@example.org") for kind in expected]
    assert User.objects.get().email_verified_at is None


def test_registration_without_a_mail_server_sends_nothing(anonymous, settings):
    settings.MAIL_ENABLED = False

    anonymous.post(REGISTER, {"username": "ada", "email": "ada@example.org", "password": PASSWORD})

    assert queued() == []


def test_refused_registration_sends_nothing(anonymous, account):
    anonymous.post(REGISTER, {"username": "ada", "email": account.email, "password": PASSWORD})

    assert queued() == []


def test_registration_login_and_booking_need_no_verified_address_by_default(anonymous, settings):
    assert settings.EMAIL_VERIFICATION == "asked"

    anonymous.post(REGISTER, {"username": "ada", "email": "ada@example.org", "password": PASSWORD})

    assert anonymous.post(LOGIN, {"username": "ada", "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous"])
def test_link_verifies_the_address(request, account, token, persona):
    before = timezone.now()

    response = request.getfixturevalue(persona).post(VERIFY, right(token))

    assert response.status_code == 200
    assert response.json() == {"message": "Address verified successfully.", "error": False}
    account.refresh_from_db()
    assert before <= account.email_verified_at <= timezone.now()
    assert User.objects.exclude(pk=account.pk).exclude(email_verified_at=None).count() == 0


@pytest.mark.parametrize("sent", [{"currentPassword": "wrong"}, {"currentPassword": ""}, {}])
@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous"])
def test_link_without_the_password_of_its_account_verifies_nothing(request, account, token, persona, sent):
    response = request.getfixturevalue(persona).post(VERIFY, {"token": token, **sent})

    assert response.status_code == 400
    assert response.json()["code"] == ("wrong_password" if sent.get("currentPassword") else "invalid")
    assert list(response.json()["errors"]) == ["currentPassword"]
    assert not User.objects.exclude(email_verified_at=None).exists()
    assert request.getfixturevalue("anonymous").post(VERIFY, right(token)).status_code == 200


def test_link_is_good_once(anonymous, account, token):
    anonymous.post(VERIFY, right(token))
    account.refresh_from_db()

    response = anonymous.post(VERIFY, right(token))

    assert (response.status_code, response.json()["code"]) == (400, "link_not_valid")
    assert User.objects.get().email_verified_at == account.email_verified_at


def test_link_of_a_former_address_verifies_nothing(anonymous, account, token):
    account.email = "other@example.org"
    account.save(update_fields=["email"])

    response = anonymous.post(VERIFY, right(token))

    assert (response.status_code, response.json()["code"]) == (400, "link_not_valid")
    assert User.objects.get().email_verified_at is None


@pytest.mark.parametrize("email", ["divine@example.org", "verified@example.org", "nobody@example.org"])
def test_asking_again_is_the_same_whether_there_is_an_account(anonymous, account, email, django_assert_num_queries):
    UserFactory(username="verified", email_verified_at=timezone.now())

    with django_assert_num_queries(3) as queries:
        response = anonymous.post(AGAIN, {"email": email})

    assert response.status_code == 200
    assert response.json() == {
        "message": "If this address is known here and needs it, a mail is on its way.",
        "error": False,
    }
    assert not any("accounts_user" in query["sql"] for query in queries.captured_queries)
    assert queued() == [("verify", email)]


def test_asking_again_without_a_mail_server_is_409(anonymous, settings):
    settings.MAIL_ENABLED = False

    assert anonymous.post(AGAIN, {"email": "a@example.org"}).json()["code"] == "mails_off"


@pytest.mark.parametrize("url", [AGAIN, VERIFY])
def test_verification_takes_no_idempotency_key(anonymous, url):
    response = anonymous.post(url, {}, headers={"Idempotency-Key": "a"})

    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("url", [LOGIN, ONE_TICKET_LOGIN])
def test_login_without_a_verified_address_is_403_where_it_is_required(anonymous, account, settings, url):
    settings.EMAIL_VERIFICATION = "required"

    response = anonymous.post(url, {"username": "divine", "password": PASSWORD})

    assert response.status_code == 403
    if url == LOGIN:
        assert response.json() == {"message": NOT_VERIFIED, "error": True, "code": "email_not_verified"}
    else:
        assert response.json() == {"error": NOT_VERIFIED}
    assert not account.login_sessions.exists()


@pytest.mark.parametrize("url", [LOGIN, ONE_TICKET_LOGIN])
def test_login_with_a_wrong_password_does_not_tell_that_the_address_is_not_verified(anonymous, account, settings, url):
    settings.EMAIL_VERIFICATION = "required"

    assert anonymous.post(url, {"username": "divine", "password": "wrong"}).status_code == 401


def test_login_with_a_verified_address(anonymous, account, settings, token):
    settings.EMAIL_VERIFICATION = "required"
    anonymous.post(VERIFY, right(token))

    assert anonymous.post(LOGIN, {"username": "divine", "password": PASSWORD}).status_code == 200


def test_login_of_staff_needs_no_verified_address(anonymous, settings):
    settings.EMAIL_VERIFICATION = "required"
    UserFactory(username="boss", password=PASSWORD, is_staff=True)

    assert anonymous.post(LOGIN, {"username": "boss", "password": PASSWORD}).status_code == 200


def test_login_by_page_says_that_the_address_is_not_verified(client, account, settings):
    settings.EMAIL_VERIFICATION = "required"

    shown = client.post("/api-auth/login/", {"username": "divine", "password": PASSWORD}).content.decode()

    assert NOT_VERIFIED.replace("'", "&#x27;") in shown
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("write", ["save", "fields", "patch", "clear"])
def test_verification_is_void_when_the_address_changes(account, client_of, write):
    User.objects.update(email_verified_at=timezone.now())
    user = User.objects.get()

    if write == "patch":
        # Another request has verified it since this account was read.
        user.email_verified_at = None
    user.email = None if write == "clear" else "other@example.org"
    user.save(**({} if write == "save" else {"update_fields": ["email"]}))

    assert (user.email_verified_at, user.has_verified_email) == (None, False)
    user.refresh_from_db()
    assert (user.email, user.email_verified_at) == (None if write == "clear" else "other@example.org", None)


def test_verification_stays_when_something_else_changes(account):
    verified_at = timezone.now()
    User.objects.update(email_verified_at=verified_at)
    user = User.objects.get()

    user.username, user.email = "renamed", "DIVINE@example.org"
    user.save()

    assert User.objects.get().email_verified_at == verified_at


def test_no_mail_has_a_name_that_its_sender_chose(anonymous):
    anonymous.post(REGISTER, {"username": "www.evil.example", "email": "ada@example.org", "password": PASSWORD})

    mail = compose_account_mail(AccountMail.objects.get())
    assert "evil" not in str(mail.message())
