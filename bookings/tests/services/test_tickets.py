"""The codes of tickets: what they say, who can make them, and what ends them."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import UserFactory
from bookings.enums import TicketState
from bookings.exceptions import BookingNotFound, NoSuchSeat, NoTickets
from bookings.models import Booking, LedgerEntry, TicketEpoch
from bookings.services import references
from bookings.services import tickets as service
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.references import ALPHABET
from bookings.services.tickets import read_ticket, read_ticketed, ticket_code, tickets_of
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.verification import verify_events
from bookings.services.voiding import void_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything, ledger
from ticks.parsing import MAX_ID, MAX_TICKETS

pytestmark = pytest.mark.django_db
CODE = re.compile(r"T(-[34679ACDEFGHJKMNPQRTWXY]+){3}-[34679ACDEFGHJKMNPQRTWXY]{18}")
OTHER_SECRET = "quite another secret of more than 32 bytes"
GRACE = Holder("Grace", "Hopper", "grace@example.org")


@pytest.fixture
def event():
    return EventFactory(total_tickets=10)


@pytest.fixture
def booking(event):
    return BookingFactory(event=event, tickets=3)


def codes(booking):
    return [ticket.code for ticket in tickets_of(read_ticketed(booking), most=100)]


def states(some):
    return [read_ticket(code).state for code in some]


def test_each_seat_has_a_ticket_of_its_own(booking):
    tickets = tickets_of(read_ticketed(booking), most=100)

    assert [ticket.seat for ticket in tickets] == [1, 2, 3]
    assert len({ticket.code for ticket in tickets}) == 3
    assert all(CODE.fullmatch(ticket.code) for ticket in tickets)
    for ticket in tickets:
        reading = read_ticket(ticket.code)
        assert (reading.state, reading.booking, reading.seat) == (TicketState.VALID, booking, ticket.seat)


def test_codes_are_the_same_each_time(booking):
    assert codes(booking) == codes(booking)


def test_codes_of_two_bookings_differ(event, booking):
    other = BookingFactory(event=event, tickets=3)

    assert set(codes(booking)) & set(codes(other)) == set()


def test_longest_code_is_read_and_fits_a_small_qr_code():
    code = ticket_code(MAX_ID, MAX_TICKETS, 2**31 - 1)

    assert service.signed_parts(code) == [MAX_ID, MAX_TICKETS, 2**31 - 1]
    assert len(code) <= service.MAX_CODE
    # Version 3 has room for 47 characters at this level of correction.
    assert len(ticket_code(10**9, 1000, 20)) <= 47


def test_some_tickets_are_those_from_a_seat_on(booking):
    held = read_ticketed(booking)

    assert tickets_of(held, first_seat=2, most=1) == tickets_of(held, most=3)[1:2]
    assert tickets_of(held, first_seat=3, most=9) == tickets_of(held, most=3)[2:]
    for seat in (0, 4):
        with pytest.raises(NoSuchSeat):
            tickets_of(held, first_seat=seat, most=1)


def test_code_is_read_in_any_case_and_with_spaces(booking):
    [code, *_] = codes(booking)

    assert states([code.lower(), f"  {code}\n", " ".join(code)]) == [TicketState.VALID] * 3


def test_changed_code_is_unknown(booking):
    code = codes(booking)[1]
    changed = [
        code[:place] + letter + code[place + 1 :]
        for place, old in enumerate(code)
        for letter in (*ALPHABET, "-", "8")
        if letter != old
    ]

    assert set(states(changed)) == {TicketState.UNKNOWN}


def test_shorter_and_longer_codes_are_unknown(booking):
    [code, *_] = codes(booking)
    parts = code.split("-")
    # Zeros in front would be a second spelling of the same numbers.
    padded = ["-".join([*parts[:place], ALPHABET[0] + parts[place], *parts[place + 1 :]]) for place in range(1, 5)]
    shorter = [code[:length] for length in range(len(code))]

    assert set(states([*shorter, *padded, code + "3", code + "-3", code + code])) == {TicketState.UNKNOWN}


@pytest.mark.parametrize(
    "code", ["", "-", "----", "T----", "T-3-3-3-", "\0", "é" * 30, "ß-ß-ß-ß-ß", "T-" * 50_000, "٣"]
)
def test_what_is_no_code_is_unknown_without_a_query(code, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert read_ticket(code) == (TicketState.UNKNOWN, None, None)


def test_code_of_another_secret_is_unknown(booking):
    forged = ticket_code(booking.pk, 1, 0, OTHER_SECRET)

    assert states([forged]) == [TicketState.UNKNOWN]


def test_code_of_a_booking_that_is_gone_is_unknown():
    assert states([ticket_code(999_999, 1, 0)]) == [TicketState.UNKNOWN]


def test_code_is_compared_in_constant_time(booking, monkeypatch, settings):
    settings.TICKET_SECRET_FALLBACKS = [OTHER_SECRET]
    compared, compare = [], references.compare_digest
    monkeypatch.setattr(references, "compare_digest", lambda *both: compared.append(both) or compare(*both))
    [code, *_] = codes(booking)

    read_ticket(code)

    assert [given for _, given in compared] == [code, code]
    assert {len(expected) for expected, _ in compared} == {len(code)}


def test_old_secret_is_good_until_it_is_removed(booking, settings):
    old_secret, before = settings.TICKET_SECRET, codes(booking)

    settings.TICKET_SECRET, settings.TICKET_SECRET_FALLBACKS = OTHER_SECRET, [old_secret]
    after = codes(booking)
    both = states([*before, *after])
    settings.TICKET_SECRET_FALLBACKS = []

    assert set(before) & set(after) == set()
    assert both == [TicketState.VALID] * 6
    assert states([*before, *after]) == [TicketState.UNKNOWN] * 3 + [TicketState.VALID] * 3


def test_tickets_are_of_those_who_hold_some(event, booking):
    cancelled = BookingFactory(event=event)
    cancel_tickets(cancelled, actor=None)
    BookingFactory(event=event)
    waiting = BookingFactory(event=event, tickets=10)

    for other in (waiting, cancelled):
        with pytest.raises(NoTickets):
            read_ticketed(other)


def test_cancelled_tickets_are_those_of_the_highest_seats(event, booking):
    before = codes(booking)

    cancel_tickets(booking, tickets=2, actor=None)

    assert codes(booking) == before[:1]
    assert states(before) == [TicketState.VALID, TicketState.GIVEN_BACK, TicketState.GIVEN_BACK]


def test_cancellation_ends_all_tickets(booking):
    before = codes(booking)

    cancel_tickets(booking, actor=None)

    assert states(before) == [TicketState.CANCELLED] * 3


def test_cancelled_event_ends_all_tickets(event, booking, admin_user):
    before = codes(booking)

    cancel_event(event.pk, actor=admin_user)

    assert states(before) == [TicketState.EVENT_CANCELLED] * 3
    with pytest.raises(NoTickets):
        read_ticketed(booking)


def test_another_person_gets_other_codes(booking, admin_user):
    before = codes(booking)

    moved = transfer_booking(booking, holder=GRACE, actor=admin_user)

    assert states([*before, *codes(moved)]) == [TicketState.VOIDED] * 3 + [TicketState.VALID] * 3
    # The new codes are not for whoever saw the booking before.
    with pytest.raises(BookingNotFound):
        read_ticketed(booking)


def test_same_person_keeps_the_codes(booking, admin_user):
    before = codes(booking)

    transfer_booking(booking, holder=GRACE._replace(is_same=True), actor=admin_user)

    assert states(before) == [TicketState.VALID] * 3
    assert TicketEpoch.objects.count() == 0


def test_voided_tickets_are_void_each_time(event, booking, admin_user):
    generations = [codes(booking)]
    for _ in range(2):
        void_tickets(booking, actor=admin_user, reason="stolen")
        generations.append(codes(booking))

    first, second, third = generations
    assert len({*first, *second, *third}) == 9
    assert states([*first, *second]) == [TicketState.VOIDED] * 6
    assert states(third) == [TicketState.VALID] * 3
    assert TicketEpoch.objects.get().epoch == 2


def test_voiding_moves_no_ticket_and_is_in_the_ledger(event, booking, admin_user):
    before = everything()

    void_tickets(booking, actor=admin_user, reason="stolen")

    after = everything()
    assert after["Booking"] == before["Booking"]
    assert ledger(event, after=2) == [(3, "transferred", 3, 7, 0, booking.pk, admin_user.pk)]
    assert LedgerEntry.objects.get(sequence=3).note == "old codes voided:\nstolen"
    assert [finding for report in verify_events() for finding in report.findings] == []


def test_voiding_is_refused_where_there_are_no_tickets(event, admin_user):
    cancelled = BookingFactory(event=event)
    cancel_tickets(cancelled, actor=None)
    BookingFactory(event=event)
    waiting = BookingFactory(event=event, tickets=10)
    before = everything()

    for booking in (cancelled, waiting):
        with pytest.raises(NoTickets):
            void_tickets(booking, actor=admin_user, reason="x")

    assert (waiting.status, everything()) == ("waitlisted", before)


def test_voiding_locks_the_event_and_then_the_booking(booking, admin_user):
    with CaptureQueriesContext(connection) as queries:
        void_tickets(booking, actor=admin_user, reason="stolen")

    tables = [query["sql"].replace("`", "").replace('"', "") for query in queries]
    reads = [sql.partition("FROM ")[2].split()[0] for sql in tables if sql.startswith("SELECT") and " FROM " in sql]
    assert reads[:2] == ["events_event", "bookings_booking"]


def test_codes_are_not_for_who_lost_the_booking_while_asking(booking, admin_user):
    # The caller was allowed to see this booking, and then it was moved.
    seen = Booking.objects.get(pk=booking.pk)
    transfer_booking(booking, holder=GRACE, actor=admin_user)

    with pytest.raises(BookingNotFound):
        read_ticketed(seen)


def test_booking_writes_nothing_about_tickets(event):
    with CaptureQueriesContext(connection) as queries:
        book_tickets(BookingRequest(event.pk, 2, "Ada", user=UserFactory()))

    assert [query["sql"] for query in queries if "epoch" in query["sql"].lower()] == []


def test_tickets_take_one_statement(booking, django_assert_num_queries):
    with django_assert_num_queries(1):
        tickets_of(read_ticketed(booking), most=100)
    [code, *_] = codes(booking)
    with django_assert_num_queries(1):
        read_ticket(code)
