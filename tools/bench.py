"""Measures bookings on one hot event, through the real server, against hand-written SQL on the same machine.

    .venv/bin/python tools/bench.py [--rounds 5] [--seconds 6] [--connections 64]
    .venv/bin/python tools/bench.py --mix 60    books and cancels, 60 to 40, on a sold-out event for 60 seconds

Starts a private durable MariaDB and `manage.py serve`, and in each round runs ceiling A (BEGIN,
SELECT FOR UPDATE, UPDATE, INSERT, COMMIT through mysqlclient, the better of 2 and 32 connections)
and then the server, so that both meet the same noise. Every run checks that 2xx = rows = tickets gone.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import MySQLdb
from private_mariadb import private_mariadb

ROOT = Path(__file__).resolve().parent.parent
PORT = 8199
PATIENCE_SECONDS = 60
# Several accounts share the load, so that the default throttle (600 a minute each) stays on.
USERS = 128

SETUP = """
import json
from accounts.models import User
from accounts import tokens
from bookings.services.events import open_event
admin = User.objects.create_superuser("bench", "bench@example.org", None)
users = [User.objects.create_user("buyer%d" % n, "buyer%d@example.org" % n, None) for n in range({users})]
event = open_event({{"name": "Bench", "total_tickets": 1_000_000}}, actor=admin)
small = open_event({{"name": "Mix", "total_tickets": 500}}, actor=admin)
print(json.dumps({{"event": event.pk, "small": small.pk, "tokens": [tokens.log_in(user)["token"] for user in users]}}))
"""


def ceiling(socket: str, *, connections: int, seconds: float) -> float:
    """Bookings a second that hand-written SQL makes on one row."""
    counts = [0] * connections
    start, stop = threading.Barrier(connections + 1), threading.Event()

    def book(number: int) -> None:
        connection = MySQLdb.connect(unix_socket=socket, user="root", db="ticks", autocommit=True)
        cursor = connection.cursor()
        start.wait(PATIENCE_SECONDS)
        while not stop.is_set():
            cursor.execute("BEGIN")
            cursor.execute("SELECT available FROM ceiling_event WHERE id = 1 FOR UPDATE")
            cursor.fetchall()
            cursor.execute("UPDATE ceiling_event SET available = available - 1 WHERE id = 1")
            cursor.execute(
                "INSERT INTO ceiling_booking (event_id, name, email, tickets) VALUES (1, %s, %s, 1)",
                ("Ada Lovelace", f"ada{number}@example.org"),
            )
            cursor.execute("COMMIT")
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=book, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    start.wait(PATIENCE_SECONDS)
    began = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    return sum(counts) / (time.perf_counter() - began)


class Buyer:
    """One keep-alive connection that books one ticket after the other."""

    def __init__(self, tokens: list[str], event: int):
        self.tokens, self.event = tokens, event
        self.statuses: dict[int, int] = {}
        self.latencies: list[float] = []

    async def run(self, stop_at: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        number = 0
        # A request in flight at the end is waited for: what was answered and what is stored must agree.
        while time.perf_counter() < stop_at:
            body = self.booking(1)
            token = self.tokens[number % len(self.tokens)]
            number += 1
            await self.ask(reader, writer, b"POST /api/v1/booking", token, body)
        writer.close()

    def booking(self, tickets: int) -> bytes:
        person = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org"}
        return json.dumps({"eventId": self.event, "ticketsReserved": tickets, **person}).encode()

    async def ask(self, reader, writer, line: bytes, token: str, body: bytes = b"") -> tuple[int, bytes]:
        began = time.perf_counter()
        writer.write(
            b"%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (line, token.encode(), len(body), body)
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
        status = int(head[9:12])
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        answer = await reader.readexactly(length)
        self.latencies.append(time.perf_counter() - began)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return status, answer


class Mixer(Buyer):
    """One keep-alive connection that books and cancels, three to two, one to four tickets at a time."""

    async def run(self, stop_at: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        dice = random.Random(self.tokens[0])  # noqa: S311 (load, not secrets)
        mine: list[tuple[int, str]] = []
        while time.perf_counter() < stop_at:
            if mine and dice.random() < 0.4:
                booking, token = mine.pop(dice.randrange(len(mine)))
                await self.ask(reader, writer, b"DELETE /api/v1/booking/%d" % booking, token)
                continue
            token = dice.choice(self.tokens)
            body = self.booking(dice.randint(1, 4))
            status, answer = await self.ask(reader, writer, b"POST /api/v1/booking", token, body)
            if status == 201:
                mine.append((json.loads(answer)["data"]["id"], token))
        writer.close()


async def load(target: dict, *, connections: int, seconds: float, kind=Buyer) -> dict:
    share = max(1, len(target["tokens"]) // connections)
    event = target["event"] if kind is Buyer else target["small"]
    buyers = [
        kind([target["tokens"][(n * share + k) % len(target["tokens"])] for k in range(share)], event)
        for n in range(connections)
    ]
    began = time.perf_counter()
    await asyncio.gather(*(buyer.run(began + seconds) for buyer in buyers))
    took = time.perf_counter() - began
    latencies = sorted(latency for buyer in buyers for latency in buyer.latencies)
    statuses: dict[int, int] = {}
    for buyer in buyers:
        for status, count in buyer.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    booked = statuses.get(201, 0)
    return {
        "statuses": statuses,
        "booked": booked,
        "errors": sum(statuses.values()) - booked,
        "rate": booked / took,
        "p50": latencies[len(latencies) // 2] * 1000,
        "p99": latencies[int(len(latencies) * 0.99)] * 1000,
        "longest": latencies[-1] * 1000,
    }


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_ready() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            asyncio.run(ping())
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not start")


async def ping() -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    if b" 200 " not in await reader.readline():
        raise ConnectionError
    writer.close()


def count(socket: str, query: str) -> int:
    connection = MySQLdb.connect(unix_socket=socket, user="root", db="ticks")
    try:
        cursor = connection.cursor()
        cursor.execute(query)
        return int(cursor.fetchone()[0])
    finally:
        connection.close()


def prepare_ceiling(socket: str) -> None:
    connection = MySQLdb.connect(unix_socket=socket, user="root", db="ticks", autocommit=True)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE ceiling_event (id INT PRIMARY KEY, available INT NOT NULL) ENGINE=InnoDB")
    cursor.execute(
        "CREATE TABLE ceiling_booking (id BIGINT AUTO_INCREMENT PRIMARY KEY, event_id INT NOT NULL,"
        " name VARCHAR(100), email VARCHAR(254), tickets INT NOT NULL, KEY (event_id)) ENGINE=InnoDB"
    )
    cursor.execute("INSERT INTO ceiling_event VALUES (1, 100000000)")
    connection.close()


def measure(arguments: argparse.Namespace) -> None:
    with private_mariadb() as database:
        environment = {
            **os.environ,
            "DATABASE_URL": database.url,
            "SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": secrets.token_hex(32),
            "TICKS_ENV_FILE": "",
            "PORT": str(PORT),
            "HOST": "127.0.0.1",
        }
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True)  # noqa: S603
        made = subprocess.run(  # noqa: S603
            [*manage, "shell", "--no-imports", "-c", SETUP.format(users=USERS)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        target = json.loads(made.stdout.splitlines()[-1])
        prepare_ceiling(database.socket)
        server = subprocess.Popen(  # noqa: S603
            [*manage, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until_ready()
            if arguments.mix:
                run_mix(arguments, database.socket, target)
                subprocess.run([*manage, "verify_inventory"], env=environment, check=True)  # noqa: S603
            else:
                run_rounds(arguments, database.socket, target, server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE_SECONDS)


def run_mix(arguments: argparse.Namespace, socket: str, target: dict) -> None:
    result = asyncio.run(load(target, connections=arguments.connections, seconds=arguments.mix, kind=Mixer))
    entries = count(socket, "SELECT COUNT(*) FROM bookings_ledgerentry WHERE kind = 'promoted'")
    answers = ", ".join(f"{status}: {number}" for status, number in sorted(result["statuses"].items()))
    total = sum(result["statuses"].values())
    print(
        f"{total} requests in {arguments.mix:.0f} s over {arguments.connections} connections"
        f" ({total / arguments.mix:.0f}/s): {answers}; {entries} bookings promoted;"
        f" p50 {result['p50']:.0f} ms, p99 {result['p99']:.0f} ms, longest {result['longest']:.0f} ms"
    )


def run_rounds(arguments: argparse.Namespace, socket: str, target: dict, server: int) -> None:
    asyncio.run(load(target, connections=arguments.connections, seconds=1))
    rows = "SELECT COUNT(*) FROM bookings_booking"
    gone = "SELECT total_tickets - available_tickets FROM events_event"
    ratios, results = [], []
    for number in range(arguments.rounds):
        best = max(ceiling(socket, connections=n, seconds=arguments.seconds / 2) for n in (2, 32))
        before = count(socket, rows), count(socket, gone)
        result = asyncio.run(load(target, connections=arguments.connections, seconds=arguments.seconds))
        stored = count(socket, rows) - before[0], count(socket, gone) - before[1]
        if stored != (result["booked"], result["booked"]):
            sys.exit(f"{result['booked']} answers 201, but {stored[0]} rows and {stored[1]} tickets gone")
        ratios.append(result["rate"] / best)
        results.append(result)
        print(
            f"round {number + 1}: A {best:7.0f}/s   Ticks {result['rate']:6.0f}/s   ratio {ratios[-1]:.3f}"
            f"   p50 {result['p50']:.0f} ms   p99 {result['p99']:.0f} ms   errors {result['errors']}"
        )
    print(
        f"\nmedian of {arguments.rounds}: {statistics.median(r['rate'] for r in results):.0f} bookings/s,"
        f" ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f}),"
        f" p99 {statistics.median(r['p99'] for r in results):.0f} ms, errors {sum(r['errors'] for r in results)},"
        f" {sum(r['booked'] for r in results)} bookings = rows = tickets gone"
    )
    print("memory of each worker: " + ", ".join(f"{memory_mb(pid):.0f} MB" for pid in children(server)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--mix", type=float, metavar="SECONDS", help="books and cancels instead, 60 to 40")
    measure(parser.parse_args())
