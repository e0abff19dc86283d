"""The web server: granian's processes around `ticks.server.front`. Started by `manage.py serve`."""

import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from functools import partial

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketSpec

from ticks.server.draining import Board, Refusals, Stage, join

# After SIGTERM workers serve on for as long, each answer the last of its connection: clients that keep
# their connections learn it from an answer, and not by a connection that closes as they send.
DRAIN_SECONDS = 1
# Not if nobody is there.
QUIET_SECONDS = 0.2
SETTLE_SECONDS = 0.2
# Then requests in flight get this long to be answered: all in all less than the ten seconds after
# which service managers lose patience.
GRACE_SECONDS = 6
START_SECONDS = 5
# A request's head must arrive in this time, and as long may a connection idle.
HEAD_SECONDS = 10
# No longer head is taken: 431. What callers write there stands in logs, in keys of caches and in answers.
HEAD_BYTES = 16 * 1024
CONNECTIONS_EACH = 2048
BACKLOG = 1024
# A client that has stopped to read its answer is waited for no longer.
UNREAD_SECONDS = 30
# Objects made, and not gone again, until Python looks for cycles among them. With its 700 that is a twentieth of all
# that a worker computes, and finds next to nothing.
GARBAGE_LOOK_EVERY = 20_000
# Each of them ends the server.
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
PR_SET_PDEATHSIG = 1
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1024 * 1024


class Server(Granian):
    """granian with queues of connections that outlive the workers, so that none is broken when one of them ends.

    On Linux each worker has one of its own, and the kernel deals new connections out to them evenly. Taken from one
    queue by whoever is first, those of a crowd would mostly be one worker's, which keeps them, and slow. In return
    who is dealt to one that was killed waits, half a second or so, for its successor.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.board = Board(self.workers)
        # Set when a worker ends by itself at its start: then the server ends too, with exit status 1.
        self.has_unfit_worker = False

    def _init_shared_socket(self):
        # granian's own sockets are made by the workers, and who waits in one is reset when its worker ends. These
        # stay open until everybody in them has an answer.
        is_linux = sys.platform == "linux"
        spec = SocketSpec(self.bind_addr, self.bind_port, self.backlog)
        self.holders = [spec.build() for _ in range(self.workers if is_linux else 1)]
        self.listeners = [socket.socket(fileno=holder.get_fd()) for holder in self.holders]
        for listener in self.listeners:
            listener.listen(self.backlog)
            if is_linux:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)

    def _drop_shared_socket(self):
        """Not before the workers have ended."""

    def _spawn_worker(self, idx, target, callback_loader):
        self.board.wipe(idx)
        place = idx % len(self.listeners)
        self._shd, self._sso = self.holders[place], self.listeners[place]
        return super()._spawn_worker(idx, target, partial(callback_loader, idx, self._sso.fileno()))

    def _respawn_workers(self, workers, *args, **options):
        # granian ends the server when a worker dies twice within seconds. One that was killed is replaced,
        # however often; one that ends by itself at its start would do so again.
        now = time.monotonic()
        unfit = [
            idx for idx in workers if ended_by_itself(self.wrks[idx]) and now - self.wrks[idx].birth < START_SECONDS
        ]
        if unfit:
            self.has_unfit_worker = True
            self.interrupt_children.extend(unfit)
            self.signal_handler_interrupt()
            return
        super()._respawn_workers(workers, *args, **options)
        self.respawned_wrks.clear()

    def _stop_workers(self):
        self._drain()
        self.board.stage = Stage.CLOSING
        refusals = [Refusals(listener) for listener in self.listeners]
        for queue in refusals:
            queue.start()
        # Who has just connected to a worker has asked by then, and is answered.
        time.sleep(SETTLE_SECONDS)
        self.board.stage = Stage.ENDING
        self._end_workers()
        super()._stop_workers()
        for queue in refusals:
            queue.finish()
        for queue in refusals:
            queue.join()
        if not self.has_unfit_worker:
            # granian makes exit status 1 of a worker that was killed right before the stop, and not replaced any more.
            self.interrupt_children.clear()

    def _drain(self):
        self.board.stage = Stage.DRAINING
        began = busy = time.monotonic()
        while time.monotonic() < min(began + DRAIN_SECONDS, busy + QUIET_SECONDS):
            time.sleep(0.01)
            if any(self.board.in_flight(idx) for idx in range(self.workers)):
                busy = time.monotonic()

    def _end_workers(self):
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            alive = [worker for worker in self.wrks if worker.is_alive()]
            if not alive:
                break
            # A worker takes SIGTERM once it has seen that the server is in stage ENDING.
            for worker in alive:
                worker.terminate()
            idle = [worker for worker in alive if not self.board.in_flight(worker.idx)]
            until = time.monotonic() + 1
            for worker in alive:
                worker.join(max(0, until - time.monotonic()))
            for worker in idle:
                # It waits for a first request over connections that are silent, as browsers like to keep some.
                if worker.is_alive() and not self.board.in_flight(worker.idx):
                    worker.kill()


def ended_by_itself(worker) -> bool:
    return worker.inner.exitcode is not None and worker.inner.exitcode >= 0


def serve(host: str, port: int, workers: int, threads: int) -> None:
    # Before the first thread and the first worker, which inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    allow_many_connections()
    # Workers share the board and the socket as they are.
    multiprocessing.set_start_method("fork")
    server = Server(
        "ticks.server.front",
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
        respawn_interval=0,
        workers_kill_timeout=1,
        # The application writes the access log.
        log_level=LogLevels.error,
    )
    stop_on_signal(server)
    server.serve(target_loader=partial(load_in_worker, os.getpid(), threads, server), wrap_loader=False)


def load_in_worker(main_process: int, threads: int, server: Server, worker: int, listener: int):
    """The application, in a worker that ends when the main process does, however that ends."""
    if sys.platform == "linux":
        # Not SIGTERM, which waits for the main process's word: a worker that is left would share the port with the
        # next server.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != main_process:
        sys.exit("The main process has ended.")
    join(server.board)
    give_large_memory_back()
    # Sets Django up, which the front's modules count on.
    import ticks.server.app  # noqa: F401
    from ticks.server.front import Front

    front = Front(threads=threads, board=server.board, worker=worker, listener=listener)
    # What is loaded by now stays. Else Python looks through all of it again and again for what it may throw away,
    # for 40 ms each time, in which nobody is answered.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOK_EVERY)
    return front


def give_large_memory_back() -> None:
    """What one password's hash took, 19 MiB, goes back to the system.

    glibc would learn from the first of them to keep such blocks, for each thread its own: 400 MB after 39 logins.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def allow_many_connections() -> None:
    """Each takes a file descriptor, and many systems start with no more than 1024 for a process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS_EACH if hard == resource.RLIM_INFINITY else min(hard, 2 * CONNECTIONS_EACH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stop_on_signal(server: Server) -> None:
    """The main process alone decides when the server stops, however many processes get the signal.

    A service manager sends SIGTERM to all processes of the server, and a terminal SIGINT or SIGHUP. So these signals
    are blocked in all of them. A thread waits for the main process's; a worker's SIGTERM stays pending until the main
    process has reached the stage in which workers end (`Front.look_out`).
    """

    def wait_and_stop():
        signal.sigwait(STOP_SIGNALS)
        while True:
            # Repeated, since granian forgets a call that comes in the moment in which it replaces a worker.
            server.signal_handler_interrupt()
            time.sleep(0.1)

    threading.Thread(target=wait_and_stop, daemon=True).start()


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:5]))
