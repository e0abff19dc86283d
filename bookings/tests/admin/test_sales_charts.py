"""The sales on an event's page: as data for the charts, and as a table for everybody."""

import json
import re
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from bookings.models import SalesHour
from bookings.tests.factories import EventFactory
from events.models import Event

pytestmark = pytest.mark.django_db


def page_of(client, event):
    response = client.get(f"/admin/events/event/{event.pk}/")
    assert response.status_code == 200
    return response.content.decode()


def sold(event, *, hours_ago, bookings=2, tickets=5, held=5, waiting=0):
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    SalesHour.objects.create(event=event, hour=hour, bookings=bookings, tickets=tickets, held=held, waiting=waiting)
    return hour


def rows(page):
    """The cells of the table, row by row."""
    table = page.partition('aria-label="Sales as a table"')[2].partition("</table>")[0]
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in table.split("</tr>")[:-1]]


def test_charts_get_the_sales_as_data(superuser_client):
    event = EventFactory(total_tickets=1234)
    hour = sold(event, hours_ago=1, held=1000, waiting=3)

    page = page_of(superuser_client, event)

    found = json.loads(re.search(r'<script id="sales-data" type="application/json">(.*?)</script>', page)[1])
    later = hour + timedelta(hours=1)
    moments = [moment.isoformat().replace("+00:00", "Z") for moment in (hour, later)]
    assert datetime.fromisoformat(found.pop("now")) >= later
    assert found == {
        "unit": "hour",
        "periods": [[moments[0], 2, 5, 1000, 3], [moments[1], 0, 0, 1000, 3]],
        "end": (later + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "zone": "UTC",
        "capacity": 1234,
    }


def test_table_has_the_same_numbers(superuser_client):
    event = EventFactory()
    hour = sold(event, hours_ago=0, bookings=1200, held=1000, waiting=3)

    heads, row = rows(page_of(superuser_client, event))

    assert heads == ["Hour from (UTC)", "Bookings made", "Tickets asked for", "Held at its end", "Waiting at its end"]
    assert row == [f"{hour.day} {hour:%b %Y, %H:%M} UTC (so far)", "1,200", "5", "1,000", "3"]


def test_only_the_period_that_is_under_way_is_said_to_be(superuser_client):
    event = EventFactory()
    sold(event, hours_ago=30)
    Event.objects.filter(pk=event.pk).update(sales_end=timezone.now() - timedelta(hours=20))

    page = page_of(superuser_client, event)

    assert "so far" not in page
    assert "still under way" not in page


@pytest.mark.parametrize(("days", "head"), [(10, "Day from (UTC)"), (100, "Week from (UTC)")])
def test_days_and_weeks_are_named_by_their_first_day(superuser_client, days, head):
    event = EventFactory()
    hour = sold(event, hours_ago=24 * days)
    first = hour - timedelta(days=hour.weekday() if days == 100 else 0)

    table = rows(page_of(superuser_client, event))

    assert (table[0][0], table[1][0]) == (head, f"{first:%a} {first.day} {first:%b %Y}")
    assert [row[0].endswith(" (so far)") for row in table[1:]] == [False] * (len(table) - 2) + [True]


def test_table_and_charts_are_in_the_zone_of_the_event(superuser_client):
    event = EventFactory(time_zone="Asia/Kolkata")
    hour = sold(event, hours_ago=0)
    local = hour.astimezone(event.zone)

    page = page_of(superuser_client, event)

    assert rows(page)[0][0] == "Hour from (Asia/Kolkata)"
    assert rows(page)[1][0] == f"{local.day} {local:%b %Y, %H:%M} IST (so far)"
    assert local.minute == 30
    assert '"zone": "Asia/Kolkata"' in page
    assert "Times are in Asia/Kolkata." in page


def test_event_that_nobody_booked_has_no_charts(superuser_client):
    page = page_of(superuser_client, EventFactory())

    assert "No bookings so far." in page
    assert "sales-data" not in page
    assert "charts.js" not in page
