"""A worker that stands still ends itself, says where it stood, and is replaced."""

import http.client
import re
import signal
import time

import pytest

from ticks.tests.served import TIMEOUT_SECONDS, await_ready, children_of, request

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.embedded
def test_worker_that_stands_still_is_replaced(start, port):
    process = start(WORKERS="1", DJANGO_SETTINGS_MODULE="ticks.tests.server.hanging_settings")
    [hung] = children_of(process)
    request(port, "GET", "/")
    # The next beat is the first with the shorter time.
    time.sleep(1.5)

    began = time.monotonic()
    with pytest.raises((OSError, http.client.HTTPException)):
        request(port, "GET", "/hang")
    took = time.monotonic() - began
    # The port is closed until the successor of the only worker has opened it.
    await_ready(process, port)
    [successor] = children_of(process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert 4 < took < 15
    assert successor != hung
    assert "Timeout (0:00:06)!" in said
    assert re.search(r'hanging_urls.py", line \d+ in hang\n', said)
    assert said.count("Unexpected exit") == 1
    assert process.returncode == 0


@pytest.mark.embedded
def test_watchdog_leaves_a_worker_alone_that_waits(start, port):
    process = start(WORKERS="1", DJANGO_SETTINGS_MODULE="ticks.tests.server.hanging_settings")
    workers = children_of(process)
    request(port, "GET", "/")

    time.sleep(8)

    assert request(port, "GET", "/healthz")[0] == 200
    assert children_of(process) == workers
