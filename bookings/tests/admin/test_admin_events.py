from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import OperationalError

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.models import LedgerEntry
from bookings.services import events
from bookings.tests.admin.confirming import errors, fields_of, lines, said
from events.models import Event
from ticks.db.transactions import Busy

# The transactions are real, since services refuse to run inside another one, which a test's own would hide.
pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/events/event/"
ADD = "/admin/events/event/add/"


def fields(**changes):
    """The form as a browser sends it back."""
    return {
        "name": "Concert",
        "total_tickets": 10,
        "waitlist_enabled": "on",
        "waitlist_policy": "first_fit",
        **dict.fromkeys(("venue", "description", "date", "sales_start", "sales_end"), ""),
        **dict.fromkeys(("max_tickets_per_booking", "max_tickets_per_person"), ""),
        **changes,
    }


def look(client, **changes):
    return client.post(ADD, fields_of(client.get(ADD)) | fields(**changes))


def confirm(client, shown):
    return client.post(ADD, fields_of(shown) | {"confirm": "yes"}, follow=True)


@pytest.fixture
def seller(client):
    """Gives a function that logs in staff with the named permissions."""

    def log_in(*codenames):
        user = UserFactory(is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


@pytest.mark.parametrize("is_known", [True, False])
def test_events_without_staff_status_leads_to_login(client, is_known):
    if is_known:
        client.force_login(UserFactory())

    for url in (LIST, ADD):
        response = client.get(url)

        assert response.status_code == 302
        assert response["Location"] == f"/admin/login/?next={url}"


def test_events_without_permission_is_403(seller):
    client = seller("view_booking")

    assert client.get(LIST).status_code == 403
    assert client.post(ADD, fields()).status_code == 403
    assert not Event.objects.exists()


def test_event_add_is_shown_first_and_opens_it_with_its_ledger(superuser_client):
    shown = look(superuser_client, date="2080-12-01T19:30", sales_end="2080-12-01T18:00", venue="Hall")

    assert lines(shown) == [
        "Concert, 1 Dec 2080, 19:30 UTC, is created with 10 tickets.",
        "Sales are open until 1 Dec 2080, 18:00 UTC: anybody can book.",
    ]
    assert not Event.objects.exists()
    done = confirm(superuser_client, shown)
    event = Event.objects.get()
    assert (said(done), done.redirect_chain) == (["Created 1 event: Concert."], [(f"{LIST}{event.pk}/", 302)])
    assert (event.name, event.venue, event.date) == ("Concert", "Hall", datetime(2080, 12, 1, 19, 30, tzinfo=UTC))
    assert (event.total_tickets, event.available_tickets, event.version) == (10, 10, 1)
    assert event.created_by == User.objects.get(username="superuser")
    entry = LedgerEntry.objects.get()
    assert (entry.event, entry.kind, entry.sequence, entry.actor) == (event, "opened", 1, event.created_by)
    assert LogEntry.objects.get().object_id == str(event.pk)


def test_event_add_confirmed_twice_adds_once(superuser_client):
    shown = look(superuser_client)

    first, second = confirm(superuser_client, shown), confirm(superuser_client, shown)

    twice = "This page has created 1 event already: Concert. Nothing was created a second time."
    assert (said(first), said(second)) == (["Created 1 event: Concert."], [twice])
    assert second.redirect_chain == first.redirect_chain
    assert Event.objects.count() == LogEntry.objects.count() == 1


def test_event_add_page_that_was_confirmed_adds_another_for_other_input_alone(superuser_client):
    shown = look(superuser_client)
    confirm(superuser_client, shown)
    back = superuser_client.post(ADD, fields_of(shown) | {"name": "Ball"})

    refused = confirm(superuser_client, back)

    assert errors(refused) == {
        "__all__": [
            "This page was confirmed already, with other input. Look whether you want this as well, and confirm again."
        ]
    }
    assert Event.objects.count() == 1
    assert said(confirm(superuser_client, superuser_client.post(ADD, fields_of(refused)))) == ["Created 1 event: Ball."]


def test_event_add_confirmed_twice_in_two_sessions_adds_once(superuser_client):
    shown = look(superuser_client)
    confirm(superuser_client, shown)
    superuser_client.force_login(User.objects.get(username="superuser"))

    confirm(superuser_client, shown)

    assert Event.objects.count() == 1


@pytest.mark.parametrize("carried_out", [True, False])
def test_event_add_whose_commit_was_not_answered_adds_once(superuser_client, commits, carried_out):
    shown = look(superuser_client)
    lost = OperationalError(2013, "Lost connection to server during query")
    commits(lost, lost, lost, carried_out=carried_out)

    confirm(superuser_client, shown)
    confirm(superuser_client, shown)

    assert Event.objects.count() == LedgerEntry.objects.count() == 1


@pytest.mark.parametrize("field", ["name", "venue", "description"])
def test_event_add_with_control_characters_is_refused(superuser_client, field):
    sentence = (
        "Control characters other than line breaks and tabs are not allowed."
        if field == "description"
        else "Control characters such as line breaks are not allowed."
    )

    response = look(superuser_client, **{field: "A\x07B"})

    assert errors(response) == {field: [sentence]}
    assert not Event.objects.exists()


def test_event_add_with_lines_and_tabs_in_its_description_is_right(superuser_client):
    confirm(superuser_client, look(superuser_client, description="One\r\n\tTwo"))

    assert Event.objects.get().description == "One\n\tTwo"


def test_event_add_of_one_that_there_is_says_so(superuser_client):
    confirm(superuser_client, look(superuser_client, date="2080-12-01T19:30"))

    again = look(superuser_client, date="2080-12-01T19:30")

    assert lines(again)[-1] == "There is an event of this name and date already."


def test_event_add_with_empty_sales_window_says_so_at_the_field(superuser_client):
    response = look(superuser_client, name="Kept", sales_start="2080-01-02T00:00", sales_end="2080-01-01T00:00")

    assert errors(response) == {"sales_end": ["Sales must end after they start."]}
    assert fields_of(response)["name"] == ["Kept"]
    assert not Event.objects.exists()
    assert not LogEntry.objects.exists()


def test_event_add_that_the_database_refuses_keeps_the_input_and_can_be_sent_again(superuser_client, monkeypatch):
    def refuse(*args, **kwargs):
        raise Busy

    shown = look(superuser_client, name="Kept")
    with monkeypatch.context() as patch:
        patch.setattr(events, "insert_event", refuse)
        refused = confirm(superuser_client, shown)

    assert errors(refused) == {"__all__": [Busy.message]}
    again = superuser_client.post(ADD, fields_of(refused))
    assert said(confirm(superuser_client, again)) == ["Created 1 event: Kept."]


def test_event_add_of_counts_is_ignored(superuser_client):
    shown = look(superuser_client, available_tickets=3, waitlisted_count=7, ledger_sequence=9, version=5)

    confirm(superuser_client, shown)

    event = Event.objects.get()
    assert (event.available_tickets, event.waitlisted_count, event.ledger_sequence, event.version) == (10, 0, 1, 1)


def test_event_add_proposes_ten_tickets_a_booking(superuser_client):
    assert fields_of(superuser_client.get(ADD))["max_tickets_per_booking"] == ["10"]
