"""Actions of staff on a booking: they are shown first, done after the confirmation, and refused in plain words."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import F
from django.utils import timezone

from bookings.admin.bookings import actions
from bookings.models import Booking
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.tests.admin.confirming import confirm, counts, entries, errors, fields_of, lines, look, said, url_of
from bookings.tests.state import digest_of_all_tables
from events.models import Event
from ticks.db.transactions import Busy, OutcomeUnknown

# Services run inside the transaction of a test, but refuse to run inside one of a view.
pytestmark = pytest.mark.django_db

CHANGED = "This changed since you looked. Below is what would happen now; confirm again if it still fits."
NOT_SHOWN = "Nothing was done yet. Below is what will happen with what you typed; confirm it if it fits."


def stored(booking):
    booking = Booking.objects.get(pk=booking.pk)
    return booking.status, booking.tickets_reserved, booking.waitlist_position


# Each case has the holder, the action and its input; then the preview, the report, the ledger and the counts after it.
DONE = {
    "cancel": (
        "Ada",
        {},
        [
            "Ada gives back 4 tickets; the booking is cancelled.",
            "Promotes 2 bookings, 5 tickets: Grace (2), Alan (3).",
            "Then 0 tickets available, 1 booking (1 ticket) waiting.",
        ],
        "Cancelled 4 tickets of Ada. The booking is cancelled. Waiting bookings served with them: 2.",
        [
            ("cancelled", 4, "Ada", "superuser", ""),
            ("promoted", 2, "Grace", "superuser", ""),
            ("promoted", 3, "Alan", "superuser", ""),
        ],
        (5, 0, 1, 1),
    ),
    "part-cancel": (
        "Ada",
        {"tickets": "1"},
        [
            "Ada gives back 1 ticket, and keeps 3.",
            "Promotes 1 booking, 2 tickets: Grace (2).",
            "Then 0 tickets available, 2 bookings (4 tickets) waiting.",
        ],
        "Cancelled 1 ticket of Ada. 3 left. Waiting bookings served with them: 1.",
        [("reduced", 1, "Ada", "superuser", ""), ("promoted", 2, "Grace", "superuser", "")],
        (5, 0, 2, 4),
    ),
    "cancel of who waits": (
        "Alan",
        {"tickets": "2"},
        [
            "Alan no longer waits for 2 tickets, but still for 1.",
            "No waiting booking is promoted.",
            "Then 1 ticket available, 3 bookings (4 tickets) waiting.",
        ],
        "Cancelled 2 tickets of Alan. 1 left. Waiting bookings served with them: 0.",
        [("reduced", 2, "Alan", "superuser", "")],
        (5, 1, 3, 4),
    ),
    "transfer": (
        "Ada",
        {"first_name": "Lise", "last_name": "Meitner", "email": "lise@example.org", "who": "another", "reason": "ill"},
        [
            "{reference} is for Lise Meitner, lise@example.org.",
            "It leaves the account ada, which can then neither see nor cancel it.",
            "Links in mails that were sent about it no longer open it.",
            "The codes of its tickets that are out no longer work; the new holder gets new ones.",
            "It keeps its tickets and its place in line.",
        ],
        "{reference} is now for Lise Meitner.",
        [
            (
                "transferred",
                4,
                "Lise",
                "superuser",
                "Ada → Lise Meitner, another mail address, taken from its account: ill",
            )
        ],
        (5, 1, 3, 6),
    ),
    "transfer of a guest's": (
        "Grace",
        {"who": "another"},
        [
            "{reference} is for Grace, {email}.",
            "The guest's link no longer opens it.",
            "Links in mails that were sent about it no longer open it.",
            "It keeps its tickets and its place in line.",
        ],
        "{reference} is now for Grace.",
        [("transferred", 2, "Grace", "superuser", "its token ended")],
        (5, 1, 3, 6),
    ),
    "move": (
        "Kurt",
        {"position": "1", "reason": "a promise"},
        ["Kurt moves from place 3 to 1 of 3.", "It passes 2 bookings.", "Promotes 1 booking, 1 ticket: Kurt (1)."],
        "Kurt now has place 1 in line. Promoted 1 booking, 1 ticket: Kurt (1).",
        [("moved", 1, "Kurt", "superuser", "a promise"), ("promoted", 1, "Kurt", "superuser", "")],
        (5, 0, 2, 5),
    ),
    "move down": (
        "Grace",
        {"position": "2", "reason": "asked for it"},
        ["Grace moves from place 1 to 2 of 3.", "It lets 1 booking ahead.", "No waiting booking is promoted."],
        "Grace now has place 2 in line.",
        [("moved", 2, "Grace", "superuser", "asked for it")],
        (5, 1, 3, 6),
    ),
    "serve": (
        "Kurt",
        {"reason": "a wheelchair"},
        [
            "Kurt gets 1 ticket now.",
            "It passes 2 bookings ahead in line.",
            "Then 0 tickets available, 2 bookings (5 tickets) waiting.",
        ],
        "Kurt has 1 ticket now.",
        [("promoted", 1, "Kurt", "superuser", "a wheelchair")],
        (5, 0, 2, 5),
    ),
    "serve with more capacity": (
        "Alan",
        {"reason": "press", "adds": "on"},
        [
            "Alan gets 3 tickets now.",
            "It passes 1 booking ahead in line.",
            "The capacity changes from 5 to 7.",
            "Then 0 tickets available, 2 bookings (3 tickets) waiting.",
        ],
        "Alan has 3 tickets now.",
        [("capacity_changed", 2, None, "superuser", "press"), ("promoted", 3, "Alan", "superuser", "press")],
        (7, 0, 2, 3),
    ),
}


def action_of(case: str) -> str:
    return "cancel" if "cancel" in case else case.split()[0]


def shown_of(client, line, case):
    name, typed, *_ = DONE[case]
    return look(client, line[name], action_of(case), **typed)


@pytest.mark.parametrize("case", DONE)
def test_action_is_shown_then_done_and_told(superuser_client, line, case):
    name, _, will_happen, told, ledger, then = DONE[case]
    booking, event = line[name], line[name].event
    event.refresh_from_db()
    words = {"reference": booking.reference, "email": booking.email}
    before = digest_of_all_tables()

    shown = shown_of(superuser_client, line, case)

    assert lines(shown) == [text.format(**words) for text in will_happen]
    assert digest_of_all_tables() == before
    done = confirm(superuser_client, booking, action_of(case), shown)
    assert said(done) == [told.format(**words)]
    assert done.redirect_chain == [(url_of(booking), 302)]
    assert entries(event, after=event.ledger_sequence) == ledger
    assert counts(event) == then
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(booking.pk)]


@pytest.mark.parametrize("case", DONE)
def test_action_that_was_not_shown_first_is_shown_and_not_done(superuser_client, line, case):
    name, typed, *_ = DONE[case]
    url = url_of(line[name], action_of(case))
    sent = fields_of(superuser_client.get(url)) | typed
    before = digest_of_all_tables()

    response = superuser_client.post(url, sent | {"confirm": "yes", "stamp": ""})

    assert lines(response)
    assert said(response) == [NOT_SHOWN]
    assert digest_of_all_tables() == before


@pytest.mark.parametrize("case", DONE)
@pytest.mark.parametrize("refusal", [Busy, OutcomeUnknown])
def test_database_that_does_not_do_it_is_told_with_input_kept(superuser_client, line, case, refusal, monkeypatch):
    def refuse(*args, **kwargs):
        raise refusal

    name, typed, *_ = DONE[case]
    shown = shown_of(superuser_client, line, case)
    for service in ("cancel_tickets", "transfer_booking", "move_in_waitlist", "serve_out_of_turn"):
        monkeypatch.setattr(actions, service, refuse)
    response = confirm(superuser_client, line[name], action_of(case), shown)

    assert list(errors(response)) == ["__all__"]
    assert ("Nothing was done." in response.content.decode()) == (refusal is Busy)
    assert fields_of(response).items() >= {field: [value] for field, value in typed.items()}.items()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("case", DONE)
def test_action_on_a_cancelled_booking_leads_back(superuser_client, line, case):
    booking = line[DONE[case][0]]
    shown = shown_of(superuser_client, line, case)
    cancel_tickets(booking)
    before = digest_of_all_tables()

    for response in (
        confirm(superuser_client, booking, action_of(case), shown),
        superuser_client.get(url_of(booking, action_of(case)), follow=True),
    ):
        assert response.redirect_chain == [(url_of(booking), 302)]
        assert said(response) == ["This booking is already cancelled."]
    assert digest_of_all_tables() == before


@pytest.mark.parametrize("action", ["move", "serve"])
def test_who_holds_tickets_is_neither_moved_nor_served(superuser_client, line, action):
    response = superuser_client.get(url_of(line["Ada"], action), follow=True)

    assert said(response) == ["This booking does not wait any more."]


@pytest.mark.parametrize(
    ("name", "action"), [("Ada", "cancel"), ("Ada", "transfer"), ("Kurt", "move"), ("Kurt", "serve")]
)
def test_actions_on_a_booking_of_a_cancelled_event_lead_back(superuser_client, line, name, action):
    # Only the event is cancelled so far. Its bookings follow in parts.
    Event.objects.filter(pk=line[name].event_id).update(
        deleted_at=timezone.now(),
        available_tickets=F("total_tickets"),
        waitlisted_count=0,
        waitlisted_tickets=0,
        completed_count=0,
    )

    response = superuser_client.get(url_of(line[name], action), follow=True)

    assert said(response) == ["This booking is already cancelled."]
    assert f'href="{action}/"' not in response.content.decode()


def less(line):
    cancel_tickets(line["Ada"], tickets=1)


def renamed(line):
    Booking.objects.filter(pk=line["Ada"].pk).update(last_name="King")


def nearer(line):
    cancel_tickets(line["Grace"])


def smaller(line):
    cancel_tickets(line["Alan"], tickets=1)


@pytest.mark.parametrize(
    ("case", "meanwhile"),
    [
        ("part-cancel", less),
        ("transfer", renamed),
        ("move", nearer),
        ("serve with more capacity", smaller),
    ],
)
def test_what_changed_meanwhile_is_shown_again_and_not_done(superuser_client, line, case, meanwhile):
    name, typed, *_ = DONE[case]
    shown = shown_of(superuser_client, line, case)
    meanwhile(line)
    before = digest_of_all_tables()

    response = confirm(superuser_client, line[name], action_of(case), shown)

    assert lines(response)
    assert said(response) == [CHANGED]
    assert digest_of_all_tables() == before
    assert fields_of(response).items() >= {field: [value] for field, value in typed.items()}.items()
    assert len(confirm(superuser_client, line[name], action_of(case), response).redirect_chain) == 1


def test_part_that_was_cancelled_is_not_cancelled_again_by_a_second_click(superuser_client, line):
    shown = shown_of(superuser_client, line, "part-cancel")
    confirm(superuser_client, line["Ada"], "cancel", shown)

    response = confirm(superuser_client, line["Ada"], "cancel", shown)

    assert said(response) == [CHANGED]
    assert stored(line["Ada"]) == ("completed", 3, None)


def test_who_types_another_number_is_not_told_that_the_booking_changed(superuser_client, line):
    shown = look(superuser_client, line["Ada"], "cancel", tickets="3")

    response = confirm(superuser_client, line["Ada"], "cancel", shown, tickets="1")

    assert said(response) == [NOT_SHOWN]
    assert lines(response) == DONE["part-cancel"][2]
    confirm(superuser_client, line["Ada"], "cancel", response)
    assert stored(line["Ada"]) == ("completed", 3, None)


def test_form_to_cancel_opens_with_all_tickets_and_what_that_does(superuser_client, line):
    response = superuser_client.get(url_of(line["Ada"], "cancel"))

    assert lines(response) == DONE["cancel"][2]
    confirm(superuser_client, line["Ada"], "cancel", response)
    assert stored(line["Ada"])[0] == "cancelled"


def test_booking_of_an_account_that_was_given_away_is_no_longer_theirs(superuser_client, line, client_of):
    receipt = book_tickets(BookingRequest(line["Ada"].event_id, 1, "Ada", user=line["Ada"].user))
    booking = Booking.objects.get(pk=receipt.booking.pk)
    shown = look(superuser_client, booking, "transfer", who="another")

    confirm(superuser_client, booking, "transfer", shown)

    booking.refresh_from_db()
    assert booking.user is None
    assert client_of(line["Ada"].user).get(f"/api/v1/booking/{booking.pk}").status_code == 404
