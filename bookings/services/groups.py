"""Carries out a group of orders in one transaction, and tells each what became of it."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, InternalError, OperationalError, connection
from django.utils import timezone

from accounts.exceptions import SessionEnded
from accounts.services import good_holders, holders_query
from bookings.allocation import Command, Outcome
from bookings.exceptions import KeyInFlight
from bookings.models import Booking
from bookings.services import rows
from bookings.services.counter import Contended, Counter, Group, Order
from bookings.services.desk import Check, LockedEvent, Work, lock_events, settle_all
from bookings.services.keys import KnownKey, keys_in_hand, known_keys
from bookings.services.rows import Key
from events.exceptions import EventNotFound
from ticks.refusals import Refusal
from ticks.transactions import (
    Busy,
    OutcomeUnknown,
    Unavailable,
    in_one_transaction,
    is_value_refused,
    refuse_to_nest,
)

log = logging.getLogger("ticks.groups")
# Statements stay small, and answers wait for no crowd.
ORDERS_A_GROUP = 256
DISTRUST_SECONDS = 1


@dataclass(slots=True)
class Found:
    """The bookings that orders are about, locked: by id, and the live ones by (event, user)."""

    by_id: dict[int, Booking] = field(default_factory=dict)
    seats: dict[tuple[int, int], list[Booking]] = field(default_factory=dict)


class TicketOrder(Order):
    """An order that one command of the rules carries out."""

    # Of who is to be known again in the transaction; None where the caller was looked up already.
    session_id: int | None = None
    user_id: int | None = None
    # Of its idempotency key, in hand or not.
    digest: str | None = None
    booking_id: int | None = None
    seat: tuple[int, int] | None = None
    is_second_try = False

    def replay(self, known: KnownKey) -> Any:
        """The first answer to the order's key. Raises `KeyReused`."""
        raise NotImplementedError

    def command(self, event: LockedEvent, found: Found) -> Command:
        """What the rules are asked. Raises what can be refused before."""
        raise NotImplementedError

    def answer(self, outcome: Outcome) -> Any:
        """The result, once the booking is written."""
        raise NotImplementedError

    def key(self, outcome: Outcome) -> Key:
        """What to remember of the answer, of one with a digest."""
        raise NotImplementedError

    def draw_anew(self) -> None:
        """Other random values, after some were taken."""


def carried_out(order: TicketOrder) -> Any:
    """The order's result, raised if it is an error; gathered with those of other threads, where that is on."""
    refuse_to_nest()
    if settings.GROUP_BOOKING:
        counter().ask(order)
    else:
        serve(Group([order]))
    if isinstance(order.result, BaseException):
        raise order.result
    return order.result


@cache
def counter() -> Counter:
    """This process's."""
    return Counter(
        serve,
        limit=ORDERS_A_GROUP if settings.GROUP_BOOKING else 1,
        length=settings.QUEUE_LENGTH,
        seconds=settings.QUEUE_SECONDS,
    )


def serve(group: Group) -> None:
    """Sets each order's result. Raises `Contended` where several events are concerned and one is locked."""
    attempt = Attempt(group)
    try:
        results = attempt.carry_out()
    except EndedSessions as ended:
        serve_without(group, ended)
    except Refusal as refusal:
        if isinstance(refusal, Busy) and attempt.has_several_events:
            raise Contended from refusal
        tell_all(group.orders, type(refusal), refusal.__cause__)
    except Exception as error:
        # Nothing was committed. Whose fault it is shows when each is alone.
        serve_one_by_one(group.orders, error)
    except BaseException:
        # Interrupted: a transaction that is still open would hold its locks.
        connection.close()
        if attempt.is_ending:
            tell_all(group.orders, OutcomeUnknown)
        raise
    else:
        for order in group.orders:
            order.result = results[order]


def tell_all(orders: Sequence[TicketOrder], refusal: type[Refusal], cause: BaseException | None = None) -> None:
    for order in orders:
        # One each: they are raised in several threads.
        order.result = refusal()
        order.result.__cause__ = cause


def serve_without(group: Group, ended: "EndedSessions") -> None:
    """Tells those whose logins have ended, and serves the others."""
    sessions.distrust()
    for order in ended.orders:
        order.result = SessionEnded()
    if rest := [order for order in group.orders if order not in ended.orders]:
        serve(Group(rest))


def serve_one_by_one(orders: Sequence[TicketOrder], error: Exception) -> None:
    if len(orders) == 1:
        serve_again(orders[0], error)
        return
    if not isinstance(error, IntegrityError):
        log.warning("A group of %s orders is carried out one by one.", len(orders), exc_info=error)
    failed = 0
    for place, order in enumerate(orders):
        serve(Group([order]))
        result = order.result
        # The database's own trouble, such as a full disk. A value that it refuses is the trouble of this order alone.
        is_trouble = isinstance(result, OperationalError | InternalError) and not is_value_refused(result)
        failed = failed + 1 if is_trouble else 0
        if failed == 2 or isinstance(result, Busy | Unavailable):
            # So it would be for each of the others, and take as long to find out.
            refusal = type(result) if isinstance(result, Refusal) else Unavailable
            tell_all(orders[place + 1 :], refusal, result.__cause__ or result)
            return


def serve_again(order: TicketOrder, error: Exception) -> None:
    if isinstance(error, IntegrityError) and not order.is_second_try:
        # The key was committed meanwhile over another node, or the reference is taken (one in 10^14):
        # the second try finds the key, or draws another reference. Or the account was deleted, and the foreign key
        # to it refused the writes: the second try looks at the login before them, and finds that it has ended.
        order.is_second_try = True
        order.draw_anew()
        if order.session_id is not None:
            sessions.distrust()
        serve(Group([order]))
    else:
        order.result = error


class Attempt:
    """One go at a group, which may be run again from its beginning."""

    def __init__(self, group: Group):
        self.group = group
        self.has_several_events = len(group.event_ids()) > 1
        # Whether all is done but to commit.
        self.is_ending = False
        # The keys of who came while the events were locked: nobody else books for these events then, so that they
        # are as good as in hand, also when the transaction is run again.
        self.late: set[str] = set()

    def carry_out(self) -> dict[TicketOrder, Any]:
        # Of several events the others need not wait until one is free.
        attempts = {"attempts": 1} if self.has_several_events else {}
        with keys_in_hand({order.digest for order in self.group.orders if order.digest}) as in_hand:
            return in_one_transaction(self.settle, **attempts)(in_hand)

    def settle(self, in_hand: Collection[str]) -> dict[TicketOrder, Any]:
        self.is_ending = False
        results: dict[TicketOrder, Any] = {}
        # Before any lock: who only asks again waits for nobody.
        ordered = screened(self.group.orders, results, {*in_hand, *self.late})
        if ordered:
            events = lock_events(self.group.event_ids())
            if late := self.group.more():
                self.late.update(order.digest for order in late if order.digest)
                ordered += screened(late, results, self.late)
            results |= settle_orders(ordered, events)
            replay_keys_of_refused(ordered, results)
        self.is_ending = True
        return results


def screened(
    orders: Sequence[TicketOrder], results: dict[TicketOrder, Any], in_hand: Collection[str]
) -> list[TicketOrder]:
    """Those that are still to be carried out; the others have their results."""
    if sessions.are_distrusted():
        refuse_ended_sessions(orders, results)
    replay_known_keys(orders, results, in_hand)
    return [order for order in orders if order not in results]


class EndedSessions(Exception):
    """Some of a group's logins have ended: all is taken back, and the others are served again without them."""

    def __init__(self, orders: Collection[TicketOrder]):
        self.orders = orders


class Sessions:
    """Whether logins are looked up before the events are locked, or with the writes, which is a round trip less.

    With the writes an ended one costs its whole group a second go, so that after one they are looked up first.
    """

    distrusted_until = float("-inf")

    def distrust(self) -> None:
        self.distrusted_until = time.monotonic() + DISTRUST_SECONDS

    def are_distrusted(self) -> bool:
        return time.monotonic() < self.distrusted_until


sessions = Sessions()


def session_check(orders: Sequence[TicketOrder]) -> Check | None:
    """That the logins of who was not looked up yet stand: raises `EndedSessions`."""
    shown = [order for order in orders if order.session_id is not None]
    if not shown:
        return None

    def look(found: Sequence[tuple]) -> None:
        holders = good_holders(found)
        ended = {order for order in shown if holders.get(order.session_id) != order.user_id}
        if ended:
            raise EndedSessions(ended)

    return Check(holders_query({order.session_id for order in shown}, now=timezone.now()), look)


def refuse_ended_sessions(orders: Sequence[TicketOrder], results: dict[TicketOrder, Any]) -> None:
    check = session_check(orders)
    if check is None:
        return
    try:
        check.look(*rows.run_all([check.statement]))
    except EndedSessions as ended:
        results |= {order: SessionEnded() for order in ended.orders}


def replay_known_keys(orders: Sequence[TicketOrder], results: dict[TicketOrder, Any], in_hand: Collection[str]) -> None:
    keyed = [order for order in orders if order.digest and order not in results]
    if not keyed:
        return
    known = known_keys([order.digest for order in keyed])
    answered = [order for order in keyed if order.digest in known or order.digest not in in_hand]
    # What a key is answered is for who is logged in; the others' logins are looked up with the writes.
    refuse_ended_sessions(answered, results)
    for order in answered:
        if order not in results:
            try:
                results[order] = answer_of_key(order, known.get(order.digest))
            except Refusal as refusal:
                results[order] = refusal


def replay_keys_of_refused(orders: Sequence[TicketOrder], results: dict[TicketOrder, Any]) -> None:
    """Gives refused orders whose keys are known by now the first answers to their keys.

    Another node of a cluster may have carried out the same order while this one waited for its event's lock. It may
    then be refused because of itself, such as where it has taken the last ticket there.
    """
    refused = {order.digest: order for order in orders if order.digest and isinstance(results[order], Refusal)}
    if not refused:
        return
    for digest, key in known_keys(list(refused)).items():
        try:
            results[refused[digest]] = refused[digest].replay(key)
        except Refusal as refusal:
            results[refused[digest]] = refusal


def answer_of_key(order: TicketOrder, known: KnownKey | None) -> Any:
    if known is None:
        raise KeyInFlight
    return order.replay(known)


def settle_orders(orders: Sequence[TicketOrder], events: Mapping[int, LockedEvent]) -> dict[TicketOrder, Any]:
    results: dict[TicketOrder, Any] = {}
    found = find_bookings(orders)
    works = {event.pk: Work(event, []) for event in events.values()}
    placed: list[tuple[TicketOrder, Work, int]] = []
    for order in orders:
        try:
            if order.event_id not in events:
                raise EventNotFound
            work = works[order.event_id]
            work.commands.append(order.command(work.event, found))
            placed.append((order, work, len(work.commands) - 1))
        except Refusal as refusal:
            results[order] = refusal

    def keys() -> list[Key]:
        settled = ((order, work.outcomes[place]) for order, work, place in placed if order.digest)
        return [order.key(outcome) for order, outcome in settled if not outcome.error]

    settle_all(list(works.values()), now=timezone.now(), keys=keys, check=session_check(orders))
    for order, work, place in placed:
        outcome = work.outcomes[place]
        results[order] = outcome.error or order.answer(outcome)
    return results


def find_bookings(orders: Sequence[TicketOrder]) -> Found:
    found = Found()
    ids = sorted({order.booking_id for order in orders if order.booking_id is not None})
    if ids:
        found.by_id = {booking.pk: booking for booking in rows.lock_bookings(ids)}
    seats = {order.seat for order in orders if order.seat is not None}
    if seats:
        live = Booking.objects.live().filter(
            event__in={event for event, _ in seats}, user__in={user for _, user in seats}
        )
        for booking in live.select_for_update().order_by("pk"):
            found.seats.setdefault((booking.event_id, booking.user_id), []).append(booking)
    return found
