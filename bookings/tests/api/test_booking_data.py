"""The answer's booking is written by hand; `BookingSerializer` is what the schema promises."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bookings.api.serializers import BookingSerializer, booking_data
from bookings.enums import BookingStatus
from bookings.models import Booking
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.api.renderers import to_json

pytestmark = pytest.mark.django_db


@pytest.fixture
def event(db):
    return EventFactory(total_tickets=2)


def assert_as_promised(booking):
    own, promised = booking_data(booking), BookingSerializer(booking).data

    assert list(own.items()) == list(promised.items())
    assert to_json(own) == to_json(promised)
    assert [type(value) for value in own.values()] == [type(value) for value in promised.values()]


@pytest.mark.parametrize("tickets", [1, 2])
def test_booking_of_a_user_and_of_a_guest_waiting_or_not(event, tickets):
    for more in ({}, {"user": None, "last_name": "", "first_name": "Æ\u2028'<", "email": ""}):
        assert_as_promised(BookingFactory(event=event, tickets=tickets, **more))


@pytest.mark.parametrize("status", [*BookingStatus, *BookingStatus.values])
@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC),
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(2080, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_every_status_and_time(status, moment):
    booking = Booking(pk=2**63 - 1, event_id=1, tickets_reserved=1, status=status, created_at=moment, updated_at=moment)

    assert_as_promised(booking)


def test_drafted_booking_is_what_the_constructor_makes(event, user):
    values = {
        "reference": "AAAAA-CCCCCC",
        "event_id": event.pk,
        "user_id": user.pk,
        "first_name": "Ada",
        "email": "ada@example.org",
    }
    made, drafted = Booking(**values), Booking.drafted(**values)

    dates = {"created_at", "updated_at"}
    columns = {field.attname for field in Booking._meta.concrete_fields} - dates
    assert {name: getattr(drafted, name) for name in columns} == {name: getattr(made, name) for name in columns}
    assert {getattr(drafted, name) for name in dates} == {None}
    assert (drafted._state.adding, drafted._state.db) == (made._state.adding, made._state.db)
    assert drafted._state is not Booking.drafted(**values)._state
    assert drafted.event == event
    drafted.tickets_reserved, drafted.status = 1, BookingStatus.COMPLETED
    drafted.created_at = drafted.updated_at = datetime(2024, 2, 29, tzinfo=UTC)
    drafted.save()
    assert Booking.objects.get().first_name == "Ada"
