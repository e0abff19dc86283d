"""The users of the staff's site: roles with the permissions that matter to accounts."""

from django.contrib.auth.models import Group, Permission

from accounts.tests.factories import UserFactory

CLERK = ["use_staff_site", "view_event", "view_booking"]
MANAGER = [*CLERK, "view_user", "add_user", "change_user", "end_logins"]


def permissions(*codenames):
    found = Permission.objects.filter(codename__in=codenames)
    assert found.count() == len(codenames)
    return found


def role(name, codenames):
    group, _ = Group.objects.get_or_create(name=name)
    group.permissions.set(permissions(*codenames))
    return group


def clerks():
    return role("Clerks", CLERK)


def managers():
    return role("Heads", MANAGER)


def member(group, **fields):
    account = UserFactory(**fields)
    account.groups.add(group)
    return account


PERSONAS = {
    "superuser": lambda **fields: UserFactory(is_superuser=True, **fields),
    "manager": lambda **fields: member(managers(), **fields),
    "box office": lambda **fields: member(clerks(), **fields),
    "plain staff": lambda **fields: UserFactory(is_staff=True, **fields),
    "user": lambda **fields: UserFactory(**fields),
    "anonymous": lambda **fields: None,
}


def as_persona(client, name, **fields):
    """Makes this the account of the browser from now on."""
    account = PERSONAS[name](**fields)
    if account:
        client.force_login(account)
    return account
