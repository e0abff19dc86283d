"""Giving tickets back and leaving the waitlist, on the holder's page."""

import pytest

from bookings.exceptions import AlreadyCancelled, HolderChanged
from bookings.models import LedgerEntry
from bookings.pages import actions
from bookings.services.cancellation import cancel_tickets
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.pages.visiting import (
    address,
    confirm,
    fields_of,
    lines,
    look,
    said,
    text_of,
    tickets_and_status,
    visitor,
)
from bookings.tests.state import digest_of_all_tables
from ticks.actions import CHANGED, MESSAGES, NOT_SHOWN

pytestmark = pytest.mark.django_db
FOREVER = "This cannot be undone."


@pytest.fixture
def held():
    return BookingFactory(event=EventFactory(total_tickets=4), user=None, tickets=4)


@pytest.fixture
def waiting(held):
    return BookingFactory(event=held.event, user=None, tickets=3)


def findings():
    return [finding for report in verify_events() for finding in report.findings]


def test_page_shows_what_giving_all_back_does(held):
    before = digest_of_all_tables()

    shown = visitor(held).get(address(held, "cancel"))

    assert lines(shown) == ["You give back 4 tickets, and your booking is cancelled.", FOREVER]
    assert ">Give back 4 tickets</button>" in text_of(shown)
    assert digest_of_all_tables() == before


def test_some_tickets_are_given_back_by_a_guest(held):
    client = visitor(held)
    shown = look(client, held, "cancel", tickets="1")

    done = confirm(client, held, "cancel", shown)

    assert lines(shown) == [
        "You give back 1 ticket, and keep 3.",
        "Ticket 4 can no longer be used, on paper either; the others stay valid.",
        FOREVER,
    ]
    assert said(done) == ["Done. Your booking has 3 tickets now."]
    assert done.redirect_chain == [(address(held), 302)]
    assert tickets_and_status(held) == (3, "completed")
    entry = LedgerEntry.objects.get(kind="reduced")
    assert (entry.tickets, entry.actor) == (1, None)
    assert findings() == []


def test_all_tickets_are_given_back_and_go_to_who_waits(held, waiting):
    client = visitor(held)

    done = confirm(client, held, "cancel", client.get(address(held, "cancel")))

    assert said(done) == ["Your booking is cancelled."]
    assert "Your booking is cancelled." in text_of(done)
    assert (tickets_and_status(held), tickets_and_status(waiting)) == ((4, "cancelled"), (3, "completed"))


def test_accounts_booking_is_cancelled_by_its_link_too():
    booking = BookingFactory(event=EventFactory())
    client = visitor(booking)

    confirm(client, booking, "cancel", client.get(address(booking, "cancel")))

    assert tickets_and_status(booking) == (1, "cancelled")
    assert LedgerEntry.objects.get(kind="cancelled").actor is None


def test_waitlist_is_left(waiting):
    client = visitor(waiting)
    shown = client.get(address(waiting, "cancel"))

    done = confirm(client, waiting, "cancel", shown)

    assert lines(shown) == ["Your booking leaves the waitlist, and is cancelled.", FOREVER]
    assert ">Leave the waitlist</button>" in text_of(shown)
    assert said(done) == ["Your booking is cancelled."]
    assert tickets_and_status(waiting) == (3, "cancelled")


def test_waiting_booking_can_ask_for_fewer_and_is_told_if_they_are_free(waiting, held):
    cancel_tickets(held, tickets=1)
    client = visitor(waiting)
    shown, fitting = (look(client, waiting, "cancel", tickets=number) for number in ("1", "2"))

    done = confirm(client, waiting, "cancel", fitting)

    keeps = "Your booking then waits for {}, and keeps its place."
    assert lines(shown) == [keeps.format("2 tickets"), FOREVER]
    free = "That many tickets are free now, so you get them at once."
    assert lines(fitting) == [keeps.format("1 ticket"), free, FOREVER]
    assert said(done) == ["Done. Your booking has 1 ticket now."]
    assert tickets_and_status(waiting) == (1, "completed")


@pytest.mark.parametrize("number", ["1", "4"])
def test_double_click_gives_back_once_and_is_answered_the_same(held, number):
    client = visitor(held)
    shown = look(client, held, "cancel", tickets=number)

    first, second = (confirm(client, held, "cancel", shown) for _ in range(2))

    assert said(first) == said(second)
    assert tickets_and_status(held) == ((3, "completed") if number == "1" else (4, "cancelled"))
    assert LedgerEntry.objects.filter(kind__in=["reduced", "cancelled"]).count() == 1


def test_confirmation_of_what_was_not_shown_is_a_new_preview(held):
    client = visitor(held)
    shown = client.get(address(held, "cancel"))

    again = confirm(client, held, "cancel", shown, tickets="2")

    assert said(again) == [NOT_SHOWN]
    assert lines(again)[0] == "You give back 2 tickets, and keep 2."
    assert tickets_and_status(held) == (4, "completed")


def test_booking_that_changed_meanwhile_is_shown_anew(held):
    client = visitor(held)
    shown = look(client, held, "cancel", tickets="1")
    cancel_tickets(held, tickets=2)

    again = confirm(client, held, "cancel", shown)

    assert said(again) == [CHANGED]
    assert lines(again)[:2] == [
        "You give back 1 ticket, and keep 1.",
        "Ticket 2 can no longer be used, on paper either; the others stay valid.",
    ]
    assert tickets_and_status(held) == (2, "completed")
    confirm(client, held, "cancel", again)
    assert tickets_and_status(held) == (1, "completed")


def test_booking_that_is_moved_to_another_person_meanwhile_keeps_its_tickets(held, admin_user, monkeypatch):
    client = visitor(held)
    shown = look(client, held, "cancel", tickets="1")

    def move_first(booking, **options):
        # The link has opened the page, and the cancellation has not begun.
        transfer_booking(held, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
        return cancel_tickets(booking, **options)

    monkeypatch.setattr(actions, "cancel_tickets", move_first)

    refused = confirm(client, held, "cancel", shown)

    assert HolderChanged.message in text_of(refused)
    assert "Grace" not in text_of(refused)
    assert tickets_and_status(held) == (4, "completed")
    assert client.get(address(held)).status_code == 404


def test_booking_that_was_promoted_meanwhile_is_shown_anew(held, waiting):
    client = visitor(waiting)
    shown = client.get(address(waiting, "cancel"))
    cancel_tickets(held)

    again = confirm(client, waiting, "cancel", shown)

    assert said(again) == [CHANGED]
    assert lines(again)[0] == "You give back 3 tickets, and your booking is cancelled."
    assert tickets_and_status(waiting) == (3, "completed")


def test_page_that_was_used_before_asks_again_for_another_number(held):
    client = visitor(held)
    shown = look(client, held, "cancel", tickets="1")
    confirm(client, held, "cancel", shown)

    refused = confirm(client, held, "cancel", shown, tickets="2")
    shown = client.post(address(held, "cancel"), fields_of(refused))
    done = confirm(client, held, "cancel", shown)

    assert MESSAGES["idempotency_key_reused"] in text_of(refused)
    assert said(done) == ["Done. Your booking has 1 ticket now."]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"tickets": "5"}, "This booking has 4 tickets; cancel at most that many."),
        ({"tickets": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"tickets": "1.000"}, "Write 1000, without separators."),
        ({"tickets": ""}, "This field is required."),
        ({"key": "short"}, "Ensure this value has at least 16 characters"),
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(held, typed, message):
    client, before = visitor(held), digest_of_all_tables()

    refused = look(client, held, "cancel", **typed)

    assert message in text_of(refused)
    assert lines(refused) == []
    assert digest_of_all_tables() == before


def test_cancelled_booking_leads_back_to_its_page(held):
    client = visitor(held)
    cancel_tickets(held)

    for page in ("cancel", "address"):
        response = client.get(address(held, page), follow=True)
        assert response.redirect_chain == [(address(held), 302)]
        assert said(response) == [AlreadyCancelled.message]
