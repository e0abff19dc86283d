"""Ending the logins of an account: by the service, on its page and in the list."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.admin import EndLogins
from accounts.exceptions import LoginsKept
from accounts.models import BrowserSession, LoginSession, User
from accounts.services import Logins, end_logins, logins_of, open_session
from accounts.tests.factories import UserFactory
from accounts.tests.personas import PERSONAS, as_persona

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/user/"
KEPT = "Only a superuser may end the logins of a superuser."


def page_of(account):
    return f"{LIST}{account.pk}/end-logins/"


def change_page_of(account):
    return f"{LIST}{account.pk}/change/"


def log_in(account, *, browsers=2, tokens=3):
    """Opens logins; returns the browsers."""
    for _ in range(tokens):
        open_session(account, refresh_id="r", lifetime=timedelta(days=1))
    clients = [Client() for _ in range(browsers)]
    for client in clients:
        client.force_login(account)
    return clients


def open_logins(account):
    return BrowserSession.objects.filter(user=account).count(), LoginSession.objects.filter(user=account).count()


def text_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", response.content.decode()))


def confirm(client, address, asked, follow=False, **posted):
    """Confirms what a page showed."""
    stamp = asked.context["form"].data["stamp"] if asked.status_code == 200 and asked.context else ""
    return client.post(address, {"confirm": "yes", "stamp": stamp, **posted}, follow=follow)


def messages_of(response):
    return [str(message) for message in response.context["messages"]]


@pytest.fixture
def ada(db):
    return UserFactory(username="ada", first_name="Ada", last_name="Lovelace")


@pytest.fixture
def manager(client, db):
    return as_persona(client, "manager", username="boss")


# The service


def test_end_logins_ends_browsers_and_tokens_of_this_account_alone(ada, client_of):
    bearer, [browser] = client_of(ada), log_in(ada, browsers=1, tokens=0)
    log_in(UserFactory(username="grace"))
    before = bearer.get("/api/v1/auth/me").status_code, browser.get("/api/v1/auth/me").status_code

    ended = end_logins(ada, actor=PERSONAS["manager"]())

    assert before == (200, 200)
    assert (ended.browsers, ended.tokens) == (1, 1)
    assert (bearer.get("/api/v1/auth/me").status_code, browser.get("/api/v1/auth/me").status_code) == (401, 401)
    assert open_logins(ada) == (0, 0)
    assert open_logins(User.objects.get(username="grace")) == (2, 3)


def test_end_logins_ends_refresh_tokens(ada, anonymous):
    pair = tokens.log_in(ada)

    end_logins(ada, actor=PERSONAS["superuser"]())

    refreshed = anonymous.post("/api/v1/auth/refresh", {"refreshToken": pair["refreshToken"]})
    assert refreshed.status_code == 401
    assert not LoginSession.objects.exists()


def test_end_logins_counts_what_was_open_and_deletes_the_rest_too(ada):
    log_in(ada, browsers=1, tokens=1)
    BrowserSession.objects.update(expire_date=timezone.now())
    LoginSession.objects.update(expires_at=timezone.now())
    log_in(ada, browsers=2, tokens=2)
    BrowserSession.objects.filter(pk=BrowserSession.objects.latest("created_at").pk).update(auth_hash="of old")
    LoginSession.objects.filter(pk=LoginSession.objects.latest("pk").pk).update(auth_hash="of old")

    ended = end_logins(ada, actor=PERSONAS["manager"]())

    assert (ended.browsers, ended.tokens) == (1, 1)
    assert open_logins(ada) == (0, 0)


@pytest.mark.parametrize("actor", [name for name in PERSONAS if name != "anonymous"])
@pytest.mark.parametrize("whose", [name for name in PERSONAS if name != "anonymous"])
def test_end_logins_is_refused_beyond_the_actors_rank(actor, whose):
    account = PERSONAS[whose]()
    log_in(account)
    may_end = actor == "superuser" or (actor == "manager" and whose != "superuser")

    if may_end:
        end_logins(account, actor=PERSONAS[actor]())
    else:
        with pytest.raises(LoginsKept, match=KEPT):
            end_logins(account, actor=PERSONAS[actor]())

    assert open_logins(account) == ((0, 0) if may_end else (2, 3))


def test_end_logins_looks_at_the_account_as_it_is_now(ada):
    log_in(ada)
    User.objects.filter(pk=ada.pk).update(is_superuser=True)

    with pytest.raises(LoginsKept):
        end_logins(ada, actor=PERSONAS["manager"]())

    assert open_logins(ada) == (2, 3)


def test_logins_of_accounts_take_two_queries(django_assert_num_queries):
    accounts = [UserFactory() for _ in range(3)]
    log_in(accounts[0])
    log_in(accounts[1], browsers=1, tokens=0)
    idle = UserFactory(is_active=False)
    log_in(idle)

    with django_assert_num_queries(2):
        logins = logins_of([*accounts, idle])

    assert [str(logins[account.pk]) for account in [*accounts, idle]] == [
        "2 browsers, 3 API logins",
        "1 browser, 0 API logins",
        "0 browsers, 0 API logins",
        "0 browsers, 0 API logins",
    ]


# The account's page


def test_account_page_says_where_it_is_signed_in(client, manager, ada):
    log_in(ada, browsers=2, tokens=1)
    BrowserSession.objects.filter(user=ada).update(created_at=timezone.now() - timedelta(hours=2, minutes=1))
    LoginSession.objects.update(created_at=timezone.now() - timedelta(days=3, minutes=1))

    shown = text_of(client.get(change_page_of(ada)))

    hours, days = "last browser 2 hours ago", "last API login 3 days ago"
    assert f"2 browsers, 1 API login; {hours}, {days}" in shown


def test_account_page_of_who_is_not_signed_in(client, manager, ada):
    shown = text_of(client.get(change_page_of(ada)))

    assert "0 browsers, 0 API logins" in shown
    assert "; last" not in shown


@pytest.mark.parametrize(
    ("persona", "whose", "is_offered"),
    [
        ("superuser", "superuser", True),
        ("superuser", "user", True),
        ("manager", "user", True),
        ("manager", "box office", True),
        ("manager", "plain staff", True),
        ("manager", "superuser", False),
    ],
)
def test_account_page_offers_to_end_logins(client, persona, whose, is_offered):
    account = PERSONAS[whose]()
    as_persona(client, persona)

    assert (page_of(account) in client.get(change_page_of(account)).content.decode()) is is_offered


# The page that asks


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("whose", ["user", "box office", "plain staff", "superuser"])
def test_page_by_persona(client, persona, whose):
    account = PERSONAS[whose]()
    log_in(account)
    as_persona(client, persona)

    asked = client.get(page_of(account))
    sent = confirm(client, page_of(account), asked)

    if persona == "superuser" or (persona == "manager" and whose != "superuser"):
        assert (asked.status_code, sent.status_code) == (200, 302)
        assert sent["Location"] == change_page_of(account)
        assert open_logins(account) == (0, 0)
    else:
        outside = persona in ("user", "anonymous")
        assert (asked.status_code, sent.status_code) == ((302, 302) if outside else (403, 403))
        assert open_logins(account) == (2, 3)
        assert not LogEntry.objects.exists()


def test_page_says_what_will_happen_and_changes_nothing(client, manager, ada):
    log_in(ada)

    shown = text_of(client.get(page_of(ada)))

    assert "ada (Ada Lovelace): 2 browsers, 3 API logins" in shown
    assert "All of these end at once, and everybody who uses one must log in again. It cannot be undone." in shown
    assert "to keep out somebody who knows it, set a new one as well" in shown
    assert "This browser is among them" not in shown
    assert open_logins(ada) == (2, 3)


def test_page_says_afterwards_what_ended_and_who_did_it(client, manager, ada):
    log_in(ada)

    response = confirm(client, page_of(ada), client.get(page_of(ada)), follow=True)

    assert messages_of(response) == ["Ended all logins of ada: 2 browsers, 3 API logins."]
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (manager, str(ada.pk))
    assert entry.get_change_message() == "Ended all logins: 2 browsers, 3 API logins."
    assert "Ended all logins: 2 browsers" in text_of(client.get(f"{LIST}{ada.pk}/history/"))


def test_page_of_ones_own_account_ends_this_browser_too(client, manager):
    asked = client.get(page_of(manager))
    response = confirm(client, page_of(manager), asked)

    assert "This browser is among them: you will have to log in again." in text_of(asked)
    assert response.status_code == 302
    assert client.get(LIST)["Location"] == f"/admin/login/?next={LIST}"
    assert open_logins(manager) == (0, 0)


def test_page_of_nobody_is_404(client, manager):
    assert client.get(f"{LIST}999999/end-logins/").status_code == 404
    assert client.post(f"{LIST}x/end-logins/").status_code == 404


def test_page_needs_the_csrf_token(manager, ada):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(manager)
    log_in(ada)

    assert browser.post(page_of(ada)).status_code == 403
    assert open_logins(ada) == (2, 3)


def test_page_that_was_not_shown_ends_nothing(client, manager, ada):
    log_in(ada)

    response = client.post(page_of(ada), {"confirm": "yes", "stamp": "0" * 32})

    assert "What will happen" in text_of(response)
    assert open_logins(ada) == (2, 3)


# The list's action


def choose(client, accounts, **more):
    chosen = [account.pk for account in accounts]
    return client.post(LIST, {"action": "end_logins", "_selected_action": chosen, **more}, follow=True)


def choose_and_confirm(client, accounts):
    chosen = {"action": "end_logins", "_selected_action": [account.pk for account in accounts]}
    return confirm(client, LIST, choose(client, accounts), follow=True, **chosen)


def test_action_asks_first(client, manager, ada):
    grace = UserFactory(username="grace")
    log_in(ada)

    shown = text_of(choose(client, [ada, grace]))

    assert "ada (Ada Lovelace): 2 browsers, 3 API logins" in shown
    assert "grace: 0 browsers, 0 API logins" in shown
    assert open_logins(ada) == (2, 3)


def test_action_confirmed_ends_them_all(client, manager, ada):
    grace, other = UserFactory(username="grace"), UserFactory()
    for account in (ada, grace, other):
        log_in(account, browsers=1, tokens=2)

    response = choose_and_confirm(client, [ada, grace])

    assert messages_of(response) == ["Ended all logins of 2 users: 2 browsers, 4 API logins."]
    assert [open_logins(account) for account in (ada, grace, other)] == [(0, 0), (0, 0), (1, 2)]
    assert LogEntry.objects.filter(user=manager).count() == 2


def test_action_leaves_superusers_to_superusers(client, manager, ada):
    root = UserFactory(username="root", is_superuser=True)
    log_in(ada)
    log_in(root)

    asked = text_of(choose(client, [ada, root]))
    response = choose_and_confirm(client, [ada, root])

    assert "root stays logged in: only a superuser may end the logins of a superuser." in asked
    assert messages_of(response) == [f"root: {KEPT}", "Ended all logins of ada: 2 browsers, 3 API logins."]
    assert (open_logins(ada), open_logins(root)) == ((0, 0), (2, 3))
    assert not LogEntry.objects.filter(object_id=str(root.pk)).exists()


def test_action_takes_so_many_at_most(client, manager):
    accounts = [UserFactory() for _ in range(EndLogins.limit + 1)]
    log_in(accounts[0])

    response = choose(client, accounts, confirm="yes", stamp="")

    assert messages_of(response) == ["Nothing was changed: select at most 100 users at once."]
    assert open_logins(accounts[0]) == (2, 3)


def test_action_is_not_for_who_may_only_look(client, ada):
    looker = as_persona(client, "manager")
    looker.groups.get().permissions.remove(*looker.groups.get().permissions.filter(codename="end_logins"))
    log_in(ada)

    shown = client.get(LIST).content.decode()
    choose(client, [ada], confirm="yes", stamp="")

    assert "End all logins" not in shown
    assert open_logins(ada) == (2, 3)


def test_action_on_superusers_alone_is_not_for_managers(client, manager):
    root = UserFactory(username="root", is_superuser=True)
    log_in(root)

    asked = choose(client, [root])

    assert KEPT in text_of(asked)
    assert "What will happen" not in text_of(asked).replace("Show what will happen", "")
    assert open_logins(root) == (2, 3)


@pytest.mark.parametrize("rows", [1, 3])
def test_page_that_asks_costs_the_same_for_any_number(client, rows, django_assert_num_queries):
    as_persona(client, "superuser")
    accounts = [UserFactory() for _ in range(rows)]

    # The queries are the session, user, the filter's roles twice and the list's count, ids, accounts, their browsers
    # and API logins.
    with django_assert_num_queries(9):
        choose(client, accounts)


def test_logins_in_words():
    assert str(Logins(browsers=1, tokens=1)) == "1 browser, 1 API login"
