import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "Root")
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "Root@Example.org")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)


def test_createsuperuser_from_the_environment_makes_an_admin(anonymous):
    call_command("createsuperuser", interactive=False, verbosity=0)

    user = User.objects.get()
    assert (user.username, user.username_key, user.email) == ("Root", "root", "root@example.org")
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, True, True)
    login = anonymous.post("/api/v1/auth/login", {"email": "root@example.org", "password": PASSWORD})
    assert login.status_code == 200


def test_createsuperuser_with_a_taken_name_makes_nobody():
    UserFactory(username="ROOT")

    with pytest.raises(CommandError, match="already taken"):
        call_command("createsuperuser", interactive=False, verbosity=0)

    assert not User.objects.get().is_superuser
