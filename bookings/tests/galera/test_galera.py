"""Ticks on a real Galera cluster of three nodes: what clients were answered must be so on every one of them."""

import asyncio
import subprocess
import time

import pytest

from tools.private_galera import haproxy, node_check

pytestmark = [pytest.mark.galera, pytest.mark.timeout(150)]

ALTERATIONS = 3
SILENCE_SECONDS = 10
# This allows for HAProxy's checks and for Ticks' new connections.
BACK_SECONDS = 15


def test_two_writing_nodes_and_alter_table_lose_nothing(stage):
    one, two, third = stage.nodes

    async def alter():
        # DDL of another node aborts whatever transaction has used the table, also where one node alone is written to.
        for number in range(ALTERATIONS):
            await asyncio.sleep(3)
            for table in ("events_event", "bookings_booking"):
                column = f"extra{number}"
                await asyncio.to_thread(third.ask, f"ALTER TABLE {table} ADD COLUMN {column} INT NULL")
                await asyncio.to_thread(third.ask, f"ALTER TABLE {table} DROP COLUMN {column}")

    with stage.server(one.url) as port, stage.server(two.url) as other_port:
        crowd = stage.crowd([port, other_port], numbers=range(20), twins=6)
        asyncio.run(crowd.book_during(alter()))

    assert stage.findings(crowd) == []
    assert crowd.board.acknowledged > 300


def test_writer_killed_behind_haproxy_loses_nothing(stage, tmp_path):
    writer = stage.nodes[0]
    written_to = []

    async def fail_over_and_back():
        for node in stage.nodes:
            node.fail_over_fast()
        await asyncio.sleep(2)
        written_to.append(stage.nodes_in_use())
        writer.kill()
        stage.counted["silence"] = await crowd.longest_silence(5)
        written_to.append(stage.nodes_in_use())
        await asyncio.to_thread(writer.rejoin)
        deadline = time.monotonic() + BACK_SECONDS
        while stage.nodes_in_use() != [1] and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        await asyncio.sleep(1)
        written_to.append(stage.nodes_in_use())

    with (
        haproxy(stage.nodes, tmp_path) as database_port,
        stage.server(f"mysql://root@127.0.0.1:{database_port}/ticks", workers=2) as port,
    ):
        crowd = stage.crowd([port], numbers=range(20, 36))
        asyncio.run(crowd.book_during(fail_over_and_back()))

    assert stage.findings(crowd) == []
    assert written_to == [[1], [2], [1]]
    assert crowd.board.acknowledged > 300
    assert stage.counted["silence"] < SILENCE_SECONDS


def test_node_that_takes_no_writes_is_not_ready(stage, tmp_path):
    node = stage.nodes[1]
    check = node_check(stage.nodes, tmp_path)
    refused = []

    def is_refused():
        return subprocess.run([check, "-", "-", "127.0.0.1", str(node.port)], timeout=10, check=False).returncode != 0

    with stage.server(node.url) as port:
        refused.append(is_refused())
        for variable in ("read_only", "wsrep_desync"):
            node.ask(f"SET GLOBAL {variable} = ON")
            refused.append(is_refused())
            node.ask(f"SET GLOBAL {variable} = OFF")
        # The node is cut off from the others. It has no quorum, but still answers `SELECT 1`.
        node.ask("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
        stage.await_readiness(port, 503)
        refused.append(is_refused())
        node.ask("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        stage.await_readiness(port, 200)
    node.wait_until_synced()

    assert refused == [False, True, True, True]
    assert not is_refused()
