import pytest
from django.contrib.admin import ModelAdmin
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.admin import AccountAdmin
from accounts.models import LoginSession, User
from accounts.services import user_of_session
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.personas import PERSONAS, as_persona, permissions

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/user/"
ADD = "/admin/accounts/user/add/"


def change_url(user):
    return f"{LIST}{user.pk}/change/"


def new(**changes):
    return {
        "username": "ada",
        "email": "ada@example.org",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
        **changes,
    }


def fields(user, **changes):
    return {"username": user.username, "email": user.email or "", "is_active": "on", **changes}


def errors(response):
    return response.context["adminform"].form.errors


@pytest.mark.parametrize("is_known", [True, False])
def test_users_without_staff_status_leads_to_login(client, is_known):
    if is_known:
        client.force_login(UserFactory())

    response = client.get(LIST)

    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={LIST}"


@pytest.mark.parametrize("rows", [1, 3])
def test_user_list_costs_the_same_for_any_length(superuser_client, rows, django_assert_num_queries):
    for _ in range(rows):
        UserFactory()

    # The queries are the session, user, the filter's roles, count, rows, and their roles.
    with django_assert_num_queries(6):
        superuser_client.get(LIST)


def test_user_list_says_who_each_is(client):
    as_persona(client, "manager", username="boss")
    UserFactory(username="ada", first_name="Ada", last_name="Lovelace", is_staff=True, is_superuser=True)

    shown = client.get(LIST).content.decode()

    assert (
        '<td class="field-full_name">Ada Lovelace</td><td class="field-roles">Superuser, Admin of the API</td>' in shown
    )
    assert '<td class="field-roles">Heads</td>' in shown
    assert '<td class="field-last_seen">never</td>' in shown
    assert shown.count('<td class="field-last_seen">just now</td>') == 1


@pytest.mark.parametrize("term", ["GRACE", "grace.h@EXAMPLE", "hopper"])
def test_user_search_finds_in_any_case(superuser_client, term):
    user = UserFactory(username="Grace", email="grace.h@example.org", last_name="Hopper")

    assert list(superuser_client.get(LIST, {"q": term}).context["cl"].result_list) == [user]


@pytest.fixture
def mails_off(settings):
    """So that passwords are set by hand."""
    settings.MAIL_ENABLED = False


@pytest.mark.usefixtures("mails_off")
def test_form_of_a_new_user_offers_no_way_in_that_there_is_not(superuser_client):
    page = superuser_client.get(f"{LIST}add/").content.decode()

    assert 'name="password1"' in page
    assert "LDAP" not in page
    assert "usable_password" not in page


@pytest.mark.parametrize("term", ["\u200b", "ada \u200b", "\ufeff\u2060"])
def test_user_search_for_what_cannot_be_seen_finds_nothing(superuser_client, term):
    UserFactory(username="ada")

    response = superuser_client.get(LIST, {"q": term})

    assert (response.status_code, list(response.context["cl"].result_list)) == (200, [])


def test_user_search_finds_by_id(superuser_client):
    user = UserFactory(username="grace")
    UserFactory(username="ada")

    assert list(superuser_client.get(LIST, {"q": str(user.pk)}).context["cl"].result_list) == [user]


def test_user_list_of_one_role(superuser_client):
    clerk = PERSONAS["box office"]()
    PERSONAS["manager"]()

    shown = superuser_client.get(LIST, {"groups__id__exact": clerk.groups.get().pk}).context["cl"].result_list

    assert list(shown) == [clerk]


@pytest.mark.usefixtures("mails_off")
def test_user_add_makes_an_account_that_can_log_in(superuser_client, anonymous):
    response = superuser_client.post(ADD, new(email="ADA@example.org"))

    assert response.status_code == 302
    user = User.objects.get(username="ada")
    assert (user.email, user.is_staff, user.is_active) == ("ada@example.org", False, True)
    assert user.check_password(PASSWORD)


@pytest.mark.usefixtures("mails_off")
def test_user_add_without_email_stores_none(superuser_client):
    superuser_client.post(ADD, new(email=""))
    superuser_client.post(ADD, new(email="", username="grace"))

    assert list(User.objects.filter(email=None).values_list("username", flat=True).order_by("pk")) == ["ada", "grace"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"username": "TAKEN"}, {"username": ["This username is taken."]}),
        ({"username": "\uff54aken"}, {"username": ["This username is taken."]}),
        ({"email": "Taken@Example.org"}, {"email": ["This email is taken."]}),
    ],
)
def test_user_add_of_a_taken_name_says_so_at_the_field(superuser_client, given, expected):
    UserFactory(username="taken", email="taken@example.org")

    response = superuser_client.post(ADD, new(**given))

    assert response.status_code == 200
    assert errors(response) == expected
    assert User.objects.count() == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"username": "TAKEN"}, {"username": ["This username is taken."]}),
        ({"email": "Taken@Example.org"}, {"email": ["This email is taken."]}),
    ],
)
def test_user_change_to_a_taken_name_says_so_at_the_field(superuser_client, given, expected):
    UserFactory(username="taken", email="taken@example.org")
    user = UserFactory(username="ada")

    response = superuser_client.post(change_url(user), fields(user, **given))

    assert response.status_code == 200
    assert errors(response) == expected
    user.refresh_from_db()
    assert (user.username, user.email) == ("ada", "ada@example.org")


def test_user_change_of_own_case_is_saved(superuser_client):
    user = UserFactory(username="ada")

    response = superuser_client.post(change_url(user), fields(user, username="Ada", is_staff="on"))

    assert response.status_code == 302
    user.refresh_from_db()
    assert (user.username, user.username_key, user.is_staff) == ("Ada", "ada", True)


@pytest.mark.django_db(transaction=True)
def test_user_add_overtaken_while_saving_says_so_at_the_field(superuser_client, monkeypatch):
    save_model = AccountAdmin.save_model

    def overtaken(self, request, obj, form, change):
        # On SQLite nobody else can write meanwhile. So the rival's account is written here, and committed after the
        # rollback, as `rival_commits` does it.
        UserFactory(username="ADA", email="other@example.org")
        save_model(self, request, obj, form, change)

    def rival_commits(self, *args, **kwargs):
        try:
            return changeform_view(self, *args, **kwargs)
        except IntegrityError:
            UserFactory(username="ADA", email="other@example.org")
            raise

    changeform_view = ModelAdmin.changeform_view
    monkeypatch.setattr(AccountAdmin, "save_model", overtaken)
    monkeypatch.setattr(ModelAdmin, "changeform_view", rival_commits)
    response = superuser_client.post(ADD, new())

    assert response.status_code == 200
    assert errors(response) == {"username": ["This username is taken."]}
    assert list(User.objects.filter(username_key="ada").values_list("email", flat=True)) == ["other@example.org"]


WRONG = [
    ("email", f"{'İ' * 58}@{'a.' * 68}org", ["Enter a valid email address.", "Ensure this value has at most 254"]),
    ("email", "ada\u017f@example.org", ["Enter a valid email address."]),
    ("username", "ada\u3164", ["Remove the invisible characters from the username."]),
    ("first_name", "\u2800", ["Write at least one character that can be seen."]),
    ("last_name", "Love\u202elace", ["Characters that change the direction of writing are not allowed."]),
]


@pytest.mark.usefixtures("mails_off")
@pytest.mark.parametrize(("field", "typed", "said"), WRONG)
def test_text_that_misleads_is_refused_at_its_field(superuser_client, field, typed, said):
    user = UserFactory(username="ada")
    before = User.objects.filter(pk=user.pk).values().get()

    changed = superuser_client.post(change_url(user), {**fields(user), field: typed})

    errors = changed.context["adminform"].form.errors
    assert list(errors) == [field]
    assert [text.startswith(begin) for text, begin in zip(errors[field], said, strict=True)] == [True] * len(said)
    assert User.objects.filter(pk=user.pk).values().get() == before
    if field in ("username", "email"):
        passwords = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        added = superuser_client.post(f"{LIST}add/", {"username": "new", "email": "", **passwords, field: typed})
        assert list(added.context["adminform"].form.errors) == [field]
        assert not User.objects.filter(username="new").exists()


def test_text_is_stored_in_its_one_spelling(superuser_client):
    user = UserFactory(username="ada")

    response = superuser_client.post(
        change_url(user), {**fields(user), "email": "ada@EXÄMPLE.org\u200b", "first_name": "Noe\u0308l"}
    )

    assert response.status_code == 302
    user.refresh_from_db()
    assert (user.email, user.first_name) == ("ada@xn--exmple-cua.org", "Noël")


def test_new_password_ends_every_login(superuser_client, client_of):
    user = UserFactory(username="ada", password="an older password 1")
    bearer = client_of(user)
    tokens.log_in(UserFactory())

    response = superuser_client.post(
        f"{LIST}{user.pk}/password/", {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    )

    assert response.status_code == 302
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert bearer.get("/api/v1/auth/me").status_code == 401
    assert user_of_session(LoginSession.objects.exclude(user=user).get().pk, now=timezone.now())


def test_refused_password_ends_nothing(superuser_client, client_of):
    user = UserFactory(username="ada", password=PASSWORD)
    bearer = client_of(user)

    response = superuser_client.post(
        f"{LIST}{user.pk}/password/", {"usable_password": "true", "password1": "short", "password2": "short"}
    )

    assert response.status_code == 200
    assert bearer.get("/api/v1/auth/me").status_code == 200


def test_deactivated_user_is_logged_out_for_good(superuser_client, client_of):
    user = UserFactory()
    bearer = client_of(user)
    Client().force_login(user)

    superuser_client.post(change_url(user), {"username": user.username, "email": user.email})

    user.refresh_from_db()
    assert not user.is_active
    assert not user.login_sessions.exists()
    assert not user.browser_sessions.exists()
    assert bearer.get("/api/v1/auth/me").status_code == 401
    superuser_client.post(change_url(user), fields(user))
    user.refresh_from_db()
    assert user.is_active
    assert bearer.get("/api/v1/auth/me").status_code == 401


def test_user_page_hides_the_hash(superuser_client):
    user = UserFactory(password=PASSWORD)

    content = superuser_client.get(change_url(user)).content.decode()

    assert user.password not in content
    assert user.password.rsplit("$", 1)[1] not in content
    assert "never deleted" in content


def test_user_delete_is_403(superuser_client):
    user = UserFactory()

    assert superuser_client.post(f"{LIST}{user.pk}/delete/", {"post": "yes"}).status_code == 403
    superuser_client.post(LIST, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"})
    assert User.objects.filter(pk=user.pk).exists()


@pytest.mark.parametrize("is_superuser", [True, False])
def test_staff_that_may_change_users_cannot_rise_above_themselves(client, is_superuser):
    clerk = UserFactory(is_staff=True)
    clerk.user_permissions.set(permissions("change_user", "view_user"))
    chief = UserFactory(is_staff=True, is_superuser=is_superuser, password=PASSWORD)
    client.force_login(clerk)

    response = client.post(change_url(clerk), fields(clerk, is_staff="on", is_superuser="on", first_name="Ada"))

    assert response.status_code == 302
    clerk.refresh_from_db()
    assert (clerk.first_name, clerk.is_superuser) == ("Ada", False)
    passwords = {"usable_password": "true", "password1": "mine now 12345", "password2": "mine now 12345"}
    assert client.post(f"{LIST}{chief.pk}/password/", passwords).status_code == 403
    assert client.post(change_url(chief), fields(chief, username="chief")).status_code == 403
    chief.refresh_from_db()
    assert chief.check_password(PASSWORD)


def test_password_of_an_account_is_not_taken_away(superuser_client):
    user = UserFactory(username="ada", password=PASSWORD)

    response = superuser_client.post(f"{LIST}{user.pk}/password/", {"usable_password": "false", "unset-password": "1"})

    assert "password1" in response.context["form"].errors
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize("language", ["de", ""])
def test_staff_choose_the_language_of_an_account(superuser_client, language):
    user = UserFactory(language="en")

    assert superuser_client.post(change_url(user), fields(user, language=language)).status_code == 302
    assert User.objects.get(pk=user.pk).language == language


def test_account_takes_no_language_that_mails_have_not(superuser_client):
    user = UserFactory(language="en")

    assert errors(superuser_client.post(change_url(user), fields(user, language="fr")))["language"]
    assert User.objects.get(pk=user.pk).language == "en"
