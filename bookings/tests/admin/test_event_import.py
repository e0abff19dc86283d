"""Import of events from CSV: the accepted texts, the messages for refused ones, and that it happens only once."""

import io
import threading
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import OperationalError, close_old_connections, connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.admin.events import adding
from bookings.models import LedgerEntry
from bookings.services import events
from bookings.services.events import open_events
from bookings.services.idempotency import KeyedRequest
from bookings.tests.admin.confirming import errors, fields_of, lines, said
from bookings.tests.factories import EventFactory
from events.models import Event
from ticks.db.transactions import Busy

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/events/event/import/"
LIST = "/admin/events/event/"
TWO = "Name,Date,Total tickets\nConcert,2080-12-31 20:00,100\nMatinee,2081-01-01,20\n"
MOMENT = "Enter a date and time such as 2026-12-31 20:00."


def look(client, text, **sent):
    return client.post(PAGE, {"text": text, "key": "d" * 32, **sent})


def confirm(client, shown, **sent):
    return client.post(PAGE, fields_of(shown) | {"confirm": "yes"} | sent, follow=True)


def create(client, text, **sent):
    return confirm(client, look(client, text, **sent))


def table_of(response):
    table = response.context["action"].table
    return [list(table.columns), *table.rows]


def refused(client, text):
    """The reasons why a text is refused. The page must keep the text."""
    response = look(client, text)
    assert response.context["form"].data["text"] == text
    assert Event.objects.count() == 0
    return list(errors(response)["text"])


def test_import_shows_what_will_be_created_and_creates_nothing_yet(superuser_client):
    response = look(superuser_client, TWO)

    assert lines(response) == ["2 events will be created."]
    policy = "First fit: the earliest booking that fits whole"
    assert table_of(response) == [
        ["Line", "Name", "Date", "Time zone", "Total tickets", "Sales end", "Waitlist enabled", "Waitlist policy"],
        ["2", "Concert", "31 Dec 2080, 20:00 UTC", "UTC", "100", "31 Dec 2080, 20:00 UTC", "on", policy],
        ["3", "Matinee", "1 Jan 2081, 00:00 UTC", "UTC", "20", "1 Jan 2081, 23:59 UTC", "on", policy],
    ]
    assert fields_of(response)["text"] == [TWO.replace("\n", "\r\n")]
    assert Event.objects.count() == 0


def test_import_creates_all_with_their_ledger_and_says_which(superuser_client):
    response = create(superuser_client, TWO)

    assert response.redirect_chain == [(LIST, 302)]
    assert said(response) == ["Created 2 events: Concert, Matinee."]
    first, second = Event.objects.order_by("pk")
    assert (first.name, first.date, first.total_tickets) == ("Concert", datetime(2080, 12, 31, 20, tzinfo=UTC), 100)
    assert (first.available_tickets, first.version, first.waitlist_enabled) == (100, 1, True)
    assert first.created_by == User.objects.get(username="superuser")
    assert list(LedgerEntry.objects.order_by("pk").values_list("event", "sequence", "kind", "tickets")) == [
        (first.pk, 1, "opened", 100),
        (second.pk, 1, "opened", 20),
    ]
    assert list(LogEntry.objects.values_list("action_flag", "change_message")) == [(1, "Imported.")] * 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Gala,2080-12-31,1.000,", "Total tickets: Write 1000, without separators."),
        ('Gala,2080-12-31,"1,000",', "Total tickets: Write 1000, without separators."),
        ("Gala,2080-12-31,5,1.000", "Max tickets per booking: Write 1000, without separators."),
        ("Gala,2080-12-31 20.30,5,", "Date: Write the time with colons, as 20:30."),
        ("Gala,2080-12-31T8.05,5,", "Date: Write the time with colons, as 08:05."),
        ("Gala,2080-12-31 20:30.5,5,", "Date: Write the time with colons, as 20:30 or 20:30:00."),
        ("\u2800,2080-12-31,5,", "Name: Write at least one character that can be seen."),
        ("Gala\u202e,2080-12-31,5,", "Name: Characters that change the direction of writing are not allowed."),
    ],
)
def test_import_refuses_what_it_would_misread(superuser_client, row, said):
    head = "Name,Date,Total tickets,Max tickets per booking\n"

    assert refused(superuser_client, head + row)[1:] == [f"Line 2, {said}"]


def test_import_of_many_names_some(superuser_client):
    [message] = said(create(superuser_client, "Name,Total tickets\n" + "Event,1\n" * 70))

    assert message.startswith("Created 70 events: Event, Event, ")
    assert message.endswith("….")
    assert len(message) < 330


def test_import_reads_every_column(superuser_client):
    text = (
        "NAME ;date_(UTC);Venue;Total-Tickets;max-tickets per booking;Sales start;Sales end;"
        "Waitlist enabled;Waitlist policy;Description\n"
        "Concert;2080-12-31T20:00:30+01:00;Town hall;100;4;2080-11-01 09:00;2080-12-31;No;Strict;"
        '"Two\r\nlines; and ""quotes"""\n'
    )

    create(superuser_client, text)

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
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_import_of_a_file_finds_its_separator(superuser_client, separator, encoding):
    text = separator.join(["Name", "Date", "Total tickets"]) + "\r\n" + separator.join(["Café", "2080-12-31", "5"])
    file = io.BytesIO(text.encode(encoding))
    file.name = "events.csv"

    shown = look(superuser_client, "else", file=file)

    assert fields_of(shown)["text"] == [text]
    confirm(superuser_client, shown)
    assert Event.objects.get().name == "Café"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Concert,tomorrow,5", f"Line 3, Date: {MOMENT}"),
        ("Concert,03/04/2030,5", f"Line 3, Date: {MOMENT}"),
        ("Concert,1800-01-01,5", "Line 3, Date: Choose a time from the year 1900 on."),
        (",2080-12-31,5", "Line 3, Name: This field is required."),
        (f"{'a' * 201},2080-12-31,5", "Line 3, Name: Ensure this value has at most 200 characters (it has 201)."),
        (
            '"a\nb",2080-12-31,5',
            "Line 3, Name: Control characters such as line breaks are not allowed.",
        ),
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
        ("Concert,2080-12-31,5,,,,,,more", "Line 3, it has 9 cells, and the first line names 8 columns."),
    ],
)
def test_import_says_what_is_wrong_in_which_line_and_column(superuser_client, line, message):
    head = "Name,Date,Total tickets,Max tickets per booking,Waitlist enabled,Waitlist policy,Sales start,Sales end\n"
    text = f"{head}Right,2080-12-31,5\n{line}\n"

    assert refused(superuser_client, text) == ["1 of 2 lines must be corrected.", message]
    create_anyway = look(superuser_client, text, confirm="yes", stamp="0" * 32)
    assert not lines(create_anyway)
    assert Event.objects.count() == 0


def test_import_says_all_that_is_wrong(superuser_client):
    assert refused(superuser_client, "Name,Date,Total tickets\n,x,5\nConcert,2080-01-01,0\n") == [
        "2 of 2 lines must be corrected.",
        "Line 2, Name: This field is required.",
        f"Line 2, Date: {MOMENT}",
        "Line 3, Total tickets: Ensure this value is greater than or equal to 1.",
    ]


def test_import_says_some_of_very_much_that_is_wrong(superuser_client):
    found = refused(superuser_client, "Name,Total tickets\n" + "a,0\n" * 150)

    assert (found[0], len(found), found[-1]) == ("150 of 150 lines must be corrected.", 102, "And 50 more.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no text yet."),
        (" \n\n", "There is no text yet."),
        ("Name,Date,Total tickets\n", "There is a line with the names of columns, and no event below it."),
        ("Concert,2080-12-31,5", "The first line must name the columns, and “Name” is not among them."),
        (
            "Name,Date\nConcert,2080-12-31\n",
            "The first line must name the columns, and “Total tickets” is not among them.",
        ),
        ("Name,Na(m)e,name,Total tickets\na,b,c,5", "Two columns are “Name”; leave one out."),
        ('Name,Total tickets\nRight,5\n"Concert,5\n', "Line 3: the quotes do not match"),
        ('Name,Total tickets\n"Con"cert,5\n', "Line 2: the quotes do not match"),
        ("Name,Total tickets\n" + "a,5\n" * 1001, "There are more than 1000 events. Import them in parts."),
        (f"Name,Total tickets\n{'a' * 200_000},5\n", "Line 2: the quotes do not match"),
        ("," * 99, "There is no text yet."),
        ("," * 100, "Line 1: at most 20,000 lines with 100 columns each can be read."),
        ("Name,Total tickets\nRight,5" + "," * 99, "Line 2: at most 20,000 lines with 100 columns each can be read."),
        ("Name,Total tickets\n" + "\n" * 20_001, "Line 20001: at most 20,000 lines with 100 columns each"),
        ("Name,Total tickets\n" + "\n" * 10_001, "There is a line with the names of columns, and no event below it."),
        ('Name,Total tickets\n"' + "\n" * 200_000, "Line 2: the quotes do not match"),
    ],
)
def test_import_refuses_what_is_no_table_of_events(superuser_client, text, message):
    [found] = refused(superuser_client, text)

    assert found.startswith(message)


@pytest.mark.parametrize("content", [b"\x81\x8d", b"PK\x03\x04\0\xff", b"\xff\xfea\0", "é".encode("cp1252")])
def test_import_refuses_a_file_that_is_no_text_in_utf8(superuser_client, content):
    file = io.BytesIO(content)
    file.name = "events.xlsx"

    response = look(superuser_client, "", file=file)

    assert errors(response)["__all__"] == [adding.NOT_UTF8]


def test_import_names_lines_as_an_editor_does(superuser_client):
    text = 'Name,Total tickets,Description\n\nRight,5,"two\nlines"\n,5,\n'

    assert refused(superuser_client, text)[1:] == ["Line 5, Name: This field is required."]


def test_import_says_which_columns_it_does_not_read(superuser_client):
    response = look(superuser_client, "Name,Total tickets,Held,Colour\nConcert,5,3,red\n")

    assert lines(response) == ["1 event will be created.", "These columns are not read: Held, Colour."]


def test_import_says_which_columns_it_does_not_read_before_all_lines_are_right(superuser_client):
    wrong = refused(superuser_client, "Name,Total tickets,Held,Colour\nConcert,x,3,red\n")
    missing = refused(superuser_client, "Name,Tickets\nConcert,5\n")

    assert wrong[1] == "These columns are not read: Held, Colour."
    assert missing[1:] == ["These columns are not read: Tickets."]


def test_import_shows_an_example_with_the_titles_of_its_help(superuser_client):
    field = superuser_client.get(PAGE).context["form"].fields["text"]

    titles = field.widget.attrs["placeholder"].splitlines()[0].split(",")
    assert [
        title for title in titles if f" {title}," not in field.help_text and f" {title}." not in field.help_text
    ] == []


def test_import_warns_of_what_looks_like_another(superuser_client):
    EventFactory(name="Concert", date=datetime(2080, 12, 31, 20, tzinfo=UTC))
    text = "Name,Date,Total tickets\nCONCERT,2080-12-31 20:00,1\nA,,1\nConcert,2080-12-30,1\na,,2\n"

    assert lines(look(superuser_client, text))[1:] == [
        "Line 2: There is an event of this name and date already.",
        "Line 5: The same name and date as in line 3.",
    ]


def test_import_that_looks_like_another_by_now_is_shown_again(superuser_client):
    shown = look(superuser_client, TWO)
    EventFactory(name="Concert", date=datetime(2080, 12, 31, 20, tzinfo=UTC))

    response = confirm(superuser_client, shown)

    assert lines(response)[1:] == ["Line 2: There is an event of this name and date already."]
    assert Event.objects.count() == 1


def test_import_sent_twice_creates_once(superuser_client):
    shown = look(superuser_client, TWO)

    first, second = confirm(superuser_client, shown), confirm(superuser_client, shown)

    twice = "This page has created 2 events already: Concert, Matinee. Nothing was created a second time."
    assert (said(first), said(second)) == (["Created 2 events: Concert, Matinee."], [twice])
    assert Event.objects.count() == LedgerEntry.objects.count() == 2


def test_import_sent_twice_at_once_creates_once(superuser_client, monkeypatch):
    sent = fields_of(look(superuser_client, TWO)) | {"confirm": "yes"}
    both, carry_out = threading.Barrier(2, timeout=20), KeyedRequest.carry_out
    # Neither request has found the key when they begin.
    monkeypatch.setattr(KeyedRequest, "carry_out", lambda request: (both.wait(), carry_out(request))[1])
    answers = []

    def click():
        browser = Client()
        browser.cookies = superuser_client.cookies
        answers.append(browser.post(PAGE, sent).status_code)
        close_old_connections()

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join(30)

    # On MariaDB the second may be told that it is being done.
    assert 302 in answers
    assert set(answers) <= ({302, 200} if connection.vendor == "mysql" else {302})
    assert Event.objects.count() == LedgerEntry.objects.count() == LogEntry.objects.count() == 2


@pytest.mark.parametrize("carried_out", [True, False])
def test_import_whose_commit_was_not_answered_creates_once(superuser_client, commits, carried_out):
    shown = look(superuser_client, TWO)
    lost = OperationalError(2013, "Lost connection to server during query")
    # The third lost commit leaves it unknown, if the others were not carried out.
    commits(lost, lost, lost, carried_out=carried_out)

    confirm(superuser_client, shown)
    confirm(superuser_client, shown)

    assert Event.objects.count() == LedgerEntry.objects.count() == 2


def test_import_of_a_text_that_was_changed_since_is_shown_again(superuser_client):
    shown = look(superuser_client, TWO)
    changed = TWO.replace("100", "1000")

    response = confirm(superuser_client, shown, text=changed)

    assert table_of(response)[1][4] == "1,000"
    assert Event.objects.count() == 0
    confirm(superuser_client, response)
    assert Event.objects.count() == 2


def test_import_that_the_database_refuses_keeps_the_text_and_can_be_sent_again(superuser_client, monkeypatch):
    def refuse(*args, **kwargs):
        raise Busy

    shown = look(superuser_client, TWO)
    with monkeypatch.context() as patch:
        patch.setattr(events, "insert_event", refuse)
        response = confirm(superuser_client, shown)

    assert errors(response) == {"__all__": [Busy.message]}
    assert Event.objects.count() == 0
    again = superuser_client.post(PAGE, fields_of(response))
    assert said(confirm(superuser_client, again)) == ["Created 2 events: Concert, Matinee."]
    assert Event.objects.count() == 2


def test_open_events_opens_all_or_none(admin_user):
    right = {"name": "Right", "total_tickets": 5}
    now = timezone.now()

    with pytest.raises(Exception, match="Sales must end after they start"):
        open_events([right, {**right, "sales_start": now, "sales_end": now}], actor=admin_user)

    assert Event.objects.count() == LedgerEntry.objects.count() == 0


def test_import_of_the_example_is_right(superuser_client):
    assert adding.IMPORT_EXAMPLE.splitlines()[0] in superuser_client.get(PAGE).content.decode()

    assert lines(look(superuser_client, adding.IMPORT_EXAMPLE)) == ["2 events will be created."]


def test_import_shows_text_as_text(superuser_client):
    content = look(superuser_client, "Name,Total tickets\n<script>alert(1)</script></textarea>,5\n").content.decode()

    assert "<script>alert" not in content
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content


@pytest.mark.parametrize(("codenames", "status"), [(["view_event", "change_event"], 403), (["add_event"], 200)])
def test_import_needs_the_permission_to_add(client, codenames, status):
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)

    assert client.get(PAGE).status_code == status
    assert look(client, TWO).status_code == status
    assert look(client, TWO, confirm="yes", stamp="0" * 32).status_code == status
    assert Event.objects.count() == 0


def test_import_without_login_leads_to_it(client):
    assert client.post(PAGE, {"text": TWO})["Location"] == f"/admin/login/?next={PAGE}"


def test_import_refuses_a_form_of_another_site(superuser_client):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = superuser_client.cookies

    assert strict.post(PAGE, {"text": TWO}).status_code == 403


def test_event_list_links_to_the_import(superuser_client):
    assert f'<a href="{PAGE}" class="import-link">Import events</a>' in superuser_client.get(LIST).content.decode()


@pytest.mark.parametrize("rows", [1, 3])
def test_import_is_checked_in_the_same_queries_for_any_length(superuser_client, rows, django_assert_num_queries):
    # The queries are the session, user, and events of these names.
    with django_assert_num_queries(3):
        look(superuser_client, "Name,Total tickets\n" + "Concert,5\n" * rows)


def test_import_of_too_much_at_once_says_so(superuser_client, settings):
    settings.BODY_LIMIT = 1000

    response = superuser_client.post(PAGE, {"text": "Name,Date,Total tickets\n" + "Concert,2026-12-31 20:00,5\n" * 50})

    assert adding.TOO_LARGE in errors(response)["__all__"]
    assert fields_of(response)["key"] != [""]
    assert Event.objects.count() == 0
