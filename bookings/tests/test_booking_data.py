"""The answer's booking is written by hand; `BookingSerializer` is what the schema promises."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bookings.models import Booking
from bookings.serializers import BookingSerializer, booking_data
from bookings.statuses import BookingStatus
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.rendering import to_json

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
        datetime(2030, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_every_status_and_time(status, moment):
    booking = Booking(pk=2**63 - 1, event_id=1, tickets_reserved=1, status=status, created_at=moment, updated_at=moment)

    assert_as_promised(booking)
