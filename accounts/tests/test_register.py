import json

import pytest
from django.contrib.auth.hashers import check_password

from accounts import services
from accounts.models import LoginSession, User
from accounts.tests.factories import PASSWORD, UserFactory
from ticks.text import normalise_email

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/register"


def body(**changes):
    return {"username": "divine", "email": "divine@example.com", "password": PASSWORD, **changes}


def test_register_answers_the_account(anonymous):
    response = anonymous.post(URL, body())

    assert response.status_code == 201
    user = User.objects.get()
    assert response.json() == {
        "message": "User registered successfully.",
        "data": {"id": user.pk, "username": "divine", "email": "divine@example.com"},
        "error": False,
    }
    assert (user.username, user.email) == ("divine", "divine@example.com")
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, False, False)
    assert not LoginSession.objects.exists()


@pytest.mark.usefixtures("owasp_hashes")
def test_register_stores_argon2id_with_owasp_parameters(anonymous):
    anonymous.post(URL, body())

    stored = User.objects.get().password
    assert stored.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in stored
    assert check_password(PASSWORD, stored)


def test_register_by_form_answers_the_same(anonymous):
    response = anonymous.post(URL, body(), format="multipart")

    assert response.status_code == 201
    assert User.objects.get().username == "divine"


def test_register_trims_names_and_lowers_email(anonymous):
    response = anonymous.post(URL, body(username=" Divine ", email=" Divine@Example.COM "))

    assert response.status_code == 201
    assert response.json()["data"]["username"] == "Divine"
    assert response.json()["data"]["email"] == "divine@example.com"
    user = User.objects.get()
    assert (user.username, user.email) == ("Divine", "divine@example.com")


def test_register_keeps_spaces_of_a_password(anonymous):
    anonymous.post(URL, body(password=f" {PASSWORD} "))

    user = User.objects.get()
    assert user.check_password(f" {PASSWORD} ")
    assert not user.check_password(PASSWORD)


@pytest.mark.parametrize("username", ["divine", "DIVINE", "\uff44ivine", "di\u1d5bine"])
def test_register_taken_username_in_any_spelling_is_409(anonymous, username):
    UserFactory(username="Divine", email="first@example.com")

    response = anonymous.post(URL, body(username=username))

    assert response.status_code == 409
    assert response.json() == {
        "message": "This username is taken.",
        "error": True,
        "code": "username_taken",
        "errors": {"username": ["This username is taken."]},
    }
    assert User.objects.get().email == "first@example.com"


@pytest.mark.parametrize("email", ["divine@example.com", "DIVINE@Example.COM", " divine@example.com "])
def test_register_taken_email_in_any_case_is_409(anonymous, email):
    UserFactory(username="first", email="Divine@example.com")

    response = anonymous.post(URL, body(email=email))

    assert response.status_code == 409
    assert response.json() == {
        "message": "This email is taken.",
        "error": True,
        "code": "email_taken",
        "errors": {"email": ["This email is taken."]},
    }
    assert User.objects.get().username == "first"


def test_register_a_name_that_is_somebody_elses_email_is_409(anonymous):
    UserFactory(username="first", email="divine@example.com")

    response = anonymous.post(URL, body(username="Divine@example.com", email="other@example.com"))

    assert response.status_code == 409
    assert response.json()["code"] == "username_taken"


def test_register_an_email_that_is_somebody_elses_name_is_409(anonymous):
    UserFactory(username="Divine@example.com", email=None)

    response = anonymous.post(URL, body(email="divine@example.com"))

    assert response.status_code == 409
    assert response.json()["code"] == "email_taken"


@pytest.mark.parametrize(
    ("theirs", "code"),
    [
        ({"username": "DIVINE", "email": "other@example.com"}, "username_taken"),
        ({"username": "other", "email": "divine@example.com"}, "email_taken"),
    ],
)
def test_register_taken_between_look_and_write_is_409(anonymous, monkeypatch, theirs, code):
    refuse_weak = services.refuse_weak

    def somebody_is_faster(*args, **kwargs):
        UserFactory(**theirs)
        refuse_weak(*args, **kwargs)

    monkeypatch.setattr(services, "refuse_weak", somebody_is_faster)

    response = anonymous.post(URL, body())

    assert response.status_code == 409
    assert response.json()["code"] == code
    assert User.objects.get().username == theirs["username"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("jose@exämple.com", "jose@example.com"), ("jose@münchen.de", "jose@mùnchen.de")],
)
def test_register_emails_that_differ_in_accents_stay_two_accounts(anonymous, one, other):
    first = anonymous.post(URL, body(username="one", email=one))
    second = anonymous.post(URL, body(username="other", email=other))

    assert (first.status_code, second.status_code) == (201, 201)
    assert User.objects.get(email=normalise_email(one)).username == "one"
    assert User.objects.get(email=normalise_email(other)).username == "other"


def test_register_email_of_one_domain_in_letters_and_in_ascii_is_one_account(anonymous):
    first = anonymous.post(URL, body(username="one", email="jose@exämple.org"))
    second = anonymous.post(URL, body(username="other", email="Jose@xn--exmple-cua.org"))

    assert first.json()["data"]["email"] == "jose@xn--exmple-cua.org"
    assert (second.status_code, second.json()["code"]) == (409, "email_taken")
    for email in ("jose@EXÄMPLE.org", "jose@exa\u0308mple.org", "\u202ajose@xn--exmple-cua.org\u202c"):
        login = anonymous.post("/api/v1/auth/login", {"email": email, "password": PASSWORD})
        assert login.status_code == 200, email


def test_register_usernames_that_differ_in_accents_stay_two_accounts(anonymous):
    first = anonymous.post(URL, body(username="jose"))
    second = anonymous.post(URL, body(username="josé", email="other@example.com"))

    assert (first.status_code, second.status_code) == (201, 201)
    assert User.objects.count() == 2


def test_account_emails_that_differ_in_emoji_stay_two_accounts():
    # The API accepts no emoji in an address. Here the collation of the column decides.
    one = services.register_user(username="one", password=PASSWORD, email="🎸@example.com")
    other = services.register_user(username="other", password=PASSWORD, email="🥁@example.com")

    assert User.objects.get(email="🎸@example.com") == one
    assert User.objects.get(email="🥁@example.com") == other


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("Zk4!p", "This password is too short. It must contain at least 8 characters."),
        ("password1", "This password is too common."),
        ("7391048265", "This password is entirely numeric."),
        ("divine@example.com", "The password is too similar to the email."),
    ],
)
def test_register_weak_password_is_400(anonymous, password, said):
    response = anonymous.post(URL, body(username="zz", password=password))

    assert response.status_code == 400
    answered = response.json()
    assert (answered["error"], answered["code"]) == (True, "invalid")
    assert said in answered["errors"]["password"][0]
    assert password not in answered["message"]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("email", "divine", "Enter a valid email address."),
        ("email", "divine@", "Enter a valid email address."),
        ("email", "", "This field may not be blank."),
        ("email", None, "This field may not be null."),
        ("email", ["a@example.com"], "Not a valid string."),
        ("email", "a" * 243 + "@example.com", "Ensure this field has no more than 254 characters."),
        ("email", "a@" + ("İ" * 10 + ".") * 21 + "org", "Ensure this field has no more than 254 characters."),
        ("email", "a@example.com\r\nBcc: b@example.com", "Enter a valid email address."),
        ("email", "\u200b", "Enter a valid email address."),
        ("email", "\u017f@example.com", "Enter a valid email address."),
        ("email", "a@\u2603.net", "Enter a valid email address."),
        ("email", "a@example.com\0", "Null characters are not allowed."),
        ("username", "", "This field may not be blank."),
        ("username", "two words", "Enter a valid username."),
        ("username", "<b>", "Enter a valid username."),
        ("username", "ﷺ", "Enter a valid username."),
        ("username", "a" * 81, "Ensure this field has no more than 80 characters."),
        ("username", "ﬃ" * 27, "Ensure this field has no more than 80 characters."),
        ("username", "\u3164", "Write at least one character that can be seen."),
        ("username", "divine\u115f", "Remove the invisible characters from the username."),
        ("username", "divine\u202e", "Characters that change the direction of writing are not allowed."),
        ("username", "a\0b", "Control characters such as line breaks are not allowed."),
        ("username", {"a": 1}, "Not a valid string."),
        ("username", True, "Not a valid string."),
        ("password", "", "This field may not be blank."),
        ("password", "aé9!" * 251, "Ensure this field has no more than 1000 characters."),
        ("password", f"{PASSWORD}\0", "Null characters are not allowed."),
    ],
)
def test_register_bad_field_is_400(anonymous, field, value, said):
    response = anonymous.post(URL, body(**{field: value}))

    assert response.status_code == 400
    answered = response.json()
    assert (answered["error"], answered["code"], list(answered["errors"])) == (True, "invalid", [field])
    assert answered["errors"][field][0].startswith(said)
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_register_lone_surrogate_is_400(anonymous, field):
    sent = json.dumps(body(**{field: "divine\ud800@example.com"}))

    response = anonymous.post(URL, sent, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["errors"][field][0].startswith("Surrogate characters are not allowed")
    assert not User.objects.exists()


def test_register_without_fields_names_each(anonymous):
    response = anonymous.post(URL, {})

    assert response.status_code == 400
    required = ["This field is required."]
    assert response.json() == {
        "message": "username: This field is required.; email: This field is required.; "
        "password: This field is required.",
        "error": True,
        "code": "invalid",
        "errors": {"username": required, "email": required, "password": required},
    }
    assert not User.objects.exists()


@pytest.mark.parametrize("sent", ["[]", "null", "5", '"divine"', "true", '[{"username": "divine"}]'])
def test_register_body_that_is_no_object_is_400(anonymous, sent):
    response = anonymous.post(URL, sent, content_type="application/json")

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", ["body"])
    assert not User.objects.exists()


def test_register_takes_no_other_field(anonymous):
    response = anonymous.post(
        URL,
        body(id=4711, isAdmin=True, is_staff=True, is_superuser=True, is_active=False, username_key="staff"),
    )

    assert response.status_code == 400
    assert "isAdmin" in response.json()["errors"]
    assert not User.objects.exists()


def test_register_with_stale_token_is_answered(anonymous):
    response = anonymous.post(URL, body(), headers={"Authorization": "Bearer stale"})

    assert response.status_code == 201


def test_register_by_get_is_405(anonymous):
    response = anonymous.get(URL)

    assert response.status_code == 405
    assert response["Allow"] == "POST, OPTIONS"
    assert response.json()["code"] == "method_not_allowed"
