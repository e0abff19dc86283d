"""The web server: granian's main process around `ticks.server.worker`. `manage.py serve` starts it."""

import multiprocessing
import resource
import signal
import sys
import threading
import time

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from ticks.server.stopping import DRAINING, ENDING, stage

# After SIGTERM, workers continue to serve for this long. Each answer then closes its connection, so clients learn it
# from an answer, and not from a connection that closes while they send.
DRAIN_SECONDS = 0.5
# After that, requests in flight get this long. The sum is less than the ten seconds that service managers wait.
GRACE_SECONDS = 6
# A request's head must arrive in this time. A connection may idle for as long.
HEAD_SECONDS = 10
# A longer head is refused with 431. Text from the head gets into logs, keys of caches and answers.
HEAD_BYTES = 16 * 1024
CONNECTIONS_EACH = 2048
BACKLOG = 1024
# Each of these signals stops the server.
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def run_server(host: str, port: int, workers: int) -> None:
    # This comes before the first thread and the first worker, since they inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    # Each connection takes a file descriptor, and many systems start with no more than 1024 for a process.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS_EACH if hard == resource.RLIM_INFINITY else min(hard, 2 * CONNECTIONS_EACH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    # Workers share the stage of a stop with the main process (`ticks.server.stopping`), so they must be forked.
    multiprocessing.set_start_method("fork")
    # What is loaded before the fork is in memory once. The import loads Django, which takes a second. A signal that
    # comes meanwhile must wait for `stop_on_signal`, so this comes after the signals are blocked.
    from ticks.server.worker import load_application

    load_application()
    server = Granian(
        "ticks.server.worker:make_worker",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        workers=workers,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=HEAD_BYTES),
        websockets=False,
        backlog=BACKLOG,
        backpressure=CONNECTIONS_EACH,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE_SECONDS,
        # The application writes the access log.
        log_level=LogLevels.error,
    )
    threading.Thread(target=stop_on_signal, args=[server], name="signals", daemon=True).start()
    server.serve()


def stop_on_signal(server: Granian) -> None:
    """The main process alone decides when the server stops, however many processes get the signal.

    A service manager sends SIGTERM to all processes of the server, and a terminal SIGINT or SIGHUP. So these signals
    are blocked in all of them. This thread waits for the main process's; a worker's SIGTERM stays pending until the
    stage is ENDING (`Worker.tick`).
    """
    signal.sigwait(STOP_SIGNALS)
    stage[0] = DRAINING
    time.sleep(DRAIN_SECONDS)
    server.signal_handler_interrupt()
    # By then granian expects its workers to end. A worker that ends earlier would count as failed.
    time.sleep(0.2)
    stage[0] = ENDING
    while True:
        # The call is repeated, since granian loses a call that comes while it replaces a worker.
        server.signal_handler_interrupt()
        time.sleep(0.1)


if __name__ == "__main__":
    run_server(sys.argv[1], *map(int, sys.argv[2:4]))
