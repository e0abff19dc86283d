"""The hot queries read no more rows than they return, however much is in the tables."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import UserFactory
from bookings.allocation import Reach
from bookings.models import Booking, attach_positions
from bookings.services.desk import waiting_rows
from bookings.tests.factories import EventFactory
from events.models import Event

# Transactions for real: ANALYZE TABLE commits.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mariadb]

SOLD = 600
WAITING = 200


@pytest.fixture
def event(user):
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
                tickets_reserved=5 if number % 4 == 3 else 1,
                status="waitlisted" if number % 4 == 3 else "completed",
                waitlist_number=number + 1 if number % 4 == 3 else None,
            )
            for number in range(SOLD + WAITING)
            for event in events
        ]
    )
    Event.objects.update(available_tickets=0, waitlisted_count=WAITING)
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
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
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

    read = rows_read(lambda: list(waiting_rows(event, within, "strict")))

    assert read <= within.heads + 1


def test_first_fit_heads_read_what_is_in_reach(event):
    within = Reach(tickets=5, leaving=0, policies=frozenset({"first_fit"}))
    returned = list(waiting_rows(event, within, "first_fit"))

    read = rows_read(lambda: list(waiting_rows(event, within, "first_fit")))

    assert len(returned) == 1
    # One for each size, found or not, once from the index and once from the parts put together.
    assert read <= 12


LISTS = [
    "",
    "?eventId={event}",
    "?bookingStatus=waitlisted",
    "?bookingStatus=waitlisted&eventId={event}",
    "?email=7@example.org",
]


@pytest.mark.parametrize("filters", LISTS)
def test_booking_list_reads_its_page(event, staff, filters):
    select = page_query(staff, "/api/v1/booking" + filters.format(event=event.pk))

    assert rows_read(lambda: fetch(select)) <= 51


def test_own_bookings_read_their_page(event, owner):
    select = page_query(owner, "/api/v1/booking")

    assert rows_read(lambda: fetch(select)) <= 51


def page_query(client, url) -> str:
    with CaptureQueriesContext(connection) as queries:
        page = client.get(url).json()["data"]
    assert len(page) == 50
    [select] = [query["sql"] for query in queries if "LIMIT 50" in query["sql"]]
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


def test_freeing_many_tickets_reads_those_whom_they_can_serve(event):
    within = Reach(tickets=70, leaving=0, policies=frozenset({"first_fit"}))

    read = rows_read(lambda: list(waiting_rows(event, within, "first_fit")))

    # 14 groups of 5 fit; each is read from the index and once more from the parts put together.
    assert read <= 2 * 14 + 6


def test_positions_count_each_waiting_booking_once(event):
    page = list(Booking.objects.filter(event=event).waitlisted().order_by("-pk")[:50])

    read = rows_read(lambda: attach_positions(page))

    assert page[0].waitlist_position == WAITING
    assert read <= WAITING + 2 * len(page)
