"""The first page of the staff's site, while somebody looks at it."""

import pytest

from bookings.models import Booking
from bookings.tests.browser.looks import see, visit
from bookings.tests.factories import BookingFactory, EventFactory

# This event comes when the window is in front again. Otherwise the page is refreshed every half minute.
LOOK_AGAIN = "() => document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def event(transactional_db):
    return EventFactory(name="Gala", total_tickets=10)


def refreshed(page):
    with page.expect_response("**/admin/") as answer:
        page.evaluate(LOOK_AGAIN)
    answer.value.finished()


def test_home_brings_itself_up_to_date(page_as, event):
    page = page_as("box_office")
    visit(page, "/admin/")
    see(page, "0 of 10 held")

    BookingFactory(event=event, tickets=3, first_name="Grace", last_name="Hopper")
    refreshed(page)

    see(page, "3 of 10 held")
    see(page, "of 10 tickets held")
    see(page, "Grace Hopper booked 3 tickets")
    assert page.locator("#home-figures strong").all_inner_texts() == ["1", "3", "1", "0"]


def test_home_keeps_what_somebody_is_at_as_it_is(page_as, event):
    page = page_as("box_office")
    visit(page, "/admin/")
    link = page.get_by_role("link", name="Book for a caller at Gala")
    link.focus()

    BookingFactory(event=event, tickets=3)
    refreshed(page)

    see(page, "Ada Lovelace booked 3 tickets")
    assert link.evaluate("link => link === document.activeElement")
    assert page.locator("#home-on-sale .fill-label span").first.inner_text() == "0 of 10 held"

    link.blur()
    refreshed(page)

    see(page, "3 of 10 held")


def test_home_of_who_has_logged_out_stays_as_it_was(page_as, event):
    page = page_as("box_office")
    visit(page, "/admin/")

    page.context.clear_cookies()
    BookingFactory(event=event, tickets=3)
    with page.expect_response("**/admin/login/**"):
        page.evaluate(LOOK_AGAIN)

    see(page, "0 of 10 held")
    assert Booking.objects.count() == 1
