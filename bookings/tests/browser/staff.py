"""The accounts that use the staff's site."""

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.roles import BOX_OFFICE, MANAGERS, make_roles

# The account of each role is made with these values.
ROLES = {
    "superuser": {"is_staff": True, "is_superuser": True},
    "manager": {"group": MANAGERS},
    "box_office": {"group": BOX_OFFICE},
    # An admin of the API, without any permission at the staff's site.
    "plain": {"is_staff": True},
    "outsider": {},
}


def person(role: str, *, password: str | None = None) -> User:
    """The account of a role; its username is the role's name."""
    known = User.objects.filter(username=role).first()
    if known:
        return known
    fields = dict(ROLES[role])
    group = fields.pop("group", None)
    user = UserFactory(username=role, password=password, **fields)
    if group:
        # A flush may have deleted the groups that the migration made.
        make_roles(apps)
        user.groups.add(Group.objects.get(name=group))
    return user


def login_cookies(user: User, origin: str) -> list[dict]:
    """A login as typing makes one, without the half second that a password takes."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    return [{"name": cookie.key, "value": cookie.value, "url": origin, "httpOnly": True, "sameSite": "Lax"}]
