"""Staff act on a booking in the browser. The tests check the pages, and the database afterwards."""

from pathlib import Path

import pytest

from bookings.models import Booking, LedgerEntry, TicketEpoch
from bookings.tests.browser.acting import confirm, counts, foretold, last_entries, line, look, start
from bookings.tests.browser.looks import see, visit
from bookings.tests.factories import BookingFactory, EventFactory

HEADS = ["superuser", "manager"]
ALL = [*HEADS, "box_office"]


@pytest.fixture
def event(transactional_db):
    """The event is sold out: Ada holds 3 tickets and Emmy 1. Grace wants 2 and Alan 1, strictly in this order."""
    event = EventFactory(name="Gala", total_tickets=4, waitlist_policy="strict")
    for name, tickets in (("Ada", 3), ("Emmy", 1), ("Grace", 2), ("Alan", 1)):
        BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, user=None)
    return event


def booking_of(name):
    return Booking.objects.get(first_name=name)


def page_of(name):
    return f"/admin/bookings/booking/{booking_of(name).pk}/"


@pytest.mark.parametrize("role", ALL)
def test_booking_is_cancelled_and_the_waitlist_served(page_as, event, role):
    page = page_as(role)
    visit(page, page_of("Ada"))
    start(page, "Cancel tickets")

    foretold(
        page,
        "Ada gives back 3 tickets; the booking is cancelled.",
        "Promotes 2 bookings, 3 tickets: Grace (2), Alan (1).",
        "Then 0 tickets available, nobody waiting.",
    )
    assert counts(event) == (4, 0, 2, 3)
    confirm(page, "Cancel tickets", "Cancelled 3 tickets of Ada. The booking is cancelled.")

    assert booking_of("Ada").status == "cancelled"
    assert counts(event) == (4, 0, 0, 0)
    assert last_entries(event, 3) == [
        ("cancelled", 3, role, ""),
        ("promoted", 2, role, ""),
        ("promoted", 1, role, ""),
    ]


@pytest.mark.parametrize("role", ALL)
def test_some_tickets_of_a_booking_are_cancelled(page_as, event, role):
    page = page_as(role)
    visit(page, f"{page_of('Ada')}cancel/")

    page.locator("#content").get_by_label("Tickets to cancel").fill("1")
    confirm(page, "Cancel tickets", "Nothing was done yet.")
    foretold(page, "Ada gives back 1 ticket, and keeps 2.", "No waiting booking is promoted.")
    assert booking_of("Ada").tickets_reserved == 3
    confirm(page, "Cancel tickets", "Cancelled 1 ticket of Ada. 2 left.")

    assert (booking_of("Ada").status, booking_of("Ada").tickets_reserved) == ("completed", 2)
    assert counts(event) == (4, 1, 2, 3)
    assert last_entries(event, 1) == [("reduced", 1, role, "")]


@pytest.mark.parametrize("role", ALL)
def test_bookings_are_cancelled_from_the_list(page_as, event, role):
    page = page_as(role)
    visit(page, "/admin/bookings/booking/")

    for name in ("Ada", "Grace"):
        page.locator(f"input[name=_selected_action][value='{booking_of(name).pk}']").check()
    page.locator("select[name=action]").select_option("cancel_bookings")
    page.get_by_role("button", name="Go").click()
    foretold(page, "Promotes 1 booking, 1 ticket: Alan (1). Then 2 tickets available, nobody waiting.")
    assert counts(event) == (4, 0, 2, 3)
    confirm(page, "Cancel bookings", "Bookings cancelled: 2.")

    assert [booking_of(name).status for name in ("Ada", "Grace", "Alan")] == ["cancelled", "cancelled", "completed"]
    assert counts(event) == (4, 2, 0, 0)
    assert set(LedgerEntry.objects.filter(kind="cancelled").values_list("actor__username", flat=True)) == {role}


@pytest.mark.parametrize("role", HEADS)
def test_booking_is_moved_to_another_name(page_as, event, role):
    page = page_as(role)
    visit(page, page_of("Ada"))
    start(page, "Move to another name")

    page.locator("#content").get_by_label("First name").fill("Rosalind")
    page.locator("#content").get_by_label("Mail address").fill("rosalind@example.org")
    page.locator("#content").get_by_label("Another person").check()
    page.locator("#content").get_by_label("Reason").fill("Ada is ill")
    look(page, "is for Rosalind, rosalind@example.org.", "The guest's link no longer opens it.")
    assert booking_of("Ada").email != "rosalind@example.org"
    confirm(page, "Move the booking", "is now for Rosalind.")

    moved = booking_of("Rosalind")
    assert (moved.email, moved.tickets_reserved, moved.token_hash) == ("rosalind@example.org", 3, None)
    assert counts(event) == (4, 0, 2, 3)
    [(kind, tickets, actor, note)] = last_entries(event, 1)
    assert (kind, tickets, actor) == ("transferred", 3, role)
    assert note.startswith("Ada → Rosalind")
    assert note.endswith("Ada is ill")


@pytest.mark.parametrize("role", ALL)
def test_tickets_are_printed(page_as, event, role):
    page = page_as(role)
    visit(page, page_of("Ada"))

    with page.expect_download() as download:
        page.get_by_role("link", name="Tickets (PDF)").click()

    assert download.value.suggested_filename == f"tickets-{booking_of('Ada').reference}.pdf"
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize("role", HEADS)
def test_tickets_are_voided(page_as, event, role):
    page = page_as(role)
    visit(page, page_of("Ada"))
    start(page, "Void tickets")

    page.locator("#content").get_by_label("Reason").fill("A stolen phone")
    look(page, "The codes of Ada's 3 tickets that are out no longer work")
    assert not TicketEpoch.objects.exists()
    confirm(page, "Void the codes", "its tickets have new ones.")

    assert TicketEpoch.objects.get().epoch == 1
    assert counts(event) == (4, 0, 2, 3)
    assert last_entries(event, 1) == [("transferred", 3, role, "old codes voided:\nA stolen phone")]


@pytest.mark.parametrize("role", HEADS)
def test_waiting_booking_is_moved_up_with_a_reason(page_as, event, role):
    page = page_as(role)
    visit(page, f"/admin/events/event/{event.pk}/")
    page.get_by_role("link", name="Move Alan up").click()

    page.get_by_role("button", name="Show what will happen").click()
    see(page, "This field is required.")
    page.locator("#content").get_by_label("Reason").fill("Doctor on duty")
    look(page, "Alan moves from place 2 to 1 of 2.")
    assert line(event) == ["Grace", "Alan"]
    confirm(page, "Move", "Alan now has place 1 in line.")

    assert line(event) == ["Alan", "Grace"]
    assert counts(event) == (4, 0, 2, 3)
    assert last_entries(event, 1) == [("moved", 1, role, "Doctor on duty")]
    see(page, "moved Alan in the waitlist: Doctor on duty")


@pytest.mark.parametrize("role", HEADS)
def test_waiting_booking_is_moved_down(page_as, event, role):
    page = page_as(role)
    visit(page, f"/admin/events/event/{event.pk}/")
    page.get_by_role("link", name="Move Grace down").click()

    page.locator("#content").get_by_label("Reason").fill("Comes late")
    look(page, "Grace moves from place 1 to 2 of 2.")
    confirm(page, "Move", "Grace now has place 2 in line.")

    assert line(event) == ["Alan", "Grace"]
    assert last_entries(event, 1) == [("moved", 2, role, "Comes late")]


@pytest.mark.parametrize("role", HEADS)
def test_waiting_booking_is_served_out_of_turn(page_as, event, role):
    page = page_as(role)
    visit(page, f"/admin/events/event/{event.pk}/")
    page.get_by_role("link", name="Serve Alan out of turn").click()

    page.locator("#content").get_by_label("Reason").fill("House seat")
    page.get_by_role("button", name="Show what will happen").click()
    see(page, "It needs 1 ticket and 0 are available: add what is missing to the capacity, or free tickets first.")
    page.locator("#content").get_by_label("Add the tickets that are missing to the capacity").check()
    look(page, "Alan gets 1 ticket now.", "It passes 1 booking ahead in line.", "The capacity changes from 4 to 5.")
    assert counts(event) == (4, 0, 2, 3)
    confirm(page, "Give the tickets", "Alan has 1 ticket now.")

    assert booking_of("Alan").status == "completed"
    assert counts(event) == (5, 0, 1, 2)
    assert last_entries(event, 2) == [
        ("capacity_changed", 1, role, "House seat"),
        ("promoted", 1, role, "House seat"),
    ]


def test_box_office_sees_only_what_it_may_do(page_as, event):
    page = page_as("box_office")
    visit(page, page_of("Grace"))

    assert page.locator(".page-actions a").all_inner_texts() == ["Cancel tickets"]
    visit(page, f"/admin/events/event/{event.pk}/")
    assert page.locator(".page-actions a").all_inner_texts() == ["Book for a caller", "Bookings", "Ledger"]
    assert page.locator(".moves").count() == 0


def test_booking_that_was_cancelled_meanwhile_says_so(page_as, event):
    page = page_as("box_office")
    visit(page, f"{page_of('Ada')}cancel/")
    other = page_as("manager")
    visit(other, f"{page_of('Ada')}cancel/")
    confirm(other, "Cancel tickets", "The booking is cancelled.")

    confirm(page, "Cancel tickets", "This booking is already cancelled.")

    assert LedgerEntry.objects.filter(kind="cancelled").count() == 1
    assert counts(event) == (4, 0, 0, 0)
