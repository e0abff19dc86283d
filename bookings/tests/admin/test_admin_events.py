from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.models import LedgerEntry
from events.models import Event

# Real transactions: the services refuse to run inside another one, which a test's would hide.
pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/events/event/"
ADD = "/admin/events/event/add/"


def fields(**changes):
    """The form as a browser sends it back."""
    moments = {f"{name}_{part}": "" for name in ("date", "sales_start", "sales_end") for part in (0, 1)}
    return {
        "name": "Concert",
        "venue": "",
        "description": "",
        "total_tickets": 10,
        "max_tickets_per_booking": "",
        "waitlist_enabled": "on",
        "waitlist_policy": "first_fit",
        **moments,
        **changes,
    }


def errors(response):
    return response.context["adminform"].form.errors


@pytest.fixture
def seller(client):
    """Staff with some permissions, logged in: call it with their names."""

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


def test_event_add_opens_it_with_its_ledger(box_office):
    response = box_office.post(ADD, fields(date_0="2080-12-01", date_1="19:30:00", venue="Hall"))

    assert response.status_code == 302
    event = Event.objects.get()
    assert (event.name, event.venue, event.date) == ("Concert", "Hall", datetime(2080, 12, 1, 19, 30, tzinfo=UTC))
    assert (event.total_tickets, event.available_tickets, event.version) == (10, 10, 1)
    assert event.created_by == User.objects.get(username="superuser")
    entry = LedgerEntry.objects.get()
    assert (entry.event, entry.kind, entry.sequence, entry.actor) == (event, "opened", 1, event.created_by)
    assert LogEntry.objects.get().object_id == str(event.pk)


def test_event_add_with_empty_sales_window_says_so_at_the_field(box_office):
    window = {
        "sales_start_0": "2080-01-02",
        "sales_start_1": "00:00",
        "sales_end_0": "2080-01-01",
        "sales_end_1": "00:00",
    }

    response = box_office.post(ADD, fields(name="Kept", **window))

    assert response.status_code == 200
    assert errors(response) == {"sales_end": ["Sales must end after they start."]}
    assert 'value="Kept"' in response.content.decode()
    assert not Event.objects.exists()
    assert not LogEntry.objects.exists()


def test_event_add_of_counts_is_ignored(box_office):
    box_office.post(ADD, fields(available_tickets=3, waitlisted_count=7, ledger_sequence=9, version=5))

    event = Event.objects.get()
    assert (event.available_tickets, event.waitlisted_count, event.ledger_sequence, event.version) == (10, 0, 1, 1)
