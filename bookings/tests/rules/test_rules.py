"""The rules alone: no database."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import chain
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.commands import Book, Cancel, CancelEvent, CancelSeat, ChangeTerms, Claim, Move, Note, Serve, Transfer
from bookings.enums import BookingStatus, LedgerKind
from bookings.exceptions import (
    AlreadyBooked,
    AlreadyCancelled,
    BookingChanged,
    BookingNotFound,
    CapacityBelowHeld,
    HolderChanged,
    MoreThanReserved,
    NotWaiting,
    PersonLimit,
    SalesClosed,
    SalesNotOpen,
    SoldOut,
    TooFewLeft,
    TooManyTickets,
)
from bookings.rules import NUMBERS_A_PART, ROOM, Inventory, allocate, part_of_waitlist, reach
from bookings.services.waitlist import numbers_between
from events.exceptions import EventNotFound

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPLETED, WAITLISTED, CANCELLED = BookingStatus.COMPLETED, BookingStatus.WAITLISTED, BookingStatus.CANCELLED


def inventory(total=10, **terms):
    return Inventory(total=total, available=total, waitlisted=0, **terms)


def new_terms(total=10, policy="first_fit", sales_end=None):
    return ChangeTerms(total, policy, sales_end)


def run(event, *commands):
    return allocate(event, commands, now=NOW)


def booked(event, *sizes, **fields):
    claims = [Claim(size, **fields) for size in sizes]
    assert not any(outcome.error for outcome in run(event, *map(Book, claims)))
    return written(event, *claims)


def written(event, *claims):
    """New claims get ids, and may be named by commands."""
    for claim in claims:
        claim.id = len(event.claims) + 1
        event.claims[claim.id] = claim
    return list(claims)


def entries(outcome):
    return [(entry.kind, entry.tickets, entry.available, entry.waitlisted) for entry in outcome.entries]


def test_book_that_fits_holds_tickets():
    event = inventory(10)
    claim = Claim(4)

    [outcome] = run(event, Book(claim, actor="ada"))

    assert (claim.status, event.available, event.held) == (COMPLETED, 6, 4)
    assert entries(outcome) == [(LedgerKind.BOOKED, 4, 6, 0)]
    assert (outcome.entries[0].sequence, outcome.entries[0].claim, outcome.entries[0].actor) == (1, claim, "ada")
    assert claim.position is None


def test_book_that_does_not_fit_waits_whole():
    event = inventory(10)
    booked(event, 8)
    claim = Claim(4)

    [outcome] = run(event, Book(claim))

    assert (claim.status, claim.waitlist_number, claim.position) == (WAITLISTED, 2 * ROOM, 1)
    assert entries(outcome) == [(LedgerKind.WAITLISTED, 4, 2, 1)]


def test_book_under_first_fit_passes_the_queue_when_it_fits():
    event = inventory(10)
    booked(event, 8, 4)

    [small] = booked(event, 2)

    assert small.status == COMPLETED


def test_book_under_strict_queues_behind_though_it_fits():
    event = inventory(10, policy="strict")
    booked(event, 8, 4)

    [small] = booked(event, 2)

    assert (small.status, event.available, event.waitlisted) == (WAITLISTED, 2, 2)


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({"waitlist_enabled": False, "total": 3}, SoldOut),
        ({"total": 1}, TooManyTickets),
        ({"max_tickets_per_booking": 1}, TooManyTickets),
        ({"sales_start": NOW + timedelta(seconds=1)}, SalesNotOpen),
        ({"sales_end": NOW}, SalesClosed),
        ({"is_deleted": True}, EventNotFound),
    ],
)
def test_refused_booking_changes_nothing(terms, error):
    event = inventory(**{"total": 10, **terms})
    event.available = 1
    claim = Claim(2)

    [outcome] = run(event, Book(claim))

    assert isinstance(outcome.error, error)
    assert (event.available, event.waitlisted, event.sequence, event.queue) == (1, 0, 0, [])
    assert (claim.status, claim.waitlist_number, outcome.entries) == (None, None, [])


def test_refused_command_leaves_the_others_of_its_group():
    event = inventory(4)
    first, large, last = Claim(2), Claim(5), Claim(2)

    outcomes = run(event, Book(first), Book(large), Book(last))

    assert [type(outcome.error) for outcome in outcomes] == [type(None), TooManyTickets, type(None)]
    assert (first.status, large.status, last.status, event.available) == (COMPLETED, None, COMPLETED, 0)
    assert [entry.sequence for outcome in outcomes for entry in outcome.entries] == [1, 2]


def test_sales_are_open_from_start_until_end():
    event = inventory(sales_start=NOW, sales_end=NOW + timedelta(microseconds=1))

    [claim] = booked(event, 1)

    assert claim.status == COMPLETED


def test_cancel_serves_everybody_who_fits_in_order():
    event = inventory(10)
    holder, six, five, four, one = booked(event, 10, 6, 5, 4, 1)

    [outcome] = run(event, Cancel(holder.id))

    assert [claim.status for claim in (holder, six, five, four, one)] == [
        CANCELLED,
        COMPLETED,
        WAITLISTED,
        COMPLETED,
        WAITLISTED,
    ]
    assert entries(outcome) == [
        (LedgerKind.CANCELLED, 10, 10, 4),
        (LedgerKind.PROMOTED, 6, 4, 3),
        (LedgerKind.PROMOTED, 4, 0, 2),
    ]
    assert outcome.promoted == [six, four]
    assert event.queue == [five, one]


def test_cancel_under_strict_stops_at_the_head():
    event = inventory(10, policy="strict")
    holder, _, six, one = booked(event, 4, 6, 6, 1)

    run(event, Cancel(holder.id))

    assert (six.status, one.status, event.available) == (WAITLISTED, WAITLISTED, 4)


def test_cancel_of_a_strict_head_frees_the_queue_behind_it():
    event = inventory(10, policy="strict")
    _, head, two, one = booked(event, 7, 5, 2, 1)

    [outcome] = run(event, Cancel(head.id))

    assert (head.status, two.status, one.status) == (CANCELLED, COMPLETED, COMPLETED)
    assert entries(outcome) == [
        (LedgerKind.CANCELLED, 5, 3, 2),
        (LedgerKind.PROMOTED, 2, 1, 1),
        (LedgerKind.PROMOTED, 1, 0, 0),
    ]


def test_reduced_waiting_claim_that_now_fits_is_served():
    event = inventory(10)
    _, waiting = booked(event, 8, 5)

    [outcome] = run(event, Cancel(waiting.id, 3))

    assert (waiting.status, waiting.tickets, waiting.waitlist_number) == (COMPLETED, 2, None)
    assert entries(outcome) == [(LedgerKind.REDUCED, 3, 2, 1), (LedgerKind.PROMOTED, 2, 0, 0)]


def test_reduced_waiting_claim_keeps_its_place():
    event = inventory(10)
    holder, first, second = booked(event, 10, 5, 4)

    run(event, Cancel(first.id, 1))
    run(event, Cancel(holder.id, 4))

    assert (first.status, second.status) == (COMPLETED, WAITLISTED)


@pytest.mark.parametrize(("tickets", "error"), [(3, MoreThanReserved), (None, AlreadyCancelled), (1, AlreadyCancelled)])
def test_cancel_refused_frees_nothing(tickets, error):
    event = inventory(10)
    [claim] = booked(event, 2)
    if error is AlreadyCancelled:
        run(event, Cancel(claim.id))
    before = (event.available, event.sequence)

    [outcome] = run(event, Cancel(claim.id, tickets))

    assert isinstance(outcome.error, error)
    assert (event.available, event.sequence) == before


def test_capacity_at_exactly_the_maximum_is_served(monkeypatch):
    monkeypatch.setattr("bookings.rules.MAX_TICKETS", 12)
    event = inventory(10)
    _, waiting, beyond = booked(event, 10, 2, 1)

    outcomes = run(event, Serve(waiting.id, adds=True), Serve(beyond.id, adds=True))

    assert [type(outcome.error) for outcome in outcomes] == [type(None), TooFewLeft]
    assert (waiting.status, beyond.status, event.total, event.available) == (COMPLETED, WAITLISTED, 12, 0)


@pytest.mark.parametrize("tickets", [10, 4])
def test_booking_of_exactly_the_limit_is_taken(tickets):
    event = inventory(10, max_tickets_per_booking=None if tickets == 10 else tickets)

    fits, too_many = run(event, Book(Claim(tickets)), Book(Claim(tickets + 1)))

    assert (fits.error, fits.claim.status, type(too_many.error)) == (None, COMPLETED, TooManyTickets)


def test_two_cancellations_of_one_booking_free_it_once():
    event = inventory(10)
    [claim] = booked(event, 4)

    outcomes = run(event, Cancel(claim.id, 1), Cancel(claim.id), Cancel(claim.id))

    assert [type(outcome.error) for outcome in outcomes] == [type(None), type(None), AlreadyCancelled]
    assert (event.available, claim.status, claim.tickets) == (10, CANCELLED, 3)


def test_cancellation_of_a_booking_that_has_changed_is_refused():
    event = inventory(10)
    [claim] = booked(event, 4)

    outcomes = run(event, Cancel(claim.id, 1, expected=4), Cancel(claim.id, 1, expected=4))

    assert [type(outcome.error) for outcome in outcomes] == [type(None), BookingChanged]
    assert (event.available, claim.tickets) == (7, 3)


def test_nobody_cancels_what_another_person_holds_by_now():
    event = inventory(total=4)
    [claim] = booked(event, 4, held_by=("Grace",))

    outcomes = run(event, *(Cancel(claim.id, 1, held_by=holder) for holder in (("Ada",), ("Grace",), None)))

    assert [type(outcome.error) for outcome in outcomes] == [HolderChanged, type(None), type(None)]
    assert (claim.tickets, event.available) == (2, 2)


@pytest.mark.parametrize("command", [Cancel(7), Move(7, 1), Serve(7)])
def test_command_for_a_booking_that_is_not_there_is_refused(command):
    event = inventory(10)

    [outcome] = run(event, command)

    assert isinstance(outcome.error, BookingNotFound)
    assert event.sequence == 0


def seats(event, *are_one_ticket):
    """Live bookings of account 5, loaded because a command asks about it."""
    claims = [booked(event, 1, holder=5, is_one_ticket=is_one_ticket)[0] for is_one_ticket in are_one_ticket]
    event.claims_by_holder[5] = claims
    return claims


def seat():
    return Book(Claim(1, holder=5, is_one_ticket=True))


@pytest.mark.parametrize("is_one_ticket", [True, False])
def test_account_with_a_live_booking_gets_no_seat(is_one_ticket):
    event = inventory(10)
    seats(event, is_one_ticket)

    [outcome] = run(event, seat())

    assert isinstance(outcome.error, AlreadyBooked)
    assert event.available == 9


@pytest.mark.parametrize("first", [seat, lambda: Book(Claim(1, holder=5))])
def test_account_gets_no_second_seat_in_the_same_batch(first):
    event = inventory(10)
    seats(event)

    outcomes = run(event, first(), seat(), Book(Claim(1, holder=6, is_one_ticket=True)), Book(Claim(1, holder=5)))

    errors = [type(outcome.error) for outcome in outcomes]
    assert errors == [type(None), AlreadyBooked, type(None), type(None)]
    assert event.available == 7


def test_seats_of_an_account_are_cancelled_once_each_those_of_the_contract_first():
    event = inventory(10)
    plain, one_ticket = seats(event, False, True)

    outcomes = run(event, CancelSeat(5), Cancel(one_ticket.id), CancelSeat(5), CancelSeat(5), CancelSeat(6))

    assert [outcome.claim for outcome in outcomes] == [one_ticket, None, plain, None, None]
    errors = [type(outcome.error) for outcome in outcomes]
    assert errors == [type(None), AlreadyCancelled, type(None), BookingNotFound, BookingNotFound]
    assert event.available == 10


def test_seat_that_is_given_back_can_be_taken_again_in_the_same_batch():
    event = inventory(1)
    seats(event, True)

    outcomes = run(event, CancelSeat(5), seat(), CancelSeat(5))

    # A booking of the same batch cannot be cancelled by anybody yet.
    assert [type(outcome.error) for outcome in outcomes] == [type(None), type(None), BookingNotFound]
    assert (event.available, event.completed) == (0, 1)


def test_larger_event_serves_three_groups_at_once():
    event = inventory(10)
    groups = booked(event, 10, 6, 7, 4)[1:]

    [outcome] = run(event, new_terms(total=30))

    assert [claim.status for claim in groups] == [COMPLETED] * 3
    assert entries(outcome) == [
        (LedgerKind.CAPACITY_CHANGED, 20, 20, 3),
        (LedgerKind.PROMOTED, 6, 14, 2),
        (LedgerKind.PROMOTED, 7, 7, 1),
        (LedgerKind.PROMOTED, 4, 3, 0),
    ]


def test_smaller_event_never_goes_below_what_is_held():
    event = inventory(10)
    booked(event, 6)

    refused, allowed = run(event, new_terms(total=5), new_terms(total=6))

    assert isinstance(refused.error, CapacityBelowHeld)
    assert entries(allowed) == [(LedgerKind.CAPACITY_CHANGED, -4, 0, 0)]
    assert (event.total, event.available) == (6, 0)


def test_first_fit_after_strict_serves_those_who_now_fit():
    event = inventory(10, policy="strict")
    _, head, two = booked(event, 8, 5, 2)

    [outcome] = run(event, new_terms(total=10))

    assert (head.status, two.status) == (WAITLISTED, COMPLETED)
    assert entries(outcome) == [(LedgerKind.PROMOTED, 2, 0, 1)]


def test_cancelled_event_holds_nothing():
    event = inventory(10)
    booked(event, 7, 5)

    [outcome] = run(event, CancelEvent())

    assert entries(outcome) == [(LedgerKind.EVENT_CANCELLED, 7, 3, 1)]
    assert (event.available, event.waitlisted, event.completed, event.is_deleted) == (10, 0, 0, True)


def test_cancelled_event_keeps_a_ledger_number_for_each_live_booking():
    event = inventory(10)
    gone, *_ = booked(event, 1, 2, 3, 9)
    run(event, Cancel(gone.id))

    [outcome] = run(event, CancelEvent())

    assert event.sequence == outcome.entries[0].sequence + 3


def test_move_puts_a_claim_elsewhere_in_the_line():
    event = inventory(10)
    _, first, second = booked(event, 10, 4, 3)

    [outcome] = run(event, Move(second.id, first.waitlist_number - 1, "Doctor on duty", "boss"))

    assert (second.waitlist_number, event.queue) == (2 * ROOM - 1, [second, first])
    [entry] = outcome.entries
    assert (entry.kind, entry.tickets, entry.claim, entry.place) == (LedgerKind.MOVED, 3, second, 2 * ROOM - 1)
    assert (entry.note, entry.actor) == ("Doctor on duty", "boss")
    assert (entry.available, entry.waitlisted, event.waitlisted_tickets) == (0, 2, 7)


def test_move_takes_a_claim_to_another_part_of_the_line():
    event = inventory(10)
    _, claim = booked(event, 10, 4)

    run(event, Move(claim.id, NUMBERS_A_PART + 7))

    assert event.part_changes == {0: 0, NUMBERS_A_PART: 1}


def test_move_under_strict_serves_the_new_head_that_fits():
    event = inventory(10, policy="strict")
    _, large, small = booked(event, 8, 4, 2)

    [outcome] = run(event, Move(small.id, 1))

    assert (large.status, small.status, small.waitlist_number) == (WAITLISTED, COMPLETED, None)
    assert entries(outcome) == [(LedgerKind.MOVED, 2, 2, 2), (LedgerKind.PROMOTED, 2, 0, 1)]


def test_move_that_is_one_of_several_serves_nobody_yet():
    event = inventory(10, policy="strict")
    _, _, small = booked(event, 8, 4, 2)

    [outcome] = run(event, Move(small.id, 1, promotes=False))

    assert (small.status, outcome.promoted) == (WAITLISTED, [])


def test_serve_passes_everybody_ahead():
    event = inventory(10, policy="strict")
    _, large, small = booked(event, 7, 4, 2)

    [outcome] = run(event, Serve(small.id, note="At the door", actor="boss"))

    assert (large.status, small.status, event.available, event.total) == (WAITLISTED, COMPLETED, 1, 10)
    assert (event.waitlisted, event.waitlisted_tickets, event.queue) == (1, 4, [large])
    assert entries(outcome) == [(LedgerKind.PROMOTED, 2, 1, 1)]
    assert [(entry.note, entry.actor) for entry in outcome.entries] == [("At the door", "boss")]


def test_serve_of_a_strict_head_frees_who_fits_behind():
    event = inventory(10, policy="strict")
    _, head, one = booked(event, 8, 4, 1)

    [outcome] = run(event, Serve(head.id, adds=True))

    assert (head.status, one.status, event.total, event.available) == (COMPLETED, WAITLISTED, 12, 0)
    assert entries(outcome) == [(LedgerKind.CAPACITY_CHANGED, 2, 4, 2), (LedgerKind.PROMOTED, 4, 0, 1)]


def test_serve_without_enough_tickets_is_refused():
    event = inventory(10)
    _, waiting = booked(event, 9, 2)

    [outcome] = run(event, Serve(waiting.id))

    assert isinstance(outcome.error, TooFewLeft)
    assert (waiting.status, event.total, event.available, outcome.entries) == (WAITLISTED, 10, 1, [])


@pytest.mark.parametrize("command", [lambda claim: Move(claim.id, 7), lambda claim: Serve(claim.id, adds=True)])
def test_who_does_not_wait_is_neither_moved_nor_served(command):
    event = inventory(10)
    holder, gone = booked(event, 4, 2)
    run(event, Cancel(gone.id))
    before = (event.total, event.available, event.sequence)

    outcomes = run(event, command(holder), command(gone))

    assert [type(outcome.error) for outcome in outcomes] == [NotWaiting, NotWaiting]
    assert (event.total, event.available, event.sequence) == before


def test_note_and_transfer_move_no_ticket():
    event = inventory(10)
    _, waiting = booked(event, 8, 4)

    outcomes = run(
        event,
        Note(LedgerKind.EDITED, "name: A → B", actor="boss"),
        Transfer(waiting, "grace@example.org", "why", "boss"),
    )

    told = [(entry.kind, entry.tickets, entry.note, entry.actor) for outcome in outcomes for entry in outcome.entries]
    assert told == [(LedgerKind.EDITED, 0, "name: A → B", "boss"), (LedgerKind.TRANSFERRED, 4, "why", "boss")]
    assert (event.available, event.waitlisted, event.sequence) == (2, 1, 4)


def test_waited_for_tickets_follow_who_waits():
    event = inventory(10)
    holder, six, four, _ = booked(event, 10, 6, 4, 9)
    wanted = [event.waitlisted_tickets]

    for command in (
        Cancel(six.id, 2),
        Cancel(four.id),
        Cancel(holder.id, 4),
        new_terms(10),
        CancelEvent(),
    ):
        run(event, command)
        wanted.append(event.waitlisted_tickets)

    assert wanted == [19, 17, 13, 9, 9, 0]


def limited(limit, *people, **terms):
    """An event with a limit, on which the commands ask about these people, as `load` prepares it."""
    return inventory(100, max_tickets_per_person=limit, claims_by_holder={person: [] for person in people}, **terms)


@pytest.mark.parametrize("holder", [5, "ada@example.org"])
def test_person_limit_counts_the_earlier_commands_of_the_batch(holder):
    event = limited(4, holder)

    outcomes = run(event, *(Book(Claim(1, holder=holder)) for _ in range(20)))

    assert [type(outcome.error) for outcome in outcomes] == [type(None)] * 4 + [PersonLimit] * 16
    assert (event.held, event.bookings) == (4, 4)


def test_person_limit_counts_each_person_alone_and_an_account_apart_from_its_address():
    event = limited(2, 5, 6, "ada@example.org")

    outcomes = run(event, *(Book(Claim(2, holder=holder)) for holder in (5, 6, "ada@example.org", 5)))

    assert [type(outcome.error) for outcome in outcomes] == [type(None)] * 3 + [PersonLimit]


def test_person_limit_counts_waiting_tickets_and_not_those_that_were_given_back():
    event = limited(4, 5, policy="strict")
    event.available = 1
    first, second = Claim(1, holder=5), Claim(3, holder=5)
    run(event, Book(first), Book(second))
    written(event, first, second)

    outcomes = run(event, Book(Claim(1, holder=5)), Cancel(second.id, 2), Book(Claim(2, holder=5)))

    assert [type(outcome.error) for outcome in outcomes] == [PersonLimit, type(None), type(None)]


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
def test_nobody_waits_for_more_than_a_person_may_have_named_or_not(policy):
    event = limited(4, 5, policy=policy)
    event.available = 0

    outcomes = run(event, Book(Claim(5, holder=5)), Book(Claim(5)), Book(Claim(4)))

    assert [type(outcome.error) for outcome in outcomes] == [PersonLimit, PersonLimit, type(None)]
    assert event.waitlisted_tickets == 4


@pytest.mark.parametrize(
    ("limit", "has", "sentence"),
    [
        (1, 1, "at most 1 ticket to a person, waiting ones too. This person has 1, so none is left."),
        (4, 3, "at most 4 tickets to a person, waiting ones too. This person has 3, so 1 is left."),
        (4, 0, "at most 4 tickets to a person, waiting ones too. This person has 0, so 4 are left."),
        (2, 5, "at most 2 tickets to a person, waiting ones too. This person has 5, so none is left."),
    ],
)
def test_person_limit_says_how_many_are_left(limit, has, sentence):
    assert str(PersonLimit(limit, has)) == f"This event gives {sentence}"


def test_transfer_to_another_person_keeps_to_the_limit():
    event = limited(4, "grace@example.org", "alan@example.org")
    first, second = booked(event, 3, 2)

    outcomes = run(
        event,
        Transfer(first, "grace@example.org", "why", "boss"),
        Transfer(second, "grace@example.org"),
        Book(Claim(2, holder="grace@example.org")),
        Transfer(first, "alan@example.org"),
        Transfer(second, "grace@example.org"),
    )

    assert [type(outcome.error) for outcome in outcomes] == [type(None), PersonLimit, PersonLimit, *[type(None)] * 2]
    assert entries(outcomes[0]) == [(LedgerKind.TRANSFERRED, 3, 95, 0)]
    assert (first.holder, second.holder) == ("alan@example.org", "grace@example.org")


def test_transfer_of_the_same_person_is_no_matter_of_the_limit():
    event = limited(None, 5)
    [many] = booked(event, 9, holder=5)
    event.max_tickets_per_person = 4

    [outcome] = run(event, Transfer(many, 5))

    assert outcome.error is None


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
@pytest.mark.parametrize(
    "frees",
    [
        lambda holder, waiting: Cancel(holder.id),
        lambda holder, waiting: Cancel(holder.id, 4),
        lambda holder, waiting: Cancel(waiting.id, 3),
        lambda holder, waiting: CancelSeat(5),
        lambda holder, waiting: new_terms(14, sales_end=NOW),
        lambda holder, waiting: Move(waiting.id, 99),
    ],
)
def test_after_the_end_of_sales_nobody_is_promoted_by_itself(policy, frees):
    event = inventory(10, policy=policy)
    holder, waiting = booked(event, 8, 4)
    holder.holder, event.claims_by_holder[5] = 5, [holder]
    event.sales_end = NOW

    [outcome] = run(event, frees(holder, waiting))

    assert (outcome.error, outcome.promoted) == (None, [])
    assert (waiting.status, event.waitlisted) == (WAITLISTED, 1)


def test_after_the_end_of_sales_staff_serve_by_hand_and_only_that_booking():
    event = inventory(10, sales_end=NOW + timedelta(seconds=1), policy="strict")
    holder, second, third = booked(event, 10, 4, 2)
    event.sales_end = NOW

    outcomes = run(event, Cancel(holder.id), Serve(second.id))

    assert [outcome.promoted for outcome in outcomes] == [[], [second]]
    assert (second.status, third.status, event.available) == (COMPLETED, WAITLISTED, 6)


@pytest.mark.parametrize("sales_end", [None, NOW + timedelta(microseconds=1)])
def test_sales_that_go_on_promote_who_fits(sales_end):
    event = inventory(10)
    holder, large, small = booked(event, 10, 8, 3)
    event.sales_end = NOW

    freed, reopened = run(event, Cancel(holder.id, 4), new_terms(sales_end=sales_end))

    assert (freed.promoted, reopened.promoted) == ([], [small])
    assert (large.status, event.available, event.sales_end) == (WAITLISTED, 1, sales_end)


def test_nothing_is_in_reach_after_the_end_of_sales_but_of_a_change_of_it():
    event = inventory(10)
    holder, waiting = booked(event, 10, 3)
    event.sales_end = NOW
    idle = [Book(Claim(1)), Cancel(holder.id), CancelSeat(5), Move(waiting.id, 99), Serve(waiting.id)]

    assert reach(event, idle, now=NOW).tickets == 0
    assert reach(event, idle, now=NOW - timedelta(microseconds=1)).tickets > 0
    assert reach(event, [*idle, new_terms()], now=NOW).tickets > 0


def test_commands_after_the_events_cancellation_are_refused():
    event = inventory(10)
    holder, waiting = booked(event, 7, 5)

    late = [Cancel(holder.id), Cancel(waiting.id, 1), CancelSeat(5), Book(Claim(1)), CancelEvent()]
    outcomes = run(event, CancelEvent(), *late)

    errors = [type(outcome.error) for outcome in outcomes]
    assert errors == [type(None), AlreadyCancelled, AlreadyCancelled, EventNotFound, EventNotFound, EventNotFound]
    assert (event.available, event.waitlisted) == (10, 0)


# Random groups of commands are compared with the simplest correct implementation.

SIZES = st.integers(1, 6)
SALES_ENDS = st.sampled_from([None, NOW, NOW + timedelta(microseconds=1)])
STEPS = st.one_of(
    st.tuples(st.just("book"), SIZES),
    st.tuples(st.just("cancel"), st.integers(0, 40), st.one_of(st.none(), st.integers(1, 6))),
    st.tuples(st.just("terms"), st.integers(1, 30), st.sampled_from(["first_fit", "strict"]), SALES_ENDS),
    st.tuples(st.just("serve"), st.integers(0, 40), st.booleans()),
    # Each entry has the booking to move and the place behind which it goes, which gives a free number.
    st.tuples(st.just("move"), st.integers(0, 40), st.integers(0, 12)),
)


class Plain:
    """The rules without optimisation: every waiting booking is looked at, again and again."""

    def __init__(self, total, policy):
        # These are the waiting bookings, in order.
        self.total, self.policy, self.bookings, self.waiting = total, policy, [], []
        self.has_ended = False

    @property
    def available(self):
        return self.total - sum(size for size, status in self.bookings if status == COMPLETED)

    def apply(self, step):
        kind, *rest = step
        if kind == "book":
            [size] = rest
            if size > self.total or self.has_ended:
                return
            fits = size <= self.available and not (self.policy == "strict" and self.waiting)
            self.bookings.append((size, COMPLETED if fits else WAITLISTED))
            self.waiting += [] if fits else [len(self.bookings) - 1]
        elif kind == "cancel":
            number, tickets = rest
            if number >= len(self.bookings):
                return
            size, status = self.bookings[number]
            if status == CANCELLED or (tickets or 0) > size:
                return
            part = tickets is not None and tickets < size
            self.bookings[number] = (size - tickets, status) if part else (size, CANCELLED)
            self.waiting = [other for other in self.waiting if part or other != number]
        elif kind == "terms":
            total, policy, sales_end = rest
            if total < self.total - self.available:
                return
            self.total, self.policy, self.has_ended = total, policy, sales_end == NOW
        elif rest[0] in self.waiting:
            self.apply_to_line(kind, *rest)
        self.serve()

    def apply_to_line(self, kind, number, how):
        if kind == "move":
            self.waiting.remove(number)
            self.waiting.insert(how, number)
            return
        missing = self.bookings[number][0] - self.available
        if missing <= 0 or how:
            self.total += max(missing, 0)
            self.give(number)

    def give(self, number):
        self.bookings[number] = (self.bookings[number][0], COMPLETED)
        self.waiting.remove(number)

    def serve(self):
        served = not self.has_ended
        while served:
            served = False
            for number in self.waiting:
                size, _ = self.bookings[number]
                if size <= self.available:
                    self.give(number)
                    served = True
                    break
                if self.policy == "strict":
                    break


@patch("bookings.rules.NUMBERS_A_PART", 4 * ROOM)
@given(total=st.integers(1, 20), policy=st.sampled_from(["first_fit", "strict"]), groups=st.lists(st.lists(STEPS)))
def test_any_groups_of_commands_match_the_plain_rules(total, policy, groups):
    """Each group gets only the part of the waitlist in reach, as the services load it."""
    plain, state, claims = Plain(total, policy), Inventory(total, total, 0, policy=policy), []

    for group in chain.from_iterable(map(with_moves_alone, groups)):
        known = list(claims)
        waiting = sorted((c for c in known if c.status == WAITLISTED), key=lambda claim: claim.waitlist_number)
        commands, steps = [], []
        for step in group:
            if step[0] == "book":
                commands.append(Book(Claim(step[1])))
            elif step[0] == "terms":
                commands.append(new_terms(*step[1:]))
            elif step[1] >= len(known):
                continue
            elif step[0] == "cancel":
                commands.append(Cancel(known[step[1]].id, step[2]))
            elif step[0] == "serve":
                commands.append(Serve(known[step[1]].id, adds=step[2]))
            elif number := number_behind(step[2], known[step[1]], waiting, state):
                commands.append(Move(known[step[1]].id, number))
            else:
                continue
            steps.append(step)
        state.queue = in_reach(state, commands, waiting)
        allocate(state, commands, now=NOW)
        new = [command.claim for command in commands if isinstance(command, Book) and command.claim.status]
        claims += written(state, *new)
        for step in steps:
            plain.apply(step)

        assert [(claim.tickets, claim.status) for claim in claims] == plain.bookings
        assert (state.available, state.waitlisted, state.total) == (plain.available, len(plain.waiting), plain.total)
        assert state.available >= 0
        assert (state.bookings, state.completed) == (len(claims), sum(claim.status == COMPLETED for claim in claims))
        line = Counter(part_of_waitlist(claim.waitlist_number) for claim in claims if claim.status == WAITLISTED)
        assert {part: by for part, by in state.part_changes.items() if by} == line
        assert state.waitlisted_tickets == sum(claim.tickets for claim in claims if claim.status == WAITLISTED)


def with_moves_alone(group):
    """Puts each move into a batch of its own, since its number depends on the waitlist at that moment."""
    batches = [[]]
    for step in group:
        batches += [[step], []] if step[0] == "move" else []
        if step[0] != "move":
            batches[-1].append(step)
    return [batch for batch in batches if batch]


def number_behind(place, claim, waiting, state):
    """A free number behind the given count of others; None if there is none."""
    others = [0, *(other.waitlist_number for other in waiting if other is not claim)]
    if claim not in waiting or place >= len(others):
        return None
    following = [*others[place + 1 :], (state.sequence + 1) * ROOM]
    free = numbers_between(others[place], following[0], 1)
    return free[0] if free and free[0] != claim.waitlist_number else None


def in_reach(state, commands, waiting):
    within = reach(state, commands, now=NOW)
    chosen = set()
    for policy in within.policies:
        if policy == "strict":
            chosen.update(waiting[: within.heads])
            continue
        for size in range(1, within.tickets + 1):
            chosen.update([claim for claim in waiting if claim.tickets == size][: within.of_size(size)])
    return [claim for claim in waiting if claim in chosen]


def test_reach_is_bounded_by_what_can_become_free():
    event = inventory(10)
    holder, waiting = booked(event, 10, 3)

    within = reach(event, [Cancel(holder.id, 4), Cancel(waiting.id), new_terms(total=12, policy="strict")], now=NOW)

    assert (within.tickets, within.leaving, within.heads) == (6, 1, 8)
    assert [within.of_size(size) for size in (1, 2, 4, 7)] == [7, 4, 2, 1]
    assert within.policies == {"first_fit", "strict"}


def test_reduced_claim_from_beyond_reach_takes_its_own_place_in_line():
    event = inventory(10)
    holder, six, two = booked(event, 10, 6, 2)
    commands = [Cancel(six.id, 4), Cancel(holder.id, 2)]
    event.queue = in_reach(event, commands, [six, two])
    assert event.queue == [two]

    run(event, *commands)

    assert (six.status, two.status) == (COMPLETED, WAITLISTED)
