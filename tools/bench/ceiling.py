"""Ceiling A: what hand-written SQL does on this machine, which a server in front of the database cannot exceed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import MySQLdb

from tools.private_mariadb import MariaDB

START_SECONDS = 60
CONNECTIONS = (2, 32)
EVENTS = 64
TABLES = (
    "CREATE DATABASE ceiling",
    "CREATE TABLE ceiling.event (id INT PRIMARY KEY, available INT NOT NULL) ENGINE=InnoDB",
    "CREATE TABLE ceiling.booking (id BIGINT AUTO_INCREMENT PRIMARY KEY, event_id INT NOT NULL,"
    " name VARCHAR(100), email VARCHAR(254), tickets INT NOT NULL, KEY (event_id)) ENGINE=InnoDB",
    f"INSERT INTO ceiling.event SELECT seq, 1000000000 FROM seq_1_to_{EVENTS}",  # noqa: S608
)


def prepare_ceiling(mariadb: MariaDB) -> None:
    for statement in TABLES:
        mariadb.ask(statement)


def ceiling(mariadb: MariaDB, *, events: int, seconds: float) -> float:
    """Bookings a second on this many rows, with the better number of connections. Each number is tried for
    `seconds`."""
    return max(bookings_a_second(mariadb.socket, connections=n, events=events, seconds=seconds) for n in CONNECTIONS)


def bookings_a_second(socket: str, *, connections: int, events: int, seconds: float) -> float:
    start = threading.Barrier(connections + 1)

    def book(number: int) -> int:
        with closing(MySQLdb.connect(unix_socket=socket, user="root", db="ceiling", autocommit=True)) as connection:
            cursor = connection.cursor()
            start.wait(START_SECONDS)
            end, count = time.perf_counter() + seconds, 0
            while time.perf_counter() < end:
                # With several events the connections mostly work on different rows, as buyers do.
                event = (number + count * (connections + 1)) * 7 % events + 1
                cursor.execute("BEGIN")
                cursor.execute("SELECT available FROM event WHERE id = %s FOR UPDATE", (event,))
                cursor.fetchall()
                cursor.execute("UPDATE event SET available = available - 1 WHERE id = %s", (event,))
                cursor.execute(
                    "INSERT INTO booking (event_id, name, email, tickets) VALUES (%s, %s, %s, 1)",
                    (event, "Ada Lovelace", f"ada{number}@example.org"),
                )
                cursor.execute("COMMIT")
                count += 1
            return count

    with ThreadPoolExecutor(connections) as pool:
        counts = pool.map(book, range(connections))
        start.wait(START_SECONDS)
        began = time.perf_counter()
        total = sum(counts)
        return total / (time.perf_counter() - began)
