"""GET /api/v1/changes."""

import pytest
from django.db import IntegrityError

from bookings.models import FeedPart, LedgerEntry
from bookings.services import changes as service
from bookings.services import events as event_service
from bookings.services.events import cancel_event, close_event
from bookings.tests.api.test_event_changes import FORBIDDEN
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.wire import stamp
from ticks.parsing import MAX_ID

pytestmark = pytest.mark.django_db
UNKNOWN = (
    "This cursor is not known. Send the `nextCursor` of an earlier answer, send `now`, or leave it out to start at "
    "the first entry."
)


def changes(client, **query):
    return client.get("/api/v1/changes", query)


def places(response):
    return [(entry["eventId"], entry["sequence"]) for entry in response.json()["data"]]


def read_to_the_end(client, cursor=None, **query):
    """All that is left of the feed, and the cursor of its end."""
    read = []
    while True:
        response = changes(client, **query, **({"cursor": cursor} if cursor else {}))
        read += places(response)
        if response.json()["nextCursor"] == cursor:
            return read, cursor
        cursor = response.json()["nextCursor"]


def test_changes_of_all_events_from_the_beginning(staff):
    event = EventFactory(total_tickets=10)
    entry = event.ledger.get()

    response = changes(staff)

    assert response.status_code == 200
    assert response.json() == {
        "message": "Changes retrieved successfully.",
        "data": [
            {
                "eventId": event.pk,
                "sequence": 1,
                "kind": "opened",
                "tickets": 10,
                "availableAfter": 10,
                "waitlistedAfter": 0,
                "bookingId": None,
                "actorId": event.created_by_id,
                "note": "",
                "createdAt": stamp(entry.created_at),
            }
        ],
        "nextCursor": "1.1",
        "error": False,
    }
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("persona", "status"), [("owner", 403), ("stranger", 403), ("staff", 200), ("anonymous", 401)])
def test_changes_of_all_events_are_for_admins(request, persona, status):
    client = request.getfixturevalue(persona)
    EventFactory()

    response = changes(client)

    assert response.status_code == status
    if status == 403:
        assert response.json() == FORBIDDEN
    assert FeedPart.objects.count() == (1 if status == 200 else 0)


@pytest.mark.parametrize("rows", [1, 3])
def test_changes_of_all_events_take_as_many_queries_for_any_number(staff, django_assert_num_queries, rows):
    EventFactory.create_batch(rows)

    # The login, the parts, the savepoint of a test and its end, the last part, what moved, the new parts, the parts
    # again, the entries.
    with django_assert_num_queries(9):
        response = changes(staff)

    assert len(response.json()["data"]) == rows
    # In the middle of the feed there is nothing to append: the login, the parts, the entries.
    with django_assert_num_queries(3):
        changes(staff, limit=1)


def test_changes_go_on_from_the_cursor_without_gap_or_repetition(staff):
    first, second = EventFactory(), EventFactory()
    BookingFactory.create_batch(2, event=first)
    read, cursor = read_to_the_end(staff, limit=2)
    BookingFactory(event=second)
    BookingFactory(event=first)

    more, _ = read_to_the_end(staff, cursor, limit=2)

    assert read == [(first.pk, 1), (first.pk, 2), (first.pk, 3), (second.pk, 1)]
    assert more == [(first.pk, 4), (second.pk, 2)]


def test_changes_are_the_same_for_two_readers(staff):
    event = EventFactory()
    for _ in range(3):
        BookingFactory(event=event)
        BookingFactory()
        read_to_the_end(staff)

    assert read_to_the_end(staff, limit=1)[0] == read_to_the_end(staff, limit=1000)[0]
    assert len(read_to_the_end(staff)[0]) == LedgerEntry.objects.count() == 10


def test_changes_from_now_on(staff):
    event = EventFactory()
    BookingFactory(event=event)

    now = changes(staff, cursor="now")
    BookingFactory(event=event)

    assert now.json()["data"] == []
    assert places(changes(staff, cursor=now.json()["nextCursor"])) == [(event.pk, 3)]


def test_changes_from_now_on_before_the_first(staff):
    now = changes(staff, cursor="now").json()["nextCursor"]
    event = EventFactory()

    assert now == "0.0"
    assert places(changes(staff, cursor=now)) == [(event.pk, 1)]


def test_cursor_at_the_end_stays_the_same(staff):
    EventFactory()
    cursor = changes(staff).json()["nextCursor"]

    response = changes(staff, cursor=cursor)

    assert (response.json()["data"], response.json()["nextCursor"]) == ([], cursor)


def test_late_commit_with_a_smaller_id_comes_after_what_was_read(staff):
    first, second = EventFactory(), EventFactory()
    cursor = changes(staff, cursor="now").json()["nextCursor"]
    later = BookingFactory(event=second).ledger.get()
    read, cursor = read_to_the_end(staff, cursor)

    # A transaction that got its id before that one, and commits only now.
    late = LedgerEntry(event=first, sequence=2, kind="edited", tickets=0, available_after=10, waitlisted_after=0)
    late.pk = later.pk + 1000
    late.save()
    BookingFactory(event=second)
    first.ledger_sequence = 2
    first.save(update_fields=["ledger_sequence"])
    more, _ = read_to_the_end(staff, cursor)

    assert read == [(second.pk, 2)]
    assert sorted(more) == [(first.pk, 2), (second.pk, 3)]


def test_changes_of_a_cancelled_event_come_as_far_as_they_are_written(staff, monkeypatch):
    monkeypatch.setattr(event_service, "BOOKINGS_A_PART", 2)
    event = EventFactory()
    BookingFactory.create_batch(5, event=event)
    read, cursor = read_to_the_end(staff)
    # The first transaction has reserved the numbers of all entries, and written three of them.
    close_event(event.pk, actor=event.created_by)
    some, cursor = read_to_the_end(staff, cursor)
    event_service.finish_cancellation(event.pk)
    rest, _ = read_to_the_end(staff, cursor)

    event.refresh_from_db()
    assert len(read) == 6
    assert some == [(event.pk, 7), (event.pk, 8), (event.pk, 9)]
    assert rest == [(event.pk, 10), (event.pk, 11), (event.pk, 12)]
    assert event.ledger_sequence == 12


def test_changes_of_a_page_have_a_bounded_number_of_parts(staff, monkeypatch):
    monkeypatch.setattr(service, "PARTS_A_PAGE", 2)
    events = EventFactory.create_batch(5)

    pages = [len(places(changes(staff)))]
    read, _ = read_to_the_end(staff)

    assert pages == [2]
    assert read == [(event.pk, 1) for event in events]


def test_changes_skip_entries_of_a_rehearsal_that_was_removed(staff):
    gone, event = EventFactory(), EventFactory()
    first = changes(staff, cursor="now").json()["nextCursor"]
    LedgerEntry.objects.filter(event=gone)._raw_delete("default")
    gone.delete()

    assert read_to_the_end(staff)[0] == [(event.pk, 1)]
    assert changes(staff, cursor=first).json()["data"] == []


def test_reader_that_another_overtakes_reads_what_that_one_has_stored(staff, monkeypatch):
    event = EventFactory()

    append = service.append_parts

    def overtaken(parts):
        append(parts)
        raise IntegrityError

    monkeypatch.setattr(service, "append_parts", overtaken)

    assert places(changes(staff)) == [(event.pk, 1)]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "1",
        "1.",
        ".1",
        "2.1",
        "1.2",
        "0.1",
        "-1.0",
        "1.1.1",
        "\u0661.\u0661",
        "NOW",
        "1. 0",
        f"{MAX_ID + 1}.1",
        "9" * 40,
    ],
)
def test_changes_by_a_bad_cursor_name_it(staff, cursor):
    EventFactory()
    changes(staff)

    response = changes(staff, cursor=cursor)

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert list(response.json()["errors"]) == ["cursor"]


def test_cursor_of_a_feed_that_is_gone_is_refused(staff):
    EventFactory()
    cursor = changes(staff).json()["nextCursor"]
    FeedPart.objects.all().delete()

    response = changes(staff, cursor=cursor)

    assert response.status_code == 400
    assert response.json()["errors"] == {"cursor": [UNKNOWN]}


@pytest.mark.parametrize(
    ("query", "at_fault"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("after=1", "after"), ("wait=1", "wait"), ("page=2", "page")],
)
def test_changes_of_all_events_by_a_bad_value_name_it(staff, query, at_fault):
    response = staff.get(f"/api/v1/changes?{query}")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [at_fault]


def test_changes_of_all_events_take_no_idempotency_key(staff):
    response = staff.get("/api/v1/changes", headers={"Idempotency-Key": "k"})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["Idempotency-Key"]
    assert FeedPart.objects.count() == 0


def test_end_of_an_event_is_in_the_feed(staff):
    event = EventFactory()
    cursor = changes(staff, cursor="now").json()["nextCursor"]
    cancel_event(event.pk, actor=event.created_by)

    response = changes(staff, cursor=cursor)

    assert [entry["kind"] for entry in response.json()["data"]] == ["event_cancelled"]
