"""Import of events from CSV: what is understood, what is refused in which words, and that it happens once."""

import io
import re
import threading
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import close_old_connections
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.admin.events import importing, sheet
from bookings.models import LedgerEntry
from bookings.services.events import open_events
from bookings.tests.factories import EventFactory
from events.models import Event
from ticks.db.transactions import Busy

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/events/event/import/"
DONE = "/admin/events/event/import/done/"
TWO = "Name,Date,Total tickets\nConcert,2080-12-31 20:00,100\nMatinee,2081-01-01,20\n"


def check(client, text):
    return client.post(PAGE, {"text": text})


def create(client, text, token=None):
    return client.post(PAGE, {"text": text, "create": token or check(client, text).context["token"]})


def sheet_of(client, text):
    return check(client, text).context["sheet"]


def errors(client, text):
    return [error for row in sheet_of(client, text).rows for error in row.errors]


def test_import_shows_what_will_be_created_and_creates_nothing_yet(box_office):
    response = check(box_office, TWO)

    assert response.status_code == 200
    assert "2 events will be created" in response.content.decode()
    assert "Create 2 events" in response.content.decode()
    sheet = response.context["sheet"]
    assert sheet.labels == ["Name", "Date", "Total tickets", "Waitlist enabled", "Waitlist policy"]
    assert [cells for _, cells in sheet.lines] == [
        ["Concert", "2080-12-31 20:00", "100", "yes", "First fit"],
        ["Matinee", "2081-01-01 00:00", "20", "yes", "First fit"],
    ]
    assert TWO in response.content.decode().replace("\r\n", "\n")
    assert Event.objects.count() == 0


def test_import_creates_all_with_their_ledger_and_links_to_them(box_office):
    response = create(box_office, TWO)

    assert (response.status_code, response["Location"]) == (302, DONE)
    first, second = Event.objects.order_by("pk")
    assert (first.name, first.date, first.total_tickets) == ("Concert", datetime(2080, 12, 31, 20, tzinfo=UTC), 100)
    assert (first.available_tickets, first.version, first.waitlist_enabled) == (100, 1, True)
    assert first.created_by == User.objects.get(username="superuser")
    assert list(LedgerEntry.objects.order_by("pk").values_list("event", "sequence", "kind", "tickets")) == [
        (first.pk, 1, "opened", 100),
        (second.pk, 1, "opened", 20),
    ]
    assert list(LogEntry.objects.values_list("action_flag", "change_message")) == [(1, "Imported.")] * 2
    report = box_office.get(DONE).content.decode()
    assert "2 events created by your latest import" in report
    assert f'<a href="/admin/events/event/{first.pk}/">Concert</a>, 2080-12-31 20:00 UTC: 100 tickets' in report


def test_import_reads_every_column(box_office):
    text = (
        "NAME ;date_(UTC);Venue;Capacity;max-tickets per booking;Sales start;Sales end;Waitlist;Policy;Description\n"
        "Concert;2080-12-31T20:00:30+01:00;Town hall;100;4;2080-11-01 09:00;2080-12-31;No;Strict;"
        '"Two\r\nlines; and ""quotes"""\n'
    )

    create(box_office, text)

    event = Event.objects.get()
    assert (event.name, event.venue, event.total_tickets, event.max_tickets_per_booking) == (
        "Concert",
        "Town hall",
        100,
        4,
    )
    assert (event.date, event.sales_start, event.sales_end) == (
        datetime(2080, 12, 31, 19, 0, 30, tzinfo=UTC),
        datetime(2080, 11, 1, 9, tzinfo=UTC),
        datetime(2080, 12, 31, tzinfo=UTC),
    )
    assert (event.waitlist_enabled, event.waitlist_policy) == (False, "strict")
    assert event.description == 'Two\nlines; and "quotes"'


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_import_of_a_file_finds_separator_and_encoding(box_office, separator, encoding):
    text = separator.join(["Name", "Date", "Total tickets"]) + "\r\n" + separator.join(["Café", "2080-12-31", "5"])
    file = io.BytesIO(text.encode(encoding))
    file.name = "events.csv"

    response = box_office.post(PAGE, {"file": file, "text": "else"})

    [row] = response.context["sheet"].rows
    assert (row.errors, row.form.cleaned_data["name"]) == ([], "Café")
    assert (importing.LOST_ACCENTS in response.content.decode()) == (encoding == "cp1252")
    create(box_office, text, response.context["token"])
    assert Event.objects.get().name == "Café"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Concert,tomorrow,5", "Line 3, Date: “tomorrow” is no date and time. Write it as 2026-12-31 20:00, in UTC."),
        (
            "Concert,03/04/2080,5",
            "Line 3, Date: “03/04/2080” is no date and time. Write it as 2026-12-31 20:00, in UTC.",
        ),
        ("Concert,1800-01-01,5", "Line 3, Date: Choose a time from the year 1900 on."),
        (",2080-12-31,5", "Line 3, Name: This field is required."),
        (f"{'a' * 201},2080-12-31,5", "Line 3, Name: Ensure this value has at most 200 characters (it has 201)."),
        ('"a\nb",2080-12-31,5', "Line 3, Name: It must be one line, without control characters."),
        ("Concert,2080-12-31,", "Line 3, Total tickets: This field is required."),
        ("Concert,2080-12-31,0", "Line 3, Total tickets: Ensure this value is greater than or equal to 1."),
        ("Concert,2080-12-31,many", "Line 3, Total tickets: Enter a whole number."),
        ("Concert,2080-12-31,5,0", "Line 3, Max tickets per booking: Ensure this value is greater than or equal to 1."),
        ("Concert,2080-12-31,5,,perhaps", "Line 3, Waitlist enabled: “perhaps” is neither yes nor no."),
        (
            "Concert,2080-12-31,5,,,lottery",
            "Line 3, Waitlist policy: Select a valid choice. lottery is not one of the available choices.",
        ),
        ("Concert,2080-12-31,5,,,,2080-12-01,2080-11-01", "Line 3, Sales end: Sales must end after they start."),
        ("Concert,2080-12-31,5,,,,,,more", "Line 3: it has 9 cells, and the first line names 8 columns."),
    ],
)
def test_import_says_what_is_wrong_in_which_line_and_column(box_office, line, said):
    head = "Name,Date,Total tickets,Max tickets,Waitlist,Policy,Sales start,Sales end\n"
    text = f"{head}Right,2080-12-31,5\n{line}\n"

    response = check(box_office, text)

    assert [error for row in response.context["sheet"].rows for error in row.errors] == [said]
    assert response.context["token"] == ""
    assert "1 of 2 lines must be corrected" in response.content.decode()
    assert response.context["text"] == text
    assert create(box_office, text, "forged").status_code == 200
    assert Event.objects.count() == 0


def test_import_says_all_that_is_wrong(box_office):
    assert errors(box_office, "Name,Date,Total tickets\n,x,5\nConcert,2080-01-01,0\n") == [
        "Line 2, Name: This field is required.",
        "Line 2, Date: “x” is no date and time. Write it as 2026-12-31 20:00, in UTC.",
        "Line 3, Total tickets: Ensure this value is greater than or equal to 1.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is nothing here yet."),
        (" \n\n", "There is nothing here yet."),
        ("Name,Date,Total tickets\n", "There is a line with the names of columns, and no event below it."),
        ("Concert,2080-12-31,5", "“Name”, “Total tickets” is not among them."),
        (
            "Name,Date\nConcert,2080-12-31\n",
            "The first line must name the columns, and “Total tickets” is not among them.",
        ),
        ("Name,Title,Total tickets\na,b,5", "Two columns are “Name”; leave one out."),
        ('Name,Total tickets\nRight,5\n"Concert,5\n', "Line 3: the quotes do not match"),
        ('Name,Total tickets\n"Con"cert,5\n', "Line 2: the quotes do not match"),
        ("Name,Total tickets\n" + "a,5\n" * 1001, "There are more than 1000 events. Import them in parts."),
        (f"Name,Total tickets\n{'a' * 200_000},5\n", "Line 2: the quotes do not match, or a cell has more than 10,000"),
        (
            f"Name,Total tickets\n\nRight,5\n{'a' * 10_001},5\n",
            "Line 4, column 1: the cell has 10,001 characters, and at most 10,000 can be read.",
        ),
        (
            f"{'(' * 16_000},Name\n",
            "Line 1, column 1: the cell has 16,000 characters, and at most 10,000 can be read.",
        ),
        (
            "\n" + f"{'(' * 9_000}," * 2 + "Name\n",
            "Line 2: the names of columns have more than 10,000 characters together.",
        ),
        ("," * 100, "Line 1: it has 101 cells, and at most 100 columns can be read."),
        ("Name,Total tickets\nRight,5" + "," * 99, "Line 2: it has 101 cells, and at most 100 columns can be read."),
        ("Name,Total tickets\n" + "\n" * 10_001, "Line 10002: there are more than 10,000 empty lines. Delete them."),
        ("Name,Total tickets\n" + ",\n" * 10_001, "Line 10002: there are more than 10,000 empty lines. Delete them."),
        ('Name,Total tickets\n"' + "\n" * 200_000, "Line 2: the quotes do not match, or a cell has more than 10,000"),
    ],
)
def test_import_refuses_what_is_no_table_of_events(box_office, text, said):
    response = check(box_office, text)

    assert said in response.context["problem"]
    assert response.context["text"] == text
    assert Event.objects.count() == 0


@pytest.mark.parametrize("content", [b"\x81\x8d", b"PK\x03\x04\0\0", b"\xff\xfea"])
def test_import_refuses_a_file_that_is_no_text(box_office, content):
    file = io.BytesIO(content)
    file.name = "events.xlsx"

    response = box_office.post(PAGE, {"file": file})

    assert "This file is not text in UTF-8 or Windows-1252." in response.context["problem"]


def test_import_reads_what_is_as_large_as_may_be(box_office):
    """The last line is right, and stands behind as many columns, characters and empty lines as there may be."""
    names = ["Name", "Total tickets", "Description", *("x" * 90 for _ in range(97))]
    head = ",".join(names).ljust(10_000, "y")
    cells = ",".join(["Right", "5", " " * 10_000, *[""] * 97])

    sheet = sheet_of(box_office, f"{head}\n" + ",\n" * 10_000 + f"{cells}\n")

    assert [(row.line, row.errors) for row in sheet.rows] == [(10_002, [])]
    assert len(sheet.ignored) == 97


def test_import_names_lines_as_an_editor_does(box_office):
    text = 'Name,Total tickets,Description\n\nRight,5,"two\nlines"\n,5,\n'

    assert errors(box_office, text) == ["Line 5, Name: This field is required."]


def test_import_says_which_columns_it_does_not_read(box_office):
    sheet = sheet_of(box_office, "Name,Total tickets,Held,Colour\nConcert,5,3,red\n")

    assert sheet.ignored == ["Colour"]
    assert sheet.is_right


def test_import_warns_of_what_looks_like_another(box_office):
    EventFactory(name="Concert", date=datetime(2080, 12, 31, 20, tzinfo=UTC))
    text = "Name,Date,Total tickets\nCONCERT,2080-12-31 20:00,1\nA,,1\nConcert,2080-12-30,1\na,,2\n"

    assert [row.warnings for row in sheet_of(box_office, text).rows] == [
        ["There is an event of this name and date already."],
        [],
        [],
        ["The same name and date as in line 3."],
    ]


def test_import_sent_twice_creates_once(box_office):
    token = check(box_office, TWO).context["token"]

    first, second = create(box_office, TWO, token), create(box_office, TWO, token)

    assert (first["Location"], second["Location"]) == (DONE, DONE)
    assert Event.objects.count() == LedgerEntry.objects.count() == 2
    page = box_office.get(DONE).content.decode()
    assert importing.TWICE in page
    assert "2 events created by your latest import" in page


def test_import_sent_twice_at_once_creates_once(box_office, monkeypatch):
    token = check(box_office, TWO).context["token"]
    both, take = threading.Barrier(2, timeout=20), importing.take_offer
    # Both have read the session before either takes the offer from it.
    monkeypatch.setattr(importing, "take_offer", lambda *given: (both.wait(), take(*given))[1])
    answers = []

    def click():
        browser = Client()
        browser.cookies = box_office.cookies
        answers.append(create(browser, TWO, token).status_code)
        close_old_connections()

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join(30)

    assert answers == [302, 302]
    assert Event.objects.count() == LedgerEntry.objects.count() == 2


def test_import_of_a_text_that_was_changed_since_is_checked_again(box_office):
    token = check(box_office, TWO).context["token"]
    changed = TWO.replace("100", "1000")

    response = create(box_office, changed, token)

    assert response.context["problem"] == importing.CHANGED
    assert Event.objects.count() == 0
    assert create(box_office, changed, response.context["token"]).status_code == 302
    assert Event.objects.count() == 2


def test_import_takes_no_offer_of_another_session(box_office):
    token = check(box_office, TWO).context["token"]
    other = Client()
    other.force_login(UserFactory(is_staff=True, is_superuser=True))

    create(other, TWO, token)

    assert Event.objects.count() == 0


def test_import_that_the_database_refuses_keeps_the_text_and_can_be_sent_again(box_office, monkeypatch):
    def refuse(rows, *, actor):
        raise Busy

    monkeypatch.setattr(importing, "open_events", refuse)
    refused = create(box_office, TWO)
    monkeypatch.setattr(importing, "open_events", open_events)

    assert refused.context["problem"] == Busy.message
    assert refused.context["text"] == TWO
    assert Event.objects.count() == 0
    assert create(box_office, TWO, refused.context["token"]).status_code == 302
    assert Event.objects.count() == 2


def test_open_events_opens_all_or_none(admin_user):
    right = {"name": "Right", "total_tickets": 5}
    now = timezone.now()

    with pytest.raises(Exception, match="Sales must end after they start"):
        open_events([right, {**right, "sales_start": now, "sales_end": now}], actor=admin_user)

    assert Event.objects.count() == LedgerEntry.objects.count() == 0


def test_import_of_the_example_is_right(box_office):
    example = box_office.get("/admin/events/event/import/example/")

    assert example["Content-Disposition"] == 'attachment; filename="ticks-events-example.csv"'
    sheet = sheet_of(box_office, example.content.decode())
    assert (sheet.is_right, sheet.ignored, len(sheet.rows)) == (True, [], 2)


def test_import_shows_text_as_text(box_office):
    content = check(box_office, "Name,Total tickets\n<script>alert(1)</script></textarea>,5\n").content.decode()

    assert "<script>alert" not in content
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content


@pytest.mark.parametrize("tail", ["", "example/", "done/"])
@pytest.mark.parametrize(("codenames", "status"), [(["view_event", "change_event"], 403), (["add_event"], 200)])
def test_import_needs_the_permission_to_add(client, tail, codenames, status):
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)

    assert client.get(f"{PAGE}{tail}").status_code == status
    assert (create(client, TWO, "forged").status_code == 403) == (status == 403)
    assert Event.objects.count() == 0


def test_import_without_login_leads_to_it(client):
    assert client.post(PAGE, {"text": TWO})["Location"] == f"/admin/login/?next={PAGE}"


def test_import_refuses_a_form_of_another_site(box_office):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = box_office.cookies

    assert strict.post(PAGE, {"text": TWO}).status_code == 403


def test_event_list_links_to_the_import(box_office):
    assert (
        f'<a href="{PAGE}" class="import-link">Import events</a>'
        in box_office.get("/admin/events/event/").content.decode()
    )


@pytest.mark.parametrize("rows", [1, 3])
def test_import_is_checked_in_the_same_queries_for_any_length(box_office, rows, django_assert_num_queries):
    # Session, user, known events, and the offer into the session.
    with django_assert_num_queries(6):
        check(box_office, "Name,Total tickets\n" + "Concert,5\n" * rows)


def test_columns_are_those_of_the_events_form(box_office):
    """What the form learns, the import must."""
    form = box_office.get("/admin/events/event/add/").context["adminform"].form

    assert set(form.fields) == set(sheet.RowForm.base_fields) - {"seen_version"}
    assert re.findall(r"^[^,]+", sheet.EXAMPLE) == ["Name"]


def test_import_of_too_much_at_once_says_so(box_office, settings):
    settings.BODY_LIMIT = 1000

    response = check(box_office, "Name,Date,Total tickets\n" + "Concert,2026-12-31 20:00,5\n" * 50)

    assert "This is too large: at most 1 MB at once." in response.content.decode()
    assert Event.objects.count() == 0
