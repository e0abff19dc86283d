"""Many threads use the queue at once, with batches of every outcome."""

import random
import sys
import threading
import time

import pytest

from bookings.services import batch_queue
from bookings.services.batch_queue import BatchQueue, Contended
from bookings.tests.queues import THREADS, TIMEOUT_SECONDS, Named
from ticks.db.transactions import Busy
from ticks.tests.served import wait_until


class Watched(BatchQueue):
    """Remembers which jobs it admitted, in what order."""

    def __init__(self, *args, **bounds):
        super().__init__(*args, **bounds)
        self.admitted = []

    def submit(self, job):
        with self.changed:
            super().submit(job)
            self.admitted.append(job)


class Crowd:
    """Threads that wait for their jobs or leave them; batches are quick, slow, contended, or fail, as the dice say."""

    THREADS = 12
    JOBS = 60

    def __init__(self, seed):
        self.dice = random.Random(seed)  # noqa: S311 (the same dice each run)
        self.queue = Watched(self.run_batch, limit=8, length=10, seconds=0.1, threads=THREADS)
        self.done, self.results, self.left = [], {}, []
        self.is_over = False

    def run_batch(self, batch):
        events = batch.event_ids()
        time.sleep(self.dice.choice([0, 0, 0.001, 0.01]))
        if self.dice.random() < 0.5:
            batch.take_late_jobs()
        if len(events) > 1 and self.dice.random() < 0.3:
            raise Contended
        if self.dice.random() < 0.02:
            raise ValueError
        for job in batch.jobs:
            self.done.append(job)
            job.result = f"done {job}"

    def look(self):
        while not self.is_over:
            self.queue.refuse_late()
            time.sleep(0.002)

    def come(self, number):
        dice = random.Random(number)  # noqa: S311 (the same dice each run)
        for name in range(self.JOBS):
            job = Named(dice.randrange(3), f".{number}.{name}", digest=dice.choice([None, "x", "y"]))
            try:
                if number % 2:
                    self.queue.submit(job)
                    self.left.append(job)
                    time.sleep(0.002)
                else:
                    self.results[job] = self.queue.run(job)
            except Busy as error:
                self.results[job] = error

    def run(self):
        self.queue.start()
        looking = threading.Thread(target=self.look)
        guests = [threading.Thread(target=self.come, args=[number]) for number in range(self.THREADS)]
        for thread in [looking, *guests]:
            thread.start()
        for thread in guests:
            thread.join(TIMEOUT_SECONDS)
        wait_until(lambda: all(job.results for job in self.left))
        self.queue.stop()
        self.is_over = True
        looking.join(TIMEOUT_SECONDS)


@pytest.mark.parametrize("seed", range(3))
def test_crowd_is_told_once_each_what_became_of_it(seed, monkeypatch):
    monkeypatch.setattr(batch_queue, "SLOW_SECONDS", 0.003)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    crowd = Crowd(seed)
    try:
        crowd.run()
    finally:
        sys.setswitchinterval(interval)

    assert {len(job.results) for job in crowd.left} == {1}
    results = {**crowd.results, **{job: job.results[0] for job in crowd.left}}
    assert len(results) == crowd.THREADS * crowd.JOBS
    # If a caller was told that a job is done, that is right, and the job was done once.
    assert len(crowd.done) == len(set(crowd.done))
    assert {job for job, said in results.items() if said == f"done {job}"} == set(crowd.done)
    for event_id in range(3):
        admitted = [job for job in crowd.queue.admitted if job.event_id == event_id]
        done = [job for job in crowd.done if job.event_id == event_id]
        assert done == [job for job in admitted if job in set(done)]
    queue = crowd.queue
    assert (queue.waiting, queue.jobs_by_event, list(queue.ready)) == (0, {}, [])
    assert (queue.busy_events, queue.busy_since) == (set(), {})
