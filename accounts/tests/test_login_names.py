"""One name belongs to one account. A username that is another's email is refused, in any order and also in a race."""

import sys
import threading
import unicodedata

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from accounts.models import LoginName, User, login_key, username_key
from accounts.services import change_profile, register_user
from accounts.tests.factories import PASSWORD, UserFactory
from ticks.exceptions import Refusal
from ticks.text import has_hidden_character, normalise_email

NAME = "ada@example.org"


def names_of(user):
    return set(user.login_names.values_list("key", flat=True))


@pytest.mark.django_db
def test_account_reserves_its_names_and_gives_up_those_that_it_had():
    user = UserFactory(username="Ada", email="Ada@Example.org")
    reserved = names_of(user)

    user.username, user.email = "Grace", None
    user.save()

    assert reserved == {login_key("ada"), login_key("ada@example.org")}
    assert names_of(user) == {login_key("grace")}


@pytest.mark.django_db
def test_account_whose_username_is_its_own_email_reserves_it_once():
    user = UserFactory(username=NAME, email=NAME)

    assert names_of(user) == {login_key(NAME)}


@pytest.mark.django_db
def test_two_changes_at_once_reserve_what_stands_in_the_row():
    user = UserFactory(username="ada", email="old@example.org")
    first, second = (User.objects.get(pk=user.pk) for _ in range(2))
    first.username = "grace"
    first.save(update_fields=["username"])

    second.email = "new@example.org"
    second.save(update_fields=["email"])

    assert names_of(user) == {login_key("grace"), login_key("new@example.org")}


@pytest.mark.django_db
@pytest.mark.parametrize("fields", [["password"], ["is_active"]])
def test_change_of_something_else_asks_for_no_names(django_assert_num_queries, fields):
    user = UserFactory()

    with django_assert_num_queries(1):
        user.save(update_fields=fields)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ({"username": "first", "email": NAME}, {"username": "ADA@example.org", "email": "second@example.org"}),
        ({"username": "ADA@example.org", "email": None}, {"username": "second", "email": NAME}),
        # These are the same once their cases are folded.
        ({"username": "first", "email": "a@strasse.example"}, {"username": "second", "email": "a@straße.example"}),
    ],
)
def test_database_refuses_a_name_of_another_account(theirs, mine):
    UserFactory(**theirs)

    with pytest.raises(IntegrityError), transaction.atomic():
        User(**mine).save()

    assert User.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("theirs", "mine", "code"),
    [
        ({"username": "first", "email": NAME}, {"username": NAME}, "username_taken"),
        ({"username": NAME, "email": None}, {"email": NAME}, "email_taken"),
        ({"username": "first", "email": "a@strasse.example"}, {"email": "a@straße.example"}, "email_taken"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_api_says_which_name_is_taken(anonymous, owner, theirs, mine, code, is_new):
    UserFactory(**theirs)
    before = list(User.objects.order_by("pk").values())

    if is_new:
        account = {"username": "second", "email": "second@example.org", "password": PASSWORD}
        response = anonymous.post("/api/v1/auth/register", {**account, **mine})
    else:
        response = owner.patch("/api/v1/auth/me", mine)

    assert (response.status_code, response.json()["code"]) == (409, code)
    assert list(User.objects.order_by("pk").values()) == before


@pytest.mark.django_db
def test_one_ticket_contract_refuses_an_email_as_a_username(anonymous):
    UserFactory(username="first", email=NAME)

    response = anonymous.post("/api/users/register", {"username": NAME, "password": PASSWORD})

    assert (response.status_code, response.json()) == (409, {"error": "This username is taken."})
    assert User.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("theirs", "username", "email", "said"),
    [
        ({"username": "first", "email": NAME}, NAME, "second@example.org", "This username is taken."),
        ({"username": NAME, "email": None}, "second", NAME, "This email is taken."),
        ({"username": "first", "email": NAME}, "second", NAME, "This email is taken."),
    ],
)
def test_createsuperuser_says_which_name_is_taken(monkeypatch, theirs, username, email, said):
    UserFactory(**theirs)
    for name, value in (("USERNAME", username), ("EMAIL", email), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"DJANGO_SUPERUSER_{name}", value)

    with pytest.raises(CommandError, match=f"^{said}$"):
        call_command("createsuperuser", interactive=False, verbosity=0)

    assert not User.objects.get().is_superuser


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("theirs", "mine", "said"),
    [
        ({"username": "first", "email": NAME}, {"username": NAME}, {"username": ["This username is taken."]}),
        ({"username": NAME, "email": None}, {"email": NAME}, {"email": ["This email is taken."]}),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_staffs_forms_say_which_name_is_taken(superuser_client, theirs, mine, said, is_new):
    UserFactory(**theirs)
    fields = {"username": "second", "email": "second@example.org", **mine}
    account = None if is_new else UserFactory(username="second")
    before = list(User.objects.order_by("pk").values("pk", "username", "email"))

    if is_new:
        passwords = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        response = superuser_client.post("/admin/accounts/user/add/", {**fields, **passwords})
    else:
        response = superuser_client.post(f"/admin/accounts/user/{account.pk}/change/", {**fields, "is_active": "on"})

    assert response.context["adminform"].form.errors == said
    assert list(User.objects.order_by("pk").values("pk", "username", "email")) == before


@pytest.mark.parametrize(
    "spellings",
    [
        ["a@exämple.org", "A@EXÄMPLE.ORG", "a@exa\u0308mple.org", "a@xn--exmple-cua.org", "a@XN--exmple-cua.org"],
        ["a@straße.example", "a@strasse.example", "a@xn--strae-oqa.example"],
    ],
)
def test_spellings_of_a_domain_have_one_key(spellings):
    assert len({login_key(spelling) for spelling in spellings}) == 1


def test_spellings_that_find_one_account_have_one_key():
    # A login looks up the username's key and the email's spelling of the typed name. Both must have one login key.
    letters = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)

    apart = [letter for letter in letters if username_key(normalise_email(letter) or "") != username_key(letter)]

    # An email loses these characters; no username has them.
    apart = [letter for letter in apart if not has_hidden_character(letter)]
    assert [letter for letter in apart if unicodedata.category(letter) not in ("Cc", "Zs", "Zl", "Zp")] == []


# Races


@pytest.fixture
def together(monkeypatch):
    """Both have checked the name before one writes."""
    both_have_looked = threading.Barrier(2)
    is_others = User.is_others

    def look_and_wait(user, name):
        found = is_others(user, name)
        looks.count = getattr(looks, "count", 0) + 1
        if looks.count == 2:
            both_have_looked.wait(30)
        return found

    looks = threading.local()
    monkeypatch.setattr(User, "is_others", look_and_wait)


def race(*works):
    """Runs all works at once, each on a connection of its own. Returns what each returned or raised."""
    told = [None] * len(works)

    def run(place):
        try:
            told[place] = works[place]()
        except Exception as error:
            told[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def register_as_username():
    return register_user(username=NAME, password=PASSWORD, email="first@example.org")


def register_as_email():
    return register_user(username="second", password=PASSWORD, email=NAME)


def rename(user, **changes):
    return lambda: change_profile(User.objects.get(pk=user.pk), changes=changes)


def won_and_refused(told):
    return [type(result).__name__ for result in told if isinstance(result, User)], sorted(
        result.code for result in told if isinstance(result, Refusal)
    )


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("go", range(5))
def test_of_two_who_register_one_name_at_once_one_is_refused(together, go):
    told = race(register_as_username, register_as_email)

    won, refused = won_and_refused(told)
    assert (len(won), len(refused)) == (1, 1), told
    assert refused[0] in ("username_taken", "email_taken")
    assert User.objects.bearing(NAME).count() == User.objects.count() == 1


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("go", range(5))
def test_of_two_who_rename_themselves_to_one_name_at_once_one_is_refused(together, go):
    first, second = UserFactory(), UserFactory()

    told = race(rename(first, username=NAME), rename(second, email=NAME))

    won, refused = won_and_refused(told)
    assert (len(won), len(refused)) == (1, 1), told
    assert User.objects.bearing(NAME).count() == 1


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_control_without_reserved_names_both_get_it(together, monkeypatch):
    monkeypatch.setattr(User, "reserve_names", lambda user: None)

    told = race(register_as_username, register_as_email)

    assert [type(result) for result in told] == [User, User]
    assert User.objects.bearing(NAME).count() == 2


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_crowd_that_wants_one_name_gets_it_once():
    # This goes through the API's service, with no window held open. For any timing, one account has the name.
    works = [
        (lambda number=number: register_user(username=NAME, password=PASSWORD, email=f"{number}@example.org"))
        if number % 2
        else (lambda number=number: register_user(username=f"u{number}", password=PASSWORD, email=NAME))
        for number in range(12)
    ]

    told = race(*works)

    won, refused = won_and_refused(told)
    assert (len(won), len(refused)) == (1, 11), told
    assert User.objects.bearing(NAME).count() == LoginName.objects.filter(key=login_key(NAME)).count() == 1
    assert User.objects.count() == 1
