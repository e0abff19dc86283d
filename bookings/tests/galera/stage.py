"""A Galera cluster with events for sale, servers on it, and what clients were answered, compared with each node."""

import http.client
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import MySQLdb

from bookings.tests.galera.crowd import Crowd
from tools.chaos.clients import Journal, open_sale
from tools.chaos.verification import verify
from tools.private_galera import SYNC_WAIT, Node, private_galera
from tools.service import HIGH_LIMITS, Service, ServiceFailed, free_ports

READY_SECONDS = 60
# There are 21 events in all.
EVENTS_OF_A_KIND = 3
SELL_OUT_AFTER = 3000
SESSIONS = "SELECT id FROM information_schema.processlist WHERE db = 'ticks' AND host LIKE '127.0.0.1:%'"


class Stage:
    def __init__(self, nodes: list[Node], directory: Path):
        self.nodes, self.directory = nodes, directory
        self.secrets = {name: secrets.token_hex(32) for name in ("SECRET_KEY", "JWT_SECRET")}
        # This server is never started. It is for management commands on the node to which nobody writes.
        self.commands = self.service(nodes[-1].url)
        self.sale = open_sale(self.commands, bookings=SELL_OUT_AFTER, copies=EVENTS_OF_A_KIND)
        # This is the journal of all crowds.
        self.journal: Journal = []
        self.counted = Counter()

    def service(self, database_url: str, *, port: int = 1, workers: int = 1) -> Service:
        settings = {**HIGH_LIMITS, **self.secrets, "WORKERS": str(workers)}
        return Service(database_url=database_url, port=port, directory=self.directory, settings=settings)

    @contextmanager
    def server(self, database_url: str, *, workers: int = 1) -> Iterator[int]:
        """Runs a server on this database, and yields its port once it is ready."""
        [port] = free_ports(1)
        service = self.service(database_url, port=port, workers=workers)
        service.start()
        try:
            self.await_readiness(port, 200)
            yield port
        finally:
            service.stop()

    def await_readiness(self, port: int, status: int) -> None:
        """Waits until `/readyz` has this status."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):
                if readiness(port) == status:
                    return
            time.sleep(0.1)
        log = (self.directory / f"server-{port}.log").read_text(errors="replace")
        raise AssertionError(f"/readyz was not {status} within {READY_SECONDS} s:\n{log[-2000:]}")

    def crowd(self, ports: list[int], *, numbers: range, twins: int = 0) -> Crowd:
        return Crowd(self.sale, self.journal, ports=ports, numbers=numbers, twins=twins)

    def nodes_in_use(self) -> list[int]:
        """The numbers, from 1, of the nodes that somebody is connected to over TCP."""
        in_use = []
        for number, node in enumerate(self.nodes, start=1):
            # A node may be dead.
            with suppress(MySQLdb.Error):
                in_use += [number] if node.ask(SESSIONS) else []
        return in_use

    def findings(self, crowd: Crowd) -> list[str]:
        """The contradictions between the answers to all crowds so far and the rows of each node."""
        verdicts = [verify(self.journal, partial(node.ask, init_command=SYNC_WAIT)) for node in self.nodes]
        found = [finding for verdict in verdicts for finding in verdict.findings]
        self.counted["acknowledged"] += crowd.board.acknowledged
        # Where the nodes differ, the worst counts.
        self.counted["lost"] = max(verdict.lost.total() for verdict in verdicts)
        self.counted["duplicated"] = max(verdict.duplicated.total() for verdict in verdicts)
        self.counted["oversold"] = max(verdict.oversold for verdict in verdicts)
        self.counted["gaps"] = sum(finding.startswith("gap in the ledger") for finding in found)
        try:
            self.commands.manage("verify_inventory")
        except ServiceFailed as failure:
            found.append(str(failure))
        return [*crowd.board.findings, *found]


@contextmanager
def open_stage(directory: Path) -> Iterator[Stage]:
    with private_galera() as nodes:
        stage = Stage(nodes, directory)
        try:
            yield stage
        finally:
            stage.commands.stop()


def readiness(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    finally:
        connection.close()
