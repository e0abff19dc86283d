import pytest
from django.db import connection

from accounts.tests.factories import UserFactory
from bookings.admin.formatting import describe_entry
from bookings.admin.ledger import LedgerAdmin
from bookings.models import LedgerEntry
from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/bookings/ledgerentry/"


@pytest.mark.parametrize("is_known", [True, False])
def test_ledger_without_staff_status_leads_to_login(client, is_known):
    if is_known:
        client.force_login(UserFactory())

    response = client.get(LIST)

    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={LIST}"


def test_ledger_list_says_what_happened_in_plain_words(superuser_client):
    booking = BookingFactory(event=EventFactory(name="Gala", total_tickets=2), tickets=2)
    BookingFactory(event=booking.event, user=None, first_name="Grace", last_name="Hopper")
    cancel_tickets(booking, actor=booking.user)

    response = superuser_client.get(LIST)

    assert [describe_entry(entry) for entry in response.context["cl"].result_list] == [
        "Grace Hopper was promoted, 1 ticket",
        "Ada Lovelace cancelled 2 tickets",
        "Grace Hopper joined the waitlist for 1 ticket",
        "Ada Lovelace booked 2 tickets",
        f"{booking.event.created_by} opened the event with 2 tickets",
    ]
    content = response.content.decode()
    assert "Grace Hopper was promoted, 1 ticket</a>" in content
    assert f'<a href="/admin/bookings/booking/{booking.pk}/">{booking.reference}</a>' in content
    assert f'<a href="/admin/events/event/{booking.event_id}/">Gala</a>' in content


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ({"event": "chamber"}, ["booked", "opened"]),
        ({"event": "{event}"}, ["booked", "opened"]),
        ({"event": "chamber", "kind": "booked"}, ["booked"]),
        ({"kind": "opened"}, ["opened", "opened"]),
        ({"kind": "cancelled"}, []),
        ({"booking": "{reference}"}, ["booked"]),
        ({"booking": "{booking}"}, ["booked"]),
        ({"booking": "{reference}", "kind": "cancelled"}, []),
        ({"since": "2001-01-01", "until": "2001-01-02"}, []),
        ({"since": "2001-01-01", "event": "chamber"}, ["booked", "opened"]),
    ],
)
def test_ledger_list_filters(superuser_client, query, kinds):
    booking = BookingFactory(event=EventFactory(name="Chamber night"))
    BookingFactory(event=EventFactory(name="Gala"))
    known = {"event": booking.event_id, "booking": booking.pk, "reference": booking.reference.lower()}

    listed = superuser_client.get(LIST, {name: value.format(**known) for name, value in query.items()}).context["cl"]

    assert [entry.kind for entry in listed.result_list] == kinds


def test_ledger_list_says_what_it_does_not_know(superuser_client):
    BookingFactory()

    content = superuser_client.get(LIST, {"booking": "nobody", "kind": "x", "event": "none such"}).content.decode()

    assert "No booking has this number or reference." in content
    assert "No event has this number, or this in its name." in content
    assert 'value="nobody"' in content


@pytest.mark.parametrize("query", ["", "?event={event}", "?event={event}&kind=booked"])
def test_ledger_pages_lead_from_one_to_the_next_and_back(superuser_client, monkeypatch, query):
    monkeypatch.setattr(LedgerAdmin, "list_per_page", 2)
    event = EventFactory()
    for _ in range(5):
        BookingFactory(event=event)
    query = query.format(event=event.pk)
    rows = LedgerEntry.objects.filter(kind="booked") if "kind" in query else LedgerEntry.objects.all()
    expected = list(rows.order_by("-pk").values_list("pk", flat=True))

    there = walk(superuser_client, LIST + query, "Older")
    back = walk(superuser_client, LIST + superuser_client.get(LIST + query).context["cl"].page_links["Oldest"], "Newer")

    assert [pk for page in there for pk in page] == expected
    # The beginning is a whole page, even if some of its rows were on the page before.
    assert list(dict.fromkeys(pk for page in back[::-1] for pk in page)) == expected


def walk(client, url, direction):
    """The ids of page after page."""
    pages = []
    for _ in range(10):
        listed = client.get(url).context["cl"]
        pages.append([row.pk for row in listed.result_list])
        if direction not in listed.page_links:
            return pages
        url = LIST + listed.page_links[direction]
    raise AssertionError("The pages have no end.")


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("query", "queries"),
    # The queries are the session, user, rows, and their events, bookings and actors, and what staff chose for their
    # mails. Each filter adds its own: the event; the ends of the table, samples; the bookings.
    [("", 7), ("?event={event}", 8), ("?since=2026-01-01", 10), ("?kind=booked", 9), ("?booking={booking}", 8)],
)
def test_ledger_list_costs_the_same_for_any_length(superuser_client, rows, query, queries, django_assert_num_queries):
    bookings = [BookingFactory() for _ in range(rows)]
    url = LIST + query.format(event=bookings[0].event_id, booking=bookings[0].reference)
    # A time limit takes two more queries if the database has one.
    limits = 2 if ("kind" in query or "since" in query) and connection.vendor == "mysql" else 0

    with django_assert_num_queries(queries + limits):
        superuser_client.get(url)


def test_ledger_entry_is_for_reading(superuser_client):
    BookingFactory()
    entry = LedgerEntry.objects.get(kind="booked")
    url = f"{LIST}{entry.pk}/change/"

    response = superuser_client.get(url)

    assert response.status_code == 200
    assert 'name="_save"' not in response.content.decode()
    assert superuser_client.post(url, {"tickets": 5}).status_code == 403
    assert superuser_client.get(f"{LIST}add/").status_code == 403
    assert superuser_client.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    superuser_client.post(LIST, {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert LedgerEntry.objects.get(pk=entry.pk).tickets == 1
    assert LedgerEntry.objects.count() == 2
