"""Carries out a batch of ticket jobs in one transaction, and gives each job its result."""

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, InternalError, OperationalError, connection
from django.utils import timezone

from accounts.exceptions import SessionEnded
from accounts.services import holders_query, valid_holders
from bookings.exceptions import KeyInFlight
from bookings.models import Booking
from bookings.rules import Command, Outcome
from bookings.services import sql
from bookings.services.batch_queue import Batch, BatchQueue, Contended, Job
from bookings.services.idempotency import KnownKey, keys_in_hand, known_keys
from bookings.services.inventory import Check, LockedEvent, Work, lock_events, settle_all
from bookings.services.sql import Key
from events.exceptions import EventNotFound
from ticks.db.transactions import (
    Busy,
    OutcomeUnknown,
    Unavailable,
    in_one_transaction,
    is_value_refused,
    refuse_to_nest,
)
from ticks.exceptions import Refusal

log = logging.getLogger("ticks.batches")
# Statements stay small, and nobody waits for a crowd.
JOBS_A_BATCH = 256
DISTRUST_SECONDS = 1


@dataclass(slots=True)
class Found:
    """The bookings that jobs are about, locked: by id, and the live ones by (event, user)."""

    by_id: dict[int, Booking] = field(default_factory=dict)
    seats: dict[tuple[int, int], list[Booking]] = field(default_factory=dict)


class TicketJob(Job):
    """A job that one command of the rules carries out."""

    # The login to check again inside the transaction, and whose it must be; None if the caller is already known.
    session_id: int | None = None
    user_id: int | None = None
    # Of the idempotency key.
    digest: str | None = None
    booking_id: int | None = None
    seat: tuple[int, int] | None = None
    has_new_values = False

    def replay(self, known: KnownKey) -> Any:
        """The first answer to the job's key. Raises `KeyReused`."""
        raise NotImplementedError

    def command(self, event: LockedEvent, found: Found) -> Command:
        """What the rules are asked. Raises what can be refused before anything of the batch is decided."""
        raise NotImplementedError

    def answer(self, outcome: Outcome) -> Any:
        """The result, once the booking is written."""
        raise NotImplementedError

    def key(self, outcome: Outcome) -> Key:
        """What to remember of the answer, where the job has a digest."""
        raise NotImplementedError

    def draw_anew(self) -> None:
        """Draws other random values, after some were taken."""


def run_job(job: TicketJob) -> Any:
    """The job's result, raised if it is an exception. In the server the jobs of several threads share a transaction."""
    refuse_to_nest()
    if settings.GROUP_BOOKING and queue().is_running:
        return queue().run(job)
    carry_out(Batch([job]))
    if isinstance(job.result, BaseException):
        raise job.result
    return job.result


@cache
def queue() -> BatchQueue:
    """This process's; it runs in a worker process of the server."""
    return BatchQueue(
        carry_out_in_worker,
        limit=JOBS_A_BATCH if settings.GROUP_BOOKING else 1,
        length=settings.QUEUE_LENGTH,
        seconds=settings.QUEUE_SECONDS,
    )


def carry_out_in_worker(batch: Batch) -> None:
    # A connection may have been closed, or have grown old, since the thread's last batch.
    connection.close_if_unusable_or_obsolete()
    carry_out(batch)


def carry_out(batch: Batch) -> None:
    """Sets each job's result. Raises `Contended` where several events are concerned and one is locked.

    One transaction for the whole batch, and again without the jobs whose logins have ended. What fails otherwise is
    tried job by job, since one job may be at fault alone.
    """
    parts = deque([batch])
    failures = 0
    while parts:
        part = parts.popleft()
        try:
            results = Attempt(part).run()
        except EndedSessions as ended:
            parts.extendleft(without(part, ended))
        except Refusal as refusal:
            if isinstance(refusal, Busy) and len(part.event_ids()) > 1:
                raise Contended from refusal
            refuse_all([part], type(refusal), refusal.__cause__)
            if isinstance(refusal, Busy | Unavailable):
                # Every other job would meet the same, and take as long to find out.
                refuse_all(parts, type(refusal), refusal.__cause__)
                return
        except Exception as error:
            parts.extendleft(to_try_again(part, error))
            failures += part.jobs[0].result is error and is_trouble_of_the_database(error)
            if failures == 2:
                refuse_all(parts, Unavailable, error)
                return
        else:
            for job in part.jobs:
                job.result = results[job]


def without(part: Batch, ended: "EndedSessions") -> list[Batch]:
    """Refuses the jobs whose logins have ended; what is left to carry out."""
    sessions.distrust()
    for job in ended.jobs:
        job.result = SessionEnded()
    rest = [job for job in part.jobs if job not in ended.jobs]
    return [Batch(rest)] if rest else []


def to_try_again(part: Batch, error: Exception) -> list[Batch]:
    """How to try again what was rolled back, the last one first: each job alone, and one once more with new values.

    A job that has nothing left to try gets the error as its result.
    """
    if len(part.jobs) > 1:
        if not isinstance(error, IntegrityError):
            log.warning("A batch of %s jobs is carried out job by job.", len(part.jobs), exc_info=error)
        return [Batch([job]) for job in reversed(part.jobs)]
    [job] = part.jobs
    if isinstance(error, IntegrityError) and not job.has_new_values:
        # The key was committed meanwhile over another node, or the reference is taken (one in 10^14): the second
        # attempt finds the key, or has another reference. Or the account was deleted, and the foreign key to it refused
        # the writes: the second attempt looks at the login before them, and finds that it has ended.
        job.has_new_values = True
        job.draw_anew()
        if job.session_id is not None:
            sessions.distrust()
        return [part]
    job.result = error
    return []


def is_trouble_of_the_database(error: Exception) -> bool:
    """Such as a full disk. A value that it refuses is the trouble of one job alone."""
    return isinstance(error, OperationalError | InternalError) and not is_value_refused(error)


def refuse_all(parts: Sequence[Batch], refusal: type[Refusal], cause: BaseException | None = None) -> None:
    for job in [job for part in parts for job in part.jobs]:
        # Each gets its own, since they are raised in several threads.
        job.result = refusal()
        job.result.__cause__ = cause


class Attempt:
    """One go at a batch, which may be run again from its beginning."""

    def __init__(self, batch: Batch):
        self.batch = batch
        # Whether all is done but to commit.
        self.is_committing = False
        # The keys of jobs that were added while the events were locked. Nobody else books for these events then, so
        # that they are as good as in hand, also when the transaction is run again.
        self.late: set[str] = set()

    def run(self) -> dict[TicketJob, Any]:
        # Of several events the others need not wait until one is free.
        attempts = {"attempts": 1} if len(self.batch.event_ids()) > 1 else {}
        try:
            with keys_in_hand({job.digest for job in self.batch.jobs if job.digest}) as in_hand:
                return in_one_transaction(self.settle, **attempts)(in_hand)
        except Exception:
            raise
        except BaseException:
            # Interrupted: a transaction that is still open would hold its locks.
            connection.close()
            if self.is_committing:
                refuse_all([self.batch], OutcomeUnknown)
            raise

    def settle(self, in_hand: Collection[str]) -> dict[TicketJob, Any]:
        self.is_committing = False
        results: dict[TicketJob, Any] = {}
        # Before any lock: who only asks again waits for nobody.
        jobs = screened(self.batch.jobs, results, {*in_hand, *self.late})
        if jobs:
            events = lock_events(self.batch.event_ids())
            if late := self.batch.take_late_jobs():
                self.late.update(job.digest for job in late if job.digest)
                jobs += screened(late, results, self.late)
            results |= settle_jobs(jobs, events)
            replay_keys_of_refused(jobs, results)
        self.is_committing = True
        return results


def screened(jobs: Sequence[TicketJob], results: dict[TicketJob, Any], in_hand: Collection[str]) -> list[TicketJob]:
    """Those that are still to be carried out; the others have their results."""
    if sessions.are_distrusted():
        refuse_ended_sessions(jobs, results)
    replay_known_keys(jobs, results, in_hand)
    return [job for job in jobs if job not in results]


class EndedSessions(Exception):
    """Some of a batch's logins have ended: all is taken back, and the others are served again without them."""

    def __init__(self, jobs: Collection[TicketJob]):
        self.jobs = jobs


class Sessions:
    """Whether logins are looked up before the events are locked, or with the writes, which is a round trip less.

    With the writes an ended one costs its whole batch a second go, so that after one they are looked up first.
    """

    distrusted_until = float("-inf")

    def distrust(self) -> None:
        self.distrusted_until = time.monotonic() + DISTRUST_SECONDS

    def are_distrusted(self) -> bool:
        return time.monotonic() < self.distrusted_until


sessions = Sessions()


def session_check(jobs: Sequence[TicketJob]) -> Check | None:
    """That the logins of who was not looked up yet stand: raises `EndedSessions`."""
    shown = [job for job in jobs if job.session_id is not None]
    if not shown:
        return None

    def look(found: Sequence[tuple]) -> None:
        holders = valid_holders(found)
        ended = {job for job in shown if holders.get(job.session_id) != job.user_id}
        if ended:
            raise EndedSessions(ended)

    return Check(holders_query({job.session_id for job in shown}, now=timezone.now()), look)


def refuse_ended_sessions(jobs: Sequence[TicketJob], results: dict[TicketJob, Any]) -> None:
    check = session_check(jobs)
    if check is None:
        return
    try:
        check.look(*sql.run_all([check.statement]))
    except EndedSessions as ended:
        results |= {job: SessionEnded() for job in ended.jobs}


def replay_known_keys(jobs: Sequence[TicketJob], results: dict[TicketJob, Any], in_hand: Collection[str]) -> None:
    keyed = [job for job in jobs if job.digest and job not in results]
    if not keyed:
        return
    known = known_keys([job.digest for job in keyed])
    answered = [job for job in keyed if job.digest in known or job.digest not in in_hand]
    # What a key is answered is for who is logged in; the others' logins are looked up with the writes.
    refuse_ended_sessions(answered, results)
    for job in answered:
        if job not in results:
            try:
                results[job] = answer_of_key(job, known.get(job.digest))
            except Refusal as refusal:
                results[job] = refusal


def replay_keys_of_refused(jobs: Sequence[TicketJob], results: dict[TicketJob, Any]) -> None:
    """Gives refused jobs whose keys are known by now the first answers to their keys.

    Another node of a cluster may have carried out the same request while this one waited for its event's lock. It may
    then be refused because of itself, such as where it has taken the last ticket there.
    """
    refused = {job.digest: job for job in jobs if job.digest and isinstance(results[job], Refusal)}
    if not refused:
        return
    for digest, key in known_keys(list(refused)).items():
        try:
            results[refused[digest]] = refused[digest].replay(key)
        except Refusal as refusal:
            results[refused[digest]] = refusal


def answer_of_key(job: TicketJob, known: KnownKey | None) -> Any:
    if known is None:
        raise KeyInFlight
    return job.replay(known)


def settle_jobs(jobs: Sequence[TicketJob], events: Mapping[int, LockedEvent]) -> dict[TicketJob, Any]:
    results: dict[TicketJob, Any] = {}
    found = find_bookings(jobs)
    works = {event.pk: Work(event, []) for event in events.values()}
    placed: list[tuple[TicketJob, Work, int]] = []
    for job in jobs:
        try:
            if job.event_id not in events:
                raise EventNotFound
            work = works[job.event_id]
            work.commands.append(job.command(work.event, found))
            placed.append((job, work, len(work.commands) - 1))
        except Refusal as refusal:
            results[job] = refusal

    def keys() -> list[Key]:
        settled = ((job, work.outcomes[place]) for job, work, place in placed if job.digest)
        return [job.key(outcome) for job, outcome in settled if not outcome.error]

    settle_all(list(works.values()), now=timezone.now(), keys=keys, check=session_check(jobs))
    for job, work, place in placed:
        outcome = work.outcomes[place]
        results[job] = outcome.error or job.answer(outcome)
    return results


def find_bookings(jobs: Sequence[TicketJob]) -> Found:
    found = Found()
    ids = sorted({job.booking_id for job in jobs if job.booking_id is not None})
    if ids:
        found.by_id = {booking.pk: booking for booking in sql.lock_bookings(ids)}
    seats = {job.seat for job in jobs if job.seat is not None}
    if seats:
        live = Booking.objects.live().filter(
            event__in={event for event, _ in seats}, user__in={user for _, user in seats}
        )
        for booking in live.select_for_update().order_by("pk"):
            found.seats.setdefault((booking.event_id, booking.user_id), []).append(booking)
    return found
