"""Managers give and take roles. They cannot reach powers that they do not have."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.personas import PERSONAS, as_persona, clerks, managers, member, permissions, role

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/user/"
PASSWORDS = {"usable_password": "true", "password1": "mine now 12345", "password2": "mine now 12345"}


def change_url(account):
    return f"{LIST}{account.pk}/change/"


def fields(account, *groups, **changes):
    chosen = [group.pk for group in groups]
    return {"username": account.username, "email": account.email, "is_active": "on", "groups": chosen, **changes}


def errors(response):
    return response.context["adminform"].form.errors


def roles(account):
    return set(account.groups.values_list("name", flat=True))


def beyond():
    """A role that may do one thing more than managers."""
    return role("Chiefs", ["use_staff_site", "change_group"])


@pytest.fixture
def manager(client, db):
    return as_persona(client, "manager")


@pytest.fixture
def ada(db):
    return UserFactory(username="ada")


@pytest.mark.parametrize("persona", ["superuser", "manager"])
def test_role_is_given(client, persona, ada):
    giver = as_persona(client, persona)

    response = client.post(change_url(ada), fields(ada, clerks()))

    assert response.status_code == 302
    assert roles(ada) == {"Clerks"}
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_change_message()) == (giver, "Changed Roles. Roles now: Clerks.")


def test_role_is_taken(client, manager):
    clerk = PERSONAS["box office"]()

    client.post(change_url(clerk), fields(clerk))

    assert roles(clerk) == set()
    assert LogEntry.objects.get().get_change_message() == "Changed Roles. Roles now: none."


def test_roles_change_from_one_to_both(client, manager):
    clerk = PERSONAS["box office"]()

    client.post(change_url(clerk), fields(clerk, clerks(), managers()))

    assert roles(clerk) == {"Clerks", "Heads"}
    assert LogEntry.objects.get().get_change_message() == "Changed Roles. Roles now: Clerks, Heads."


def test_role_beyond_ones_own_is_not_given(client, manager, ada):
    more = beyond()

    shown = client.get(change_url(ada)).context["adminform"].form.fields["groups"].queryset
    response = client.post(change_url(ada), fields(ada, clerks(), more))

    assert set(shown) >= {clerks(), managers()}
    assert more not in shown
    assert errors(response) == {
        "groups": [f"Select a valid choice. {more.pk} is not one of the available choices."],
    }
    assert roles(ada) == set()


def test_superuser_gives_any_role(client, ada):
    as_persona(client, "superuser")

    client.post(change_url(ada), fields(ada, beyond()))

    assert roles(ada) == {"Chiefs"}


def test_one_does_not_change_ones_own_roles(client, manager):
    client.post(change_url(manager), fields(manager, clerks(), first_name="Grace"))

    manager.refresh_from_db()
    assert manager.first_name == "Grace"
    assert roles(manager) == {"Heads"}


@pytest.mark.parametrize("whose", ["ada", "own"])
def test_manager_gives_no_power_but_roles(client, manager, ada, whose):
    account = ada if whose == "ada" else manager
    powers = Permission.objects.values_list("pk", flat=True)

    client.post(
        change_url(account),
        fields(account, is_staff="on", is_superuser="on", user_permissions=list(powers), first_name="Grace"),
    )

    account.refresh_from_db()
    assert (account.first_name, account.is_staff, account.is_superuser) == ("Grace", False, False)
    assert not account.user_permissions.exists()


MORE = {
    "a superuser": lambda **more: UserFactory(is_superuser=True, **more),
    "staff": lambda **more: UserFactory(is_staff=True, **more),
    "of a role beyond": lambda **more: member(beyond(), **more),
    "with a permission beyond": lambda **more: with_permission("change_group", **more),
}


def with_permission(codename, **more):
    account = UserFactory(**more)
    account.user_permissions.set(permissions(codename))
    return account


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("kind", MORE)
def test_account_that_may_do_more_is_only_looked_at(client, manager, kind, is_active):
    account = MORE[kind](username="chief", is_active=is_active, password=PASSWORD)
    before = roles(account)

    looked = client.get(change_url(account))
    answers = [
        client.post(change_url(account), fields(account, clerks(), username="mine")).status_code,
        client.get(f"{LIST}{account.pk}/password/").status_code,
        client.post(f"{LIST}{account.pk}/password/", PASSWORDS).status_code,
    ]

    assert looked.status_code == 200
    assert account.password.split("$")[-1] not in looked.content.decode()
    assert "argon2" not in looked.content.decode()
    assert answers == [403, 403, 403]
    stored = User.objects.get(pk=account.pk)
    assert (stored.username, stored.check_password(PASSWORD), stored.is_active) == ("chief", True, is_active)
    assert roles(account) == before


def form_fields(response):
    return set(response.context["adminform"].form.fields) - {"password"}


@pytest.mark.parametrize(
    ("persona", "more"),
    [("manager", {"groups"}), ("superuser", {"groups", "is_staff", "is_superuser", "user_permissions"})],
)
def test_account_page_has_the_fields_that_one_may_set(client, ada, persona, more):
    person = {"username", "email", "first_name", "last_name", "language", "is_active"}
    who = as_persona(client, persona)

    assert form_fields(client.get(change_url(ada))) == person | more
    own = form_fields(client.get(change_url(who)))
    # Nobody may lock themselves out.
    assert own == (person | more if persona == "superuser" else person) - {"is_active"}


def test_account_page_names_the_roles_that_one_may_not_set(client, manager):
    chief = member(beyond(), is_staff=True)

    shown = client.get(change_url(chief)).content.decode()

    assert "Admin of the API, Chiefs" in shown
    assert "Save" not in shown


@pytest.mark.parametrize("whose", ["user", "box office", "manager"])
def test_account_that_may_do_no_more_is_changed(client, manager, whose):
    account = PERSONAS[whose](username="equal")

    statuses = [
        client.post(change_url(account), fields(account, *account.groups.all(), first_name="Ada")).status_code,
        client.post(f"{LIST}{account.pk}/password/", PASSWORDS).status_code,
    ]

    assert statuses == [302, 302]
    account.refresh_from_db()
    assert account.first_name == "Ada"
    assert account.check_password("mine now 12345")


def test_manager_adds_an_account_and_gives_it_a_role(client, manager):
    new = {"username": "new", "email": "new@example.org", **PASSWORDS, "groups": [managers().pk], "is_staff": "on"}
    client.post(f"{LIST}add/", new)

    account = User.objects.get(username="new")
    assert (roles(account), account.is_staff) == (set(), False)
    client.post(change_url(account), fields(account, clerks()))
    assert roles(account) == {"Clerks"}


def test_who_may_change_users_alone_gives_no_role_beyond(client, ada):
    """A plain staff account with one permission is not a manager."""
    clerk = UserFactory(is_staff=True)
    clerk.user_permissions.set(permissions("view_user", "change_user"))
    client.force_login(clerk)

    client.post(change_url(ada), fields(ada, clerks()))

    assert roles(ada) == set()


def test_roles_themselves_are_a_superusers(client, manager):
    group = Group.objects.get(name="Heads")

    assert client.get("/admin/auth/group/").status_code == 403
    assert client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Mine"}).status_code == 403
    assert Group.objects.filter(name="Heads").exists()
