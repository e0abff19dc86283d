from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.admin.events.admin import EventAdmin
from bookings.services.events import cancel_event
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/events/event/"


def found(client, **query):
    return [event.name for event in client.get(LIST, query).context["cl"].result_list]


def test_event_list_shows_how_each_event_stands(superuser_client):
    now = timezone.now()
    EventFactory(name="Open", total_tickets=10)
    full = EventFactory(name="Full", total_tickets=2)
    BookingFactory(event=full, tickets=2)
    BookingFactory(event=full, tickets=2)
    EventFactory(name="Later", sales_start=now + timedelta(days=1))
    EventFactory(name="Over", sales_end=now - timedelta(days=1))
    gone = EventFactory(name="Gone")
    cancel_event(gone.pk, actor=gone.created_by)

    states = ("", "on_sale", "sold_out", "not_open", "closed", "cancelled")
    rows = {state: found(superuser_client, **({"state": state} if state else {})) for state in states}

    assert rows == {
        "": ["Over", "Later", "Full", "Open"],
        "on_sale": ["Open"],
        "sold_out": ["Full"],
        "not_open": ["Later"],
        "closed": ["Over"],
        "cancelled": ["Gone"],
    }
    assert found(superuser_client, waits="on") == ["Full"]
    content = superuser_client.get(LIST, {"state": "sold_out"}).content.decode()
    assert '<span class="badge warn">Sold out</span>' in content
    assert '<span class="fill-label">2 / 2</span><svg class="fill full"' in content
    assert '<rect class="held" width="100.0" height="8"/>' in content
    assert '1 <span class="unit">waiting for 2 tickets</span>' in content
    assert f'<a href="/admin/events/event/{full.pk}/">Full</a>' in content
    assert f'<a href="/admin/bookings/booking/?event={full.pk}">Bookings</a>' in content


def test_event_list_finds_by_name_venue_and_number(superuser_client):
    event = EventFactory(name="Matinée", venue="Brewery", date=datetime(2080, 12, 1, 20, tzinfo=UTC))
    EventFactory(name="Other", date=datetime(2080, 12, 2, tzinfo=UTC))

    for term in ("matin", "brew", "matin brew", str(event.pk), f"#{event.pk}"):
        assert found(superuser_client, q=term) == ["Matinée"], term
    assert found(superuser_client, q="matin other") == []
    assert found(superuser_client, since="2080-12-01", until="2080-12-01") == ["Matinée"]
    assert found(superuser_client, since="2080-12-02") == ["Other"]
    assert found(superuser_client, o="6") == ["Matinée", "Other"]
    assert found(superuser_client, o="-6") == ["Other", "Matinée"]


def test_event_list_adds_up_what_it_lists(superuser_client, monkeypatch):
    monkeypatch.setattr(EventAdmin, "list_per_page", 1)
    first = EventFactory(name="First", total_tickets=3)
    BookingFactory(event=first, tickets=3)
    BookingFactory(event=first, tickets=2)
    EventFactory(name="Second", total_tickets=1000)

    listed = superuser_client.get(LIST).context["cl"]

    assert listed.summary == "2 events: 3 of 1,003 tickets held, 1 booking waiting for 2 tickets"
    assert found(superuser_client) == ["Second"]
    assert found(superuser_client, p=2) == ["First"]
    alone = superuser_client.get(LIST, {"q": "second"}).context["cl"].summary
    assert alone == "1 event: 0 of 1,000 tickets held, nobody waits"


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("query", "queries"), [("", 4), ("?q=concert", 4), ("?state=on_sale&since=2000-01-01", 5), ("?o=6", 4)]
)
def test_event_list_costs_the_same_for_any_length(superuser_client, rows, query, queries, django_assert_num_queries):
    for _ in range(rows):
        BookingFactory(event=EventFactory(date=datetime(2080, 1, 1, tzinfo=UTC)))

    # The queries are the session, user, totals, and rows, and for a day the time zones that events have.
    with django_assert_num_queries(queries):
        superuser_client.get(LIST + query)


@pytest.mark.parametrize(
    ("query", "status"),
    [("state=x", 200), ("since=%00", 200), ("p=x", 200), ("p=0", 200), ("name=x", 302), ("o=x", 200)],
)
def test_event_list_takes_any_query_string(superuser_client, query, status):
    EventFactory()

    assert superuser_client.get(f"{LIST}?{query}").status_code == status


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("since=2080-06-02", ["Late in New York"]),
        ("since=2080-06-02&until=2080-06-02", ["Late in New York"]),
        ("until=2080-06-01", ["Early in Tokyo"]),
        ("since=2080-06-01&until=2080-06-01", ["Early in Tokyo"]),
    ],
)
def test_list_is_filtered_by_days_in_the_zone_of_each_event(superuser_client, query, listed):
    EventFactory(name="Late in New York", time_zone="America/New_York", date=datetime(2080, 6, 3, 3, tzinfo=UTC))
    EventFactory(name="Early in Tokyo", time_zone="Asia/Tokyo", date=datetime(2080, 5, 31, 16, tzinfo=UTC))

    response = superuser_client.get(f"{LIST}?{query}")

    assert [event.name for event in response.context["cl"].result_list] == listed
    assert "EDT" in response.content.decode() or "JST" in response.content.decode()
