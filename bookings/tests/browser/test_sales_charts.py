"""The charts of an event's page: drawn, readable, and as wide as the page."""

import pytest
from playwright.sync_api import expect

from bookings.tests.browser.looks import faults, see, visit
from bookings.tests.factories import BookingFactory, EventFactory

CHARTS = ["held-chart", "tickets-chart", "waiting-chart"]
# This is the token `good` in the light and the dark theme.
GREEN, PALE_GREEN = "rgb(21, 95, 54)", "rgb(138, 224, 171)"


@pytest.fixture
def gala(transactional_db):
    """The page of an event that is sold out, with two bookings waiting."""
    event = EventFactory(name="Gala", total_tickets=4)
    for tickets in (4, 2, 1):
        BookingFactory(event=event, tickets=tickets)
    return f"/admin/events/event/{event.pk}/"


def legends(page):
    """The texts of each chart's legend besides the period."""
    return [
        [" ".join(row.locator("th, td").all_inner_texts()) for row in page.locator(f"#{chart} .u-series").all()[1:]]
        for chart in CHARTS
    ]


def pixels(page):
    """How many different pixels the first chart has."""
    return page.evaluate(
        """() => {
          const canvas = document.querySelector("#held-chart canvas");
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_charts_are_drawn_with_their_latest_numbers(page_as, gala, width, theme):
    page = page_as("box_office", width=width, theme=theme)

    visit(page, gala)

    assert legends(page) == [["Held 4", "Capacity 4"], ["Asked for 7"], ["Waiting 2"]]
    assert pixels(page) > 3
    assert not faults(page)


def test_charts_follow_the_width_of_the_page(page_as, gala):
    page = page_as("box_office")
    visit(page, gala)

    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.querySelector('#held-chart canvas').clientWidth < 390")

    for chart in CHARTS:
        room, drawn = (page.locator(f"#{chart}{part}").bounding_box()["width"] for part in ("", " .u-wrap"))
        assert drawn == room


def test_charts_take_the_colours_of_the_theme_and_of_paper(page_as, gala):
    page = page_as("box_office", theme="light")
    visit(page, gala)

    label = page.locator("#held-chart .u-label").nth(1)
    expect(label).to_have_css("color", GREEN)
    page.locator(".theme-toggle").first.click()
    expect(label).to_have_css("color", PALE_GREEN)
    page.emulate_media(media="print")
    expect(label).to_have_css("color", GREEN)
    page.emulate_media(media="screen")


def test_numbers_are_in_the_table_without_a_script(page_as, gala):
    page = page_as("box_office")
    page.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    visit(page, gala)

    page.get_by_text("Sales as a table").click()

    see(page, "Waiting at its end")
    assert page.locator(".sales tbody td").all_inner_texts() == ["3", "7", "4", "2"]
    page.unroute_all()
