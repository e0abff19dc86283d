"""The end of sales on the staff's site: what new events get, and what a page says before sales close or go on."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.services.cancellation import cancel_tickets
from bookings.tests.admin.confirming import confirm, counts, errors, fields_of, lines, look, said, url_of
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event

# The transactions are real, since adding events refuses to run inside another one.
pytestmark = pytest.mark.django_db(transaction=True)
ADD, IMPORT = "/admin/events/event/add/", "/admin/events/event/import/"
TOO_LATE = "Sales would end at the event's date, before they start. Choose when they end."


def add(client, **typed):
    return client.post(ADD, fields_of(client.get(ADD)) | {"name": "Concert", "total_tickets": "10", **typed})


def import_text(client, text):
    shown = client.post(IMPORT, {"text": text, "key": "d" * 32})
    client.post(IMPORT, fields_of(shown) | {"confirm": "yes"})
    return shown


@pytest.fixture
def ended():
    """Two tickets came back after the end of sales, and a booking of two waits."""
    event = EventFactory(total_tickets=4)
    first, _ = BookingFactory(event=event, tickets=4), BookingFactory(event=event, tickets=2, first_name="Grace")
    Event.objects.filter(pk=event.pk).update(sales_end=timezone.now() - timedelta(seconds=1))
    cancel_tickets(first, tickets=2)
    event.refresh_from_db()
    return event


@pytest.mark.parametrize(
    ("date", "end", "window"),
    [
        ("2080-12-01T19:30", datetime(2080, 12, 1, 19, 30, tzinfo=UTC), "until 1 Dec 2080, 19:30 UTC"),
        ("2020-12-01T19:30", None, ""),
        ("", None, ""),
    ],
)
def test_event_that_is_added_sells_until_its_date_where_that_lies_ahead(superuser_client, date, end, window):
    shown = add(superuser_client, date=date)

    assert lines(shown)[1] == f"Sales are open{window and f' {window}'}: anybody can book."
    superuser_client.post(ADD, fields_of(shown) | {"confirm": "yes"})
    assert Event.objects.get().sales_end == end


def test_event_that_is_added_with_sales_after_its_date_must_say_when_they_end(superuser_client):
    response = add(superuser_client, date="2080-12-01T19:30", sales_start="2080-12-02T00:00")

    assert errors(response) == {"sales_end": [TOO_LATE]}


@pytest.mark.parametrize(
    ("date", "end", "stored"),
    [
        ("2080-12-01 19:30", "", datetime(2080, 12, 1, 19, 30, tzinfo=UTC)),
        ("2080-12-01", "", datetime(2080, 12, 1, 23, 59, 59, tzinfo=UTC)),
        ("2080-12-01", "Never", None),
        ("2020-12-01", "", None),
        ("2080-12-01", "2080-11-30 12:00", datetime(2080, 11, 30, 12, tzinfo=UTC)),
    ],
)
def test_event_that_is_imported_sells_until_its_date_where_the_file_does_not_say_else(
    superuser_client, date, end, stored
):
    import_text(superuser_client, f"Name,Date,Total tickets,Sales end\nConcert,{date},10,{end}\n")

    assert Event.objects.get().sales_end == stored


@pytest.mark.parametrize(
    ("title", "zone", "typed", "date", "end"),
    [
        ("Date", "Asia/Tokyo", "2080-06-01 20:00", (1, 11), (1, 11)),
        ("Date", "Asia/Tokyo", "2080-06-01", (0, 15), (1, 14, 59, 59)),
        ("Date", "", "2080-06-01", (1, 4), (2, 3, 59, 59)),
        ("Date", "Asia/Tokyo", "2080-06-01 20:00+02:00", (1, 18), (1, 18)),
        # Files from before there were time zones say so in their titles.
        ("Date (UTC)", "", "2080-06-01 20:00", (1, 20), (1, 20)),
        ("date (utc)", "Asia/Tokyo", "2080-06-01", (1, 0), (1, 23, 59, 59)),
    ],
)
def test_event_that_is_imported_has_its_times_in_the_zone_of_its_line(
    superuser_client, settings, title, zone, typed, date, end
):
    settings.EVENT_TIME_ZONE = "America/New_York"

    import_text(superuser_client, f"Name,{title},Total tickets,Time zone\nConcert,{typed},10,{zone}\n")

    event = Event.objects.get()
    begin = datetime(2080, 5, 31, tzinfo=UTC)
    day, *rest = date
    assert event.time_zone == (zone or "America/New_York")
    assert event.date == begin.replace(hour=rest[0]) + timedelta(days=day)
    day, hour, *rest = end
    minute, second = rest or (0, 0)
    assert event.sales_end == begin.replace(hour=hour, minute=minute, second=second) + timedelta(days=day)


def test_import_refuses_a_time_that_the_clocks_pass_over(superuser_client):
    text = "Name,Date,Total tickets,Time zone\nConcert,2080-03-31 02:30,10,Europe/Berlin\nGala,2080-03-31,10,Berlin\n"

    shown = superuser_client.post(IMPORT, {"text": text, "key": "d" * 32})

    assert errors(shown) == {
        "text": [
            "2 of 2 lines must be corrected.",
            "Line 2, Date: There is no 02:30 on 2080-03-31 in Europe/Berlin, since the clocks go forward;"
            " write 03:30 or another time.",
            "Line 3, Time zone: There is no such time zone; did you mean Europe/Berlin?",
        ]
    }


def test_event_that_is_added_has_its_times_in_the_zone_that_is_typed(superuser_client, settings):
    settings.EVENT_TIME_ZONE = "Europe/Berlin"
    page = superuser_client.get(ADD)
    assert fields_of(page)["time_zone"] == ["Europe/Berlin"]

    shown = add(superuser_client, date="2080-07-01T20:00", time_zone="Asia/Tokyo", sales_start="2080-06-01T00:00")

    assert lines(shown) == [
        "Concert, 1 Jul 2080, 20:00 JST (11:00 UTC), is created with 10 tickets.",
        "Sales open 1 Jun 2080, 00:00 JST (31 May 2080, 15:00 UTC) and end 1 Jul 2080, 20:00 JST (11:00 UTC);"
        " nobody can book before.",
    ]
    superuser_client.post(ADD, fields_of(shown) | {"confirm": "yes"})
    event = Event.objects.get()
    assert (event.date, event.time_zone) == (datetime(2080, 7, 1, 11, tzinfo=UTC), "Asia/Tokyo")


def test_sales_are_opened_and_closed_in_the_zone_of_the_event(superuser_client):
    event = EventFactory(sales_end=datetime(2080, 7, 1, 18, 0, 7, tzinfo=UTC), time_zone="Europe/Berlin")
    page = superuser_client.get(url_of(event, "sales"))
    assert fields_of(page)["sales_end"] == ["2080-07-01T20:00"]
    assert "In Europe/Berlin. If it is empty, sales have no end." in page.content.decode()

    shown = look(superuser_client, event, "sales", what="times", sales_start="2080-06-01T10:00")

    assert lines(shown)[0] == (
        "Sales open 1 Jun 2080, 10:00 CEST (08:00 UTC) and end 1 Jul 2080, 20:00 CEST (18:00 UTC);"
        " nobody can book before."
    )
    confirm(superuser_client, event, "sales", shown)
    event.refresh_from_db()
    assert event.sales_start == datetime(2080, 6, 1, 8, tzinfo=UTC)
    assert event.sales_end == datetime(2080, 7, 1, 18, 0, 7, tzinfo=UTC)


def test_never_is_no_other_time_in_a_file(superuser_client):
    response = import_text(superuser_client, "Name,Date,Total tickets\nConcert,never,10\n")

    assert errors(response)["text"][1].startswith("Line 2, Date: Enter a date")


def test_events_that_are_exported_end_as_before_when_they_are_imported(superuser_client):
    date = datetime(2080, 12, 1, 19, 30, tzinfo=UTC)
    EventFactory(date=date, sales_end=None)
    EventFactory(date=date, sales_end=date - timedelta(hours=2))
    text = b"".join(superuser_client.get("/admin/events/event/export/csv/").streaming_content).decode()

    import_text(superuser_client, text)

    ends = Event.objects.order_by("pk").values_list("sales_end", flat=True)
    assert list(ends) == [None, date - timedelta(hours=2), date - timedelta(hours=2), None]


@pytest.mark.parametrize("typed", [{"what": "open"}, {"what": "times", "sales_end": "2080-01-02T10:30"}])
def test_sales_that_go_on_are_shown_with_whom_they_promote(superuser_client, ended, typed):
    shown = look(superuser_client, ended, "sales", **typed)

    assert lines(shown)[1:] == [
        "Promotes 1 booking, 2 tickets: Grace Lovelace (2).",
        "Then 0 tickets available, nobody waiting.",
    ]
    done = confirm(superuser_client, ended, "sales", shown)
    assert said(done)[0].endswith("Promoted 1 booking, 2 tickets: Grace Lovelace (2).")
    assert counts(ended) == (4, 0, 0, 0)


def test_sales_that_are_closed_say_what_becomes_of_those_who_wait(superuser_client):
    event = EventFactory(total_tickets=1)
    BookingFactory.create_batch(2, event=event)

    shown = look(superuser_client, event, "sales", what="close")

    assert lines(shown)[1] == (
        "Bookings that wait keep their places. While sales are closed, freed tickets promote no booking; "
        "you can serve a booking out of turn."
    )


def test_page_of_an_event_says_why_who_fits_still_waits(superuser_client, ended):
    assert (
        "would fit, but sales have ended; serve it out of turn" in superuser_client.get(url_of(ended)).content.decode()
    )


def test_larger_event_after_the_end_of_sales_is_shown_to_promote_nobody(superuser_client, ended):
    shown = look(superuser_client, ended, "capacity", total="40")

    assert "No waiting booking is promoted." in lines(shown)


def test_another_date_is_shown_with_the_end_of_sales_that_stays(superuser_client):
    end = datetime(2080, 1, 2, 10, 30, tzinfo=UTC)
    event = EventFactory(date=end, sales_end=end)

    shown = look(superuser_client, event, "edit", date="2080-02-02T10:30")

    assert lines(shown)[1] == "Sales still end 2 Jan 2080, 10:30 UTC; “Open or close sales” changes that."
