"""The holder's page in a browser: by the link in a mail, in each state, wide and narrow, light and dark."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
from bookings.services.epochs import with_epochs
from bookings.services.events import cancel_event
from bookings.services.links import link_key
from bookings.services.tickets import read_ticketed, tickets_of
from bookings.tests.browser.looks import barriers, faults, see
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.pages.visiting import address, link_of

DATE = datetime(2030, 12, 1, 19, 30, tzinfo=UTC)


@pytest.fixture
def bookings():
    """A booking in each state."""
    name = "The Last Lighthouse (premiere) with a name that is longer than any telephone is wide"
    event = EventFactory(name=name, venue="Old Hall, Harbour Street 12", date=DATE, total_tickets=3)
    gone = EventFactory(name="Open air")
    found = {
        "held": BookingFactory(event=event, user=None, tickets=3),
        "waiting": BookingFactory(event=event, user=None, tickets=2),
        "cancelled": BookingFactory(event=EventFactory(date=DATE), user=None),
        "of a cancelled event": BookingFactory(event=gone, user=None),
    }
    cancel_tickets(found["cancelled"])
    cancel_event(gone.pk, actor=gone.created_by, version=None)
    return found


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_each_state(page_as, bookings, width, theme):
    page, found = page_as(width=width, theme=theme), []

    for state, booking in bookings.items():
        page.goto(link_of(booking))
        assert page.url.endswith(address(booking))
        found += [f"{state}: {fault}" for fault in faults(page)]
        for name in ("cancel", "address") if state in ("held", "waiting") else ():
            page.goto(address(booking, name))
            found += [f"{state}, {name}: {fault}" for fault in faults(page)]

    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_forms_with_faults_and_pages_that_are_closed(page_as, bookings, theme):
    page, found, booking = page_as(width=390, theme=theme), [], bookings["held"]

    page.goto(address(booking))
    see(page, "Open the link in your mail")
    found += faults(page)
    page.goto(link_of(booking))
    page.get_by_role("link", name="Correct the mail address").click()
    page.get_by_label("Mail address").fill("nonsense")
    page.get_by_role("button", name="Show what will happen").click()
    see(page, "Enter a valid email address.")
    found += faults(page)
    page.goto(f"{address(booking)}?first=9")
    see(page, "This booking has 3 tickets.")
    found += barriers(page)

    assert found == []


def test_holder_corrects_the_address_and_gives_tickets_back(page_as, bookings):
    booking, page = bookings["held"], page_as(width=390)
    page.goto(link_of(booking))

    page.get_by_role("link", name="Correct the mail address").click()
    page.get_by_label("Mail address").fill("new@example.org")
    page.get_by_role("button", name="Show what will happen").click()
    see(page, "Mails about this booking go to new@example.org from now on.")
    page.get_by_role("button", name="Use this address").click()
    see(page, "Mails about this booking go to new@example.org now.")
    page.get_by_role("link", name="Give tickets back").click()
    page.get_by_label("Tickets to give back").fill("1")
    page.get_by_role("button", name="Show again what will happen").click()
    see(page, "You give back 1 ticket, and keep 2.")
    page.get_by_role("button", name="Give back 1 ticket").click()
    see(page, "Done. Your booking has 2 tickets now.")

    kept = Booking.objects.get(pk=booking.pk)
    assert (kept.email, kept.tickets_reserved, kept.status) == ("new@example.org", 2, "completed")


def test_holder_leaves_the_waitlist(page_as, bookings):
    booking, page = bookings["waiting"], page_as(width=390)
    page.goto(link_of(booking))
    see(page, "You are on the waitlist, place 1.")

    page.get_by_role("link", name="Leave the waitlist").click()
    page.get_by_role("button", name="Leave the waitlist").click()
    see(page, "Your booking is cancelled.")

    assert Booking.objects.get(pk=booking.pk).status == "cancelled"


def test_key_is_in_no_request_after_the_link(page_as, bookings):
    booking, page, requests = bookings["held"], page_as(), []
    key = link_key(with_epochs().get(pk=booking.pk))
    page.on("request", lambda request: requests.append(request))

    page.goto(link_of(booking))
    page.get_by_role("link", name="Give tickets back").click()
    see(page, "What will happen")

    first, *others = requests
    assert key in first.url
    assert len(others) > 4
    seen = [f"{request.url} {request.headers.get('referer')}" for request in others]
    assert [line for line in seen if key in line] == []
    assert key not in page.evaluate("() => [document.referrer, location.href, document.cookie].join()")


@pytest.mark.skipif(not shutil.which("zbarimg"), reason="zbarimg is missing; tools/setup.sh --test installs it")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_codes_are_read_from_the_screen(page_as, bookings, tmp_path, theme):
    booking, page = bookings["held"], page_as(width=390, theme=theme)
    page.goto(link_of(booking))

    picture = tmp_path / "page.png"
    page.screenshot(path=picture, full_page=True)
    command = ["zbarimg", "--quiet", "--raw", str(picture)]
    read = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()

    codes = [ticket.code for ticket in tickets_of(read_ticketed(Booking.objects.get(pk=booking.pk)), most=3)]
    assert sorted(read.split()) == sorted(codes)
