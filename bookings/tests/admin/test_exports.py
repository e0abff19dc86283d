"""Lists as CSV and XLSX: they have the filtered rows, are harmless to open, and are recorded."""

import csv
import io
import zipfile
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.utils import timezone
from xlsxwriter.exceptions import XlsxFileError

from accounts.tests.factories import UserFactory
from bookings.admin import exports
from bookings.admin.bookings.list import search_bookings
from bookings.admin.exports import making
from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.tests.admin.confirming import fields_of
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import EDITABLE_FIELDS, Event
from ticks.db import scanning
from ticks.db.scanning import TookTooLong
from ticks.server.stopping import CLIENT_LEFT

pytestmark = pytest.mark.django_db(transaction=True)

BOOKINGS = "/admin/bookings/booking/"
EVENTS = "/admin/events/event/"
LEDGER = "/admin/bookings/ledgerentry/"
CELLS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def content_of(response):
    content = response.getvalue()
    response.close()
    return content


def rows_of_csv(response):
    content = content_of(response).decode()
    assert content.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"), newline="")))


def cells_of_xlsx(response):
    """The type and text of each cell of the first sheet, row by row."""
    with zipfile.ZipFile(io.BytesIO(content_of(response))) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314 (our own)
    return [
        [(cell.get("t"), "".join(cell.itertext())) for cell in row.iter(f"{CELLS}c")]
        for row in sheet.iter(f"{CELLS}row")
    ]


@pytest.fixture
def staff_with(client):
    """Gives a function that logs in staff with the named permissions."""

    def log_in(*codenames):
        user = UserFactory(is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def test_booking_export_has_the_lists_columns(superuser_client):
    event = EventFactory(name="Matinée", date=datetime(2080, 12, 1, 19, 30, tzinfo=UTC))
    holder = UserFactory(username="ada")
    booking = BookingFactory(event=event, user=holder, tickets=2, email="ada@example.org")
    guest = BookingFactory(event=event, user=None)

    response = superuser_client.get(f"{BOOKINGS}export/csv/")

    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    today = f"{timezone.now():%Y-%m-%d}"
    assert response["Content-Disposition"] == f'attachment; filename="ticks-bookings-{today}.csv"'
    assert int(response["Content-Length"]) == len(content_of(response))
    newest, oldest = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/"))
    assert newest["Reference"] == guest.reference
    assert (newest["User"], newest["Place in line"]) == ("", "")
    assert oldest == {
        "Reference": booking.reference,
        "First name": "Ada",
        "Last name": "Lovelace",
        "Email": "ada@example.org",
        "Tickets": "2",
        "Status": "Completed",
        "Place in line": "",
        "Event": "Matinée",
        "Event date": "2080-12-01 19:30:00",
        "User": "ada",
        "Created at": f"{booking.created_at:%Y-%m-%d %H:%M:%S}",
        "Updated at": f"{booking.updated_at:%Y-%m-%d %H:%M:%S}",
        "Time zone": "UTC",
    }


def test_booking_export_has_what_filters_and_search_leave(superuser_client):
    event = EventFactory(total_tickets=5)
    kept = BookingFactory(event=event, email="grace@example.org")
    cancelled = BookingFactory(event=event, email="grace@example.org")
    cancel_tickets(cancelled, actor=cancelled.user)
    BookingFactory(event=event, email="ada@example.org")
    BookingFactory(email="grace@example.org")
    filters = {"q": "grace", "status": "completed", "event": event.pk}

    exported = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/", filters | {"after": "1"}))
    listed = superuser_client.get(BOOKINGS, filters).context["cl"].result_list

    assert [row["Reference"] for row in exported] == [kept.reference]
    assert [booking.reference for booking in listed] == [kept.reference]


def test_export_takes_pages_of_the_key_to_the_end(superuser_client, monkeypatch):
    monkeypatch.setattr(scanning.scan, "__kwdefaults__", {**scanning.scan.__kwdefaults__, "limit": 2})
    event = EventFactory()
    references = [BookingFactory(event=event).reference for _ in range(5)]

    exported = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/"))

    assert [row["Reference"] for row in exported] == references[::-1]


def test_export_goes_through_long_gaps_in_few_statements(superuser_client, django_assert_max_num_queries):
    event = EventFactory()
    last = BookingFactory(event=event)
    Booking.objects.bulk_create([copy_of(last, pk=40_000_000)])

    # The queries are the session, user, log, and a range that doubles each time. MariaDB sets and resets a limit for
    # each.
    with django_assert_max_num_queries(35):
        exported = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/"))

    assert len(exported) == 2


def copy_of(booking, **changes):
    values = {field.attname: getattr(booking, field.attname) for field in Booking._meta.concrete_fields}
    return Booking(**{**values, "reference": "COPY", "one_ticket_holder_id": None, **changes})


# The ids begin at 1, since gaps cost statements.
@pytest.mark.django_db(transaction=True, reset_sequences=True)
@pytest.mark.parametrize("rows", [1, 3])
def test_export_costs_the_same_for_any_length(superuser_client, rows, django_assert_num_queries):
    for _ in range(rows):
        BookingFactory()
    content_of(superuser_client.get(f"{BOOKINGS}export/csv/"))

    # The queries are the session, user, the list's first page with events and users, the ends of the table, rows, their
    # events and users, and the record. MariaDB sets and resets a limit for the rows' statement.
    with django_assert_num_queries(13 if connection.vendor == "mysql" else 11):
        content_of(superuser_client.get(f"{BOOKINGS}export/csv/"))


def test_event_export_says_how_each_stands(superuser_client):
    now = timezone.now()
    BookingFactory(event=EventFactory(name="Full", total_tickets=2), tickets=2)
    EventFactory(name="Later", sales_start=now + timedelta(days=1), waitlist_policy="strict", waitlist_enabled=False)
    EventFactory(name="Over", sales_end=now - timedelta(days=1))
    gone = EventFactory(name="Gone")
    cancel_event(gone.pk, actor=gone.created_by)

    standing = rows_of_csv(superuser_client.get(f"{EVENTS}export/csv/"))
    cancelled = rows_of_csv(superuser_client.get(f"{EVENTS}export/csv/?state=cancelled"))

    assert [(row["Name"], row["State"]) for row in standing] == [
        ("Over", "Closed"),
        ("Later", "Not open yet"),
        ("Full", "Sold out"),
    ]
    assert [(row["Name"], row["State"]) for row in cancelled] == [("Gone", "Cancelled")]
    assert [standing[1][title] for title in ("Waitlist policy", "Waitlist enabled")] == ["Strict", "no"]
    assert [standing[2][title] for title in ("Total tickets", "Held", "Available")] == ["2", "2", "0"]


def test_ledger_export_says_who_did_what(superuser_client):
    booking = BookingFactory(event=EventFactory(name="Concert"), user=None, tickets=2)

    booked, opened = rows_of_csv(superuser_client.get(f"{LEDGER}export/csv/", {"event": "Concert"}))

    assert [booked[title] for title in ("Kind", "#", "Tickets", "Booking", "By", "Left", "Waiting")] == [
        "Booked",
        "2",
        "2",
        booking.reference,
        "a holder",
        "8",
        "0",
    ]
    assert (opened["Kind"], opened["By"]) == ("Opened", booking.event.created_by.username)


def test_ledger_export_has_the_cancellation_of_each_booking_of_a_cancelled_event(superuser_client, admin_user):
    booking = BookingFactory(event=EventFactory(name="Concert"), tickets=2)
    cancel_event(booking.event_id, actor=admin_user)

    [cancelled] = rows_of_csv(superuser_client.get(f"{LEDGER}export/csv/", {"event": "Concert", "kind": "cancelled"}))

    assert [cancelled[title] for title in ("#", "Tickets", "Booking", "By", "Left", "Waiting", "Note")] == [
        "4",
        "2",
        booking.reference,
        admin_user.username,
        "10",
        "0",
        "the event was cancelled",
    ]


def test_xlsx_export_has_cells_of_their_types(superuser_client):
    event = EventFactory(name="=1+1", date=datetime(2080, 12, 1, 19, 30, tzinfo=UTC))
    booking = BookingFactory(event=event, tickets=2, first_name="<r>", last_name="@x</r>", email="a&b@example.org")

    response = superuser_client.get(f"{BOOKINGS}export/xlsx/")

    assert response["Content-Disposition"].endswith('.xlsx"')
    titles, cells = cells_of_xlsx(response)
    assert [text for _, text in titles][:5] == ["Reference", "First name", "Last name", "Email", "Tickets"]
    assert cells[0] == ("inlineStr", booking.reference)
    assert cells[1:5] == [
        ("inlineStr", " <r>"),
        ("inlineStr", "@x</r>"),
        ("inlineStr", "a&b@example.org"),
        (None, "2"),
    ]
    # The place in the waitlist is empty. The date is 66081.8125 days after Excel's zero.
    assert cells[5:8] == [("inlineStr", "Completed"), ("inlineStr", "=1+1"), (None, "66081.8125")]


def test_export_of_bookings_has_their_places_in_the_waitlist(superuser_client, monkeypatch):
    monkeypatch.setattr(exports, "PLACES_A_STATEMENT", 2)
    gala, recital = EventFactory(total_tickets=1), EventFactory(total_tickets=1)
    for event, name in ((gala, "Ada"), (recital, "Bob"), (gala, "Grace"), (recital, "Alan"), (gala, "Kurt")):
        BookingFactory(event=event, first_name=name)

    rows = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/"))

    places = {"Kurt": "2", "Alan": "1", "Grace": "1", "Bob": "", "Ada": ""}
    assert {row["First name"]: row["Place in line"] for row in rows} == places


def test_export_joins_no_short_table_to_a_long_one(superuser_client, django_assert_max_num_queries):
    BookingFactory()

    with django_assert_max_num_queries(18) as asked:
        content_of(superuser_client.get(f"{LEDGER}export/csv/"))

    assert not [query for query in asked.captured_queries if "JOIN" in query["sql"] and "bookings_" in query["sql"]]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_export_without_rows_has_titles(superuser_client, kind):
    response = superuser_client.get(f"{EVENTS}export/{kind}/")

    assert response.status_code == 200
    first = cells_of_xlsx(response) if kind == "xlsx" else content_of(response).decode().splitlines()
    assert len(first) == 1


def test_csv_export_makes_formulas_harmless(superuser_client):
    EventFactory(name='=HYPERLINK("http://evil.example.org")')
    EventFactory(name="Ada; =1+1")

    names = [row["Name"] for row in rows_of_csv(superuser_client.get(f"{EVENTS}export/csv/"))]

    assert names == ["Ada;' =1+1", '\'=HYPERLINK("http://evil.example.org")']


def test_export_is_on_record(superuser_client):
    BookingFactory()

    content_of(superuser_client.get(f"{BOOKINGS}export/xlsx/", {"q": "ada"}))

    entry = LogEntry.objects.get()
    assert entry.user.username == "superuser"
    assert entry.content_type.model == "booking"
    assert str(entry.object_repr) == "Export of bookings"
    assert entry.change_message == "Exported 1 row as XLSX. Filters: q=ada"


@pytest.mark.parametrize(
    ("codenames", "allowed"),
    [
        ([], []),
        (["view_booking", "view_ledgerentry"], []),
        (["export_booking"], []),
        (["view_booking", "export_booking"], [BOOKINGS]),
        (["view_ledgerentry", "export_booking"], [LEDGER]),
        (["view_event"], [EVENTS]),
    ],
)
def test_export_needs_its_permission(staff_with, codenames, allowed):
    BookingFactory()
    client = staff_with(*codenames)

    statuses = {url: status_of(client.get(f"{url}export/csv/")) for url in (BOOKINGS, EVENTS, LEDGER)}
    linked = [url for url in (BOOKINGS, EVENTS, LEDGER) if f"{url}export/csv/" in client.get(url).content.decode()]

    assert statuses == {url: 200 if url in allowed else 403 for url in statuses}
    assert linked == allowed
    assert LogEntry.objects.count() == len(allowed)


def status_of(response):
    response.close()
    return response.status_code


def test_export_without_login_leads_to_it(client):
    response = client.get(f"{BOOKINGS}export/csv/")

    assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={BOOKINGS}export/csv/")


def test_list_links_to_the_export_of_what_it_shows(superuser_client):
    content = superuser_client.get(BOOKINGS, {"q": "a b", "status": "completed", "after": "9"}).content.decode()

    for kind in ("csv", "xlsx"):
        assert f'<a href="{BOOKINGS}export/{kind}/?q=a+b&amp;status=completed"' in content


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("post", f"{BOOKINGS}export/csv/", 405),
        ("get", f"{BOOKINGS}export/pdf/", 404),
        ("get", f"{BOOKINGS}export/csv/?status=completed&nonsense=1", 302),
        ("get", f"{BOOKINGS}export/csv/?user__password=x", 302),
        ("get", f"{BOOKINGS}export/csv/?least=many", 302),
        ("get", f"{BOOKINGS}export/csv/?q={'a' * 201}", 400),
    ],
)
def test_export_refuses_what_the_list_refuses(superuser_client, method, url, status):
    assert getattr(superuser_client, method)(url).status_code == status
    assert LogEntry.objects.count() == 0


def test_export_by_a_wrong_filter_leads_to_the_list_that_says_so(superuser_client):
    response = superuser_client.get(f"{BOOKINGS}export/csv/", {"least": "many"})

    assert response["Location"] == f"{BOOKINGS}?least=many"
    assert "Enter a whole number." in superuser_client.get(response["Location"]).content.decode()


def test_export_beside_another_is_asked_to_wait(superuser_client):
    with making:
        response = superuser_client.get(f"{BOOKINGS}export/csv/")

    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert "Another export is being made, and there is one at a time." in response.content.decode()
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize(
    ("persona", "path", "status"),
    [
        ("anonymous", f"{BOOKINGS}export/csv/", 302),
        ("anonymous", "/admin/zzz/export/", 302),
        ("clerk", f"{BOOKINGS}export/csv/", 403),
        ("superuser", f"{BOOKINGS}export/pdf/", 404),
        ("superuser", "/admin/zzz/export/csv/", 404),
        ("superuser", f"{BOOKINGS}export/csv/?status=gone", 302),
        ("superuser", f"{BOOKINGS}export/csv/?colour=red", 302),
    ],
)
def test_export_that_is_refused_needs_no_turn(client, staff_with, persona, path, status):
    """While another export is made, the request is refused as usual, and does not keep the lock."""
    if persona != "anonymous":
        staff_with("view_booking")
    if persona == "superuser":
        client.force_login(UserFactory(is_staff=True, is_superuser=True))

    with making:
        beside_another = client.get(path)
    alone = client.get(path)

    assert (beside_another.status_code, alone.status_code) == (status, status)
    assert not making.locked()


def test_export_takes_its_turn_when_its_filters_have_been_read(superuser_client, monkeypatch):
    turns = []

    def read_filters(*values):
        turns.append(("filters", making.locked()))
        return search_bookings(*values)

    def read_rows(*values, **options):
        turns.append(("rows", making.locked()))
        return scanning.scan(*values, **options)

    monkeypatch.setattr("bookings.admin.bookings.list.search_bookings", read_filters)
    monkeypatch.setattr(exports, "scan", read_rows)

    status = status_of(superuser_client.get(f"{BOOKINGS}export/csv/", {"q": "ada"}))

    assert status == 200
    assert turns == [("filters", False), ("rows", True)]
    assert not making.locked()


def test_export_that_fails_gives_its_turn_back(superuser_client, monkeypatch):
    def fail(*values):
        raise KeyError

    monkeypatch.setattr(exports, "write_csv", fail)

    with pytest.raises(KeyError):
        superuser_client.get(f"{BOOKINGS}export/csv/")

    assert not making.locked()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), XlsxFileError("torn")])
def test_export_that_cannot_be_written_says_so(superuser_client, monkeypatch, error):
    def fail(*values):
        raise error

    monkeypatch.setattr(exports, "write_xlsx", fail)

    response = superuser_client.get(f"{BOOKINGS}export/xlsx/")

    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert "The export was given up" in response.content.decode()
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_export_that_nobody_waits_for_is_given_up(superuser_client, kind):
    BookingFactory()
    left = Future()
    left.set_result(None)

    response = superuser_client.get(f"{BOOKINGS}export/{kind}/", **{CLIENT_LEFT: left})

    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert LogEntry.objects.count() == 0


def test_export_whose_rows_take_too_long_looks_at_fewer_ids(superuser_client, monkeypatch):
    references = {BookingFactory().reference for _ in range(3)}
    widths = []

    class Limit:
        """A database that has no time for more than ten ids in one statement."""

        def __init__(self, seconds):
            widths.append(scanning.FIRST_WIDTH // 8 ** len(widths))

        def __enter__(self):
            if widths[-1] > 10:
                raise TookTooLong

        def __exit__(self, *error):
            return False

    monkeypatch.setattr(scanning, "FIRST_WIDTH", 2000)
    monkeypatch.setattr(scanning, "time_limit", Limit)

    exported = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/"))

    assert {row["Reference"] for row in exported} == references
    assert widths[:4] == [2000, 250, 31, 3]


def test_export_that_takes_too_long_whatever_is_done_says_so(superuser_client, monkeypatch):
    BookingFactory()
    monkeypatch.setattr(scanning, "time_limit", never)

    response = superuser_client.get(f"{BOOKINGS}export/csv/")

    assert response.status_code == 503
    assert "the database takes too long to find these rows" in response.content.decode()


def never(seconds):
    raise TookTooLong


TEXTS = ["-20 degrees", "=50 years", "'quoted", "'=50", "''-1", "@home; =1+1", "+1", "Rock;'-20", "a\n=1\n'\n'+2", "'"]


@pytest.mark.parametrize("text", TEXTS)
def test_events_export_imports_again_unchanged(superuser_client, text):
    name = text.replace("\n", " ")
    known = {"date": datetime(2080, 12, 1, 19, 30, tzinfo=UTC), "max_tickets_per_booking": 4}
    event = EventFactory(name=name, venue=name, description=text, total_tickets=1000, **known)
    exported = content_of(superuser_client.get(f"{EVENTS}export/csv/")).decode()

    shown = superuser_client.post(f"{EVENTS}import/", {"text": exported, "key": "d" * 32})
    superuser_client.post(f"{EVENTS}import/", fields_of(shown) | {"confirm": "yes"})

    copy = Event.objects.exclude(pk=event.pk).get()
    assert {field: getattr(copy, field) for field in EDITABLE_FIELDS} == {
        field: getattr(event, field) for field in EDITABLE_FIELDS
    }


# Both hours that the clocks of Berlin show twice in 2080, and a time before them.
@pytest.mark.parametrize("hour", [0, 1, 12])
@pytest.mark.parametrize("kind", ["local", "old"])
def test_events_export_with_a_time_zone_imports_again_unchanged(superuser_client, settings, hour, kind):
    settings.EVENT_TIME_ZONE = "Asia/Tokyo"
    times = {
        "date": datetime(2080, 10, 27, hour, 30, 5, tzinfo=UTC),
        "sales_start": datetime(1900, 1, 1, tzinfo=UTC),
        "sales_end": datetime(2080, 10, 27, hour, 15, tzinfo=UTC),
    }
    zone = "Asia/Tokyo" if kind == "old" else "Europe/Berlin"
    event = EventFactory(total_tickets=1000, time_zone=zone, **times)
    exported = content_of(superuser_client.get(f"{EVENTS}export/csv/")).decode()
    if kind == "old":
        # Before events had time zones.
        stamps = {name: f"{moment:%Y-%m-%d %H:%M:%S}" for name, moment in times.items()}
        exported = (
            "Id,Name,Date (UTC),State,Total tickets,Sales start (UTC),Sales end (UTC)\n"
            f"1,{event.name},{stamps['date']},On sale,1000,{stamps['sales_start']},{stamps['sales_end']}\n"
        )

    shown = superuser_client.post(f"{EVENTS}import/", {"text": exported, "key": "d" * 32})
    superuser_client.post(f"{EVENTS}import/", fields_of(shown) | {"confirm": "yes"})

    copy = Event.objects.exclude(pk=event.pk).get()
    assert {field: getattr(copy, field) for field in EDITABLE_FIELDS} == {
        field: getattr(event, field) for field in EDITABLE_FIELDS
    }


def test_exports_have_times_in_the_zone_of_the_event(superuser_client):
    event = EventFactory(date=datetime(2080, 7, 1, 18, tzinfo=UTC), time_zone="Europe/Berlin")
    booking = BookingFactory(event=event)
    # The clocks show this time twice.
    Booking.objects.update(created_at=datetime(2030, 10, 27, 0, 30, tzinfo=UTC))
    Booking.objects.update(updated_at=datetime(2030, 10, 27, 12, 30, tzinfo=UTC))

    [exported] = rows_of_csv(superuser_client.get(f"{EVENTS}export/csv/"))
    [booked] = rows_of_csv(superuser_client.get(f"{BOOKINGS}export/csv/"))
    entry, _ = rows_of_csv(superuser_client.get(f"{LEDGER}export/csv/"))

    assert (exported["Date"], exported["Time zone"]) == ("2080-07-01 20:00:00", "Europe/Berlin")
    assert (booked["Event date"], booked["Time zone"]) == ("2080-07-01 20:00:00", "Europe/Berlin")
    assert (booked["Created at"], booked["Updated at"]) == ("2030-10-27 02:30:00+02:00", "2030-10-27 13:30:00")
    moment = booking.created_at.astimezone(event.zone)
    assert (entry["Created at"], entry["Time zone"]) == (f"{moment:%Y-%m-%d %H:%M:%S}", "Europe/Berlin")


def test_events_export_can_be_imported_again(superuser_client):
    EventFactory(name="Concert", date=datetime(2080, 12, 1, 19, 30, tzinfo=UTC), description="Two\nlines")
    exported = content_of(superuser_client.get(f"{EVENTS}export/csv/")).decode()

    shown = superuser_client.post(f"{EVENTS}import/", {"text": exported, "key": "d" * 32})

    assert shown.context["lines"][0] == "1 event will be created."
    assert shown.context["lines"][-1] == "Line 2: There is an event of this name and date already."
    assert Event.objects.count() == 1
