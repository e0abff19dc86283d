"""A cluster with events for sale, servers on it, and the line that says what came of it."""

import signal
from collections import Counter

import pytest

from bookings.tests.galera.stage import open_stage

# The tests fill in the figures of the line.
COUNTED = pytest.StashKey[Counter]()


def pytest_terminal_summary(terminalreporter, config):
    # `.ci/run` looks for this line.
    if counted := config.stash.get(COUNTED, None):
        kinds = ("acknowledged", "lost", "duplicated", "oversold", "gaps")
        totals = ", ".join(f"{counted[kind]} {kind}" for kind in kinds)
        terminalreporter.write_line(
            f"Galera: {totals}; {counted['silence']:.1f} s without bookings after a kill of the writer"
        )


@pytest.fixture(scope="package")
def stage(tmp_path_factory, request):
    # SIGTERM must not leave a cluster behind. It ends the tests as Ctrl-C does, which waits for the fixtures' ends.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_stage(tmp_path_factory.mktemp("galera")) as stage:
            request.config.stash[COUNTED] = stage.counted
            yield stage
    finally:
        signal.signal(signal.SIGTERM, before)
