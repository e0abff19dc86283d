"""The pages of the links in mails, and those that ask for such mails, in a browser without JavaScript."""

import re

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.translation import gettext, override

from accounts.exceptions import EmailTaken, LinkNotValid, MailsOff, WrongPassword
from accounts.link_tokens import Purpose, make_token
from accounts.mails import compose_account_mail
from accounts.models import AccountMail, BrowserSession, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import queued
from ticks.logging import json_line

pytestmark = pytest.mark.django_db

NEW = "another 9 password"
RESET = "/account/password/reset/"
NEW_PASSWORD = "/account/password/new/"
VERIFICATION = "/account/email/verification/"
VERIFY = "/account/email/verify/"
CHANGE = "/account/email/change/"
CONFIRM = "/account/email/confirm/"
LINK_PAGES = {NEW_PASSWORD: Purpose.RESET, VERIFY: Purpose.VERIFY, CONFIRM: Purpose.CHANGE}
POSTED = {
    NEW_PASSWORD: {"new_password1": NEW, "new_password2": NEW},
    VERIFY: {"current": PASSWORD},
    CONFIRM: {"current": PASSWORD},
}


@pytest.fixture(autouse=True)
def _mails_on(settings):
    settings.MAIL_ENABLED = True


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD)


def token_for(page, account):
    return make_token(LINK_PAGES[page], account, asked_at=timezone.now(), email="countess@example.org")


def post(browser, page, **fields):
    csrf = browser.cookies["csrftoken"].value if "csrftoken" in browser.cookies else ""
    return browser.post(page, {**fields, "csrfmiddlewaretoken": csrf})


def state_of(account):
    return User.objects.values("email", "email_verified_at", "password").get(pk=account.pk)


@pytest.mark.parametrize(("page", "kind"), [(RESET, "reset"), (VERIFICATION, "verify")])
@pytest.mark.parametrize("email", ["DIVINE@example.org", "nobody@example.org"])
def test_page_asks_for_a_mail_and_says_the_same_to_everybody(browser, account, page, kind, email):
    opened = browser.get(page)

    response = post(browser, page, email=email)

    assert opened.status_code == 200
    assert (response.status_code, response["Location"]) == (302, "sent/")
    assert queued() == [(kind, email.lower())]
    assert "Check your mail" in browser.get(f"{page}sent/").content.decode()
    assert not BrowserSession.objects.exists()


@pytest.mark.parametrize("page", [RESET, VERIFICATION])
def test_page_says_what_is_wrong_with_an_address(browser, page):
    browser.get(page)

    response = post(browser, page, email="nonsense")

    assert response.status_code == 200
    assert "Enter a valid email address." in response.content.decode()
    assert queued() == []


def test_page_says_that_no_mails_are_sent(browser, settings):
    settings.MAIL_ENABLED = False
    browser.get(RESET)

    response = post(browser, RESET, email="divine@example.org")

    assert response.status_code == 200
    assert "This installation sends no mails." in response.content.decode()


@pytest.mark.parametrize("page", LINK_PAGES)
def test_link_is_taken_out_of_the_address_and_opening_it_changes_nothing(browser, account, page, caplog):
    token, before = token_for(page, account), state_of(account)

    opened = browser.get(f"{page}?token={token}")
    shown = browser.get(page)

    assert (opened.status_code, opened["Location"], opened["Referrer-Policy"]) == (303, page, "no-referrer")
    cookie = opened.cookies["ticks_link"]
    assert (cookie.value.partition(":")[0], cookie["path"], cookie["httponly"], cookie["samesite"]) == (
        token,
        page,
        True,
        "Lax",
    )
    assert cookie["max-age"] == 3600
    assert shown.status_code == 200
    assert token not in shown.content.decode()
    assert shown["Referrer-Policy"] == "same-origin"
    assert shown["Cache-Control"] == "no-store"
    assert state_of(account) == before
    assert not BrowserSession.objects.exists()
    assert [record.path for record in caplog.records] == [page, page]
    assert token not in "".join(map(json_line, caplog.records))


def test_cookie_of_a_link_is_secure_with_https(browser, account, settings):
    settings.HTTPS = True

    opened = browser.get(f"{VERIFY}?token={token_for(VERIFY, account)}", secure=True)

    assert opened.cookies["__Secure-ticks_link"]["secure"] is True
    assert browser.get(VERIFY, secure=True).status_code == 200


@pytest.mark.parametrize("page", LINK_PAGES)
def test_button_does_what_the_link_is_for_and_once(browser, account, page):
    bearer = account.login_sessions.count()
    token = token_for(page, account)
    browser.get(f"{page}?token={token}")
    browser.get(page)

    response = post(browser, page, **POSTED[page])

    assert (response.status_code, response["Location"]) == (302, "done/")
    assert response.cookies["ticks_link"].value == ""
    assert browser.get(f"{page}done/").status_code == 200
    account.refresh_from_db()
    assert account.has_verified_email
    assert account.check_password(NEW if page == NEW_PASSWORD else PASSWORD)
    assert account.email == ("countess@example.org" if page == CONFIRM else "divine@example.org")
    assert account.login_sessions.count() == bearer
    before = state_of(account)
    again = browser.get(f"{page}?token={token}", follow=True)
    assert (again.status_code, state_of(account)) == (400, before)
    assert "This link is not valid, or no longer" in again.content.decode()


@pytest.mark.parametrize("page", [VERIFY, CONFIRM])
def test_page_names_the_account_and_asks_for_its_password(browser, account, page):
    before = state_of(account)
    shown = browser.get(f"{page}?token={token_for(page, account)}", follow=True).content.decode()

    response = post(browser, page, current="wrong")

    assert "the account divine" in shown
    assert "your bookings" in shown
    assert "The current password is wrong." in response.content.decode()
    assert state_of(account) == before


@pytest.mark.parametrize("page", LINK_PAGES)
def test_button_without_a_csrf_token_does_nothing(browser, account, page):
    before = state_of(account)
    browser.get(f"{page}?token={token_for(page, account)}")

    response = browser.post(page, POSTED[page])

    assert (response.status_code, state_of(account)) == (403, before)


@pytest.mark.parametrize("page", LINK_PAGES)
@pytest.mark.parametrize(
    "query",
    ["", "?token=", "?token=nonsense", "?token=%ED%A0%80", "?token=a%0d%0aSet-Cookie:x", "?token=" + 2000 * "a"],
)
def test_wrong_link_is_400_and_leads_on(browser, page, query):
    response = browser.get(page + query, follow=True)

    assert response.status_code == 400
    assert "Ask for a new link" in response.content.decode()
    assert browser.post(page, POSTED[page]).status_code in (400, 403)


@pytest.mark.parametrize("page", LINK_PAGES)
def test_what_is_no_token_closes_the_page_of_an_earlier_link(browser, account, page):
    assert browser.get(f"{page}?token={token_for(page, account)}", follow=True).status_code == 200

    assert browser.get(f"{page}?token=two words", follow=True).status_code == 400


@pytest.mark.parametrize("page", LINK_PAGES)
def test_cookie_without_our_signature_opens_no_page(browser, account, page):
    browser.cookies["ticks_link"] = token_for(page, account)

    assert browser.get(page).status_code == 400


def test_new_password_that_is_weak_or_differs_is_said(browser, account):
    before = state_of(account)
    browser.get(f"{NEW_PASSWORD}?token={token_for(NEW_PASSWORD, account)}", follow=True)

    weak = post(browser, NEW_PASSWORD, new_password1="divine", new_password2="divine").content.decode()
    other = post(browser, NEW_PASSWORD, new_password1=NEW, new_password2="other").content.decode()

    assert "too similar to the username" in weak
    assert "The two password fields" in other
    assert state_of(account) == before


def test_new_password_ends_all_logins(browser, account, client_of):
    bearer = client_of(account)
    Client().force_login(account)
    browser.get(f"{NEW_PASSWORD}?token={token_for(NEW_PASSWORD, account)}", follow=True)

    post(browser, NEW_PASSWORD, **POSTED[NEW_PASSWORD])

    assert bearer.get("/api/v1/auth/me").status_code == 401
    assert not account.browser_sessions.exists()


def test_address_that_was_taken_meanwhile_is_said(browser, account):
    browser.get(f"{CONFIRM}?token={token_for(CONFIRM, account)}", follow=True)
    UserFactory(username="countess")

    response = post(browser, CONFIRM, **POSTED[CONFIRM])

    assert response.status_code == 200
    assert "This email is taken." in response.content.decode()


@pytest.mark.parametrize("refusal", [EmailTaken, LinkNotValid, MailsOff, WrongPassword])
def test_refusal_on_a_page_is_translated(refusal):
    with override("de"):
        assert gettext(refusal.message) != refusal.message


@pytest.mark.parametrize("page", [RESET, VERIFICATION, CHANGE])
def test_page_refuses_an_address_that_no_column_holds(browser, account, page):
    browser.force_login(account)
    browser.get(page)

    response = post(browser, page, email=f"{'a' * 61}@{'b.' * 95}org", current=PASSWORD)

    assert response.status_code == 200
    assert "Ensure this value has at most 254 characters (it has 255)." in response.content.decode()
    assert queued() == []


def test_change_needs_a_login(browser):
    response = browser.get(CHANGE)

    assert (response.status_code, response["Location"]) == (302, f"/api-auth/login/?next={CHANGE}")


@pytest.mark.parametrize(("password", "expected"), [(PASSWORD, [("change", "countess@example.org")]), ("wrong", [])])
def test_change_needs_the_password(browser, account, password, expected):
    browser.force_login(account)
    opened = browser.get(CHANGE)

    response = post(browser, CHANGE, email="countess@example.org", current=password)

    assert "divine@example.org" in opened.content.decode()
    assert queued() == expected
    if expected:
        assert (response.status_code, response["Location"]) == (302, "sent/")
        assert browser.get(f"{CHANGE}sent/").status_code == 200
    else:
        assert "The current password is wrong." in response.content.decode()


@pytest.mark.parametrize("page", ["/admin/login/", "/api-auth/login/"])
def test_login_pages_lead_to_a_new_password(browser, page):
    assert f'href="{RESET}"' in browser.get(page).content.decode()


@pytest.mark.parametrize("page", [RESET, VERIFICATION, *LINK_PAGES])
def test_pages_have_nothing_inside_that_the_policy_refuses(browser, account, page):
    query = f"?token={token_for(page, account)}" if page in LINK_PAGES else ""

    shown = browser.get(page + query, follow=True)

    assert "default-src 'none'" in shown["Content-Security-Policy"]
    content = shown.content.decode()
    assert '<meta name="robots" content="noindex">' in content
    for part in ("<script", "<style", " style=", "javascript:", " onclick"):
        assert part not in content


@pytest.mark.parametrize("page", [RESET, VERIFICATION, *LINK_PAGES, f"{RESET}sent/"])
def test_pages_are_in_the_language_of_the_browser(browser, account, page):
    query = f"?token={token_for(page, account)}" if page in LINK_PAGES else ""
    headers = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}

    german = browser.get(page + query, follow=True, headers=headers).content.decode()
    english = browser.get(page, headers={"Accept-Language": "xx"}).content.decode()

    assert '<html lang="de">' in german
    assert '<html lang="en">' in english
    assert re.search(r"<h1>(.*)</h1>", german)[1] != re.search(r"<h1>(.*)</h1>", english)[1]


def test_host_header_gets_into_no_link(browser, account, settings):
    settings.ALLOWED_HOSTS, settings.SITE_URL = ["*"], "https://tickets.example.org"
    browser.get(RESET, headers={"Host": "evil.example"})
    csrf = browser.cookies["csrftoken"].value

    browser.post(RESET, {"email": account.email, "csrfmiddlewaretoken": csrf}, headers={"Host": "evil.example"})

    written = compose_account_mail(AccountMail.objects.get()).message().as_string()
    assert "https://tickets.example.org/account/password/new/" in written
    assert "evil" not in written
