"""The database's own last line of defence: what no code of ours writes, raw SQL cannot write either."""

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from accounts.tests.factories import UserFactory
from bookings.models import Booking, FeedPart, IdempotencyKey, InventoryCheck, LedgerEntry, LinePart, SalesHour
from bookings.rules import NUMBERS_A_PART
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything
from events.models import Event

pytestmark = pytest.mark.django_db
MODELS = [Event, Booking, LinePart, LedgerEntry, SalesHour, InventoryCheck, IdempotencyKey, FeedPart]
NOW = "CURRENT_TIMESTAMP"

# Each case has the constraint, the values that are set, and the status or kind of the row.
EVENT = [
    ("event_has_tickets", "total_tickets = 0, available_tickets = 0"),
    ("event_available_within_total", "available_tickets = total_tickets + 1"),
    ("event_version_from_one", "version = 0"),
    ("event_booking_limit_from_one", "max_tickets_per_booking = 0"),
    ("event_person_limit_from_one", "max_tickets_per_person = 0"),
    ("event_sales_end_after_start", f"sales_start = {NOW}, sales_end = {NOW}"),
    ("event_policy_known", "waitlist_policy = 'lottery'"),
    ("event_policy_known", "waitlist_policy = ''"),
    ("event_counts_live_bookings", "booking_count = completed_count + waitlisted_count - 1"),
    ("event_completed_within_held", "available_tickets = 1"),
    ("event_waiting_want_tickets", "waitlisted_tickets = waitlisted_count - 1"),
    ("event_waiting_want_tickets", "waitlisted_count = 0"),
    ("event_deleted_holds_nothing", f"deleted_at = {NOW}, waitlisted_count = 0, waitlisted_tickets = 0"),
    ("event_deleted_holds_nothing", f"deleted_at = {NOW}, available_tickets = total_tickets"),
]
BOOKING = [
    ("booking_has_tickets", "tickets_reserved = 0", "completed"),
    ("booking_status_known", "status = 'lost'", "completed"),
    ("booking_status_known", "status = ''", "completed"),
    ("booking_number_while_waiting", "waitlist_number = 99", "completed"),
    ("booking_number_while_waiting", "waitlist_number = 99", "cancelled"),
    ("booking_number_while_waiting", "waitlist_number = NULL", "waitlisted"),
    ("booking_number_while_waiting", "status = 'completed'", "waitlisted"),
    ("booking_token_for_guests", "token_hash = 'x'", "completed"),
    ("booking_one_ticket_while_live", "one_ticket_holder_id = user_id", "cancelled"),
]
LEDGER = [
    ("ledger_sequence_from_one", "sequence = 0", "booked"),
    ("ledger_kind_fits_booking", "booking_id = NULL", "booked"),
    ("ledger_kind_fits_booking", "tickets = 0", "booked"),
    ("ledger_kind_fits_booking", "tickets = -1", "booked"),
    ("ledger_kind_fits_booking", "kind = 'opened'", "booked"),
    ("ledger_kind_fits_booking", "kind = 'gifted'", "booked"),
    ("ledger_kind_fits_booking", "kind = 'booked'", "opened"),
    ("ledger_kind_fits_booking", "kind = 'edited'", "booked"),
    ("ledger_kind_fits_booking", "kind = 'transferred'", "opened"),
    ("ledger_place_of_moved", "kind = 'moved'", "booked"),
    ("ledger_place_of_moved", "place = 7", "booked"),
]
FEED = [
    ("feed_part_number_from_one", {"number": 0}),
    ("feed_part_has_entries", {"first": 0}),
    ("feed_part_has_entries", {"last": 1}),
    ("feed_part_unique", {"first": 1}),
]
# Two rows get the same value in a column. SQLite's error names the columns, MariaDB's the constraint.
UNIQUE = [
    (Booking, "booking_waitlist_number_unique", "waitlist_number", {"status": "waitlisted"}),
    (Booking, "booking_one_ticket_a_user", "one_ticket_holder_id", {"status": "completed"}),
    (Booking, "reference", "reference", {}),
    (LinePart, "line_part_unique", "first_number", {}),
    (LedgerEntry, "ledger_sequence_unique", "sequence", {}),
    (SalesHour, "sales_hour_unique", "hour", {}),
    (InventoryCheck, "event_id", "event_id", {}),
    (IdempotencyKey, "digest", "digest", {}),
]
# MariaDB's columns are UNSIGNED and refuse by range before a constraint is asked.
NEGATIVE = [
    (Event, "total_tickets"),
    (Event, "available_tickets"),
    (Event, "booking_count"),
    (Event, "completed_count"),
    (Event, "waitlisted_count"),
    (Event, "waitlisted_tickets"),
    (Event, "ledger_sequence"),
    (Event, "version"),
    (Event, "max_tickets_per_booking"),
    (Event, "max_tickets_per_person"),
    (Booking, "tickets_reserved"),
    (LedgerEntry, "sequence"),
    (LedgerEntry, "available_after"),
    (LedgerEntry, "waitlisted_after"),
    (LedgerEntry, "place"),
    (SalesHour, "bookings"),
    (SalesHour, "tickets"),
    (SalesHour, "held"),
    (SalesHour, "waiting"),
    (InventoryCheck, "sequence"),
]


@pytest.fixture
def event(user):
    """The event is full. One booking is cancelled and four are completed, each with a key. The last is the user's."""
    event = EventFactory(total_tickets=4)
    for number, owner in enumerate([*UserFactory.create_batch(4), user]):
        asked = BookingRequest(event.pk, 1, "Ada", "Lovelace", "ada@example.org", user=owner)
        receipt = book_tickets(asked, key=f"k{number}")
        if number == 0:
            cancel_tickets(receipt.booking)
    return event


def refused(sql, values=(), *, kind=IntegrityError, match=None):
    before = everything()
    with pytest.raises(kind, match=match), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
    assert everything() == before


def update(model, assignments, row):
    return f"UPDATE {model._meta.db_table} SET {assignments} WHERE id = {row.pk}"


@pytest.mark.parametrize(("name", "assignments"), EVENT)
def test_constraint_of_event_refuses(event, name, assignments):
    BookingFactory.create_batch(2, event=event, tickets=2)

    refused(update(Event, assignments, event), match=name)


@pytest.mark.parametrize(("name", "assignments", "status"), BOOKING)
def test_constraint_of_booking_refuses(event, name, assignments, status):
    BookingFactory.create_batch(2, event=event, tickets=2)
    booking = Booking.objects.filter(status=status).first()

    refused(update(Booking, assignments, booking), match=name)


@pytest.mark.parametrize(("name", "assignments", "kind"), LEDGER)
def test_constraint_of_ledger_refuses(event, name, assignments, kind):
    entry = LedgerEntry.objects.filter(kind=kind).first()

    refused(update(LedgerEntry, assignments, entry), match=name)


@pytest.mark.parametrize(("model", "name", "column", "rows"), UNIQUE)
def test_constraint_of_uniqueness_refuses(event, user, model, name, column, rows):
    BookingFactory.create_batch(2, event=event, tickets=4)
    LinePart.objects.create(event=event, first_number=NUMBERS_A_PART, waiting=0)
    SalesHour.objects.create(event=event, hour=event.created_at, bookings=0, tickets=0, held=0, waiting=0)
    InventoryCheck.objects.bulk_create(InventoryCheck(event=checked) for checked in (event, EventFactory()))
    first, second = model.objects.filter(**rows).order_by("pk")[:2]
    if column == "one_ticket_holder_id":
        Booking.objects.filter(pk=first.pk).update(one_ticket_holder=user)
        first.refresh_from_db()
    value = model._meta.get_field(column).get_db_prep_value(getattr(first, column), connection)
    assert value is not None

    columns = rf"UNIQUE constraint failed: .*{model._meta.db_table}\.{column}"
    refused(
        f"UPDATE {model._meta.db_table} SET {column} = %s WHERE id = %s",
        [value, second.pk],
        match=rf"{columns}|Duplicate entry .* for key '{name}'",
    )


def test_constraint_of_uniqueness_is_within_one_event(event):
    other = EventFactory(total_tickets=1)
    BookingFactory(event=other)
    waiting_there = BookingFactory(event=other)
    waiting_here = BookingFactory(event=event, tickets=4)

    Booking.objects.filter(pk=waiting_there.pk).update(waitlist_number=waiting_here.waitlist_number)

    assert Booking.objects.filter(waitlist_number=waiting_here.waitlist_number).count() == 2


@pytest.mark.parametrize(("model", "column"), NEGATIVE)
def test_constraint_of_sign_refuses(event, model, column):
    InventoryCheck.objects.create(event=event)
    row = model.objects.filter(**({"status": "completed"} if model is Booking else {})).first()

    refused(update(model, f"{column} = -1", row), kind=(IntegrityError, DataError))


@pytest.mark.parametrize("model", [Event, Booking, LedgerEntry])
def test_constraint_refuses_inserts_too(event, model):
    table = model._meta.db_table
    columns = [field.column for field in model._meta.concrete_fields if field.column != "id"]
    bad = {Event: "waitlist_policy", Booking: "status", LedgerEntry: "kind"}[model]
    unique = {"reference": "'new'", "sequence": "sequence + 1000", "waitlist_number": "NULL"}
    values = ["'unknown'" if column == bad else unique.get(column, column) for column in columns]
    row = model.objects.filter(**({"status": "completed"} if model is Booking else {})).first()
    name = {Event: "event_policy_known", Booking: "booking_status_known", LedgerEntry: "ledger_kind_fits_booking"}

    refused(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} WHERE id = %s",
        [row.pk],
        match=name[model],
    )


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM events_event WHERE id = {event}", "DELETE FROM accounts_user WHERE id = {user}"],
)
def test_constraint_keeps_what_bookings_refer_to(event, user, statement):
    def act():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement.format(event=event.pk, user=user.pk))
            # SQLite looks at foreign keys when the transaction ends, or when asked.
            connection.check_constraints()

    with pytest.raises(IntegrityError):
        act()

    assert (Booking.objects.filter(event=event).count(), Booking.objects.filter(user=user).count()) == (5, 1)


def test_every_constraint_of_the_models_is_tried_here():
    tried = {name for name, *_ in [*EVENT, *BOOKING, *LEDGER, *FEED]} | {name for _, name, *_ in UNIQUE}
    unique_columns = {"reference", "digest", "event_id"}

    named = {constraint.name for model in MODELS for constraint in model._meta.constraints}

    assert tried == named | unique_columns


def test_every_constraint_of_the_models_is_in_the_database():
    with connection.cursor() as cursor:
        there = set()
        for model in MODELS:
            there |= set(connection.introspection.get_constraints(cursor, model._meta.db_table))

    named = {constraint.name for model in MODELS for constraint in model._meta.constraints}

    assert named <= there


@pytest.mark.mariadb
def test_database_refuses_what_is_too_long(event):
    # sql_mode is strict: MariaDB would otherwise cut it and go on.
    refused(update(Event, f"name = '{'x' * 201}'", event), kind=DataError)


@pytest.mark.parametrize("values", [*(values for _, values in FEED), {"number": 1}])
def test_part_of_the_feed_out_of_order_is_refused(values):
    FeedPart.objects.create(number=1, event_id=1, first=1, last=1)

    with pytest.raises(IntegrityError), transaction.atomic():
        FeedPart.objects.bulk_create([FeedPart(**{"number": 2, "event_id": 1, "first": 2, "last": 3, **values})])

    assert FeedPart.objects.count() == 1
