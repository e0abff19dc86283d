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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EMAIL", f"{'İ' * 58}@{'a.' * 68}org", "Enter a valid email address.; Ensure this value has at most 254"),
        ("EMAIL", "root", "Enter a valid email address."),
        ("USERNAME", "\u3164", "Remove the invisible characters from the username."),
        ("USERNAME", "root\u115f", "Remove the invisible characters from the username."),
        # Their stored form has 240 letters, or spaces.
        ("USERNAME", "ﬃ" * 80, "Ensure this value has at most 80 characters"),
        ("USERNAME", "ﷺ", "Enter a valid username."),
    ],
)
def test_createsuperuser_with_a_name_that_cannot_be_makes_nobody(monkeypatch, name, value, said):
    monkeypatch.setenv(f"DJANGO_SUPERUSER_{name}", value)

    with pytest.raises(CommandError, match=said.replace(".", r"\.")):
        call_command("createsuperuser", interactive=False, verbosity=0)

    assert not User.objects.exists()


def test_createsuperuser_stores_the_address_in_its_one_spelling(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "\u200bRoot@EXÄMPLE.org")

    call_command("createsuperuser", interactive=False, verbosity=0)

    assert User.objects.get().email == "root@xn--exmple-cua.org"


def test_createsuperuser_with_a_taken_name_makes_nobody():
    UserFactory(username="ROOT")

    with pytest.raises(CommandError, match="already taken"):
        call_command("createsuperuser", interactive=False, verbosity=0)

    assert not User.objects.get().is_superuser
