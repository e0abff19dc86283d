"""The hot queries read no more rows than they return, however much is in the tables."""

from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory, client_with_key
from bookings.models import Booking, FeedPart, LedgerEntry, LinePart, attach_positions
from bookings.rules import NUMBERS_A_PART, ROOM, Reach, number_of_arrival, part_of_waitlist
from bookings.services import events as event_service
from bookings.services.changes import (
    Cursor,
    changes_after,
    changes_of_event,
    extend_feed,
    latest_changes,
    moved_events,
)
from bookings.services.events import cancel_event
from bookings.services.inventory import claims_within_reach
from bookings.services.own_bookings import bookings_of
from bookings.services.sql import read_live_bookings
from bookings.tests.factories import EventFactory
from bookings.tests.rows import delete_rows
from events.models import Event
from ticks.search import search_text

pytestmark = [pytest.mark.django_db, pytest.mark.mariadb]

SOLD = 600
HELD_BY = {"owner": {"user__username": "owner"}, "1@example.org": {"user": None, "email": "1@example.org"}}
WAITING = 200
ARRIVALS_A_PART = NUMBERS_A_PART // ROOM


@pytest.fixture(scope="module")
def crowd(django_db_setup, django_db_blocker):
    """One event of many and a user, committed once for all tests: ANALYZE TABLE commits."""
    with django_db_blocker.unblock():
        user = UserFactory(username="owner")
        event = large_event(user)
        # These entries belong to another event, so that this event's ledger goes on where it ended.
        fill_ledger(Event.objects.latest("pk"))
        yield event, user
        delete_rows()


@pytest.fixture
def user(db, crowd):
    return User.objects.get(pk=crowd[1].pk)


@pytest.fixture
def event(db, crowd):
    return Event.objects.get(pk=crowd[0].pk)


def large_event(user):
    """Eight large events, their rows interleaved; one in four bookings waits, all in groups of 5."""
    events = [EventFactory(total_tickets=SOLD) for _ in range(8)]
    others = [UserFactory() for _ in range(8)]
    Booking.objects.bulk_create(
        [
            Booking(
                reference=f"{number}-{event.pk}",
                event=event,
                user=[user, None, *others][number % 10],
                first_name="Ada",
                email=f"{number % 100}@example.org",
                search_text=search_text("Ada", f"{number % 100}@example.org"),
                tickets_reserved=5 if number % 4 == 3 else 1,
                status="waitlisted" if number % 4 == 3 else "completed",
                waitlist_number=number_of_arrival(number + 1) if number % 4 == 3 else None,
            )
            for number in range(SOLD + WAITING)
            for event in events
        ]
    )
    Event.objects.update(
        available_tickets=0,
        booking_count=SOLD + WAITING,
        completed_count=SOLD,
        waitlisted_count=WAITING,
        waitlisted_tickets=5 * WAITING,
    )
    numbers = [number_of_arrival(number + 1) for number in range(3, SOLD + WAITING, 4)]
    for part, waiting in Counter(map(part_of_waitlist, numbers)).items():
        LinePart.objects.bulk_create(LinePart(event=event, first_number=part, waiting=waiting) for event in events)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE bookings_booking")
        cursor.fetchall()
    return events[0]


class RowsRead:
    """Counts the rows that the storage engine handed out inside the block, each way of reading."""

    def __enter__(self):
        self.before = self.count()
        return self

    def __exit__(self, *exception):
        self.rows = self.count() - self.before

    def count(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%' OR Variable_name = 'Handler_icp_attempts'"
            )
            return sum(int(value) for name, value in cursor.fetchall() if name != "Handler_read_first")


def rows_read(work) -> int:
    """Rows that `work` makes the engine read, less what the measuring itself reads."""
    with RowsRead() as nothing:
        pass
    with RowsRead() as read:
        work()
    return read.rows - nothing.rows


def test_status_reads_one_row(event, anonymous):
    anonymous.get(f"/api/v1/booking/status/{event.pk}")

    read = rows_read(lambda: anonymous.get(f"/api/v1/booking/status/{event.pk}"))

    assert read == 1


def test_strict_waitlist_head_reads_what_is_in_reach(event):
    within = Reach(tickets=4, leaving=0, policies=frozenset({"strict"}))

    read = rows_read(lambda: list(claims_within_reach(event.pk, within, "strict")))

    assert read <= within.heads + 1


def test_first_fit_heads_read_what_is_in_reach(event):
    within = Reach(tickets=5, leaving=0, policies=frozenset({"first_fit"}))
    returned = list(claims_within_reach(event.pk, within, "first_fit"))

    read = rows_read(lambda: list(claims_within_reach(event.pk, within, "first_fit")))

    assert len(returned) == 1
    # It reads one row for each size, found or not, from the index, and once more from the parts put together.
    assert read <= 12


@pytest.mark.parametrize("person", ["owner", "1@example.org"])
def test_limit_of_a_person_reads_the_bookings_of_that_person_alone(event, user, person):
    holders = {event.pk: [user.pk if person == "owner" else person]}
    found = read_live_bookings(holders)

    read = rows_read(lambda: read_live_bookings(holders))

    theirs = Booking.objects.filter(**HELD_BY[person])
    assert [booking.pk for booking in found] == sorted(booking.pk for booking in theirs.filter(event=event))
    # It reads an entry of the index and the row behind it.
    assert read <= 2 * theirs.count() + 1


def test_limit_of_several_people_reads_what_each_of_them_has(event, user):
    other = Event.objects.exclude(pk=event.pk).first()
    holders = {event.pk: ["1@example.org", "11@example.org"], other.pk: ["11@example.org", "21@example.org"]}
    found = read_live_bookings(holders)

    read = rows_read(lambda: read_live_bookings(holders))

    # Those of each address are read for each event, and what is found once more from the parts put together.
    theirs = Booking.objects.filter(email="11@example.org").count()
    assert len(found) == 4 * theirs / 8
    assert read <= 2 * 4 * theirs + len(found) + 4 + 1


LISTS = [
    "",
    "?eventId={event}",
    "?bookingStatus=waitlisted",
    "?bookingStatus=waitlisted&eventId={event}",
    "?email=7@example.org",
]


def read_of_events(bookings: int, filters: str) -> int:
    """A list of live bookings also reads whether their events are cancelled: each event, and that for each booking."""
    return bookings + 8 if "bookingStatus" in filters else 0


@pytest.mark.parametrize("filters", LISTS)
def test_booking_list_reads_its_page(event, staff, filters):
    select = page_query(staff, "/api/v1/booking" + filters.format(event=event.pk))

    assert rows_read(lambda: fetch(select)) <= 51 + read_of_events(51, filters)


def test_own_bookings_read_their_page(event, owner):
    select = page_query(owner, "/api/v1/booking")

    assert rows_read(lambda: fetch(select)) <= 51


@pytest.mark.parametrize("events", [1, 2, 8])
@pytest.mark.parametrize("filters", LISTS[:4])
def test_list_of_a_limited_key_reads_its_page(event, filters, events):
    others = Event.objects.exclude(pk=event.pk).order_by("-pk").values_list("pk", flat=True)
    client = client_with_key("bookings:read", event_ids=[event.pk, *others[: events - 1]])

    select = page_query(client, "/api/v1/booking" + filters.format(event=event.pk))

    # A list of several events is read from the newest booking on, past those of events that the key does not reach.
    passed = 1 if events == 1 or "eventId" in filters else 8 / events
    assert rows_read(lambda: fetch(select)) <= passed * 51 + read_of_events(51, filters)


def test_own_bookings_read_none_of_others_if_the_address_finds_some_too(event, owner, user):
    User.objects.filter(pk=user.pk).update(email="1@example.org", email_verified_at=timezone.now())
    select = page_query(owner, "/api/v1/booking")

    read = rows_read(lambda: fetch(select))

    # It reads an entry of one of two indexes and the row behind it, and sorts.
    assert read <= 3 * bookings_of(User.objects.get(pk=user.pk)).count() + 1


@pytest.mark.parametrize("filters", ["?bookingStatus=completed", "?bookingStatus=completed&eventId={event}"])
def test_counting_a_list_reads_no_booking(event, staff, filters):
    url = "/api/v1/booking" + filters.format(event=event.pk)
    staff.get(url)

    read = rows_read(lambda: staff.get(url))

    # It reads the page, three times a row for each event, and the session with its user.
    assert read <= 51 + read_of_events(51, filters) + 3 * 8 + 3


POSITIONED = [
    "ordering=id",
    "bookingStatus=completed",
    "eventId={event}",
    "eventId={event}&bookingStatus=completed",
    "eventId={event}&ordering=id",
    "email=7@example.org",
]


@pytest.mark.parametrize("filters", POSITIONED)
@pytest.mark.parametrize("name", ["after", "before"])
def test_page_at_a_position_reads_its_page(event, staff, filters, name):
    middle = Booking.objects.filter(event=event, email="7@example.org").order_by("pk")[4].pk
    url = f"/api/v1/booking?{filters.format(event=event.pk)}&{name}={middle}&page=40&pageSize=3"
    with CaptureQueriesContext(connection) as queries:
        assert len(staff.get(url).json()["data"]) == 3
    [select] = [query["sql"] for query in queries if "LIMIT 3" in query["sql"] or "LIMIT 4" in query["sql"]]

    # Rows that an index hands out and a condition on it drops count too.
    assert rows_read(lambda: fetch(select)) <= 2 * 4 + 3 + read_of_events(2 * 4 + 3, filters)


@pytest.mark.parametrize(
    "filters", ["bookingStatus=completed", "bookingStatus=completed&eventId={event}", "ordering=id"]
)
def test_last_page_is_read_from_the_end(event, staff, filters, monkeypatch):
    monkeypatch.setattr("ticks.api.pagination.NEAR", 100)
    url = f"/api/v1/booking?{filters.format(event=event.pk)}"
    last = -(-staff.get(url).json()["pagination"]["count"] // 50)

    read = rows_read(lambda: staff.get(f"{url}&page={last}"))

    # It reads the ids and then the rows, twice a row for each event, the session with its user, and the positions.
    assert read <= 50 + 50 + read_of_events(50 + 50, filters) + 8 + 8 + 5 + (ARRIVALS_A_PART if "id" in filters else 0)


def page_query(client, url) -> str:
    with CaptureQueriesContext(connection) as queries:
        page = client.get(url).json()["data"]
    assert len(page) == 50
    # It reads one row more than the page has, to see whether there is another page.
    [select] = [query["sql"] for query in queries if "LIMIT 51" in query["sql"]]
    return select


def fetch(select: str):
    with connection.cursor() as cursor:
        cursor.execute(select)
        return cursor.fetchall()


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
def test_cancelling_reads_no_more_with_a_longer_waitlist(event, staff, policy):
    Event.objects.update(waitlist_policy=policy)
    booking = Booking.objects.filter(event=event, status="completed").first()

    read = rows_read(lambda: staff.delete(f"/api/v1/booking/{booking.pk}"))

    assert read < 20


def test_cancelling_an_event_reads_each_booking_a_few_times(event, user, monkeypatch):
    monkeypatch.setattr(event_service, "BOOKINGS_A_PART", 10)

    read = rows_read(lambda: cancel_event(event.pk, actor=user))

    # Ten times to number it and add up the counts, and then once with each of the bookings of other events beside it.
    assert read <= 32 * (SOLD + WAITING)


def test_freeing_many_tickets_reads_those_whom_they_can_serve(event):
    within = Reach(tickets=70, leaving=0, policies=frozenset({"first_fit"}))

    read = rows_read(lambda: list(claims_within_reach(event.pk, within, "first_fit")))

    # 14 groups of 5 fit; each is read from the index and once more from the parts put together.
    assert read <= 2 * 14 + 6


def test_positions_count_each_waiting_booking_of_a_part_once(event):
    page = list(Booking.objects.filter(event=event).waitlisted().order_by("-pk")[:50])

    read = rows_read(lambda: attach_positions(page))

    # A booking takes four numbers. So each of the two parts has a quarter as many bookings; then come the parts before.
    assert page[0].waitlist_position == WAITING
    assert read <= 2 * ARRIVALS_A_PART / 4 + 2 * len(page)


def test_position_reads_the_places_of_its_own_part(event):
    last = Booking.objects.filter(event=event).waitlisted().order_by("-pk")[0]

    read = rows_read(lambda: attach_positions([last]))

    assert last.waitlist_position == WAITING
    # It reads the three parts before, and up to the 32nd place of its own part. 200 bookings wait.
    assert read <= 2 * 3 + 32 + 6


def pages_of(client, url) -> list[str]:
    """The addresses of the list and of the pages that its links lead to."""
    listed = client.get(url).context["cl"]
    links = [listed.page_links[name] for name in ("Older", "Oldest") if name in listed.page_links]
    return [url, *(url.partition("?")[0] + link for link in links)]


STAFF_LISTS = [
    "",
    "?event={event}",
    "?status=waitlisted",
    "?status=completed&event={event}",
    "?since=2020-01-01",
    "?q=6@example.org",
    "?q=6@example.org&event={event}",
]


@pytest.mark.parametrize("filters", STAFF_LISTS)
def test_staff_list_of_bookings_reads_its_page(event, superuser_client, filters):
    # Positions are counted for each waiting booking.
    places = 2 * NUMBERS_A_PART // ROOM if "waitlisted" in filters else NUMBERS_A_PART // ROOM
    for url in pages_of(superuser_client, "/admin/bookings/booking/" + filters.format(event=event.pk)):
        read = rows_read(lambda url=url: superuser_client.get(url))

        # It reads ids, rows with event and account, the bounds, the addresses that a search finds, and counts.
        assert read <= 51 + 3 * 51 + 2 * 202 + 2 * 64 + 8 + 6 + places, url


def fill_ledger(event):
    first = Booking.objects.filter(event=event).order_by("pk").first()
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            event=event,
            # The first entry opened the event.
            sequence=number + 2,
            booking=first,
            kind="cancelled",
            tickets=1,
            available_after=0,
            waitlisted_after=0,
        )
        for number in range(4000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE bookings_ledgerentry")
        cursor.fetchall()


def test_staff_list_of_the_ledger_reads_its_page(crowd, db, superuser_client):
    event = Event.objects.latest("pk")
    for filters in ("", f"?event={event.pk}", "?kind=cancelled", f"?event={event.pk}&kind=cancelled"):
        for url in pages_of(superuser_client, "/admin/bookings/ledgerentry/" + filters):
            read = rows_read(lambda url=url: superuser_client.get(url))

            # It reads positions, and entries with event, booking and actor.
            assert read <= 101 + 3 * 101 + 101 + 6, url


def test_search_through_rows_stops_at_its_page(event, superuser_client):
    read = rows_read(lambda: superuser_client.get("/admin/bookings/booking/?q=ada&status=completed"))

    assert read <= 500 + 51 + 3 * 51 + 51 + 64


def test_changes_of_an_event_read_as_many_entries_as_they_return(event, crowd):
    read = rows_read(lambda: changes_of_event(event.pk, after=3, limit=10))

    # Each entry is read by the index, and then its row.
    assert read <= 2 * 10 + 2


def test_look_for_changes_reads_one_entry_of_each_event(event, crowd):
    ids = list(Event.objects.values_list("pk", flat=True))

    read = rows_read(lambda: latest_changes(ids))

    assert read <= 3 * len(ids) + 1


def test_look_at_what_has_moved_reads_one_part_and_one_entry_of_each_event(event, crowd):
    extend_feed()
    events = Event.objects.count()

    read = rows_read(lambda: list(moved_events()))

    assert read <= 4 * events + 2


def test_page_of_the_feed_reads_what_it_returns(event, crowd):
    extend_feed()

    read = rows_read(lambda: changes_after(Cursor(1, 1), limit=20))

    assert read <= 2 * 20 + FeedPart.objects.count() + 10
