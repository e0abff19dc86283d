"""A process's queue of jobs, which a few worker threads carry out in batches.

It knows threads, but no tickets and no databases: the caller passes in the function that carries out a batch."""

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
# One worker takes all waiting jobs, which makes batches large. The next worker begins only when every other one has
# been busy with its batch for this long, because another transaction holds the lock of an event.
SLOW_SECONDS = 0.1
# A batch always ends sooner than this, whatever the database does (ticks.db.transactions).
BATCH_SECONDS = 15


class Contended(Exception):
    """A batch of several events met another transaction's lock. Nothing was done; each event must be tried alone."""


class Job:
    """One operation on one event's tickets.

    `result` is a value or an exception. It starts as `Busy`, which means that nothing was changed. So nobody gets a
    success that was not committed, even if the batch fails. `finish` is called once the result is final.
    """

    # This is the digest of the idempotency key. Two jobs with the same key are never in one batch: the second must find
    # what the first has committed.
    digest: str | None = None
    # `BatchQueue.run` waits for it, and cancels it when it waits no longer.
    future: Future | None = None

    def __init__(self, event_id: int):
        self.event_id = event_id
        self.result: Any = Busy()
        self.arrived = time.monotonic()

    def finish(self) -> None:
        """Gives the result to the thread that waits for it, if one still does."""
        if self.future is None:
            return
        with suppress(InvalidStateError):
            if isinstance(self.result, BaseException):
                self.future.set_exception(self.result)
            else:
                self.future.set_result(self.result)


class Batch:
    """Jobs that are carried out together. Once their events are locked, `take_late_jobs` adds the jobs that have
    arrived since."""

    def __init__(self, jobs: Sequence[Job] = (), queue: "BatchQueue | None" = None):
        self.jobs = list(jobs)
        self.queue = queue
        self.digests: set[str] = set()

    def take(self, waiting: deque[Job], *, limit: int) -> list[Job]:
        """Takes an event's waiting jobs in their order, up to the limit or to a key that the batch has already."""
        taken = []
        while waiting and len(self.jobs) < limit and waiting[0].digest not in self.digests:
            job = waiting.popleft()
            if job.digest:
                self.digests.add(job.digest)
            self.jobs.append(job)
            taken.append(job)
        return taken

    def take_late_jobs(self) -> list[Job]:
        """Adds jobs that arrived while another process had the lock. Their events are locked now, so they need not
        wait again."""
        late: list[Job] = []
        if self.queue:
            with self.queue.changed:
                for event_id in self.event_ids():
                    late += self.take(self.queue.jobs_by_event.get(event_id, deque()), limit=self.queue.limit)
                self.queue.waiting -= len(late)
        return late

    def event_ids(self) -> list[int]:
        return sorted({job.event_id for job in self.jobs})


class BatchQueue:
    """Carries out jobs in batches. The jobs of one event run in the order of arrival, in one batch at a time.

    `run_batch(batch)` sets each job's result and returns when the results are committed. It may raise `Contended` if it
    has done nothing. A batch has at most `limit` jobs. At most `length` jobs wait, at most half of them for one event,
    and none longer than `seconds`. Beyond these limits a job gets `Busy`.
    """

    def __init__(self, run_batch: Callable[[Batch], None], *, limit: int, length: int, seconds: float, threads: int):
        self.run_batch, self.limit, self.length, self.seconds = run_batch, limit, length, seconds
        self.threads = threads
        self.changed = threading.Condition()
        self.waiting = 0
        self.jobs_by_event: dict[int, deque[Job]] = {}
        # These events have waiting jobs and no batch at work. The event that has waited longest is first.
        self.ready: deque[int] = deque()
        self.busy_events: set[int] = set()
        # Another transaction held the lock of these events. Each of them gets batches of its own until one of those is
        # quick.
        self.contended_events: set[int] = set()
        # These workers carry out a batch; the value is when they began.
        self.busy_since: dict[threading.Thread, float] = {}
        # A worker was woken and has not looked at the queue yet, so there is no need to wake another.
        self.is_woken = False
        self.is_running = False
        self.workers: list[threading.Thread] = []

    def start(self) -> None:
        self.is_running = True
        self.workers = [threading.Thread(target=self.work, name="batches", daemon=True) for _ in range(self.threads)]
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Lets the workers end once no job waits, and waits until they have ended. No job may be submitted any more."""
        with self.changed:
            self.is_running = False
            self.changed.notify_all()
        for worker in self.workers:
            worker.join()

    def run(self, job: Job) -> Any:
        """Waits for the job's result, and returns it or raises it. Raises `OutcomeUnknown` if none comes."""
        job.future = Future()
        self.submit(job)
        try:
            return job.future.result(self.seconds + BATCH_SECONDS)
        except TimeoutError:
            # A batch that is put back leaves out cancelled jobs, since nobody waits for them.
            job.future.cancel()
            raise OutcomeUnknown from None

    def submit(self, job: Job) -> None:
        """Queues a job, which is finished in time. Raises `Busy` if too many jobs wait."""
        with self.changed:
            jobs = self.jobs_by_event.get(job.event_id)
            # An event whose lock another transaction holds must leave room in the queue for other events.
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
                # Every job still has a result, at least `Busy`.
                log.exception("A batch failed.")
            self.finish(batch)

    def next_batch(self) -> Batch | None:
        """Waits for the next batch and returns it; None once the queue was stopped and is empty."""
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
                # The batch already has a job with the same key as this event's first job.
                self.ready.append(event_id)
                continue
            self.busy_events.add(event_id)
            if event_id in self.contended_events:
                break
        self.waiting -= len(batch.jobs)
        return batch

    def put_back(self, batch: Batch) -> None:
        jobs = [job for job in batch.jobs if not (job.future and job.future.cancelled())]
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
                # The other jobs of the batch must still get their results, and the worker must go on.
                log.exception("A job could not be finished.")

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
