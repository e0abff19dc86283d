"""Staff find people, export lists, import events, and end the logins of a lost phone, in the browser."""

import pytest
from playwright.sync_api import expect

from accounts.models import BrowserSession, LoginSession, User
from accounts.services import open_session
from bookings.models import Booking
from bookings.tests.browser.acting import confirm, look
from bookings.tests.browser.looks import see, visit
from bookings.tests.browser.staff import person
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event
from ticks.settings import SIMPLE_JWT

HEADS = ["superuser", "manager"]
SHEET = "Name,Date,Total tickets\nMatinee,2081-05-01 15:00,40\nSoiree,2081-05-01 20:00,{}\n"


@pytest.fixture
def bookings(transactional_db):
    event = EventFactory(name="Gala", total_tickets=4)
    return [
        BookingFactory(event=event, first_name=name, last_name="Lee", email=f"{name.lower()}@example.org", user=None)
        for name in ("Ada", "Grace")
    ]


@pytest.mark.parametrize("role", [*HEADS, "box_office"])
def test_search_by_keyboard_finds_by_name_and_address_and_leads_to_a_reference(page_as, bookings, role):
    ada, grace = bookings
    page = page_as(role)
    visit(page, "/admin/")

    for typed, found in (("ada lee", ada), ("race@example", grace)):
        page.keyboard.press("/")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        see(page, found.reference)
        expect(page.locator("#result_list tbody tr")).to_have_count(1)
        visit(page, "/admin/")
    page.keyboard.press("/")
    page.keyboard.type(ada.reference.lower())
    page.keyboard.press("Enter")

    page.wait_for_url(f"**/admin/bookings/booking/{ada.pk}/")
    see(page, "Ada Lee, 1 ticket")


@pytest.mark.parametrize("role", HEADS)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_list_is_exported_as_it_is_filtered(page_as, bookings, role, kind):
    page = page_as(role)
    visit(page, "/admin/bookings/booking/?q=grace")

    with page.expect_download() as download:
        page.get_by_role("link", name=f"Export {kind.upper()}").click()

    content = download.value.path().read_bytes()
    if kind == "csv":
        [_, line] = content.decode("utf-8-sig").splitlines()
        assert bookings[1].reference in line
    else:
        assert content.startswith(b"PK")


def test_box_office_takes_no_bookings_away(page_as, bookings):
    page = page_as("box_office")
    visit(page, "/admin/bookings/booking/")

    assert page.get_by_role("link", name="Export CSV").count() == 0
    visit(page, "/admin/bookings/booking/export/csv/", status=403)


@pytest.mark.parametrize("role", HEADS)
def test_events_are_imported_once_all_lines_are_right(page_as, role):
    page = page_as(role)
    visit(page, "/admin/events/event/import/")

    page.get_by_label("Or paste the text").fill(SHEET.format("none"))
    page.get_by_role("button", name="Show what will happen").click()
    see(page, "1 of 2 lines must be corrected")
    assert Event.objects.count() == 0
    page.get_by_label("Or paste the text").fill(SHEET.format(60))
    look(page, "2 events will be created.")
    assert Event.objects.count() == 0
    confirm(page, "Create them", "Created 2 events: Matinee, Soiree.")

    assert list(Event.objects.order_by("pk").values_list("name", "total_tickets", "created_by__username")) == [
        ("Matinee", 40, role),
        ("Soiree", 60, role),
    ]


@pytest.mark.parametrize("role", HEADS)
def test_logins_of_an_account_are_ended(page_as, role):
    page = page_as(role)
    lost = person("box_office")
    page_of_lost = page_as("box_office")
    open_session(lost, refresh_id="r", lifetime=SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"])
    visit(page_of_lost, "/admin/")
    visit(page, f"/admin/accounts/user/{lost.pk}/end-logins/")

    page.get_by_role("button", name="End all logins").click()

    see(page, "box_office")
    page.wait_for_load_state()
    assert not BrowserSession.objects.filter(user=lost).exists()
    assert not LoginSession.objects.filter(user=lost).exists()
    page_of_lost.goto("/admin/")
    assert "/admin/login/" in page_of_lost.url
    assert User.objects.get(pk=lost.pk).is_active
    assert Booking.objects.count() == 0
