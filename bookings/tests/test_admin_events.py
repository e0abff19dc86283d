from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.admin import events as page
from bookings.models import Booking, LedgerEntry
from bookings.services.events import cancel_event, change_event
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event
from ticks.transactions import Busy

# Real transactions: the services refuse to run inside another one, which a test's would hide.
pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/events/event/"
ADD = "/admin/events/event/add/"


def change_url(event):
    return f"/admin/events/event/{event.pk}/change/"


def fields(event=None, **changes):
    """The form as a browser sends it back."""
    moments = {name: getattr(event, name, None) for name in ("date", "sales_start", "sales_end")}
    return {
        "name": event.name if event else "Concert",
        "venue": event.venue if event else "",
        "description": event.description.replace("\n", "\r\n") if event else "",
        "total_tickets": event.total_tickets if event else 10,
        "max_tickets_per_booking": "",
        "waitlist_enabled": "on",
        "waitlist_policy": "first_fit",
        "seen_version": event.version if event else "",
        **{f"{name}_0": f"{moment:%Y-%m-%d}" if moment else "" for name, moment in moments.items()},
        **{f"{name}_1": f"{moment:%H:%M:%S}" if moment else "" for name, moment in moments.items()},
        **changes,
    }


def act(client, action, *events, **posted):
    return client.post(LIST, {"action": action, "_selected_action": [event.pk for event in events], **posted})


def errors(response):
    return response.context["adminform"].form.errors


def said(response):
    return [str(message) for message in response.context["messages"]]


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
    event = EventFactory()
    if is_known:
        client.force_login(UserFactory())

    for url in (LIST, ADD, change_url(event)):
        response = client.get(url)

        assert response.status_code == 302
        assert response["Location"] == f"/admin/login/?next={url}"


def test_events_without_permission_is_403(seller):
    event = EventFactory()
    client = seller("view_booking")

    assert client.get(LIST).status_code == 403
    assert client.post(change_url(event), fields(event, name="Other")).status_code == 403
    event.refresh_from_db()
    assert event.name != "Other"


def test_event_list_shows_how_each_event_stands(box_office):
    now = timezone.now()
    EventFactory(name="Open", total_tickets=10)
    BookingFactory(event=EventFactory(name="Full", total_tickets=2), tickets=2)
    EventFactory(name="Later", sales_start=now + timedelta(days=1))
    EventFactory(name="Over", sales_end=now - timedelta(days=1))
    gone = EventFactory(name="Gone")
    cancel_event(gone.pk, actor=gone.created_by)

    rows = {
        state: [
            event.name for event in box_office.get(LIST, {"state": state} if state else {}).context["cl"].result_list
        ]
        for state in ("", "on_sale", "sold_out", "not_open", "closed", "cancelled")
    }

    assert rows == {
        "": ["Over", "Later", "Full", "Open"],
        "on_sale": ["Open"],
        "sold_out": ["Full"],
        "not_open": ["Later"],
        "closed": ["Over"],
        "cancelled": ["Gone"],
    }
    content = box_office.get(LIST).content.decode()
    assert '<td class="field-state">Sold out</td><td class="field-held">2 / 2</td>' in content


@pytest.mark.parametrize("rows", [1, 3])
def test_event_list_costs_the_same_for_any_length(box_office, rows, django_assert_num_queries):
    for _ in range(rows):
        BookingFactory(event=EventFactory())

    # Session, user, count, rows.
    with django_assert_num_queries(4):
        box_office.get(LIST)


def test_event_search_finds_name_and_venue(box_office):
    EventFactory(name="Matinée", venue="Brewery")
    EventFactory(name="Other")

    for term in ("matin", "brew"):
        assert [event.name for event in box_office.get(LIST, {"q": term}).context["cl"].result_list] == ["Matinée"]


def test_event_add_opens_it_with_its_ledger(box_office):
    response = box_office.post(ADD, fields(date_0="2030-12-01", date_1="19:30:00", venue="Hall"))

    assert response.status_code == 302
    event = Event.objects.get()
    assert (event.name, event.venue, event.date) == ("Concert", "Hall", datetime(2030, 12, 1, 19, 30, tzinfo=UTC))
    assert (event.total_tickets, event.available_tickets, event.version) == (10, 10, 1)
    assert event.created_by == User.objects.get(username="superuser")
    entry = LedgerEntry.objects.get()
    assert (entry.event, entry.kind, entry.sequence, entry.actor) == (event, "opened", 1, event.created_by)
    assert LogEntry.objects.get().object_id == str(event.pk)


def test_event_add_with_empty_sales_window_says_so_at_the_field(box_office):
    window = {
        "sales_start_0": "2030-01-02",
        "sales_start_1": "00:00",
        "sales_end_0": "2030-01-01",
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


def test_event_change_saves_what_was_edited_and_nothing_else(box_office):
    event = EventFactory(
        name="Old", description="One\nTwo", sales_start=datetime(2020, 1, 1, 1, 1, 1, 123456, tzinfo=UTC)
    )

    response = box_office.post(change_url(event), fields(event, name="New"))

    assert response.status_code == 302
    before = event
    event = Event.objects.get()
    assert (event.name, event.version) == ("New", 2)
    assert (event.description, event.sales_start) == (before.description, before.sales_start)
    assert (event.total_tickets, event.available_tickets, event.ledger_sequence) == (10, 10, 1)
    assert LogEntry.objects.get().get_change_message() == "Changed Name."


def test_event_change_of_nothing_keeps_the_version(box_office):
    event = EventFactory(description="One\nTwo")

    response = box_office.post(change_url(event), fields(event))

    assert response.status_code == 302
    event.refresh_from_db()
    assert event.version == 1


def test_event_change_of_total_serves_the_waitlist(box_office):
    event = EventFactory(total_tickets=2)
    BookingFactory(event=event, tickets=2)
    waiting = BookingFactory(event=event, tickets=2)
    event.refresh_from_db()

    response = box_office.post(change_url(event), fields(event, total_tickets=5))

    assert response.status_code == 302
    event.refresh_from_db()
    waiting.refresh_from_db()
    assert (event.total_tickets, event.available_tickets, event.waitlisted_count) == (5, 1, 0)
    assert waiting.status == "completed"


def test_event_change_of_total_below_available_is_saved(box_office):
    event = EventFactory(total_tickets=10)
    BookingFactory(event=event, tickets=2)

    response = box_office.post(change_url(event), fields(event, total_tickets=3))

    assert response.status_code == 302
    event.refresh_from_db()
    assert (event.total_tickets, event.available_tickets) == (3, 1)


def test_event_change_of_total_below_held_says_so_at_the_field(box_office):
    event = EventFactory(total_tickets=10)
    BookingFactory(event=event, tickets=4)

    response = box_office.post(change_url(event), fields(event, total_tickets=3, venue="Kept"))

    assert response.status_code == 200
    assert errors(response) == {
        "total_tickets": ["4 tickets are held; the total cannot be lower. Cancel bookings first."]
    }
    assert 'value="Kept"' in response.content.decode()
    event.refresh_from_db()
    assert (event.total_tickets, event.available_tickets, event.venue, event.version) == (10, 6, "", 1)
    assert not LogEntry.objects.exists()


def test_event_change_from_a_stale_page_is_refused_with_input_kept(box_office):
    event = EventFactory(name="Old", venue="Hall")
    seen = fields(event, name="Mine")
    change_event(event.pk, changes={"venue": "Theirs"}, actor=event.created_by)

    for _ in range(2):
        response = box_office.post(change_url(event), seen)

        assert response.status_code == 200
        assert "Somebody changed this event in the meantime" in errors(response)["__all__"][0]
        assert errors(response)["name"] == ["Stored now: Old"]
        assert errors(response)["venue"] == ["Stored now: Theirs"]
        assert 'value="Mine"' in response.content.decode()
    event.refresh_from_db()
    assert (event.name, event.venue, event.version) == ("Old", "Theirs", 2)
    assert not LogEntry.objects.exists()


def test_event_change_overtaken_while_saving_is_refused(box_office, monkeypatch):
    event = EventFactory(name="Old")

    def overtaken(event_id, **kwargs):
        change_event(event_id, changes={"name": "Theirs"}, actor=event.created_by)
        return change_event(event_id, **kwargs)

    monkeypatch.setattr(page, "change_event", overtaken)
    response = box_office.post(change_url(event), fields(event, name="Mine"))

    assert response.status_code == 200
    assert errors(response)["name"] == ["Stored now: Theirs"]
    event.refresh_from_db()
    assert (event.name, event.version) == ("Theirs", 2)
    assert not LogEntry.objects.exists()


def test_event_change_while_busy_asks_to_try_again(box_office, monkeypatch):
    event = EventFactory(name="Old")

    def busy(*args, **kwargs):
        raise Busy

    monkeypatch.setattr(page, "change_event", busy)
    response = box_office.post(change_url(event), fields(event, name="Mine"))

    assert response.status_code == 200
    assert errors(response) == {"__all__": [str(Busy())]}
    assert not LogEntry.objects.exists()


def test_event_change_of_a_cancelled_event_says_so(box_office):
    event = EventFactory(name="Old")
    cancel_event(event.pk, actor=event.created_by)

    response = box_office.post(change_url(event), fields(event, name="Mine"), follow=True)

    assert response.redirect_chain == [(change_url(event), 302)]
    assert said(response) == ["This event was cancelled in the meantime; nothing was saved."]
    assert 'name="_save"' not in response.content.decode()
    event.refresh_from_db()
    assert event.name == "Old"


def test_event_change_without_csrf_token_is_403(admin_user):
    client = Client(enforce_csrf_checks=True)
    admin_user.is_superuser = True
    admin_user.save()
    client.force_login(admin_user)
    event = EventFactory(name="Old")

    response = client.post(change_url(event), fields(event, name="Mine"))

    assert response.status_code == 403
    event.refresh_from_db()
    assert event.name == "Old"


def test_event_page_for_viewers_has_nothing_to_save(seller):
    event = EventFactory(name="Old")
    client = seller("view_event")

    response = client.get(change_url(event))

    assert response.status_code == 200
    assert 'name="_save"' not in response.content.decode()
    assert "seen_version" not in response.content.decode()
    assert client.post(change_url(event), fields(event, name="Mine")).status_code == 403


def test_event_delete_is_403(box_office):
    event = EventFactory()

    assert box_office.post(f"/admin/events/event/{event.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Event.objects.filter(pk=event.pk, deleted_at=None).exists()


def capacity(event, total, **changes):
    """One row of the capacity page as a browser sends it back."""
    row = {"total_tickets": total, "version": event.version}
    hidden = {f"initial-event-{event.pk}-total_tickets": event.total_tickets}
    return {**{f"event-{event.pk}-{name}": value for name, value in row.items()}, **hidden, **changes}


def test_capacity_page_changes_nothing(box_office):
    event = EventFactory(total_tickets=10)

    response = act(box_office, "change_capacity", event, **capacity(event, 20))

    assert response.status_code == 200
    assert "Now 10 in total, 0 held" in " ".join(response.content.decode().split())
    event.refresh_from_db()
    assert (event.total_tickets, event.version) == (10, 1)


def test_capacity_changes_touched_rows_and_shows_refused_ones_again(box_office):
    bigger = EventFactory(total_tickets=3)
    BookingFactory(event=bigger, tickets=3)
    waiting = BookingFactory(event=bigger, tickets=3)
    full = EventFactory(name="Full house", total_tickets=5)
    BookingFactory(event=full, tickets=5)
    untouched = EventFactory(total_tickets=7)
    rows = capacity(bigger, 6) | capacity(full, 2) | capacity(untouched, 7)
    change_event(untouched.pk, changes={"total_tickets": 8}, actor=untouched.created_by)

    response = act(box_office, "change_capacity", bigger, full, untouched, confirmed="yes", **rows)

    assert response.status_code == 200
    [row] = response.context["forms"]
    assert row.event == full
    assert row.errors == {"total_tickets": ["5 tickets are held; the total cannot be lower. Cancel bookings first."]}
    totals = dict(Event.objects.values_list("pk", "total_tickets"))
    assert totals == {bigger.pk: 6, full.pk: 5, untouched.pk: 8}
    waiting.refresh_from_db()
    assert waiting.status == "completed"
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(bigger.pk)]


def test_capacity_from_a_stale_page_is_shown_again_before_it_counts(box_office):
    event = EventFactory(total_tickets=10)
    rows = capacity(event, 20)
    change_event(event.pk, changes={"total_tickets": 15}, actor=event.created_by)

    response = act(box_office, "change_capacity", event, confirmed="yes", **rows)

    [row] = response.context["forms"]
    assert "Somebody changed this event in the meantime" in row.errors["total_tickets"][0]
    event.refresh_from_db()
    assert (event.total_tickets, event.version) == (15, 2)

    again = {form_field.html_name: form_field.value() for form_field in row}
    hidden = {f"initial-event-{event.pk}-total_tickets": 15}
    response = act(box_office, "change_capacity", event, confirmed="yes", **again, **hidden)

    assert response.status_code == 302
    event.refresh_from_db()
    assert (event.total_tickets, event.version) == (20, 3)


@pytest.mark.parametrize("total", ["", "0", "many", "1000001"])
def test_capacity_that_is_no_count_is_refused(box_office, total):
    event = EventFactory(total_tickets=10)

    response = act(box_office, "change_capacity", event, confirmed="yes", **capacity(event, total))

    assert response.status_code == 200
    assert list(response.context["forms"][0].errors) == ["total_tickets"]
    event.refresh_from_db()
    assert (event.total_tickets, event.version) == (10, 1)


def test_cancel_events_asks_first(box_office):
    event = EventFactory(name="Reading")
    BookingFactory(event=event, tickets=3)

    response = act(box_office, "cancel_events", event)

    assert response.status_code == 200
    assert "Reading: 3 tickets held, 0 bookings waiting" in response.content.decode()
    event.refresh_from_db()
    assert event.deleted_at is None


def test_cancel_events_cancels_them_with_their_bookings(box_office):
    event = EventFactory(total_tickets=2)
    BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=1)
    gone = EventFactory()
    cancel_event(gone.pk, actor=gone.created_by)
    other = BookingFactory()

    response = box_office.post(
        LIST,
        {"action": "cancel_events", "_selected_action": [event.pk, gone.pk], "confirmed": "yes"},
        follow=True,
    )

    assert said(response) == ["Events cancelled: 1. Already cancelled before: 1."]
    event.refresh_from_db()
    assert event.deleted_at is not None
    assert (event.available_tickets, event.waitlisted_count) == (2, 0)
    assert set(Booking.objects.filter(event=event).values_list("status", flat=True)) == {"cancelled"}
    other.refresh_from_db()
    assert other.status == "completed"
    entry = LedgerEntry.objects.get(event=event, kind="event_cancelled")
    assert entry.actor.username == "superuser"


@pytest.mark.parametrize("action", ["cancel_events", "change_capacity"])
def test_event_actions_by_get_or_without_permission_change_nothing(box_office, seller, action):
    event = EventFactory(total_tickets=10)
    posted = {"action": action, "_selected_action": [event.pk], "confirmed": "yes", **capacity(event, 20)}

    box_office.get(LIST, posted)
    seller("view_event").post(LIST, posted)

    event.refresh_from_db()
    assert (event.deleted_at, event.total_tickets, event.version) == (None, 10, 1)


def test_event_actions_on_too_many_change_nothing(box_office, monkeypatch):
    monkeypatch.setattr(page, "MAX_EVENTS_AT_ONCE", 1)
    events = [EventFactory(), EventFactory()]

    response = box_office.post(
        LIST,
        {"action": "cancel_events", "_selected_action": [event.pk for event in events], "confirmed": "yes"},
        follow=True,
    )

    assert said(response) == ["Nothing was changed: select at most 1 events at once."]
    assert Event.objects.standing().count() == 2
