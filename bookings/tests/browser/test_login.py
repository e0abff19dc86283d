"""Staff log in to the staff's site and out again, by typing."""

import re

import pytest

from accounts.models import AttemptCounter, BrowserSession
from accounts.tests.factories import PASSWORD
from accounts.throttles import GUESSES_FROM_ADDRESS
from bookings.tests.browser.looks import see, visit
from bookings.tests.browser.staff import person

WRONG = "a password that is wrong"
REFUSED = "The name or the password is wrong."


def log_in(page, name, password):
    page.get_by_label("Username or email").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_login_leads_to_the_page_that_was_asked_for(page_as):
    person("superuser", password=PASSWORD)
    page = page_as()
    page.goto("/admin/bookings/booking/?q=ada")

    log_in(page, "superuser", PASSWORD)

    page.wait_for_url("**/admin/bookings/booking/?q=ada")
    see(page, "superuser")


def test_login_with_a_wrong_password_says_so_and_keeps_the_name(page_as):
    person("superuser", password=PASSWORD)
    page = page_as()
    page.goto("/admin/")

    log_in(page, "superuser", WRONG)

    see(page, REFUSED)
    assert page.get_by_label("Username or email").input_value() == "superuser"
    assert page.get_by_label("Password").input_value() == ""


def test_right_password_after_too_many_attempts_waits(page_as):
    person("superuser", password=PASSWORD)
    page = page_as()
    page.goto("/admin/")
    log_in(page, "superuser", WRONG)
    see(page, REFUSED)
    AttemptCounter.objects.filter(key__startswith="login-name:").update(count=GUESSES_FROM_ADDRESS)

    log_in(page, "superuser", PASSWORD)

    see(page, re.compile(r"^Too many attempts; try again in \d+ seconds\.$"))


def test_account_without_a_role_is_not_let_in(page_as):
    person("outsider", password=PASSWORD)
    page = page_as()
    page.goto("/admin/")

    log_in(page, "outsider", PASSWORD)

    see(page, "This account may not use the staff's site. If it should, ask a manager to give it a role.")


@pytest.mark.parametrize("role", ["superuser", "box_office"])
def test_logout_ends_the_login(page_as, role):
    page = page_as(role)
    visit(page, "/admin/")
    page.locator("#user-menu summary").click()

    page.get_by_role("button", name="Log out").click()

    page.wait_for_url("**/admin/logout/")
    assert BrowserSession.objects.count() == 0
    page.goto("/admin/")
    assert "/admin/login/" in page.url


def test_theme_stays_as_it_was_chosen(page_as):
    page = page_as("superuser", theme="light")
    visit(page, "/admin/")
    light = ground(page)

    # This changes the theme from the system's to the other one.
    page.get_by_role("button", name="Theme: as the system").click()

    dark = ground(page)
    assert dark != light
    visit(page, "/admin/events/event/")
    assert ground(page) == dark
    page.emulate_media(color_scheme="dark")
    assert ground(page) == dark


def ground(page):
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")
