"""A queue, and empty jobs that are carried out when the test lets them."""

import threading
from concurrent.futures import Future

from bookings.services.batch_queue import Batch, BatchQueue, Job

# This allows for a busy machine: the work itself takes milliseconds.
TIMEOUT_SECONDS = 10


THREADS = 3


class Named(Job):
    """An empty job. `results` has each result that the job was finished with."""

    def __init__(self, event_id=1, name="", *, digest=None):
        super().__init__(event_id)
        self.name, self.digest = name, digest
        self.results = []

    def finish(self):
        self.results.append(self.result)
        super().finish()

    def __repr__(self):
        return f"{self.event_id}{self.name}"


class Shop:
    """A running queue. A batch with an event that is shut begins, and waits until the test opens the event."""

    def __init__(self, *, limit=100, length=100, seconds=5):
        self.batches = []
        self.doors = {}
        self.has_begun = threading.Semaphore(0)
        self.before = lambda batch: None
        self.queue = BatchQueue(self.run_batch, limit=limit, length=length, seconds=seconds, threads=THREADS)
        self.queue.start()

    def run_batch(self, batch: Batch):
        self.batches.append(names(batch.jobs))
        self.has_begun.release()
        for event_id in batch.event_ids():
            if event_id in self.doors:
                assert self.doors[event_id].wait(TIMEOUT_SECONDS)
        self.before(batch)
        for job in batch.jobs:
            job.result = f"done {job}"

    def submit(self, *jobs) -> list[Future]:
        for job in jobs:
            job.future = Future()
            self.queue.submit(job)
        return [job.future for job in jobs]

    def submit_while_one_is_busy(self, *jobs) -> list[Future]:
        """Event 1 is shut, and stays so; a job of it is at work."""
        return [self.keep_busy(), *self.submit(*jobs)]

    def keep_busy(self, event_id=1) -> Future:
        self.doors[event_id] = threading.Event()
        self.has_begun = threading.Semaphore(0)
        [future] = self.submit(Named(event_id, "first"))
        assert self.has_begun.acquire(timeout=TIMEOUT_SECONDS)
        return future

    def open(self):
        for door in self.doors.values():
            door.set()

    def is_empty(self):
        queue = self.queue
        with queue.changed:
            return not (queue.waiting or queue.jobs_by_event or queue.ready or queue.busy_events or queue.busy_since)


def names(jobs):
    return [repr(job) for job in jobs]


def results_of(futures):
    """The result of each job, or the class of its error."""
    errors = [future.exception(TIMEOUT_SECONDS) for future in futures]
    return [type(error) if error else future.result() for error, future in zip(errors, futures, strict=True)]
