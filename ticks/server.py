"""The web server: granian's processes and threads around `ticks.wsgi`. Started by `manage.py serve`."""

import ctypes
import os
import signal
import sys
import threading
import time
from functools import partial

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

# Requests in flight get this long to be answered after SIGTERM: less than the ten seconds after
# which service managers lose patience.
GRACE_SECONDS = 8
TARGET = "ticks.wsgi:application"
PR_SET_PDEATHSIG = 1


class Server(Granian):
    """granian, ending its workers whatever they are doing."""

    def _stop_workers(self):
        # A worker can miss a SIGTERM, right after its fork and in the moment in which it starts to serve,
        # so one is not enough. A second one hurts nobody who heard the first.
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            alive = [worker for worker in self.wrks if worker.is_alive()]
            if not alive:
                break
            for worker in alive:
                worker.terminate()
            for worker in alive:
                worker.join(1)
        super()._stop_workers()


def serve(host: str, port: int, workers: int, threads: int) -> None:
    keep_interrupts_from_workers()
    Server(
        TARGET,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=1,
        # The application writes the access log; as warnings granian would say that WORKERS are many.
        log_level=LogLevels.error,
    ).serve(target_loader=partial(load_in_worker, os.getpid()), wrap_loader=False)


def load_in_worker(main_process: int):
    """The application, in a worker that ends when the main process does, however that ends."""
    # Forked with the main process's handler, which means nothing here: until granian sets its own,
    # a worker has no request to finish and may just end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        # Not SIGTERM, which a worker misses in the moment in which it starts to serve: one that is left
        # would share the port with the next server.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != main_process:
        sys.exit("The main process has ended.")
    from ticks.wsgi import application

    return application


def keep_interrupts_from_workers() -> None:
    """Ctrl-C ends the server as SIGTERM does.

    A terminal sends SIGINT to the workers too, and the main process SIGTERM right after it: the
    second signal finds a worker in the handler of the first, where it can deadlock. Workers inherit
    the blocked signal; the thread takes it for the main process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def pass_on():
        signal.sigwait({signal.SIGINT})
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=pass_on, daemon=True).start()


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:5]))
