"""Staff invite people by mail: nobody but the person ever knows the password."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from accounts.models import AccountMail, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import latest_token, link_in, queued
from accounts.tests.personas import PERSONAS, as_persona

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/user/"
ADD = "/admin/accounts/user/add/"
NEW = "another 9 password"


@pytest.fixture(autouse=True)
def _mails_on(settings):
    settings.MAIL_ENABLED = True


def invite_url(user):
    return f"{LIST}{user.pk}/invite/"


def confirm(client, url):
    stamp = client.get(url).context["form"]["stamp"].value()
    return client.post(url, {"stamp": stamp, "confirm": "yes"}, follow=True)


def test_adding_a_user_asks_for_an_address_and_for_no_password(superuser_client):
    page = superuser_client.get(ADD).content.decode()

    assert 'name="email"' in page
    assert "password1" not in page
    assert "gets a mail with a link" in page


def test_user_that_is_added_is_invited_and_chooses_the_password(superuser_client):
    response = superuser_client.post(ADD, {"username": "Ada", "email": "ADA@example.org"}, follow=True)

    assert "An invitation to ada@example.org is on its way." in response.content.decode()
    user = User.objects.get(username="Ada")
    assert (user.email, user.has_usable_password(), user.has_verified_email) == ("ada@example.org", False, False)
    assert queued() == [("invitation", "ada@example.org")]
    browser = Client()
    browser.get(f"/account/password/new/?token={latest_token()}")
    browser.post("/account/password/new/", {"new_password1": NEW, "new_password2": NEW})
    user.refresh_from_db()
    assert (user.check_password(NEW), user.has_verified_email) == (True, True)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"email": ""}, "email"),
        ({"email": "nonsense"}, "email"),
        ({"email": "taken@example.org"}, "email"),
        ({"username": "TAKEN"}, "username"),
        ({"username": "two words"}, "username"),
        ({"username": "ada\u3164"}, "username"),
    ],
)
def test_refused_user_is_not_invited(superuser_client, given, field):
    UserFactory(username="taken")

    response = superuser_client.post(ADD, {"username": "ada", "email": "ada@example.org", **given})

    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [field]
    assert User.objects.filter(username="ada").count() == 0
    assert queued() == []


def test_password_in_the_form_of_an_invitation_is_ignored(superuser_client):
    superuser_client.post(
        ADD, {"username": "ada", "email": "ada@example.org", "password1": PASSWORD, "password2": PASSWORD}
    )

    assert not User.objects.get(username="ada").has_usable_password()


def test_without_a_mail_server_the_page_asks_for_a_password_and_says_why(superuser_client, settings):
    settings.MAIL_ENABLED = False

    page = superuser_client.get(ADD).content.decode()

    assert 'name="password1"' in page
    assert "This installation sends no mails" in page
    superuser_client.post(ADD, {"username": "ada", "email": "", "password1": PASSWORD, "password2": PASSWORD})
    assert User.objects.get(username="ada").check_password(PASSWORD)
    assert queued() == []


def test_invitation_is_sent_again(superuser_client):
    user = UserFactory(username="ada")
    page = superuser_client.get(f"{LIST}{user.pk}/change/").content.decode()

    response = confirm(superuser_client, invite_url(user))

    assert invite_url(user) in page
    assert "The mail to ada@example.org is on its way." in response.content.decode()
    assert queued() == [("invitation", "ada@example.org")]
    assert LogEntry.objects.get().get_change_message() == "Invited again."


def test_page_says_that_the_invitation_was_not_delivered_until_it_is_sent_again(superuser_client):
    user = UserFactory(username="ada")
    page = f"{LIST}{user.pk}/change/"
    said = "The invitation to ada@example.org could not be delivered. You can send it again. Reason: The hour was over."
    confirm(superuser_client, invite_url(user))
    assert "could not be delivered" not in superuser_client.get(page).content.decode()
    AccountMail.objects.update(state="given_up", error="The hour was over.")

    assert said in superuser_client.get(page).content.decode()
    confirm(superuser_client, invite_url(user))

    assert "could not be delivered" not in superuser_client.get(page).content.decode()


def test_invitation_is_not_sent_before_it_is_confirmed(superuser_client):
    response = superuser_client.get(invite_url(UserFactory(username="ada")))

    assert "ada@example.org gets a mail with a link" in response.content.decode()
    assert queued() == []


@pytest.mark.parametrize("fields", [{"password": PASSWORD}, {"email": None}, {"is_active": False}])
def test_who_needs_no_invitation_gets_none(superuser_client, fields):
    user = UserFactory(username="ada", **fields)
    page = superuser_client.get(f"{LIST}{user.pk}/change/").content.decode()

    response = superuser_client.post(invite_url(user), {"confirm": "yes"}, follow=True)

    assert invite_url(user) not in page
    assert "Only a user who has an address and no password is invited." in response.content.decode()
    assert queued() == []


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("whose", ["user", "superuser"])
def test_invitation_is_sent_by_who_may_change_the_account(client, persona, whose):
    user = UserFactory(username="ada", is_superuser=whose == "superuser")
    as_persona(client, persona)

    response = client.get(invite_url(user))

    allowed = {"user": {"superuser", "manager"}, "superuser": {"superuser"}}[whose]
    enters = persona not in ("user", "anonymous")
    assert response.status_code == (200 if persona in allowed else 403 if enters else 302)


def test_staff_who_change_an_address_have_both_told(superuser_client):
    user = UserFactory(username="ada", password=PASSWORD)
    fields = {"username": "ada", "email": "countess@example.org", "is_active": "on"}

    superuser_client.post(f"{LIST}{user.pk}/change/", fields)

    assert queued() == [("verify", "countess@example.org"), ("changed", "ada@example.org")]


def test_staff_who_change_something_else_have_nobody_told(superuser_client):
    user = UserFactory(username="ada", password=PASSWORD)

    superuser_client.post(f"{LIST}{user.pk}/change/", {"username": "ada2", "email": user.email, "is_active": "on"})

    assert queued() == []


def test_invitation_leads_to_the_site(superuser_client, settings):
    settings.SITE_URL = "https://tickets.example.org"
    superuser_client.post(ADD, {"username": "ada", "email": "ada@example.org"}, headers={"Host": "testserver"})

    assert link_in(AccountMail.objects.get()).startswith("https://tickets.example.org/account/password/new/?token=")
