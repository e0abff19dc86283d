"""Editing an event: only edited fields are saved, and the slower of two editors sees both versions side by side."""

from datetime import UTC, datetime

import pytest

from accounts.tests.factories import UserFactory
from bookings.services.events import cancel_event, change_event
from bookings.tests.admin.confirming import confirm, counts, entries, errors, fields_of, lines, look, said, url_of
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import digest_of_all_tables

pytestmark = pytest.mark.django_db

TOLD = "Nothing was saved: somebody else changed this event meanwhile."


@pytest.fixture
def event(db):
    return EventFactory(
        name="Old",
        venue="Hall",
        description="One\nTwo",
        date=datetime(2080, 1, 1, 20, 30, 15, 123456, tzinfo=UTC),
    )


def edit(client, event, **typed):
    return confirm(client, event, "edit", look(client, event, "edit", **typed))


def two_versions(response) -> list[tuple]:
    return [tuple(row) for row in response.context["action"].table.rows]


def test_edit_saves_what_was_edited_and_nothing_else(superuser_client, event):
    response = edit(superuser_client, event, name="New")

    assert said(response) == ["Saved New."]
    date, description = event.date, event.description
    event.refresh_from_db()
    assert (event.name, event.version) == ("New", 2)
    # Seconds, which the form does not have, and line breaks as a browser sends them are not edits.
    assert (event.date, event.description) == (date, description)
    assert entries(event, after=1) == [("edited", 0, None, "superuser", "name: Old → New")]


EDITS = {
    "date": ("2081-02-03T04:05", "Date: 1 Jan 2080, 20:30 UTC → 3 Feb 2081, 04:05 UTC"),
    "venue": ("", "Venue: Hall → nothing"),
    "description": ("One\r\nThree", "Description: One\nTwo → One\nThree"),
    "max_tickets_per_booking": ("3", "Max tickets per booking: no limit → 3"),
    "max_tickets_per_person": ("6", "Max tickets per person: no limit → 6"),
    "waitlist_enabled": ([], "Waitlist enabled: on → off"),
    "waitlist_policy": ("strict", "Waitlist policy: {old} → {new}"),
}


BERLIN_TO_LONDON = "Time zone: Europe/Berlin → Europe/London"


@pytest.fixture
def summer(db):
    times = {"date": datetime(2080, 7, 1, 18, tzinfo=UTC), "sales_end": datetime(2080, 7, 1, 16, tzinfo=UTC)}
    return EventFactory(**times, time_zone="Europe/Berlin")


def test_time_is_shown_and_typed_in_the_zone_of_the_event(superuser_client, summer):
    page = superuser_client.get(url_of(summer, "edit"))
    content = page.content.decode()
    assert 'value="2080-07-01T20:00"' in content
    assert 'value="Europe/Berlin"' in content
    assert '<option value="Pacific/Auckland"></option>' in content

    shown = look(superuser_client, summer, "edit", date="2080-12-01T20:00")

    assert lines(shown) == [
        "Date: 1 Jul 2080, 20:00 CEST (18:00 UTC) → 1 Dec 2080, 20:00 CET (19:00 UTC)",
        "Sales still end 1 Jul 2080, 18:00 CEST (16:00 UTC); “Open or close sales” changes that.",
    ]
    confirm(superuser_client, summer, "edit", shown)
    summer.refresh_from_db()
    assert summer.date == datetime(2080, 12, 1, 19, tzinfo=UTC)


def test_typed_time_is_in_the_zone_that_is_typed_with_it(superuser_client, summer):
    shown = look(superuser_client, summer, "edit", time_zone="Europe/London")

    assert lines(shown) == [
        "Date: 1 Jul 2080, 20:00 CEST (18:00 UTC) → 1 Jul 2080, 20:00 BST (19:00 UTC)",
        BERLIN_TO_LONDON,
        "Sales still end 1 Jul 2080, 17:00 BST (16:00 UTC); “Open or close sales” changes that.",
    ]
    confirm(superuser_client, summer, "edit", shown)
    summer.refresh_from_db()
    assert (summer.date, summer.time_zone) == (datetime(2080, 7, 1, 19, tzinfo=UTC), "Europe/London")
    note = "date: 2080-07-01 20:00 CEST → 2080-07-01 20:00 BST; time zone: Europe/Berlin → Europe/London"
    assert entries(summer, after=1) == [("edited", 0, None, "superuser", note)]


def test_other_zone_of_the_same_time_leaves_the_date(superuser_client, summer):
    shown = look(superuser_client, summer, "edit", time_zone="Europe/London", date="2080-07-01T19:00")

    assert lines(shown)[0] == BERLIN_TO_LONDON
    confirm(superuser_client, summer, "edit", shown)
    summer.refresh_from_db()
    assert (summer.date, summer.time_zone) == (datetime(2080, 7, 1, 18, tzinfo=UTC), "Europe/London")


def test_other_zone_says_when_sales_still_start(superuser_client):
    event = EventFactory(sales_start=datetime(2080, 7, 1, 18, tzinfo=UTC))

    shown = look(superuser_client, event, "edit", time_zone="Asia/Tokyo")

    assert lines(shown) == [
        "Time zone: UTC → Asia/Tokyo",
        "Sales still start 2 Jul 2080, 03:00 JST (1 Jul 2080, 18:00 UTC).",
    ]


def test_edit_on_top_of_another_zone_shows_times_in_that(superuser_client, admin_user, summer):
    shown = look(superuser_client, summer, "edit", venue="Cellar")
    change_event(summer.pk, changes={"time_zone": "Europe/London"}, actor=admin_user)

    response = confirm(superuser_client, summer, "edit", shown)

    assert errors(response) == {"__all__": [TOLD]}
    assert two_versions(response) == [
        ("Time zone", "Europe/London", "not edited", ""),
        ("Venue", "nothing", "Cellar", ""),
    ]
    assert fields_of(response)["date"] == ["2080-07-01T19:00"]
    confirm(superuser_client, summer, "edit", confirm(superuser_client, summer, "edit", response))
    summer.refresh_from_db()
    assert (summer.venue, summer.date) == ("Cellar", datetime(2080, 7, 1, 18, tzinfo=UTC))


@pytest.mark.parametrize(
    ("stored", "typed", "date"),
    [
        # The clocks show half past two twice: first as summer time.
        ((2080, 10, 27, 1, 30), {"venue": "Cellar"}, (2080, 10, 27, 1, 30)),
        ((2080, 10, 27, 3, 30), {"date": "2080-10-27T02:30"}, (2080, 10, 27, 0, 30)),
        ((2080, 10, 27, 3, 30), {"date": "2080-10-27T02:30+01:00"}, (2080, 10, 27, 1, 30)),
        ((2080, 10, 27, 3, 30), {"date": "2080-10-28"}, (2080, 10, 27, 23, 0)),
    ],
)
def test_time_that_the_clocks_show_twice_is_the_first(superuser_client, stored, typed, date):
    event = EventFactory(date=datetime(*stored, tzinfo=UTC), time_zone="Europe/Berlin")

    edit(superuser_client, event, **typed)

    event.refresh_from_db()
    assert (event.version, event.date) == (2, datetime(*date, tzinfo=UTC))


@pytest.mark.parametrize("name", EDITS)
def test_each_field_is_shown_and_saved(superuser_client, event, name):
    typed, told = EDITS[name]
    kinds = dict(event._meta.get_field("waitlist_policy").choices)

    shown = look(superuser_client, event, "edit", **{name: typed})

    assert lines(shown) == [told.format(old=kinds["first_fit"], new=kinds["strict"])]
    confirm(superuser_client, event, "edit", shown)
    event.refresh_from_db()
    assert event.version == 2
    assert [kind for kind, *_ in entries(event, after=1)] == ["edited"]


def test_policy_that_serves_somebody_says_whom(superuser_client):
    event = EventFactory(name="Gala", total_tickets=4, waitlist_policy="strict")
    for name, tickets in (("Ada", 3), ("Grace", 2), ("Alan", 1)):
        BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, user=None)

    shown = look(superuser_client, event, "edit", waitlist_policy="first_fit")

    assert lines(shown)[1:] == [
        "Promotes 1 booking, 1 ticket: Alan (1).",
        "Then 0 tickets available, 1 booking (2 tickets) waiting.",
    ]
    assert said(confirm(superuser_client, event, "edit", shown)) == [
        "Saved Gala. Promoted 1 booking, 1 ticket: Alan (1)."
    ]
    assert counts(event) == (4, 0, 1, 2)


def test_waitlist_that_ends_while_somebody_waits_says_what_becomes_of_them(superuser_client):
    event = EventFactory(total_tickets=1)
    BookingFactory.create_batch(2, event=event)

    shown = look(superuser_client, event, "edit", waitlist_enabled=[])

    assert lines(shown) == [
        "Waitlist enabled: on → off",
        "No other booking can wait. Those that wait keep their places and are still served.",
    ]


def test_edit_of_nothing_is_refused(superuser_client, event):
    before = digest_of_all_tables()

    response = look(superuser_client, event, "edit")

    assert errors(response) == {"__all__": ["Nothing is different from what is stored."]}
    assert digest_of_all_tables() == before


@pytest.mark.parametrize(
    ("typed", "field", "message"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"name": "A\tB"}, "name", "Control characters such as line breaks are not allowed."),
        ({"name": "x" * 201}, "name", "Ensure this value has at most 200 characters (it has 201)."),
        ({"venue": "a\0b"}, "venue", "Null characters are not allowed."),
        ({"description": "a\0b"}, "description", "Null characters are not allowed."),
        (
            {"date": "2080-03-31T02:30", "time_zone": "Europe/Berlin"},
            "date",
            "There is no 02:30 on 2080-03-31 in Europe/Berlin, since the clocks go forward; write 03:30 or another"
            " time.",
        ),
        ({"time_zone": "Berlin"}, "time_zone", "There is no such time zone; did you mean Europe/Berlin?"),
        ({"time_zone": ""}, "time_zone", "This field is required."),
        ({"date": "9999-12-31T23:59:59-10:00"}, "date", "Send a time from the year 1900 to the year 9998."),
        ({"date": "soon"}, "date", "Enter a date and time such as 2026-12-31 20:00."),
        (
            {"max_tickets_per_booking": "0"},
            "max_tickets_per_booking",
            "Ensure this value is greater than or equal to 1.",
        ),
        (
            {"max_tickets_per_booking": str(10**29)},
            "max_tickets_per_booking",
            "Ensure this value is less than or equal to 1000000.",
        ),
        (
            {"waitlist_policy": "loudest"},
            "waitlist_policy",
            "Select a valid choice. loudest is not one of the available choices.",
        ),
    ],
)
def test_input_that_cannot_be_is_refused_at_its_field_and_kept(superuser_client, event, typed, field, message):
    before = digest_of_all_tables()

    response = look(superuser_client, event, "edit", **typed)

    assert errors(response) == {field: [message]}
    if field != "waitlist_policy":
        assert fields_of(response)[field] == [typed[field]]
    assert digest_of_all_tables() == before


def test_slower_of_two_sees_both_versions_and_can_still_save(superuser_client, event):
    grace = UserFactory(username="grace")
    shown = look(superuser_client, event, "edit", name="Mine", waitlist_enabled=[])
    change_event(event.pk, changes={"name": "Theirs", "venue": "Barn"}, actor=grace)

    response = confirm(superuser_client, event, "edit", shown)

    assert errors(response) == {"__all__": [TOLD]}
    assert response.context["action"].table.caption.startswith("grace changed it ")
    assert two_versions(response) == [
        ("Name", "Theirs", "Mine", "both changed it"),
        ("Venue", "Barn", "not edited", ""),
        ("Waitlist enabled", "on", "off", ""),
    ]
    event.refresh_from_db()
    assert (event.name, event.version) == ("Theirs", 2)

    again = superuser_client.post(url_of(event, "edit"), fields_of(response))
    assert lines(again) == ["Name: Theirs → Mine", "Waitlist enabled: on → off"]
    confirm(superuser_client, event, "edit", again)
    event.refresh_from_db()
    assert (event.name, event.venue, event.waitlist_enabled, event.version) == ("Mine", "Barn", False, 3)


def test_slower_of_two_who_wants_the_same_has_nothing_left_to_save(superuser_client, event):
    shown = look(superuser_client, event, "edit", name="Same")
    change_event(event.pk, changes={"name": "Same"}, actor=event.created_by)

    response = confirm(superuser_client, event, "edit", shown)
    again = superuser_client.post(url_of(event, "edit"), fields_of(response))

    assert errors(again) == {"__all__": ["Nothing is different from what is stored."]}


def test_slower_of_two_after_a_change_of_capacity_loses_nothing(superuser_client, event):
    shown = look(superuser_client, event, "edit", date="2081-02-03T04:05", description="New\r\nlines")
    change_event(event.pk, changes={"total_tickets": 20}, actor=event.created_by)

    response = confirm(superuser_client, event, "edit", shown)
    again = superuser_client.post(url_of(event, "edit"), fields_of(response))
    confirm(superuser_client, event, "edit", again)

    event.refresh_from_db()
    assert (event.date, event.description) == (datetime(2081, 2, 3, 4, 5, tzinfo=UTC), "New\nlines")
    assert (event.total_tickets, event.version) == (20, 3)


@pytest.mark.parametrize("version", ["", "x", "-1", "0", str(10**29)])
@pytest.mark.parametrize("seen", ["", "x", "\0", "9" * 30])
def test_page_that_nobody_was_shown_saves_nothing(superuser_client, event, version, seen):
    sent = fields_of(superuser_client.get(url_of(event, "edit"))) | {
        "version": version,
        "name": "Mine",
        "confirm": "yes",
    }
    sent |= {name: seen for name in sent if name.startswith("initial-")}

    response = superuser_client.post(url_of(event, "edit"), sent)

    assert response.status_code == 200
    event.refresh_from_db()
    assert (event.name, event.version) == ("Old", 1)


def test_event_cancelled_meanwhile_is_told(superuser_client, event):
    shown = look(superuser_client, event, "edit", name="Mine")
    cancel_event(event.pk, actor=event.created_by)

    response = confirm(superuser_client, event, "edit", shown)

    assert said(response) == ["This event is cancelled; nothing was changed."]
    event.refresh_from_db()
    assert event.name == "Old"
