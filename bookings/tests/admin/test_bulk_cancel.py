"""Cancels rows that were chosen in a list. The preview shows the effects, and only what was shown is done."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.tests.factories import UserFactory
from bookings.admin.bookings import actions as booking_actions
from bookings.admin.events import cancelling as event_actions
from bookings.models import Booking, LedgerEntry
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.tests.admin.confirming import PERSONAS, as_persona, counts, lines, said
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import digest_of_all_tables, statuses
from events.models import Event
from ticks.actions import CHANGED, NOT_SHOWN
from ticks.db.transactions import Busy

pytestmark = pytest.mark.django_db

NO_BOOKINGS = "There is nothing to cancel: all selected bookings are cancelled already."
NO_EVENTS = "There is nothing to cancel: all selected events are cancelled already."
LISTS = {"cancel_bookings": "/admin/bookings/booking/", "cancel_events": "/admin/events/event/"}


def act(client, action, *rows, query="", **posted):
    chosen = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(LISTS[action] + query, chosen | posted, follow=True)


def confirm(client, action, *rows, **posted):
    """Opens the preview, and confirms it."""
    return act(client, action, *rows, confirm="yes", stamp=stamp_of(act(client, action, *rows)), **posted)


def stamp_of(response) -> str:
    """The stamp of the preview; empty if there is none."""
    form = (response.context or {}).get("form")
    return form.data.get("stamp", "") if form else ""


@pytest.fixture
def line(db):
    """Ada and Bob hold 2 of 4 tickets each; Grace, Alan and Kurt want one each."""
    event = EventFactory(name="Gala", total_tickets=4)
    tickets = {"Ada": 2, "Bob": 2, "Grace": 1, "Alan": 1, "Kurt": 1}
    return [
        BookingFactory(event=event, first_name=name, last_name="", tickets=wanted, user=None)
        for name, wanted in tickets.items()
    ]


def test_bookings_are_shown_with_what_follows(superuser_client, line):
    ada = line[0]
    other = BookingFactory(event=EventFactory(name="Other", total_tickets=9), tickets=2)
    before = digest_of_all_tables()

    response = act(superuser_client, "cancel_bookings", ada, other)

    assert lines(response) == [
        f"Cancels {ada.reference}, Ada, Gala, which holds 2 tickets.",
        f"Cancels {other.reference}, Ada Lovelace, Other, which holds 2 tickets.",
        "Gala: Promotes 2 bookings, 2 tickets: Grace (1), Alan (1). "
        "Then 0 tickets available, 1 booking (1 ticket) waiting.",
        "Other: Then 9 tickets available, nobody waiting.",
        "This cannot be undone.",
    ]
    assert digest_of_all_tables() == before


def test_bookings_are_cancelled_and_told(superuser_client, line):
    ada = line[0]
    gone = BookingFactory()
    cancel_tickets(gone)

    response = confirm(superuser_client, "cancel_bookings", ada, gone)

    assert said(response) == [
        "Bookings cancelled: 1. Already cancelled before: 1. Waiting bookings served with their tickets: 2."
    ]
    assert statuses(*line) == ["cancelled", "completed", "completed", "completed", "waitlisted"]
    assert counts(ada.event) == (4, 0, 1, 1)
    entry = LedgerEntry.objects.get(booking=ada, kind="cancelled")
    assert (entry.tickets, entry.actor.username) == (2, "superuser")
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(ada.pk)]


def test_bookings_confirmed_twice_are_cancelled_once(superuser_client, line):
    ada = line[0]
    confirm(superuser_client, "cancel_bookings", ada)

    response = confirm(superuser_client, "cancel_bookings", ada)

    assert said(response) == [NO_BOOKINGS]
    assert LedgerEntry.objects.filter(kind="cancelled").count() == 1


def test_bookings_that_changed_since_they_were_shown_are_shown_again(superuser_client, line):
    ada, _, grace, *_ = line
    stamp = stamp_of(act(superuser_client, "cancel_bookings", grace))
    # This serves Grace. So a cancellation would now free tickets that she holds.
    cancel_tickets(ada)
    before = digest_of_all_tables()

    response = act(superuser_client, "cancel_bookings", grace, confirm="yes", stamp=stamp)

    assert said(response) == [CHANGED]
    assert lines(response)[0] == f"Cancels {grace.reference}, Grace, Gala, which holds 1 ticket."
    assert digest_of_all_tables() == before


@pytest.mark.parametrize("action", LISTS)
def test_rows_that_nobody_looked_at_are_not_cancelled(superuser_client, line, action):
    row = line[0] if action == "cancel_bookings" else line[0].event
    before = digest_of_all_tables()

    response = act(superuser_client, action, row, confirm="yes")

    assert said(response) == [NOT_SHOWN]
    assert digest_of_all_tables() == before


def test_cancel_serves_nobody_of_the_selection(superuser_client, line):
    ada, _, grace, alan, _ = line

    effects = lines(act(superuser_client, "cancel_bookings", ada, grace, alan))[3:-1]
    confirm(superuser_client, "cancel_bookings", ada, grace, alan)

    assert effects == ["Gala: Promotes 1 booking, 1 ticket: Kurt (1). Then 1 ticket available, nobody waiting."]
    assert statuses(*line) == ["cancelled", "completed", "cancelled", "cancelled", "completed"]
    assert counts(ada.event) == (4, 1, 0, 0)
    assert LedgerEntry.objects.filter(kind="promoted").count() == 1


def test_what_was_shown_is_cancelled_whatever_the_list_shows_now(superuser_client, line):
    ada, _, grace, *_ = line
    cancel_tickets(ada)

    response = confirm(superuser_client, "cancel_bookings", grace, query="?status=waitlisted")

    assert said(response)[0].startswith("Bookings cancelled: 1.")
    assert statuses(grace) == ["cancelled"]


def test_some_of_many_rows_are_listed_and_all_of_them_sent(superuser_client, line, monkeypatch):
    monkeypatch.setattr("ticks.staff_actions.MAX_LISTED", 2)

    response = act(superuser_client, "cancel_bookings", *line)

    content = response.content.decode()
    assert [text.partition(" ")[0] for text in lines(response)] == ["Cancels", "Cancels", "And", "Gala:", "This"]
    assert "And 3 more." in content
    assert content.count('name="_selected_action"') == 5


def test_events_are_shown_and_cancelled_with_their_bookings(superuser_client, line):
    event, other = line[0].event, BookingFactory()
    before = digest_of_all_tables()

    asked = act(superuser_client, "cancel_events", event, query="")

    assert lines(asked) == [
        "Cancels Gala with all its bookings: 4 tickets held, 3 bookings waiting.",
        "This cannot be undone.",
    ]
    assert digest_of_all_tables() == before
    stamp = stamp_of(asked)
    response = act(superuser_client, "cancel_events", event, confirm="yes", stamp=stamp)
    assert said(response) == ["Events cancelled: 1. Already cancelled before: 0."]
    assert statuses(*line, other) == ["cancelled"] * 5 + ["completed"]
    assert counts(event) == (4, 4, 0, 0)
    assert Event.objects.get(pk=event.pk).deleted_at is not None
    entry = LedgerEntry.objects.get(event=event, kind="event_cancelled")
    assert entry.actor.username == "superuser"
    again = act(superuser_client, "cancel_events", event, confirm="yes", stamp=stamp)
    assert said(again) == [NO_EVENTS]
    assert 'name="confirm"' not in again.content.decode()


def test_bookings_of_which_some_are_cancelled_already_are_said_to_be(superuser_client, line):
    cancel_tickets(line[0])

    response = act(superuser_client, "cancel_bookings", *line[:2])

    assert lines(response)[0] == f"{line[0].reference}, Ada, Gala is cancelled already."


def test_rows_that_are_all_cancelled_already_cannot_be_cancelled(superuser_client, line):
    event = line[0].event
    cancel_event(event.pk, actor=event.created_by)

    bookings, events = act(superuser_client, "cancel_bookings", *line), act(superuser_client, "cancel_events", event)

    assert (said(bookings), said(events)) == ([NO_BOOKINGS], [NO_EVENTS])
    assert [response.redirect_chain for response in (bookings, events)] == [[(url, 302)] for url in LISTS.values()]


@pytest.mark.parametrize(
    ("action", "module", "service"),
    [("cancel_bookings", booking_actions, "cancel_tickets"), ("cancel_events", event_actions, "cancel_event")],
)
def test_busy_says_which_stays(superuser_client, line, monkeypatch, action, module, service):
    def busy(*args, **kwargs):
        raise Busy

    monkeypatch.setattr(module, service, busy)
    row = line[0] if action == "cancel_bookings" else line[0].event
    response = confirm(superuser_client, action, row)

    assert said(response)[0] == f"{row}: {Busy()}"
    assert statuses(line[0]) == ["completed"]
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", LISTS)
def test_too_many_change_nothing(superuser_client, line, monkeypatch, action):
    monkeypatch.setattr(booking_actions.CancelBookings, "limit", 1)
    monkeypatch.setattr(event_actions.CancelEvents, "limit", 1)
    rows = line[:2] if action == "cancel_bookings" else [line[0].event, EventFactory()]

    for response in (
        act(superuser_client, action, *rows),
        act(superuser_client, action, *rows, confirm="yes", stamp=""),
    ):
        things = action.removeprefix("cancel_")
        assert said(response) == [f"Nothing was changed: select at most 1 {things} at once."]
    assert Booking.objects.live().count() == 5
    assert not Event.objects.exclude(deleted_at=None).exists()


@pytest.mark.parametrize("action", LISTS)
@pytest.mark.parametrize("given", ["abc", "", "9" * 30, "-1", "\0"])
@pytest.mark.parametrize("confirmed", [{}, {"confirm": "yes", "stamp": ""}])
def test_what_is_no_row_changes_nothing(superuser_client, line, action, given, confirmed):
    row = line[0] if action == "cancel_bookings" else line[0].event
    chosen = {"action": action, "_selected_action": [given, row.pk]}

    response = superuser_client.post(LISTS[action], chosen | confirmed, follow=True)

    assert said(response) == ["Nothing was changed: select rows of the list."]
    assert Booking.objects.live().count() == 5


# The columns say who may cancel bookings, and events.
MAY = {
    "superuser": (True, True),
    "manager": (True, True),
    "box office": (True, False),
    "plain staff": (False, False),
    "user": (False, False),
    "anonymous": (False, False),
}


@pytest.mark.parametrize("persona", PERSONAS)
def test_cancel_by_role(client, line, persona):
    as_persona(client, persona)
    rows = {"cancel_bookings": line[0], "cancel_events": line[0].event}

    for (action, row), may in zip(rows.items(), MAY[persona], strict=True):
        client.get(LISTS[action], {"action": action, "_selected_action": row.pk, "confirm": "yes"})
        assert Booking.objects.filter(first_name="Bob").live().exists()
        confirm(client, action, row)
        row.refresh_from_db()
        is_gone = row.status == "cancelled" if action == "cancel_bookings" else row.deleted_at is not None
        assert is_gone == may


@pytest.mark.parametrize("action", LISTS)
def test_who_only_looks_is_not_offered_to_cancel(client, line, action):
    viewer = UserFactory(is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__in=["view_booking", "view_event"]))
    client.force_login(viewer)

    assert action not in client.get(LISTS[action]).content.decode()


@pytest.mark.parametrize("action", LISTS)
def test_cancel_without_csrf_token_is_403(line, action):
    client = as_persona(Client(enforce_csrf_checks=True), "superuser")
    row = line[0] if action == "cancel_bookings" else line[0].event

    assert confirm(client, action, row).status_code == 403
    assert statuses(line[0]) == ["completed"]


@pytest.mark.parametrize("chosen", [1, 3])
def test_page_that_asks_costs_the_same_for_any_choice(superuser_client, line, chosen, django_assert_num_queries):
    # The queries are the session, user, list, rows, chosen rows, and for each event its bookings and those that are
    # served, also by name and with their addresses, and whether its holders are told anything.
    with django_assert_num_queries(12):
        act(superuser_client, "cancel_bookings", *line[:chosen])
