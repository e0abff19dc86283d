"""A Galera cluster of three MariaDB nodes on loopback, and HAProxy before it, without leaving anything behind."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MySQLdb

from tools.private_mariadb import STOP_SECONDS, MariaDB, MariaDBFailed, end_process, install, program, server_options
from tools.service import ROOT, free_ports

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
# Where `tools/setup.sh --galera` puts the scripts of the package mariadb-server that copy a node's data.
SCRIPTS = ROOT / ".venv/galera"
DEPLOYED = ROOT / "deploy/galera"
NODES = 3
# With this setting a session reads only after it has everything that was committed on other nodes.
SYNC_WAIT = "SET SESSION wsrep_sync_wait=1"
SYNCED_SECONDS = 60
POLL_SECONDS = 0.1
# docs/operating.md advises this: a dead node is given up after a second. The default is about six.
FAST_FAILOVER = (
    "evs.keepalive_period=PT0.3S; evs.suspect_timeout=PT1S; evs.inactive_timeout=PT3S; evs.install_timeout=PT3S"
)


@dataclass
class Node(MariaDB):
    # This port is for clients over TCP, on 127.0.0.1.
    port: int = 0

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            # This also kills the scripts that the node may have started, since nothing of it is kept.
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()

    def fail_over_fast(self) -> None:
        """Makes the nodes give up a dead node early. This is not set from the start, since slow nodes would then give
        each other up while they join."""
        self.ask(f"SET GLOBAL wsrep_provider_options = '{FAST_FAILOVER}'")

    def rejoin(self) -> None:
        """Starts the node after `kill`. It asks only for the changes that it has missed, as Debian's service does, and
        not for all data."""
        log = self.log.with_suffix(".recovery")
        self.launch("--wsrep-recover", f"--log-error={log}")
        self.process.wait(SYNCED_SECONDS)
        [*_, position] = re.findall(r"Recovered position:? *(\S+)", log.read_text(errors="replace"))
        self.launch(f"--wsrep-start-position={position}")
        self.wait_until_synced()

    def wait_until_synced(self) -> None:
        deadline = time.monotonic() + SYNCED_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise MariaDBFailed(f"A node ended early:\n{self.log_tail}")
            with suppress(MySQLdb.Error):
                [(_, state)] = self.ask("SHOW GLOBAL STATUS LIKE 'wsrep_local_state_comment'")
                if state == "Synced":
                    return
            time.sleep(POLL_SECONDS)
        raise MariaDBFailed(f"A node was not synced after {SYNCED_SECONDS} s:\n{self.log_tail}")


@contextmanager
def private_galera() -> Iterator[list[Node]]:
    """Yields the running nodes, with an empty database `ticks`.

    Raises MariaDBFailed when a program is missing, or when the cluster does not come up.
    """
    if not PROVIDER.exists() or not SCRIPTS.exists():
        raise MariaDBFailed("There is no Galera; install it with: tools/setup.sh --db --galera")
    account = unprivileged_account()
    with ExitStack() as stack:
        # This is not under TMPDIR, since another user could not read a directory under root's TMPDIR.
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticks-galera-", dir="/tmp")))
        shutil.copytree(SCRIPTS, home / "bin")
        homes = [home / f"node{number + 1}" for number in range(NODES)]
        for each in homes:
            (each / "data").mkdir(parents=True)
        for each in (home, *home.glob("node*"), *home.glob("node*/data")) if account else ():
            os.chown(each, account["user"], account["group"])
        ports = free_ports(4 * NODES)
        members = ",".join(f"127.0.0.1:{port}" for port in ports[1::4])
        nodes = [
            node_at(each, ports[place * 4 : place * 4 + 4], members=members, account=account)
            for place, each in enumerate(homes)
        ]
        for node in nodes:
            stack.callback(node.stop)
        install(homes[0], account)
        first, *others = nodes
        first.launch("--wsrep-new-cluster", f"--init-file={homes[0] / 'init.sql'}")
        first.wait_until_synced()
        for node in others:
            node.launch()
        for node in others:
            node.wait_until_synced()
        yield nodes


def node_at(home: Path, ports: Sequence[int], *, members: str, account: Mapping[str, Any]) -> Node:
    port, group_port, catch_up_port, copy_port = ports
    socket_path = home / "mariadb.sock"
    provider_options = (
        f"base_host=127.0.0.1;base_port={group_port};gmcast.listen_addr=tcp://127.0.0.1:{group_port};"
        f"ist.recv_addr=127.0.0.1:{catch_up_port};gcache.size=128M;pc.recovery=true;"
        # This can only be set at the start.
        "evs.inactive_check_period=PT0.1S"
    )
    return Node(
        socket=str(socket_path),
        port=port,
        data=home / "data",
        log=home / "error.log",
        account=account,
        environment={"PATH": f"{home.parent / 'bin'}:{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"},
        command=[
            program("mariadbd"),
            *server_options(home, socket_path),
            "--init-file=",
            "--skip-networking=OFF",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=128M",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            "--wsrep-cluster-name=ticks",
            f"--wsrep-cluster-address=gcomm://{members}",
            f"--wsrep-node-name={home.name}",
            f"--wsrep-node-address=127.0.0.1:{group_port}",
            "--wsrep-sst-method=rsync",
            # A node that gives another node its missing changes cannot be written to meanwhile, so the last backup
            # should do it.
            "--wsrep-sst-donor=node3,",
            f"--wsrep-sst-receive-address=127.0.0.1:{copy_port}",
            f"--wsrep-provider-options={provider_options}",
        ],
    )


def unprivileged_account() -> dict[str, Any]:
    """The account that root runs nodes as, since data cannot be copied between nodes as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def node_check(nodes: Sequence[Node], directory: Path) -> Path:
    """HAProxy's check of a node as deploy/galera has it, in this directory; its account on the nodes is made."""
    [password] = re.findall(r"^password=(.*)", (DEPLOYED / "check-node.cnf").read_text(), flags=re.MULTILINE)
    nodes[0].ask(f"CREATE OR REPLACE USER ticks_check@127.0.0.1 IDENTIFIED BY '{password}'")
    shutil.copy(DEPLOYED / "check-node.cnf", directory)
    return Path(shutil.copy(DEPLOYED / "check-node", directory))


@contextmanager
def haproxy(nodes: Sequence[Node], directory: Path) -> Iterator[int]:
    """Runs HAProxy as deploy/galera has it, before these nodes; yields the port that Ticks is to connect to.

    Raises MariaDBFailed when HAProxy does not take its configuration.
    """
    [port] = free_ports(1)
    config = (DEPLOYED / "haproxy.cfg").read_text()
    for deployed, here in (
        ("bind 127.0.0.1:3306", f"bind 127.0.0.1:{port}"),
        ("/etc/haproxy/check-node", str(node_check(nodes, directory))),
        *((f"10.0.0.1{number}:3306", f"127.0.0.1:{node.port}") for number, node in enumerate(nodes, start=1)),
        # Only root can run as another user.
        ("    user haproxy\n", ""),
        ("    group haproxy\n", ""),
    ):
        if config.count(deployed) != 1:
            raise MariaDBFailed(f"deploy/galera/haproxy.cfg has {deployed!r} not once.")
        config = config.replace(deployed, here)
    path = directory / "haproxy.cfg"
    path.write_text(config)
    command = [program("haproxy", option="--galera"), "-f", str(path)]
    checked = subprocess.run([*command, "-c"], capture_output=True, text=True, check=False)  # noqa: S603
    if checked.returncode != 0:
        raise MariaDBFailed(f"HAProxy refuses deploy/galera/haproxy.cfg:\n{checked.stderr}")
    with (directory / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([*command, "-db"], stdout=log, stderr=log, start_new_session=True)  # noqa: S603
    try:
        yield port
    finally:
        end_process(process, seconds=STOP_SECONDS)
