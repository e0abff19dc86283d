import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission

from accounts.tests.factories import UserFactory
from bookings.admin import bookings as page
from bookings.models import Booking, LedgerEntry
from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.transactions import Busy

# Real transactions: the services refuse to run inside another one, which a test's would hide.
pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/bookings/booking/"


def cancel(client, *bookings, query="", **posted):
    """The action, confirmed unless told otherwise, and the page after it."""
    posted = {"confirmed": "yes", **posted}
    ids = [booking.pk for booking in bookings]
    return client.post(LIST + query, {"action": "cancel_bookings", "_selected_action": ids, **posted}, follow=True)


def said(response):
    return [str(message) for message in response.context["messages"]]


def found(client, **query):
    return list(client.get(LIST, query).context["cl"].result_list)


@pytest.mark.parametrize("is_known", [True, False])
def test_bookings_without_staff_status_leads_to_login(client, is_known):
    booking = BookingFactory()
    if is_known:
        client.force_login(UserFactory())

    response = client.get(LIST)

    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={LIST}"
    assert cancel(client, booking).redirect_chain[0][0].startswith("/admin/login/")
    booking.refresh_from_db()
    assert booking.status == "completed"


def test_booking_list_shows_places_in_line(box_office):
    event = EventFactory(name="Chamber night", total_tickets=1)
    held, first, second = (BookingFactory(event=event) for _ in range(3))

    response = box_office.get(LIST)

    positions = {booking.pk: booking.waitlist_position for booking in response.context["cl"].result_list}
    assert positions == {held.pk: None, first.pk: 1, second.pk: 2}
    content = response.content.decode()
    assert '<td class="field-short_status">Waitlisted</td><td class="field-position">2</td>' in content
    assert "Chamber night" in content


@pytest.mark.parametrize("rows", [1, 3])
def test_booking_list_costs_the_same_for_any_length(box_office, rows, django_assert_num_queries):
    for _ in range(rows):
        event = EventFactory(total_tickets=1)
        BookingFactory(event=event)
        BookingFactory(event=event)

    # Session, user, count, rows, positions.
    with django_assert_num_queries(5):
        box_office.get(LIST)


def test_booking_search_finds_by_any_name_in_any_case(box_office):
    event = EventFactory(name="Chamber night")
    user = UserFactory(username="Grace")
    booking = BookingFactory(event=event, user=user, first_name="José", last_name="Núñez", email="jose@example.org")
    BookingFactory()

    terms = [booking.reference, booking.reference.lower(), booking.reference[:5].lower(), "josé núñez", "CHAMBER"]
    for term in [*terms, "JOSE@example.org", "gRACE", "Núñez chamber"]:
        assert found(box_office, q=term) == [booking], term
    assert found(box_office, q="José Nobody") == []


def test_booking_list_filters_by_status_and_event(box_office):
    held = BookingFactory(event=EventFactory(total_tickets=1))
    waiting = BookingFactory(event=held.event)

    assert found(box_office, status__exact="waitlisted") == [waiting]
    assert found(box_office, event__id__exact=held.event_id) == [waiting, held]
    assert found(box_office, event__id__exact=0) == []


def test_booking_page_is_for_reading(box_office):
    booking = BookingFactory(user=None)
    url = f"{LIST}{booking.pk}/change/"

    response = box_office.get(url)

    assert response.status_code == 200
    content = response.content.decode()
    assert booking.reference in content
    assert booking.token_hash not in content
    assert 'name="_save"' not in content
    posted = {"first_name": "Other", "status": "cancelled", "tickets_reserved": 5, "_save": "Save"}
    assert box_office.post(url, posted).status_code == 403
    assert box_office.get(f"{LIST}add/").status_code == 403
    assert box_office.post(f"{LIST}{booking.pk}/delete/", {"post": "yes"}).status_code == 403
    booking.refresh_from_db()
    assert (booking.first_name, booking.status, booking.tickets_reserved) == ("Ada", "completed", 1)


def test_cancel_bookings_asks_first(box_office):
    booking = BookingFactory(tickets=2)

    response = box_office.post(LIST, {"action": "cancel_bookings", "_selected_action": [booking.pk]})

    assert response.status_code == 200
    assert f"{booking.reference}, Ada Lovelace, {booking.event}: 2 tickets, completed" in response.content.decode()
    booking.refresh_from_db()
    assert booking.status == "completed"
    assert not LogEntry.objects.exists()


def test_cancel_bookings_page_lists_some_and_counts_the_rest(box_office, monkeypatch):
    monkeypatch.setattr("bookings.admin.selection.SHOWN", 2)
    event = EventFactory()
    bookings = [BookingFactory(event=event) for _ in range(3)]

    response = box_office.post(
        LIST, {"action": "cancel_bookings", "_selected_action": [booking.pk for booking in bookings]}
    )

    content = response.content.decode()
    assert content.count(", Ada Lovelace, ") == 2
    assert "and 1 more" in content
    assert content.count('name="_selected_action"') == 3


def test_cancel_bookings_counts_cancelled_already_and_served(box_office):
    event = EventFactory(total_tickets=4)
    first, second = BookingFactory(event=event, tickets=2), BookingFactory(event=event, tickets=2)
    waiting = [BookingFactory(event=event) for _ in range(3)]
    gone = BookingFactory()
    cancel_tickets(gone)

    response = cancel(box_office, first, gone)

    assert said(response) == [
        "Bookings cancelled: 1. Already cancelled before: 1. Waiting bookings served with their tickets: 2."
    ]
    assert statuses(first, second, *waiting) == ["cancelled", "completed", "completed", "completed", "waitlisted"]
    event.refresh_from_db()
    assert (event.available_tickets, event.waitlisted_count) == (0, 1)
    entry = LedgerEntry.objects.get(booking=first, kind="cancelled")
    assert (entry.tickets, entry.actor.username) == (2, "superuser")
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(first.pk)]


def test_cancel_bookings_serves_nobody_of_the_selection(box_office):
    event = EventFactory(total_tickets=1)
    held = BookingFactory(event=event)
    selected = [BookingFactory(event=event) for _ in range(2)]
    other = BookingFactory(event=event)

    response = cancel(box_office, held, *selected)

    assert said(response) == [
        "Bookings cancelled: 3. Already cancelled before: 0. Waiting bookings served with their tickets: 1."
    ]
    assert statuses(held, *selected, other) == ["cancelled", "cancelled", "cancelled", "completed"]
    assert LedgerEntry.objects.filter(kind="promoted").count() == 1


def test_cancel_bookings_takes_what_was_confirmed_whatever_the_filter_says_now(box_office):
    event = EventFactory(total_tickets=1)
    held, waiting = BookingFactory(event=event), BookingFactory(event=event)
    cancel_tickets(held)

    response = cancel(box_office, waiting, query="?status__exact=waitlisted")

    assert said(response)[0].startswith("Bookings cancelled: 1.")
    assert statuses(waiting) == ["cancelled"]


def test_cancel_bookings_while_busy_says_which_stays(box_office, monkeypatch):
    booking = BookingFactory()

    def busy(*args, **kwargs):
        raise Busy

    monkeypatch.setattr(page, "cancel_tickets", busy)
    response = cancel(box_office, booking)

    assert said(response)[0] == f"{booking.reference}: {Busy()}"
    assert not LogEntry.objects.exists()
    assert statuses(booking) == ["completed"]


def test_cancel_bookings_by_get_or_without_permission_changes_nothing(box_office):
    booking = BookingFactory()
    viewer = UserFactory(is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_booking"))

    box_office.get(LIST, {"action": "cancel_bookings", "_selected_action": [booking.pk], "confirmed": "yes"})
    box_office.force_login(viewer)
    cancel(box_office, booking)

    assert "cancel_bookings" not in box_office.get(LIST).content.decode()
    assert statuses(booking) == ["completed"]


def test_cancel_of_too_many_bookings_changes_nothing(box_office, monkeypatch):
    monkeypatch.setattr(page, "MAX_BOOKINGS_AT_ONCE", 1)
    bookings = [BookingFactory(), BookingFactory()]

    response = cancel(box_office, *bookings)

    assert said(response) == ["Nothing was changed: select at most 1 bookings at once."]
    assert statuses(*bookings) == ["completed", "completed"]


def statuses(*bookings):
    known = dict(Booking.objects.values_list("pk", "status"))
    return [known[booking.pk] for booking in bookings]


@pytest.mark.parametrize("given", ["abc", "", "9" * 30, "-1"])
def test_cancel_of_what_is_no_row_changes_nothing(box_office, given):
    booking = BookingFactory()

    response = box_office.post(
        "/admin/bookings/booking/", {"action": "cancel_bookings", "_selected_action": [given, booking.pk]}, follow=True
    )

    assert response.status_code == 200
    assert "Nothing was changed: select rows of the list." in response.content.decode()
