"""Staff act on an event in the browser. The tests check the pages, and the database afterwards."""

import re

import pytest
from django.db import connection

from bookings.models import Booking, InventoryCheck
from bookings.outbox import Announcement
from bookings.services.cancellation import cancel_tickets
from bookings.tests.browser.acting import confirm, counts, foretold, last_entries, line, look, start
from bookings.tests.browser.looks import see, visit
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event

HEADS = ["superuser", "manager"]


@pytest.fixture
def event(transactional_db):
    """The event is sold out: Ada holds 4 tickets, Grace wants 2, and Alan 3."""
    event = EventFactory(name="Gala", total_tickets=4)
    for name, tickets in (("Ada", 4), ("Grace", 2), ("Alan", 3)):
        BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, user=None)
    return event


def page_of(event):
    return f"/admin/events/event/{event.pk}/"


def fill_caller(page, *, tickets, name="Emmy", email="emmy@example.org"):
    page.locator("#content").get_by_label("Tickets").fill(str(tickets))
    page.locator("#content").get_by_label("First name").fill(name)
    page.locator("#content").get_by_label("Last name").fill("Noether")
    page.locator("#content").get_by_label("Mail address").fill(email)


@pytest.mark.parametrize("role", [*HEADS, "box_office"])
def test_staff_book_for_a_caller(page_as, role):
    event = EventFactory(total_tickets=4)
    page = page_as(role)
    visit(page, page_of(event))
    start(page, "Book for a caller")

    fill_caller(page, tickets=3)
    look(page, "Emmy Noether gets 3 tickets.", "Then 1 ticket available, nobody waiting.")
    assert Booking.objects.count() == 0
    confirm(page, "Book", "Booked 3 tickets for Emmy Noether.")

    booking = Booking.objects.get()
    see(page, booking.reference)
    assert (booking.first_name, booking.email, booking.status, booking.user) == (
        "Emmy",
        "emmy@example.org",
        "completed",
        None,
    )
    assert counts(event) == (4, 1, 0, 0)
    assert last_entries(event, 1) == [("booked", 3, role, "")]


def test_caller_is_told_that_they_wait(page_as, event):
    page = page_as("box_office")
    visit(page, f"{page_of(event)}book/")

    fill_caller(page, tickets=1)
    look(page, "Emmy Noether is waitlisted for 1 ticket, as number 3 in line: needs 1, 0 available.")
    confirm(page, "Book", "Waitlisted for 1 ticket as number 3 in line for Emmy Noether.")

    assert line(event) == ["Grace", "Alan", "Emmy"]


def test_wrong_input_is_said_at_its_field_and_kept(page_as, event):
    page = page_as("box_office")
    visit(page, f"{page_of(event)}book/")

    fill_caller(page, tickets=5, email="emmy.example.org")
    page.get_by_role("button", name="Show what will happen").click()

    see(page, "Enter a valid email address.")
    page.locator("#content").get_by_label("Mail address").fill("emmy@example.org")
    page.get_by_role("button", name="Show what will happen").click()
    see(page, "This event sells at most 4 tickets a booking.")
    assert page.locator("#content").get_by_label("First name").input_value() == "Emmy"
    assert Booking.objects.count() == 3


@pytest.mark.parametrize("role", HEADS)
def test_more_capacity_serves_the_waitlist(page_as, event, role):
    page = page_as(role)
    visit(page, page_of(event))
    start(page, "Change capacity")

    page.locator("#content").get_by_label("Tickets in total").fill("7")
    look(
        page,
        "The capacity changes from 4 to 7.",
        "Promotes 1 booking, 2 tickets: Grace (2).",
        "Then 1 ticket available, 1 booking (3 tickets) waiting.",
    )
    assert counts(event) == (4, 0, 2, 5)
    confirm(page, "Change capacity", "Gala now has 7 tickets", "Promoted 1 booking, 2 tickets: Grace (2).")

    assert counts(event) == (7, 1, 1, 3)
    assert last_entries(event, 2) == [("capacity_changed", 3, role, ""), ("promoted", 2, role, "")]


def test_capacity_below_what_is_held_is_refused(page_as, event):
    page = page_as("manager")
    visit(page, f"{page_of(event)}capacity/")

    page.locator("#content").get_by_label("Tickets in total").fill("3")
    page.get_by_role("button", name="Show what will happen").click()

    see(page, "4 tickets are held; the total cannot be lower. Cancel bookings first.")
    assert counts(event) == (4, 0, 2, 5)


@pytest.mark.parametrize("role", HEADS)
def test_sales_are_closed_and_opened(page_as, event, role):
    page = page_as(role)
    visit(page, page_of(event))
    start(page, "Open or close sales")

    page.locator("#content").get_by_label("Close sales now").check()
    look(page, "nobody can book")
    confirm(page, "Save", "Sales have been closed since")
    event.refresh_from_db()
    assert event.sales_end is not None
    see(page, "Closed")

    start(page, "Open or close sales")
    page.locator("#content").get_by_label("Open sales now").check()
    look(page, "Sales are open: anybody can book.")
    confirm(page, "Save", "Sales are open: anybody can book.")
    event.refresh_from_db()
    assert (event.sales_start, event.sales_end) == (None, None)
    [closed, opened] = last_entries(event, 2)
    assert closed[:3] == opened[:3] == ("edited", 0, role)
    assert "sales end: nothing → 2" in closed[3]


@pytest.mark.parametrize("role", HEADS)
def test_event_is_edited_after_a_look(page_as, event, role):
    page = page_as(role)
    visit(page, page_of(event))
    start(page, "Edit event")

    page.locator("#content").get_by_label("Venue").fill("Town hall")
    look(page, "Venue: nothing → Town hall")
    confirm(page, "Save", "Saved Gala.")

    event.refresh_from_db()
    assert (event.venue, event.name, event.version) == ("Town hall", "Gala", 2)
    assert last_entries(event, 1) == [("edited", 0, role, "venue: nothing → Town hall")]


def test_second_of_two_who_edit_is_told_and_sees_both_versions(page_as, event):
    first, second = page_as("superuser"), page_as("manager")
    for page in (first, second):
        visit(page, f"{page_of(event)}edit/")
    first.locator("#content").get_by_label("Name").fill("Gala of the first")
    first.locator("#content").get_by_label("Venue").fill("Town hall")
    look(first)
    confirm(first, "Save", "Saved Gala of the first.")

    second.locator("#content").get_by_label("Name").fill("Gala of the second")
    second.get_by_role("button", name="Show what will happen").click()

    see(second, "Nothing was saved: somebody else changed this event meanwhile.")
    see(second, "superuser changed it today")
    rows = second.get_by_role("row").all_inner_texts()[1:]
    assert [re.sub(r"\s+", " ", row).strip() for row in rows] == [
        "Name Gala of the first Gala of the second both changed it",
        "Venue Town hall not edited",
    ]
    look(second, "Name: Gala of the first → Gala of the second")
    confirm(second, "Save", "Saved Gala of the second.")
    event.refresh_from_db()
    assert (event.name, event.venue, event.version) == ("Gala of the second", "Town hall", 3)


@pytest.mark.parametrize("role", HEADS)
def test_event_is_cancelled_with_all_its_bookings(page_as, event, role):
    page = page_as(role)
    visit(page, page_of(event))
    start(page, "Cancel event")

    foretold(page, "1 booking with 4 tickets and 2 waiting bookings are cancelled.")
    confirm(page, "Cancel event", "Tick this to confirm.")
    foretold(page, "1 booking with 4 tickets and 2 waiting bookings are cancelled.")
    assert Booking.objects.filter(status="cancelled").count() == 0
    page.locator("#content").get_by_label("Yes, cancel this event with all its bookings").check()
    confirm(page, "Cancel event", "Gala is cancelled, with all its bookings.")

    assert counts(event) == (4, 4, 0, 0)
    assert set(Booking.objects.values_list("status", flat=True)) == {"cancelled"}
    assert last_entries(event, 4) == [
        ("event_cancelled", 4, role, ""),
        *(("cancelled", tickets, role, "the event was cancelled") for tickets in (4, 2, 3)),
    ]


@pytest.mark.parametrize("role", HEADS)
def test_events_are_cancelled_from_the_list(page_as, event, role):
    other = EventFactory(name="Recital")
    page = page_as(role)
    visit(page, "/admin/events/event/")

    for one in (event, other):
        page.locator(f"input[name=_selected_action][value='{one.pk}']").check()
    page.locator("select[name=action]").select_option("cancel_events")
    page.get_by_role("button", name="Go").click()
    see(page, "Cancels Gala with all its bookings: 4 tickets held, 2 bookings waiting.")
    assert Event.objects.standing().count() == 2
    confirm(page, "Cancel events", "Events cancelled: 2.")

    assert Event.objects.standing().count() == 0


@pytest.mark.parametrize("role", HEADS)
def test_event_is_made(page_as, role):
    page = page_as(role)
    visit(page, "/admin/events/event/")
    page.get_by_role("link", name="Add event").first.click()

    page.locator("#content").get_by_label("Name").fill("Recital")
    page.locator("#content").get_by_label("Total tickets").fill("12")
    look(page, "Recital is created with 12 tickets.", "Sales are open: anybody can book.")
    assert Event.objects.count() == 0
    confirm(page, "Add event", "Created 1 event: Recital.")

    event = Event.objects.get()
    assert page.url.endswith(page_of(event))
    assert counts(event) == (12, 12, 0, 0)
    assert last_entries(event, 1) == [("opened", 12, role, "")]


def test_waitlist_is_near_the_top_of_a_phone_and_its_buttons_fit_a_finger(page_as, event):
    page = page_as("manager", width=390)

    visit(page, page_of(event))

    assert page.locator("#line-title").bounding_box()["y"] < 640
    assert page.locator("#sales-title").bounding_box()["y"] > page.locator(".waitlist").bounding_box()["y"]
    boxes = [button.bounding_box() for button in page.locator(".waitlist .moves").first.get_by_role("link").all()]
    assert [button.get_attribute("aria-label") for button in page.locator(".waitlist .moves a").all()[:2]] == [
        "Move Grace down",
        "Serve Grace out of turn",
    ]
    assert min(min(box["width"], box["height"]) for box in boxes) >= 44
    assert boxes[1]["x"] - boxes[0]["x"] - boxes[0]["width"] >= 8


def test_sales_are_above_the_waitlist_on_a_wide_screen(page_as, event):
    page = page_as("manager")

    visit(page, page_of(event))

    assert page.locator("#sales-title").bounding_box()["y"] < page.locator("#line-title").bounding_box()["y"]


def test_inventory_is_verified_on_demand(page_as, event):
    page = page_as("box_office")
    visit(page, page_of(event))
    see(page, "Not verified yet")

    page.get_by_role("button", name="Verify inventory").click()

    see(page, "are being compared")
    page.wait_for_function(
        "async () => (await (await fetch(location.href)).text()).includes('Verified at entry 4')", polling=200
    )
    assert InventoryCheck.objects.get(event=event).findings == []


def test_inventory_that_differs_is_told(page_as, event):
    Booking.objects.filter(first_name="Ada").update(tickets_reserved=3)
    page = page_as("box_office")
    visit(page, page_of(event))

    page.get_by_role("button", name="Verify inventory").click()
    page.wait_for_function(
        "async () => (await (await fetch(location.href)).text()).includes('Differed at entry 4')", polling=200
    )
    page.reload()

    see(page, "The inventory does not verify")
    see(page, "counter says 0 available, bookings leave 1")


def test_waitlist_says_why_nobody_is_served(page_as, event):
    cancel_tickets(Booking.objects.get(first_name="Alan"), tickets=2)
    page = page_as("box_office", width=390)

    visit(page, page_of(event))

    rows = page.locator(".waitlist tbody tr").all_inner_texts()
    assert [re.sub(r"\s+", " ", row).strip() for row in rows] == [
        "1 Grace 2 tickets has waited moments needs 2, 0 available",
        "2 Alan 1 ticket has waited moments needs 1, 0 available",
    ]
    foretold_nothing = page.get_by_text("What will happen")
    assert foretold_nothing.count() == 0


@pytest.mark.parametrize("role", HEADS)
def test_managers_write_to_holders(page_as, event, role):
    page = page_as(role)
    visit(page, page_of(event))
    if not page.get_by_role("link", name="Write to holders", exact=True).count():
        # The server has no mail server to send to: on MariaDB nobody is told anything.
        assert connection.vendor == "mysql"
        return
    start(page, "Write to holders")

    page.locator("#content").get_by_label("Everybody who holds tickets or waits").check()
    page.locator("#content").get_by_label("Subject").fill("Bring a coat")
    page.locator("#content").get_by_label("Text").fill("The hall is cold.\n\nYours, Emmy")
    look(page, "3 holders will be told by mail.", "Hello Ada,", "The hall is cold.", "Event: Gala")
    assert not Announcement.objects.exists()
    confirm(page, "Send it to all of them", "“Bring a coat” begins to leave within a minute or so.")

    announcement = Announcement.objects.get()
    assert (announcement.addressees, announcement.text, announcement.author.username) == (
        "all",
        "The hall is cold.\n\nYours, Emmy",
        role,
    )
    start(page, "Stop the mail to holders")
    confirm(page, "Stop it", "Stopped: “Bring a coat”.")
    announcement.refresh_from_db()
    assert announcement.stopped_at
