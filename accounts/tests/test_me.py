import pytest
from django.utils import timezone

from accounts import tokens
from accounts.models import AccountMail, LoginSession, User
from accounts.services import user_of_session
from accounts.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/me"
UNKNOWN_CALLER = {
    "message": "Log in first, and send the header Authorization: Bearer <access token>.",
    "error": True,
    "code": "not_authenticated",
}


@pytest.mark.parametrize(("persona", "is_admin"), [("owner", False), ("stranger", False), ("staff", True)])
def test_me_answers_the_own_account(request, persona, is_admin):
    client = request.getfixturevalue(persona)

    response = client.get(URL)

    assert response.status_code == 200
    assert response.json() == {
        "message": "User retrieved successfully.",
        "data": {
            "id": User.objects.get(username=persona).pk,
            "username": persona,
            "email": f"{persona}@example.org",
            "emailVerified": False,
            "isAdmin": is_admin,
            "language": None,
        },
        "error": False,
    }


def test_me_without_email_answers_null(client_of):
    client = client_of(UserFactory(username="plain", email=None))

    assert client.get(URL).json()["data"]["email"] is None


def test_me_costs_one_query(owner, django_assert_num_queries):
    with django_assert_num_queries(1):
        owner.get(URL)


@pytest.mark.parametrize("method", ["get", "patch"])
def test_me_anonymous_is_401(anonymous, user, method):
    response = getattr(anonymous, method)(URL)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert response.json() == UNKNOWN_CALLER


def test_me_patch_changes_both_names(owner, user):
    response = owner.patch(URL, {"username": "Renamed", "email": "New@Example.org"})

    assert response.status_code == 200
    assert response.json() == {
        "message": "User updated successfully.",
        "data": {
            "id": user.pk,
            "username": "Renamed",
            "email": "new@example.org",
            "emailVerified": False,
            "isAdmin": False,
            "language": None,
        },
        "error": False,
    }
    user.refresh_from_db()
    assert (user.username, user.username_key, user.email) == ("Renamed", "renamed", "new@example.org")
    assert owner.get(URL).json()["data"]["username"] == "Renamed"


def test_me_patch_of_one_name_leaves_the_other(owner, user):
    response = owner.patch(URL, {"email": "new@example.org"})

    assert response.status_code == 200
    user.refresh_from_db()
    assert (user.username, user.email) == ("owner", "new@example.org")


def test_me_patch_to_the_own_name_in_another_case_is_no_conflict(owner, user):
    response = owner.patch(URL, {"username": "OWNER", "email": "OWNER@example.org"})

    assert response.status_code == 200
    user.refresh_from_db()
    assert (user.username, user.email) == ("OWNER", "owner@example.org")


def test_me_says_whether_the_address_is_verified(client_of, django_assert_num_queries):
    client = client_of(UserFactory(email_verified_at=timezone.now()))

    with django_assert_num_queries(1):
        assert client.get(URL).json()["data"]["emailVerified"] is True


def test_account_of_a_login_has_the_time_of_its_verification(user):
    verified_at = timezone.now()
    User.objects.update(email_verified_at=verified_at)
    tokens.log_in(user)

    account = user_of_session(LoginSession.objects.get().pk, now=timezone.now())

    assert account.email_verified_at == verified_at


def test_me_patch_of_a_verified_address_is_409(owner, user):
    User.objects.update(email_verified_at=timezone.now())

    response = owner.patch(URL, {"username": "Renamed", "email": "new@example.org"})

    assert response.status_code == 409
    message = "The account's mail address is verified, so it is changed with the password, by a link in a mail."
    assert response.json() == {
        "message": message,
        "error": True,
        "code": "email_verified",
        "errors": {"email": [message]},
    }
    user.refresh_from_db()
    assert (user.username, user.email, user.has_verified_email) == ("owner", "owner@example.org", True)
    assert not AccountMail.objects.exists()


def test_me_patch_to_the_same_verified_address_is_no_change(owner, user):
    User.objects.update(email_verified_at=timezone.now())

    response = owner.patch(URL, {"username": "Renamed", "email": "OWNER@example.org"})

    assert (response.status_code, response.json()["data"]["emailVerified"]) == (200, True)
    user.refresh_from_db()
    assert (user.username, user.email, user.has_verified_email) == ("Renamed", "owner@example.org", True)
    assert not AccountMail.objects.exists()


@pytest.mark.parametrize(("mode", "to_new"), [("off", []), ("asked", ["verify"]), ("required", ["verify"])])
def test_me_patch_of_the_address_mails_both(owner, settings, mode, to_new):
    settings.MAIL_ENABLED, settings.EMAIL_VERIFICATION = True, mode

    owner.patch(URL, {"email": "new@example.org"})

    mails = AccountMail.objects.values_list("email", "kind").order_by("pk")
    assert list(mails) == [("new@example.org", kind) for kind in to_new] + [("owner@example.org", "changed")]


def test_me_patch_with_nothing_changes_nothing(owner, user):
    response = owner.patch(URL, {})

    assert response.status_code == 200
    user.refresh_from_db()
    assert (user.username, user.email) == ("owner", "owner@example.org")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"username": "STRANGER"}, "username_taken", "username"),
        ({"email": "Stranger@example.org"}, "email_taken", "email"),
        ({"username": "fresh", "email": "stranger@example.org"}, "email_taken", "email"),
    ],
)
def test_me_patch_to_a_taken_name_is_409(owner, stranger, user, changes, code, field):
    response = owner.patch(URL, changes)

    assert response.status_code == 409
    message = f"This {field} is taken."
    assert response.json() == {"message": message, "error": True, "code": code, "errors": {field: [message]}}
    user.refresh_from_db()
    assert (user.username, user.email) == ("owner", "owner@example.org")


@pytest.mark.parametrize(
    "changes",
    [
        {"username": ""},
        {"username": "two words"},
        {"username": "a" * 81},
        {"email": "nonsense"},
        {"email": None},
        {"email": "a@example.org\nBcc: b@example.org"},
    ],
)
def test_me_patch_with_a_bad_name_is_400(owner, user, changes):
    response = owner.patch(URL, changes)

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", list(changes))
    user.refresh_from_db()
    assert (user.username, user.email) == ("owner", "owner@example.org")


def test_me_patch_takes_no_other_field(owner, user):
    before = user.password

    response = owner.patch(
        URL, {"id": 1, "isAdmin": True, "is_staff": True, "is_superuser": True, "password": "another 9 password"}
    )

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["id", "isAdmin", "is_staff", "is_superuser", "password"]
    user.refresh_from_db()
    assert (user.is_staff, user.is_superuser, user.password) == (False, False, before)
