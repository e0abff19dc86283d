"""A process's queue of jobs, which a few worker threads carry out in batches.

Knows threads, and nothing of tickets or databases: what carries out a batch is passed in.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from ticks.db.transactions import Busy, OutcomeUnknown

log = logging.getLogger("ticks.batches")
# One worker takes all that waits, which makes batches large. The next one begins only when all others have been at
# their batches for this long, because somebody else holds the lock of an event.
SLOW_SECONDS = 0.1
WORKERS = 3
# Carrying out a batch ends sooner than this, whatever the database does (ticks.db.transactions).
BATCH_SECONDS = 15


class Contended(Exception):
    """A batch of several events met a lock that somebody holds. Nothing was done; each event is to be tried alone."""


class Job:
    """What somebody wants of one event's tickets.

    `result` is a value or an exception. It starts as `Busy`, nothing changed: whatever becomes of the batch, nobody
    is told of what was not committed. `future` has it once it is final.
    """

    # Of the idempotency key. Two jobs with the same one are never in one batch: the second has to find what the first
    # has committed.
    digest: str | None = None

    def __init__(self, event_id: int):
        self.event_id = event_id
        self.result: Any = Busy()
        self.arrived = time.monotonic()
        self.future: Future = Future()

    def finish(self) -> None:
        """Tells whoever waits. Nobody does if the future was cancelled."""
        with suppress(InvalidStateError):
            if isinstance(self.result, BaseException):
                self.future.set_exception(self.result)
            else:
                self.future.set_result(self.result)


class Batch:
    """Jobs that are carried out together. Once their events are locked, `take_late_jobs` adds those that came since."""

    def __init__(self, jobs: Sequence[Job] = (), queue: "BatchQueue | None" = None):
        self.jobs = list(jobs)
        self.queue = queue
        self.digests: set[str] = set()

    def take(self, waiting: deque[Job], *, limit: int) -> list[Job]:
        """Takes from an event's waiting jobs, first come first served, up to the limit or the first known key."""
        taken = []
        while waiting and len(self.jobs) < limit and waiting[0].digest not in self.digests:
            job = waiting.popleft()
            if job.digest:
                self.digests.add(job.digest)
            self.jobs.append(job)
            taken.append(job)
        return taken

    def take_late_jobs(self) -> list[Job]:
        return self.queue.take_late_jobs(self) if self.queue else []

    def event_ids(self) -> list[int]:
        return sorted({job.event_id for job in self.jobs})


class BatchQueue:
    """Carries out jobs in batches: those of an event in the order of arrival, one batch of an event at a time.

    `run_batch(batch)` sets each job's result and returns when what they say is committed. It may raise `Contended`
    having done nothing. A batch has at most `limit` jobs. At most `length` jobs wait, half of them for one event, none
    longer than `seconds`: beyond that they get `Busy`.
    """

    def __init__(self, run_batch: Callable[[Batch], None], *, limit: int, length: int, seconds: float):
        self.run_batch, self.limit, self.length, self.seconds = run_batch, limit, length, seconds
        self.changed = threading.Condition()
        self.waiting = 0
        self.jobs_by_event: dict[int, deque[Job]] = {}
        # Events with waiting jobs and without a batch, the one that has waited longest first.
        self.ready: deque[int] = deque()
        self.busy_events: set[int] = set()
        # Events whose lock somebody held; each has batches of its own until one of them is quick.
        self.contended_events: set[int] = set()
        # Workers at a batch, and since when.
        self.busy_since: dict[threading.Thread, float] = {}
        # A worker was woken and has not looked yet: there is no need to wake another.
        self.is_woken = False
        self.is_running = False
        self.workers: list[threading.Thread] = []

    def start(self) -> None:
        self.is_running = True
        self.workers = [threading.Thread(target=self.work, name="batches", daemon=True) for _ in range(WORKERS)]
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Lets the workers end once nothing waits, and waits for that. Nothing may be submitted any more."""
        with self.changed:
            self.is_running = False
            self.changed.notify_all()
        for worker in self.workers:
            worker.join()

    def run(self, job: Job) -> Any:
        """The job's result, waited for. Raises it where it is an exception, and `OutcomeUnknown` where none comes."""
        self.submit(job)
        try:
            return job.future.result(self.seconds + BATCH_SECONDS)
        except TimeoutError:
            # A batch that is put back leaves out the jobs that nobody waits for.
            job.future.cancel()
            raise OutcomeUnknown from None

    def submit(self, job: Job) -> None:
        """Queues a job; its future is done in time. Raises `Busy` where too many wait."""
        with self.changed:
            jobs = self.jobs_by_event.get(job.event_id)
            # One event, whose lock somebody may hold, must leave room for the others.
            if self.waiting >= self.length or (jobs and len(jobs) >= max(1, self.length // 2)):
                raise Busy
            self.waiting += 1
            if jobs is None:
                jobs = self.jobs_by_event[job.event_id] = deque()
                if job.event_id not in self.busy_events:
                    self.ready.append(job.event_id)
            jobs.append(job)
            self.wake_worker()

    def refuse_late(self) -> None:
        """Ends the jobs that have waited too long. The server calls it every few hundredths of a second."""
        late: list[Job] = []
        now = time.monotonic()
        with self.changed:
            for event_id, jobs in list(self.jobs_by_event.items()):
                while jobs and now - jobs[0].arrived > self.seconds:
                    late.append(jobs.popleft())
                self.forget_if_empty(event_id)
            self.waiting -= len(late)
        for job in late:
            job.finish()

    def work(self) -> None:
        while batch := self.next_batch():
            try:
                self.run_batch(batch)
            except Contended:
                self.put_back(batch)
                continue
            except BaseException:
                # Every job has a result, `Busy` at least.
                log.exception("A batch failed.")
            self.finish(batch)

    def next_batch(self) -> Batch | None:
        """Waits for it; None once the queue was stopped and is empty."""
        with self.changed:
            while self.is_running or self.waiting:
                self.is_woken = False
                batch = self.take()
                if batch.jobs:
                    self.busy_since[threading.current_thread()] = time.monotonic()
                    return batch
                self.changed.wait(SLOW_SECONDS)
        return None

    def may_begin(self) -> bool:
        slow_since = time.monotonic() - SLOW_SECONDS
        return bool(self.ready) and all(began < slow_since for began in self.busy_since.values())

    def wake_worker(self) -> None:
        if not self.is_woken and self.may_begin():
            self.is_woken = True
            self.changed.notify()

    def take(self) -> Batch:
        batch = Batch(queue=self)
        if not self.may_begin():
            return batch
        for _ in range(len(self.ready)):
            event_id = self.ready[0]
            if len(batch.jobs) >= self.limit or (batch.jobs and event_id in self.contended_events):
                break
            self.ready.popleft()
            if not batch.take(self.jobs_by_event[event_id], limit=self.limit):
                # The key of its first job is in the batch already.
                self.ready.append(event_id)
                continue
            self.busy_events.add(event_id)
            if event_id in self.contended_events:
                break
        self.waiting -= len(batch.jobs)
        return batch

    def take_late_jobs(self, batch: Batch) -> list[Job]:
        """For a batch whose events are locked: who came while another process had the lock need not wait again."""
        late = []
        with self.changed:
            for event_id in batch.event_ids():
                late += batch.take(self.jobs_by_event.get(event_id, deque()), limit=self.limit)
            self.waiting -= len(late)
        return late

    def put_back(self, batch: Batch) -> None:
        jobs = [job for job in batch.jobs if not job.future.cancelled()]
        with self.changed:
            for job in reversed(jobs):
                self.jobs_by_event.setdefault(job.event_id, deque()).appendleft(job)
            self.waiting += len(jobs)
            self.contended_events.update(batch.event_ids())
            self.release(batch)

    def finish(self, batch: Batch) -> None:
        with self.changed:
            if time.monotonic() - self.busy_since[threading.current_thread()] < SLOW_SECONDS:
                self.contended_events.difference_update(batch.event_ids())
            self.release(batch)
        for job in batch.jobs:
            try:
                job.finish()
            except Exception:
                # The others of the batch are to be told all the same, and the worker goes on.
                log.exception("The result of a job could not be told.")

    def release(self, batch: Batch) -> None:
        del self.busy_since[threading.current_thread()]
        for event_id in batch.event_ids():
            self.busy_events.discard(event_id)
            if self.jobs_by_event.get(event_id):
                self.ready.append(event_id)
            self.forget_if_empty(event_id)
        self.wake_worker()

    def forget_if_empty(self, event_id: int) -> None:
        if not self.jobs_by_event.get(event_id, True):
            del self.jobs_by_event[event_id]
            if event_id in self.ready:
                self.ready.remove(event_id)
