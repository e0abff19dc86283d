import pytest

from accounts.models import User
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
        "data": {"id": user.pk, "username": "Renamed", "email": "new@example.org", "isAdmin": False, "language": None},
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
