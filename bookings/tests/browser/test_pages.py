"""Every page opens for every role that may see it, wide and narrow, light and dark, with nothing amiss."""

import re

import pytest
from playwright.sync_api import expect

from bookings.tests.browser.looks import barriers, faults, visit
from bookings.tests.browser.places import OUTSIDE, PLACES, ids, seed
from bookings.tests.browser.staff import ROLES, person

# The token `page` in both themes.
LIGHT_PAGE, DARK_PAGE = "rgb(244, 246, 248)", "rgb(18, 22, 27)"
# The table of a list that is wider than its box, and the hint of a search that is longer than its field.
CUT_OFF = """() => {
  const found = [], search = document.querySelector("#searchbar"), table = document.querySelector(".results");
  if (table.scrollWidth > table.clientWidth) found.push("table");
  if (search) {
    const {font, paddingLeft, paddingRight} = getComputedStyle(search);
    const drawing = document.createElement("canvas").getContext("2d");
    drawing.font = font;
    const room = search.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    if (drawing.measureText(search.placeholder).width > room) found.push("hint");
  }
  return found;
}"""
INSIDE = [role for role in ROLES if role != "outsider"]


@pytest.fixture
def addresses():
    """Gives a function that returns the addresses that a role may see, or those that it may not see."""
    seed(person("superuser"))
    known = ids()

    def of(role, *, is_allowed):
        return [place.path.format(**known) for place in PLACES if (role in place.roles) == is_allowed]

    return of


# The probe takes most of the time, and finds the same for the superuser as for everybody.
@pytest.mark.parametrize(
    ("role", "width", "theme", "is_probed"),
    [
        ("superuser", 1440, "light", True),
        ("superuser", 390, "dark", True),
        ("manager", 1440, "dark", False),
        ("manager", 390, "light", False),
        ("box_office", 1440, "light", False),
        ("box_office", 390, "dark", False),
        ("plain", 390, "light", False),
    ],
)
def test_pages_of_a_role(page_as, addresses, role, width, theme, is_probed):
    page = page_as(role, width=width, theme=theme)
    found = []

    for address in addresses(role, is_allowed=True):
        visit(page, address)
        found += [f"{address} {fault}" for fault in faults(page, is_probed=is_probed)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("role", INSIDE)
def test_pages_that_a_role_may_not_see(page_as, addresses, role):
    page = page_as(role)

    for address in addresses(role, is_allowed=False):
        visit(page, address, status=403)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_pages_of_nobody(page_as, width, theme):
    page = page_as(width=width, theme=theme)
    found = []

    for place in OUTSIDE:
        visit(page, place.path)
        found += [f"{place.path} {fault}" for fault in faults(page, is_probed=place.name != "api-docs")]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", ["/api/docs", "/api/v1/booking", "/api/v1/event"])
def test_pages_of_the_api_follow_the_systems_theme(page_as, path):
    page = page_as("superuser", theme="dark")
    visit(page, path)
    body = page.locator("body")

    expect(body).to_have_css("background-color", DARK_PAGE)
    page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", LIGHT_PAGE)


def test_booking_form_of_the_api_can_be_read_in_the_dark(page_as):
    page = page_as("superuser", theme="dark")

    visit(page, "/api/v1/booking")

    assert not [fault for fault in barriers(page) if fault.startswith("color-contrast")]


def test_lists_fit_a_phone_with_the_whole_hint_of_their_search(page_as, addresses):
    lists = [
        address for address in addresses("superuser", is_allowed=True) if re.fullmatch(r"/admin/\w+/\w+/", address)
    ]
    page = page_as("superuser", width=390)
    found = []

    for address in lists:
        visit(page, address)
        found += [f"{address} {fault}" for fault in page.evaluate(CUT_OFF)]

    assert len(lists) == 7
    assert found == []
