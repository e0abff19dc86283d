"""The charts of an event's page: drawn, readable, and as wide as the page."""

import re
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from bookings.models import SalesHour
from bookings.tests.browser.looks import faults, see, visit
from bookings.tests.browser.pages import WATCH_SHIFTS
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


@contextmanager
def arriving_in(parts, *, origin):
    """The address of a page that comes in these parts, half a second apart; the rest comes from `origin`."""

    class Handler(BaseHTTPRequestHandler):
        # The server calls it by its name.
        def do_GET(self):
            self.send_response(200)
            if self.path != "/":
                with urlopen(origin + self.path) as found:  # noqa: S310 (our own server)
                    self.send_header("Content-Type", found.headers["Content-Type"])
                    self.end_headers()
                    self.wfile.write(found.read())
                return
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            for part in parts:
                self.wfile.write(part.encode())
                time.sleep(0.5)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_moves_if_the_charts_arrive_late(page_as, address, gala, width):
    """On a wide screen they are shown above what comes before them."""
    page = page_as("box_office")
    # It comes in three parts: before the section, its heading, and the rest.
    parts = re.split(r'(?=<section class="card sales")|(?=<div class="charts">)', page.request.get(gala).text())
    assert len(parts) == 3

    with (
        page.context.browser.new_context(viewport={"width": width, "height": 900}) as context,
        arriving_in(parts, origin=address) as slow,
    ):
        context.add_init_script(WATCH_SHIFTS)
        late = context.new_page()
        late.goto(slow)
        expect(late.locator("#held-chart canvas")).to_be_visible()

        assert late.evaluate("() => window.ticksShifts") == []


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_charts_are_drawn_with_their_latest_numbers(page_as, gala, width, theme):
    page = page_as("box_office", width=width, theme=theme)

    visit(page, gala)

    assert legends(page) == [["Held 4", "Capacity 4"], ["Asked for 7"], ["Waiting 2"]]
    assert pixels(page) > 3
    assert not faults(page)


def test_bar_of_an_hour_fills_the_hour_and_is_named_by_it(page_as, gala):
    page = page_as("box_office")
    visit(page, gala)

    # The bar's share of the drawing, which shows one hour.
    share = page.evaluate(
        """() => {
          const canvas = document.querySelector("#tickets-chart canvas");
          const {top, height} = canvas.getBoundingClientRect();
          const over = document.querySelector("#tickets-chart .u-over").getBoundingClientRect();
          const row = Math.round((over.bottom - top - 5) * canvas.height / height);
          const {data} = canvas.getContext("2d").getImageData(0, row, canvas.width, 1);
          const isBlue = (x) => data[4 * x + 3] && data[4 * x + 2] > data[4 * x] + 60;
          const blue = [...Array(canvas.width).keys()].filter(isBlue);
          return blue.length / devicePixelRatio / over.width;
        }"""
    )
    assert 0.95 < share <= 1
    hours = SalesHour.objects.get().hour
    named = f"{hours.day} {hours:%b, %H:%M} to {hours + timedelta(hours=1):%H:%M}, so far"
    assert [chart.inner_text() for chart in page.locator(".u-legend tr:first-child .u-value").all()] == [named] * 3


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
