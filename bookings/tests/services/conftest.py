import pytest
from django.db import connection

from bookings.services import batches
from bookings.services.batch_queue import BatchQueue


@pytest.fixture
def queue(monkeypatch, settings):
    """The process's queue, new and running."""
    settings.GROUP_BOOKING = True
    queue = BatchQueue(run_and_close, limit=batches.JOBS_A_BATCH, length=1000, seconds=2, threads=3)
    monkeypatch.setattr(batches, "queue", lambda: queue)
    queue.start()
    yield queue
    queue.stop()


def run_and_close(batch):
    try:
        batches.run_batch(batch)
    finally:
        # The worker's connection would outlive the test.
        connection.close()
