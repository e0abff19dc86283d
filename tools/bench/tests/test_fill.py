"""Tables that were filled by SQL must look like tables that were booked full."""

import pytest

from bookings.models import Booking, LedgerEntry
from bookings.rules import number_of_arrival
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.search import reference_letters
from bookings.services.verification import verify_event
from tools.bench import fill as filling
from tools.bench.fill import fill

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("bookings", "waiting", "left"), [(0, 0, 5), (1, 0, 0), (25, 0, 5), (25, 13, 0), (20, 0, 0)])
def test_filled_event_agrees_with_its_ledger(monkeypatch, admin_user, bookings, waiting, left):
    monkeypatch.setattr(filling, "ROWS_A_TRANSACTION", 10)

    event = fill(bookings=bookings, waiting=waiting, left=left, actor=admin_user)

    report = verify_event(event)
    assert report.findings == []
    assert (report.held, report.waiting, event.available_tickets) == (bookings, waiting, left)
    assert LedgerEntry.objects.filter(event=event).count() == 1 + bookings + waiting


def test_verification_would_find_a_filled_event_that_does_not_agree(admin_user):
    event = fill(bookings=3, waiting=2, actor=admin_user)
    Booking.objects.filter(event=event, waitlist_number=number_of_arrival(5)).update(waitlist_number=99)

    assert verify_event(event).findings != []


def test_references_are_like_drawn_ones_and_differ():
    references = [filling.reference(number) for number in range(1, 3000)]

    assert len(set(references)) == len(references)
    assert all(len(reference_letters(each)) == 11 and each[5] == "-" for each in references)


def test_filled_event_can_be_booked_further(admin_user):
    fill(bookings=12, actor=admin_user)
    event = fill(bookings=12, left=1, actor=admin_user)
    wanted = {"first_name": "Ada", "last_name": "L", "email": "ada@example.org"}

    receipts = [book_tickets(BookingRequest(event_id=event.pk, tickets=1, user=admin_user, **wanted)) for _ in range(2)]

    assert [receipt.booking.status for receipt in receipts] == ["completed", "waitlisted"]
    event.refresh_from_db()
    assert verify_event(event).findings == []
