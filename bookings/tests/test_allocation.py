"""The rules alone: no database."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.allocation import (
    Book,
    Cancel,
    CancelEvent,
    ChangeTerms,
    Claim,
    Inventory,
    allocate,
    reach,
)
from bookings.exceptions import (
    AlreadyCancelled,
    CapacityBelowHeld,
    MoreThanReserved,
    SalesClosed,
    SalesNotOpen,
    SoldOut,
    TooManyTickets,
)
from bookings.line import part_of_line
from bookings.statuses import BookingStatus, LedgerKind
from events.exceptions import EventNotFound

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COMPLETED, WAITLISTED, CANCELLED = BookingStatus.COMPLETED, BookingStatus.WAITLISTED, BookingStatus.CANCELLED


def inventory(total=10, **terms):
    return Inventory(total=total, available=total, waitlisted=0, **terms)


def run(event, *commands):
    return allocate(event, commands, now=NOW)


def booked(event, *sizes):
    claims = [Claim(size) for size in sizes]
    assert not any(outcome.error for outcome in run(event, *map(Book, claims)))
    return claims


def entries(outcome):
    return [(entry.kind, entry.tickets, entry.available, entry.waitlisted) for entry in outcome.entries]


def test_book_that_fits_holds_tickets():
    event = inventory(10)
    claim = Claim(4)

    [outcome] = run(event, Book(claim, actor="ada"))

    assert (claim.status, event.available, event.held) == (COMPLETED, 6, 4)
    assert entries(outcome) == [(LedgerKind.BOOKED, 4, 6, 0)]
    assert (outcome.entries[0].sequence, outcome.entries[0].claim, outcome.entries[0].actor) == (1, claim, "ada")
    assert outcome.position is None


def test_book_that_does_not_fit_waits_whole():
    event = inventory(10)
    booked(event, 8)
    claim = Claim(4)

    [outcome] = run(event, Book(claim))

    assert (claim.status, claim.waitlist_number, outcome.position) == (WAITLISTED, 2, 1)
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

    [outcome] = run(event, Cancel(holder))

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

    run(event, Cancel(holder))

    assert (six.status, one.status, event.available) == (WAITLISTED, WAITLISTED, 4)


def test_cancel_of_a_strict_head_frees_the_queue_behind_it():
    event = inventory(10, policy="strict")
    _, head, two, one = booked(event, 7, 5, 2, 1)

    [outcome] = run(event, Cancel(head))

    assert (head.status, two.status, one.status) == (CANCELLED, COMPLETED, COMPLETED)
    assert entries(outcome) == [
        (LedgerKind.CANCELLED, 5, 3, 2),
        (LedgerKind.PROMOTED, 2, 1, 1),
        (LedgerKind.PROMOTED, 1, 0, 0),
    ]


def test_reduced_waiting_claim_that_now_fits_is_served():
    event = inventory(10)
    _, waiting = booked(event, 8, 5)

    [outcome] = run(event, Cancel(waiting, 3))

    assert (waiting.status, waiting.tickets, waiting.waitlist_number) == (COMPLETED, 2, None)
    assert entries(outcome) == [(LedgerKind.REDUCED, 3, 2, 1), (LedgerKind.PROMOTED, 2, 0, 0)]


def test_reduced_waiting_claim_keeps_its_place():
    event = inventory(10)
    holder, first, second = booked(event, 10, 5, 4)

    run(event, Cancel(first, 1))
    run(event, Cancel(holder, 4))

    assert (first.status, second.status) == (COMPLETED, WAITLISTED)


@pytest.mark.parametrize(("tickets", "error"), [(3, MoreThanReserved), (None, AlreadyCancelled), (1, AlreadyCancelled)])
def test_cancel_refused_frees_nothing(tickets, error):
    event = inventory(10)
    [claim] = booked(event, 2)
    if error is AlreadyCancelled:
        run(event, Cancel(claim))
    before = (event.available, event.sequence)

    [outcome] = run(event, Cancel(claim, tickets))

    assert isinstance(outcome.error, error)
    assert (event.available, event.sequence) == before


def test_larger_event_serves_three_groups_at_once():
    event = inventory(10)
    groups = booked(event, 10, 6, 7, 4)[1:]

    [outcome] = run(event, ChangeTerms(total=30, policy="first_fit"))

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

    refused, allowed = run(event, ChangeTerms(total=5, policy="first_fit"), ChangeTerms(total=6, policy="first_fit"))

    assert isinstance(refused.error, CapacityBelowHeld)
    assert entries(allowed) == [(LedgerKind.CAPACITY_CHANGED, -4, 0, 0)]
    assert (event.total, event.available) == (6, 0)


def test_first_fit_after_strict_serves_those_who_now_fit():
    event = inventory(10, policy="strict")
    _, head, two = booked(event, 8, 5, 2)

    [outcome] = run(event, ChangeTerms(total=10, policy="first_fit"))

    assert (head.status, two.status) == (WAITLISTED, COMPLETED)
    assert entries(outcome) == [(LedgerKind.PROMOTED, 2, 0, 1)]


def test_cancelled_event_holds_nothing():
    event = inventory(10)
    booked(event, 7, 5)

    [outcome] = run(event, CancelEvent())

    assert entries(outcome) == [(LedgerKind.EVENT_CANCELLED, 7, 10, 0)]
    assert (event.available, event.waitlisted, event.is_deleted) == (10, 0, True)


def test_commands_after_the_events_cancellation_are_refused():
    event = inventory(10)
    holder, waiting = booked(event, 7, 5)

    outcomes = run(event, CancelEvent(), Cancel(holder), Cancel(waiting, 1), Book(Claim(1)), CancelEvent())

    errors = [type(outcome.error) for outcome in outcomes]
    assert errors == [type(None), AlreadyCancelled, AlreadyCancelled, EventNotFound, EventNotFound]
    assert (event.available, event.waitlisted) == (10, 0)


# Random groups of commands against the simplest thing that can be right.

SIZES = st.integers(1, 6)
STEPS = st.one_of(
    st.tuples(st.just("book"), SIZES),
    st.tuples(st.just("cancel"), st.integers(0, 40), st.one_of(st.none(), st.integers(1, 6))),
    st.tuples(st.just("terms"), st.integers(1, 30), st.sampled_from(["first_fit", "strict"])),
)


class Plain:
    """The rules without cleverness: every waiting booking looked at, again and again."""

    def __init__(self, total, policy):
        self.total, self.policy, self.bookings = total, policy, []

    @property
    def available(self):
        return self.total - sum(size for size, status in self.bookings if status == COMPLETED)

    @property
    def waiting(self):
        return [number for number, (_, status) in enumerate(self.bookings) if status == WAITLISTED]

    def apply(self, step):
        kind, *rest = step
        if kind == "book":
            [size] = rest
            if size > self.total:
                return
            fits = size <= self.available and not (self.policy == "strict" and self.waiting)
            self.bookings.append((size, COMPLETED if fits else WAITLISTED))
        elif kind == "cancel":
            number, tickets = rest
            if number >= len(self.bookings):
                return
            size, status = self.bookings[number]
            if status == CANCELLED or (tickets or 0) > size:
                return
            part = tickets is not None and tickets < size
            self.bookings[number] = (size - tickets, status) if part else (size, CANCELLED)
        else:
            total, policy = rest
            if total < self.total - self.available:
                return
            self.total, self.policy = total, policy
        self.serve()

    def serve(self):
        served = True
        while served:
            served = False
            for number in self.waiting:
                size, _ = self.bookings[number]
                if size <= self.available:
                    self.bookings[number] = (size, COMPLETED)
                    served = True
                    break
                if self.policy == "strict":
                    break


@patch("bookings.line.NUMBERS_A_PART", 4)
@given(total=st.integers(1, 20), policy=st.sampled_from(["first_fit", "strict"]), groups=st.lists(st.lists(STEPS)))
def test_any_groups_of_commands_match_the_plain_rules(total, policy, groups):
    """Each group gets only the part of the waitlist in reach, as the services load it."""
    plain, state, claims = Plain(total, policy), Inventory(total, total, 0, policy=policy), []

    for group in groups:
        known = list(claims)
        commands, steps = [], []
        for step in group:
            if step[0] == "book":
                commands.append(Book(Claim(step[1])))
            elif step[0] == "terms":
                commands.append(ChangeTerms(step[1], step[2]))
            elif step[1] < len(known):
                commands.append(Cancel(known[step[1]], step[2]))
            else:
                continue
            steps.append(step)
        waiting = sorted((c for c in known if c.status == WAITLISTED), key=lambda claim: claim.waitlist_number)
        state.queue = in_reach(state, commands, waiting)
        allocate(state, commands, now=NOW)
        claims += [command.claim for command in commands if isinstance(command, Book) and command.claim.status]
        for step in steps:
            plain.apply(step)

        assert [(claim.tickets, claim.status) for claim in claims] == plain.bookings
        assert (state.available, state.waitlisted, state.total) == (plain.available, len(plain.waiting), plain.total)
        assert state.available >= 0
        assert (state.bookings, state.completed) == (len(claims), sum(claim.status == COMPLETED for claim in claims))
        line = Counter(part_of_line(claim.waitlist_number) for claim in claims if claim.status == WAITLISTED)
        assert {part: by for part, by in state.line_moves.items() if by} == line


def in_reach(state, commands, waiting):
    within = reach(state, commands)
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

    within = reach(event, [Cancel(holder, 4), Cancel(waiting), ChangeTerms(total=12, policy="strict")])

    assert (within.tickets, within.leaving, within.heads) == (6, 1, 8)
    assert [within.of_size(size) for size in (1, 2, 4, 7)] == [7, 4, 2, 1]
    assert within.policies == {"first_fit", "strict"}


def test_reduced_claim_from_beyond_reach_takes_its_own_place_in_line():
    event = inventory(10)
    holder, six, two = booked(event, 10, 6, 2)
    commands = [Cancel(six, 4), Cancel(holder, 2)]
    event.queue = in_reach(event, commands, [six, two])
    assert event.queue == [two]

    run(event, *commands)

    assert (six.status, two.status) == (COMPLETED, WAITLISTED)
