"""The staff's list of bookings: its pages, filters and totals. `test_admin_booking_search` looks for bookings."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings.admin import lists
from bookings.admin.bookings.admin import BookingAdmin
from bookings.models import Booking, SalesHour
from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.db import scanning

pytestmark = pytest.mark.django_db

LIST = "/admin/bookings/booking/"


def listed(client, **query):
    return client.get(LIST, query).context["cl"]


def found(client, **query):
    return list(listed(client, **query).result_list)


def made_at(booking, *moment):
    Booking.objects.filter(pk=booking.pk).update(created_at=datetime(*moment, tzinfo=UTC))
    return booking


def test_booking_list_shows_places_in_line(superuser_client):
    event = EventFactory(name="Chamber night", total_tickets=1)
    held, first, second = (BookingFactory(event=event) for _ in range(3))

    response = superuser_client.get(LIST)

    positions = {booking.pk: booking.waitlist_position for booking in response.context["cl"].result_list}
    assert positions == {held.pk: None, first.pk: 1, second.pk: 2}
    content = response.content.decode()
    assert '<span class="badge warn">Waiting</span></td><td class="field-position">2 <span' in content
    assert f'<a href="/admin/events/event/{event.pk}/">Chamber night</a>' in content
    assert f'<a href="/admin/bookings/booking/{held.pk}/">{held.reference}</a>' in content
    assert f'<small class="account">{held.user}</small>' in content


# The queries are the session, user, rows, and their events, users and positions. Each filter adds its own: counts; the
# event; the ends of the table, samples of a span, and hours; the scan; and the indexes that a search reads.
COSTS = [
    ("", 7),
    ("?event={event}", 7),
    ("?status=waitlisted", 7),
    ("?since=2026-01-01", 9),
    ("?event={event}&status=waitlisted&since=2026-01-01&until=2100-01-01", 10),
    ("?least=1", 8),
    ("?q=Ada", 12),
    ("?q=Ada+Lovelace", 9),
]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("query", "queries"), COSTS)
def test_booking_list_costs_the_same_for_any_length(superuser_client, rows, query, queries, django_assert_num_queries):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    for _ in range(rows):
        BookingFactory(event=event)
    # A time limit takes two more queries if the database has one.
    is_limited = any(name in query for name in ("q=", "least", "since"))
    limits = 2 if is_limited and connection.vendor == "mysql" else 0

    with django_assert_num_queries(queries + limits):
        superuser_client.get(LIST + query.format(event=event.pk))


def test_booking_list_filters(superuser_client):
    gala = EventFactory(name="Gala", total_tickets=3)
    held = BookingFactory(event=gala, tickets=3)
    waiting = BookingFactory(event=gala, tickets=2)
    gone = BookingFactory(event=EventFactory(name="Gala dinner"))
    cancel_tickets(gone)
    made_at(held, 2026, 3, 1, 23, 59)
    made_at(waiting, 2026, 3, 2)
    made_at(gone, 2026, 3, 3, 0, 0)

    assert found(superuser_client) == [gone, waiting, held]
    assert found(superuser_client, status="waitlisted") == [waiting]
    assert found(superuser_client, status="cancelled") == [gone]
    assert found(superuser_client, event=gala.pk) == [waiting, held]
    assert found(superuser_client, event=f"#{gala.pk}") == [waiting, held]
    assert found(superuser_client, event="GALA") == [waiting, held]
    assert found(superuser_client, event="dinner") == [gone]
    assert found(superuser_client, event=gala.pk, status="completed") == [held]
    assert found(superuser_client, since="2026-03-02") == [gone, waiting]
    assert found(superuser_client, until="2026-03-02") == [waiting, held]
    assert found(superuser_client, since="2026-03-02", until="2026-03-02", event="gala") == [waiting]
    assert found(superuser_client, least="2") == [waiting, held]
    assert found(superuser_client, least="2", most="2") == [waiting]
    assert found(superuser_client, most="2", status="cancelled") == [gone]


def test_status_has_the_same_words_in_the_filter_and_the_list(superuser_client):
    event = EventFactory(total_tickets=1)
    cancel_tickets(BookingFactory(event=event))
    BookingFactory.create_batch(2, event=event)

    content = superuser_client.get(LIST).content.decode()

    for value, tone, word in (
        ("completed", "good", "Holds tickets"),
        ("waitlisted", "warn", "Waiting"),
        ("cancelled", "quiet", "Cancelled"),
    ):
        assert f'<option value="{value}">{word}</option>' in content
        assert f'<span class="badge {tone}">{word}</span>' in content


def test_event_of_a_filter_is_looked_for_without_descriptions(superuser_client):
    event = EventFactory(name="Jazz one", description="long")
    EventFactory(name="Gala", description="No jazz")

    with CaptureQueriesContext(connection) as queries:
        response = superuser_client.get(LIST, {"event": "jazz"})

    assert response.context["cl"].form.cleaned_data["event"] == event
    searches = [
        query["sql"].partition(" FROM ")[0] for query in queries if "search_text" in query["sql"].partition("WHERE")[2]
    ]
    assert searches
    assert not [columns for columns in searches if "description" in columns]


def test_booking_list_filtered_by_several_events_asks_which(superuser_client):
    first, second = EventFactory(name="Jazz one"), EventFactory(name="Jazz two")
    BookingFactory(event=first)

    response = superuser_client.get(LIST, {"event": "jazz", "status": "completed"})

    assert response.context["cl"].result_list == []
    content = response.content.decode()
    assert "Several events have this in their names. Type more of it, or choose one:" in content
    assert f'<a href="?event={first.pk}&amp;status=completed">Jazz one</a>' in content
    assert f'<a href="?event={second.pk}&amp;status=completed">Jazz two</a>' in content
    assert 'value="jazz"' in content


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"event": "9" * 30}, "No event has this number, or this in its name."),
        ({"event": "\0"}, "Null characters are not allowed."),
        ({"status": "sold"}, "Select a valid choice. sold is not one of the available choices."),
        ({"since": "0000-00-00"}, "Enter a valid date."),
        ({"until": "1000-01-01"}, "Choose a day from 1900 on."),
        ({"until": "9999-12-31"}, "Choose a day from 1900 on."),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "This is before the first day."),
        ({"least": "many"}, "Enter a whole number."),
        ({"most": "9" * 30}, "Ensure this value is less than or equal to 1000000."),
        ({"least": "0"}, "Ensure this value is greater than or equal to 1."),
    ],
)
def test_booking_list_says_which_filter_is_wrong_and_keeps_the_others(superuser_client, query, said):
    BookingFactory()

    response = superuser_client.get(LIST, {"q": "Ada", **query})

    assert response.status_code == 200
    assert response.context["cl"].result_list == []
    content = response.content.decode()
    assert said in content
    assert 'name="q" value="Ada"' in content


@pytest.mark.parametrize("query", ["after=x", "before=-1", "after=1&before=1", "nothing=1", "created_at__year=2026"])
def test_booking_list_of_what_it_does_not_know_leads_back(superuser_client, query):
    response = superuser_client.get(f"{LIST}?{query}")

    assert (response.status_code, response["Location"]) == (302, f"{LIST}?e=1")


@pytest.mark.parametrize(
    "query",
    [{}, {"event": "Gala"}, {"status": "completed"}, {"since": "2020-01-01"}, {"least": "1"}, {"q": "ada"}],
)
def test_booking_pages_lead_from_one_to_the_next_and_back(superuser_client, monkeypatch, query):
    monkeypatch.setattr(BookingAdmin, "list_per_page", 2)
    event = EventFactory(name="Gala")
    expected = [BookingFactory(event=event).pk for _ in range(5)][::-1]

    there = pages(superuser_client, listed(superuser_client, **query), "Older")
    back = pages(
        superuser_client,
        superuser_client.get(LIST + listed(superuser_client, **query).page_links["Oldest"]).context["cl"],
        "Newer",
    )

    assert there == [expected[:2], expected[2:4], expected[4:]]
    assert back == [expected[3:], expected[1:3], expected[:2]]


@pytest.mark.parametrize("query", [{"since": "2020-01-01"}, {"least": "1"}])
def test_last_page_of_a_scan_in_several_statements_has_the_oldest(superuser_client, monkeypatch, query):
    monkeypatch.setattr(BookingAdmin, "list_per_page", 2)
    monkeypatch.setattr(scanning, "FIRST_WIDTH", 2)
    # No statement is quick enough to make the next one wider.
    monkeypatch.setattr(lists, "STATEMENT_SECONDS", 0)
    monkeypatch.setattr(lists, "SCAN_SECONDS", 60)
    expected = [BookingFactory().pk for _ in range(9)][::-1]

    last = superuser_client.get(LIST + listed(superuser_client, **query).page_links["Oldest"]).context["cl"]

    assert pages(superuser_client, last, "Newer")[:2] == [expected[7:], expected[5:7]]


def pages(client, page, direction):
    """The ids on a page and on the pages after it."""
    seen = [[booking.pk for booking in page.result_list]]
    while direction in page.page_links and len(seen) < 10:
        page = client.get(LIST + page.page_links[direction]).context["cl"]
        seen.append([booking.pk for booking in page.result_list])
    return seen


def test_booking_page_after_a_row_that_has_gone_begins_behind_it(superuser_client):
    first, second = BookingFactory(), BookingFactory()

    page = listed(superuser_client, after=second.pk + 1)

    assert list(page.result_list) == [second, first]
    assert page.page_links == {"Newest": "?", "Newer": f"?before={second.pk}"}
    assert list(listed(superuser_client, after=first.pk).result_list) == []


def test_booking_list_counts_by_what_is_kept(superuser_client):
    event = EventFactory(name="Gala", total_tickets=5)
    BookingFactory(event=event, tickets=4)
    BookingFactory(event=event, tickets=3)
    cancel_tickets(BookingFactory(event=event, tickets=2))
    BookingFactory()

    said = {
        "": "4 bookings: 2 hold 5 tickets, 1 waits for 3 tickets, 1 is cancelled",
        "event=gala": "Gala: 3 bookings: 1 holds 4 tickets, 1 waits for 3 tickets, 1 is cancelled",
        "status=waitlisted": "1 booking: 1 waits for 3 tickets",
        "event=gala&status=cancelled": "Gala: 1 booking: 1 is cancelled",
        "least=3": "2 bookings, 7 tickets",
        "q=lovelace&event=gala": "Gala: 3 bookings, 9 tickets",
        "since=x": "",
    }
    assert {query: superuser_client.get(f"{LIST}?{query}").context["cl"].summary for query in said} == said


def test_booking_list_of_days_adds_up_its_hours(superuser_client):
    event = EventFactory(name="Gala")
    BookingFactory(event=event, tickets=2)
    BookingFactory(tickets=3)
    today = timezone.now().date()

    assert listed(superuser_client, since=today).summary == "2 bookings made, for 5 tickets"
    assert listed(superuser_client, event="Gala", since="2000-01-01").summary == "Gala: 1 booking made, for 2 tickets"
    assert listed(superuser_client, until=today - timedelta(days=1)).summary == "0 bookings, 0 tickets"
    # Adding up all hours of all events would take too long.
    assert listed(superuser_client, since="2000-01-01").summary == "2 bookings, 5 tickets"
    assert SalesHour.objects.count() == 2


def test_page_of_an_unknown_number_of_bookings_says_so(superuser_client, monkeypatch):
    monkeypatch.setattr(BookingAdmin, "list_per_page", 2)
    event = EventFactory()
    for _ in range(3):
        BookingFactory(event=event, tickets=2)

    page = listed(superuser_client, least=2)

    assert page.summary == "2 bookings, 4 tickets on this page, and there are more"
    # Otherwise "all of them" could be chosen for an action.
    assert page.result_count == 2


def test_selection_of_all_takes_those_that_the_filters_leave(superuser_client):
    event = EventFactory(total_tickets=1)
    held, waiting = BookingFactory(event=event), BookingFactory(event=event)

    chosen = {"action": "cancel_bookings", "select_across": "1", "_selected_action": [waiting.pk]}
    response = superuser_client.post(f"{LIST}?status=waitlisted", chosen)

    assert [row.pk for row in response.context["action"].subject] == [waiting.pk]
    assert held.reference not in response.content.decode()


def test_selection_of_all_of_an_unknown_number_changes_nothing(superuser_client, monkeypatch):
    monkeypatch.setattr(BookingAdmin, "list_per_page", 1)
    event = EventFactory()
    bookings = [BookingFactory(event=event) for _ in range(2)]

    chosen = {"action": "cancel_bookings", "select_across": "1", "_selected_action": [bookings[0].pk]}
    response = superuser_client.post(f"{LIST}?q=ada", chosen, follow=True)

    assert [str(message) for message in response.context["messages"]] == [
        "Nothing was changed: select rows of the list."
    ]
    assert Booking.objects.filter(status="completed").count() == 2


def test_span_links_keep_the_other_filters(superuser_client):
    today = timezone.now().date()

    links = {name: (url, chosen) for name, url, chosen in listed(superuser_client, since=today, q="ada").span_links}

    assert links["Today"] == (f"?q=ada&since={today}", True)
    assert links["7 days"] == (f"?q=ada&since={today - timedelta(days=6)}", False)


@pytest.mark.parametrize(
    ("zone", "hour", "minute", "is_counted"),
    [("Asia/Tokyo", 15, 0, True), ("Asia/Kolkata", 18, 30, False), ("UTC", 0, 0, True)],
)
def test_list_of_an_event_has_days_in_its_zone(superuser_client, zone, hour, minute, is_counted):
    event = EventFactory(time_zone=zone)
    begin = datetime(2030, 5, 31 if hour else 1, hour, minute, tzinfo=UTC) + timedelta(days=0 if hour else 31)
    before, first, last, after = (BookingFactory(event=event) for _ in range(4))
    moments = (begin - timedelta(seconds=1), begin, begin + timedelta(hours=23, minutes=59), begin + timedelta(days=1))
    for booking, moment in zip((before, first, last, after), moments, strict=True):
        Booking.objects.filter(pk=booking.pk).update(created_at=moment)

    response = superuser_client.get(LIST, {"event": event.pk, "since": "2030-06-01", "until": "2030-06-01"})

    listed = response.context["cl"]
    assert [booking.pk for booking in listed.result_list] == [last.pk, first.pk]
    assert (listed.counts is not None) == is_counted
