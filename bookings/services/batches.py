"""Carries out a batch of ticket jobs in one transaction, and gives each job its result."""

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, InternalError, OperationalError, connection
from django.utils import timezone

from accounts.api_keys import ids_in, valid_keys_query
from accounts.exceptions import ApiKeyRefused, SessionEnded
from accounts.services import holders_query, valid_holders
from bookings.commands import Command, Outcome
from bookings.exceptions import KeyInFlight
from bookings.outbox import MailChoice, MailOptions
from bookings.services import sql
from bookings.services.batch_queue import Batch, BatchQueue, Contended, Job
from bookings.services.idempotency import find_or_repeat, lock_keys, refuse_other_request
from bookings.services.inventory import EventWork, LockedEvent, lock_events, plan_writes, write
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
# This limit keeps statements small, and keeps a job from waiting for the batch of a whole crowd.
JOBS_A_BATCH = 256
LOGINS_FIRST_SECONDS = 1


class TicketJob(Job):
    """A job that one command of the rules carries out. The rules decide what is refused."""

    # This login is checked again inside the transaction, and it must belong to `user_id`. It is None if the caller is
    # already authenticated.
    session_id: int | None = None
    user_id: int | None = None
    # This API key is checked again inside the transaction too.
    api_key_id: int | None = None
    has_new_values = False
    # What staff chose for the mails that this leads to; None for everybody else.
    mails: MailOptions | None = None

    def command(self) -> Command:
        """The command for the rules. It is made anew for each attempt."""
        raise NotImplementedError

    def answer(self, outcome: Outcome) -> Any:
        """The result of the job, once the booking is written."""
        raise NotImplementedError

    def draw_anew(self) -> None:
        """Draws new random values, since some of the old ones were taken."""

    # The following is for jobs with a digest.
    fingerprint: str

    def replay(self, known: sql.KnownKey) -> Any:
        """The first answer to the job's key, which had the same fingerprint."""
        raise NotImplementedError

    def key(self, outcome: Outcome) -> sql.NewKey:
        """The row that remembers the answer."""
        raise NotImplementedError

    def again(self) -> "TicketJob":
        """A new job for the same request."""
        raise NotImplementedError


def run_job(job: TicketJob) -> Any:
    """Returns the job's result or raises it; `OutcomeUnknown` for a job with a key only as `find_or_repeat` does."""
    try:
        return carry_out(job)
    except OutcomeUnknown as unknown:
        if job.digest is None:
            raise
        return repeat_job(job, unknown)


def repeat_job(job: TicketJob, unknown: OutcomeUnknown) -> Any:
    """Carries out a job again that has a key, and whose COMMIT was not answered."""
    return find_or_repeat(lambda: carry_out(job.again()), unknown, since=job.arrived)


def carry_out(job: TicketJob) -> Any:
    """Returns the job's result or raises it. In the server, jobs of several threads share a transaction."""
    refuse_to_nest()
    if settings.GROUP_BOOKING and queue().is_running:
        return queue().run(job)
    run_batch(Batch([job]))
    if isinstance(job.result, BaseException):
        raise job.result
    return job.result


@cache
def queue() -> BatchQueue:
    """The queue of this process. It runs only in a worker process of the server."""
    return BatchQueue(
        run_batch_in_worker,
        limit=JOBS_A_BATCH if settings.GROUP_BOOKING else 1,
        length=settings.QUEUE_LENGTH,
        seconds=settings.QUEUE_SECONDS,
        threads=settings.BATCH_THREADS,
    )


def run_batch_in_worker(batch: Batch) -> None:
    # Since the thread's last batch the connection may have been closed or become too old.
    connection.close_if_unusable_or_obsolete()
    run_batch(batch)


def run_batch(batch: Batch) -> None:
    """Sets each job's result. Raises `Contended` if the batch has several events and one of them is locked.

    The whole batch is one transaction. If logins have ended, it runs again without their jobs. After any other failure
    the jobs are tried one by one, since a single job may have caused it.
    """
    parts = deque([batch])
    failures = 0
    while parts:
        part = parts.popleft()
        try:
            results = Attempt(part).run()
        except EndedLogins as ended:
            parts.extendleft(without(part, ended.jobs))
        except Refusal as refusal:
            if isinstance(refusal, Busy) and len(part.event_ids()) > 1:
                raise Contended from refusal
            # If the database is at fault, every other job would fail in the same way, and take as long to find out.
            is_hopeless = isinstance(refusal, Busy | Unavailable)
            refuse_all([part, *parts] if is_hopeless else [part], type(refusal), refusal.__cause__)
            if is_hopeless:
                return
        except Exception as error:
            parts.extendleft(parts_to_retry(part, error))
            failures += part.jobs[0].result is error and is_database_trouble(error)
            if failures == 2:
                refuse_all(parts, Unavailable, error)
                return
        else:
            for job in part.jobs:
                job.result = results[job]


def without(part: Batch, ended: Collection[TicketJob]) -> list[Batch]:
    """Refuses the jobs whose logins have ended, and returns the batch of those that remain."""
    logins.check_first()
    for job in ended:
        job.result = refusal_of_ended(job)
    rest = [job for job in part.jobs if job not in ended]
    return [Batch(rest)] if rest else []


def parts_to_retry(part: Batch, error: Exception) -> list[Batch]:
    """The batches to try again after a rollback, in reverse order. Of several jobs each is tried alone; a single job is
    tried once more with new values.

    A job that has nothing left to try gets the error as its result.
    """
    if len(part.jobs) > 1:
        if not isinstance(error, IntegrityError):
            log.warning("A batch of %s jobs is carried out job by job.", len(part.jobs), exc_info=error)
        return [Batch([job]) for job in reversed(part.jobs)]
    [job] = part.jobs
    if isinstance(error, IntegrityError) and not job.has_new_values:
        # There are two causes. Another node has committed the key meanwhile, or the reference is taken (one in 10^14):
        # then the second attempt finds the key, or has another reference. Or the account was deleted, and the foreign
        # key to it refused the writes: then the second attempt looks at the login before it writes, and finds that it
        # has ended.
        job.has_new_values = True
        job.draw_anew()
        if job.session_id is not None:
            logins.check_first()
        return [part]
    job.result = error
    return []


def is_database_trouble(error: Exception) -> bool:
    """Whether the database itself fails, for example on a full disk. A value that it refuses concerns one job only."""
    return isinstance(error, OperationalError | InternalError) and not is_value_refused(error)


def refuse_all(parts: Sequence[Batch], refusal: type[Refusal], cause: BaseException | None = None) -> None:
    for job in [job for part in parts for job in part.jobs]:
        # Each job gets an exception of its own, since several threads raise them.
        job.result = refusal()
        job.result.__cause__ = cause


class Attempt:
    """One attempt at a batch. Its transaction may be run again from the beginning."""

    def __init__(self, batch: Batch):
        self.batch = batch
        # Everything is done except the COMMIT.
        self.is_committing = False
        # These are the keys of jobs that were added while the events were locked. Nobody else can book for these events
        # now. So these keys count as reserved, also when the transaction is run again.
        self.late: set[str] = set()

    def run(self) -> dict[TicketJob, Any]:
        # A batch of several events gets one attempt, so that the others do not wait for the event that is locked.
        attempts = {"attempts": 1} if len(self.batch.event_ids()) > 1 else {}
        try:
            with lock_keys({job.digest for job in self.batch.jobs if job.digest}) as free:
                return in_one_transaction(self.transact, **attempts)(free)
        except Exception:
            raise
        except BaseException:
            # The thread was interrupted. A transaction that is still open would keep its locks.
            connection.close()
            if self.is_committing:
                refuse_all([self.batch], OutcomeUnknown)
            raise

    def transact(self, free: Collection[str]) -> dict[TicketJob, Any]:
        self.is_committing = False
        results: dict[TicketJob, Any] = {}
        # This comes before any lock, so that a repeated request waits for nobody.
        jobs = without_results(self.batch.jobs, results, {*free, *self.late})
        if jobs:
            events = lock_events(self.batch.event_ids())
            if late := self.batch.take_late_jobs():
                self.late.update(job.digest for job in late if job.digest)
                jobs += without_results(late, results, self.late)
            move_tickets(jobs, events, results)
            replay_keys_of_refused(jobs, results)
        self.is_committing = True
        return results


def without_results(jobs: Sequence[TicketJob], results: dict[TicketJob, Any], free: Collection[str]) -> list[TicketJob]:
    """Gives results to the jobs whose logins have ended or whose keys are known. Returns the others."""
    if logins.are_first():
        refuse_ended_logins(jobs, results)
    replay_known_keys(jobs, results, free)
    return [job for job in jobs if job not in results]


class EndedLogins(Exception):
    """Some of a batch's logins have ended. The transaction is rolled back, and the other jobs are carried out again."""

    def __init__(self, jobs: Collection[TicketJob]):
        self.jobs = jobs


class LoginOrder:
    """Decides when logins are looked up: before the events are locked, or with the writes, which saves a round trip.

    If the look-up with the writes finds an ended login, the whole batch must run again. So for a short time afterwards,
    logins are looked up first.
    """

    first_until = float("-inf")

    def check_first(self) -> None:
        self.first_until = time.monotonic() + LOGINS_FIRST_SECONDS

    def are_first(self) -> bool:
        return time.monotonic() < self.first_until


logins = LoginOrder()


def logins_queries(jobs: Sequence[TicketJob]) -> dict[str, sql.Statement]:
    """The queries for the jobs' logins and for their API keys. A query that no job needs is left out."""
    session_ids = {job.session_id for job in jobs if job.session_id is not None}
    key_ids = {job.api_key_id for job in jobs if job.api_key_id is not None}
    queries, now = {}, timezone.now()
    if session_ids:
        queries["logins"] = holders_query(session_ids, now=now)
    if key_ids:
        queries["keys"] = valid_keys_query(key_ids, now=now)
    return queries


def ended_logins(jobs: Sequence[TicketJob], rows: Mapping[str, Sequence[tuple]]) -> set[TicketJob]:
    """The jobs whose logins or API keys have ended, according to the rows that `logins_queries` found."""
    holders = valid_holders(rows.get("logins", ()))
    ended = {job for job in jobs if job.session_id is not None and holders.get(job.session_id) != job.user_id}
    if "keys" in rows:
        valid = ids_in(rows["keys"])
        ended |= {job for job in jobs if job.api_key_id is not None and job.api_key_id not in valid}
    return ended


def refusal_of_ended(job: TicketJob) -> Refusal:
    return SessionEnded() if job.api_key_id is None else ApiKeyRefused()


def refuse_ended_logins(jobs: Sequence[TicketJob], results: dict[TicketJob, Any]) -> None:
    if queries := logins_queries(jobs):
        rows = dict(zip(queries, sql.run_all(list(queries.values())), strict=True))
        results |= {job: refusal_of_ended(job) for job in ended_logins(jobs, rows)}


def replay_known_keys(jobs: Sequence[TicketJob], results: dict[TicketJob, Any], free: Collection[str]) -> None:
    keyed = [job for job in jobs if job.digest and job not in results]
    if not keyed:
        return
    known = sql.read_keys([job.digest for job in keyed])
    answered = [job for job in keyed if job.digest in known or job.digest not in free]
    # Only the logged-in user may get the answer to a key, so these logins are checked now. Those of the other jobs are
    # looked up with the writes.
    if answered:
        refuse_ended_logins(answered, results)
    for job in answered:
        if job not in results:
            results[job] = replayed(job, known[job.digest]) if job.digest in known else KeyInFlight()


def replay_keys_of_refused(jobs: Sequence[TicketJob], results: dict[TicketJob, Any]) -> None:
    """Finds the keys of refused jobs that are known by now, and gives these jobs the first answers to their keys.

    Another node of a cluster may have carried out the same request while this one waited for its event's lock. The
    second request may then be refused because of the first, for example if the first took the last ticket.
    """
    refused = {job.digest: job for job in jobs if job.digest and isinstance(results[job], Refusal)}
    if refused:
        for digest, known in sql.read_keys(list(refused)).items():
            results[refused[digest]] = replayed(refused[digest], known)


def replayed(job: TicketJob, known: sql.KnownKey) -> Any:
    try:
        refuse_other_request(known, job.fingerprint)
        return job.replay(known)
    except Refusal as refusal:
        return refusal


def move_tickets(jobs: Sequence[TicketJob], events: Mapping[int, LockedEvent], results: dict[TicketJob, Any]) -> None:
    """Gives each job its result: the rules decide, then all is written. Raises `EndedLogins`."""
    jobs_by_event: dict[int, list[TicketJob]] = {}
    for job in jobs:
        if job.event_id in events:
            jobs_by_event.setdefault(job.event_id, []).append(job)
        else:
            results[job] = EventNotFound()
    works = [EventWork(events[pk], [job.command() for job in some]) for pk, some in jobs_by_event.items()]
    plan = plan_writes(works, now=timezone.now())
    decided = [
        (job, outcome)
        for work, some in zip(works, jobs_by_event.values(), strict=True)
        for job, outcome in zip(some, work.outcomes, strict=True)
    ]
    plan.keys = [job.key(outcome) for job, outcome in decided if job.digest and not outcome.error]
    if ended := ended_logins(jobs, write(plan, queries=logins_queries(jobs))):
        raise EndedLogins(ended)
    for job, outcome in decided:
        results[job] = outcome.error or job.answer(outcome)
        if job.mails and outcome.entries:
            first, last = outcome.entries[0].sequence, outcome.entries[-1].sequence
            MailChoice.keep(job.event_id, job.mails, first=first, last=last)
