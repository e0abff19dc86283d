"""Ceiling A: what hand-written SQL does on this machine, which a server in front of the database cannot exceed."""

import threading
import time

import MySQLdb

START_SECONDS = 60
CONNECTIONS = (2, 32)
EVENTS = 64


def prepare_ceiling(socket: str) -> None:
    connection = MySQLdb.connect(unix_socket=socket, user="root", autocommit=True)
    cursor = connection.cursor()
    cursor.execute("CREATE DATABASE ceiling")
    cursor.execute("CREATE TABLE ceiling.event (id INT PRIMARY KEY, available INT NOT NULL) ENGINE=InnoDB")
    cursor.execute(
        "CREATE TABLE ceiling.booking (id BIGINT AUTO_INCREMENT PRIMARY KEY, event_id INT NOT NULL,"
        " name VARCHAR(100), email VARCHAR(254), tickets INT NOT NULL, KEY (event_id)) ENGINE=InnoDB"
    )
    cursor.executemany("INSERT INTO ceiling.event VALUES (%s, 1000000000)", [(row + 1,) for row in range(EVENTS)])
    connection.close()


def ceiling(socket: str, *, events: int, seconds: float) -> float:
    """Bookings a second on this many rows, with the better number of connections. Each number is tried for
    `seconds`."""
    return max(bookings_a_second(socket, connections=n, events=events, seconds=seconds) for n in CONNECTIONS)


def bookings_a_second(socket: str, *, connections: int, events: int, seconds: float) -> float:
    counts = [0] * connections
    start, stop = threading.Barrier(connections + 1), threading.Event()

    def book(number: int) -> None:
        connection = MySQLdb.connect(unix_socket=socket, user="root", db="ceiling", autocommit=True)
        cursor = connection.cursor()
        start.wait(START_SECONDS)
        turn = number
        while not stop.is_set():
            # With several events the connections mostly work on different rows, as buyers do.
            event = turn * 7 % events + 1
            turn += connections + 1
            cursor.execute("BEGIN")
            cursor.execute("SELECT available FROM event WHERE id = %s FOR UPDATE", (event,))
            cursor.fetchall()
            cursor.execute("UPDATE event SET available = available - 1 WHERE id = %s", (event,))
            cursor.execute(
                "INSERT INTO booking (event_id, name, email, tickets) VALUES (%s, %s, %s, 1)",
                (event, "Ada Lovelace", f"ada{number}@example.org"),
            )
            cursor.execute("COMMIT")
            counts[number] += 1
        connection.close()

    threads = [threading.Thread(target=book, args=(number,), daemon=True) for number in range(connections)]
    for thread in threads:
        thread.start()
    start.wait(START_SECONDS)
    began = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join(START_SECONDS)
    return sum(counts) / (time.perf_counter() - began)
