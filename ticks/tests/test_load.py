"""The load driver against a tiny server that does what a test says, for each connection in turn."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress

import pytest

from ticks import load

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HELLO = load.request("GET", "/", host="ticks")


class Client:
    """Sends one request after the other, or pauses for so many seconds, and keeps the answers."""

    def __init__(self, *steps: bytes | float):
        self.steps = list(steps)
        self.answers: list[load.ServerAnswer | None] = []

    async def __call__(self, ask: load.Ask) -> None:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                self.answers.append(await ask(step))

    @property
    def heard(self) -> list[tuple[int, bytes]]:
        return [(answer.status, answer.body) for answer in self.answers if answer]


@contextmanager
def server(serve: Callable[[socket.socket], None], *, family=socket.AF_INET, host="127.0.0.1"):
    """Yields the address, and the connections that asked for something, in order."""
    served: list[bytes] = []
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen(64)

        def handle(connection: socket.socket) -> None:
            # A client that leaves in the middle is no failure of the server.
            with connection, suppress(OSError):
                connection.settimeout(5)
                if first := connection.recv(1, socket.MSG_PEEK):
                    served.append(first)
                    serve(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[:2], served
        listener.shutdown(socket.SHUT_RDWR)


def read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        received += chunk
    return received


def answering(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)

    return serve


def drive(address, *clients, seconds=5.0, **options):
    return load.drive(address, clients, seconds=seconds, **options)


def test_connection_is_kept_for_all_requests_of_a_client():
    clients = [Client(HELLO, HELLO, HELLO), Client(HELLO, HELLO)]

    with server(answering(OK)) as (address, served):
        tally = drive(address, *clients)

    assert len(served) == 2
    assert len(tally.latencies) == 5
    assert (len(tally.latencies), tally.unanswered) == (5, 0)
    assert [len(client.heard) for client in clients] == [3, 2]


def test_clients_share_fewer_connections():
    clients = [Client(HELLO, 0.01, HELLO) for _ in range(20)]

    with server(answering(OK)) as (address, served):
        tally = drive(address, *clients, connections=3)

    assert len(served) == 3
    assert len(tally.latencies) == 40


def test_server_on_ipv6_is_reached():
    with server(answering(OK), family=socket.AF_INET6, host="::1") as (address, _):
        tally = drive(address, Client(HELLO))

    assert len(tally.latencies) == 1


def test_name_of_two_addresses_is_reached_where_somebody_listens():
    with server(answering(OK)) as ((_, port), _served):
        tally = drive(("localhost", port), Client(HELLO))

    assert len(tally.latencies) == 1


@pytest.mark.parametrize("cut", range(1, len(OK)))
def test_answer_is_read_wherever_it_is_cut(cut):
    assert load.read_answer(OK[:cut]) is None
    assert load.read_answer(OK) == (200, OK[:-6], b"ok", True)


def test_answer_that_comes_in_pieces_is_put_together():
    client = Client(HELLO, HELLO)

    with server(answering(b"HTTP/1.1 201 Cre", b"ated\r\nContent-Len", b"gth: 4\r\n\r\nbo", b"dy", pause=0.02)) as (
        address,
        served,
    ):
        drive(address, client)

    assert client.heard == [(201, b"body")] * 2
    assert len(served) == 1


def test_answer_without_a_body_is_complete_without_a_length():
    client = Client(HELLO, HELLO)

    with server(answering(b'HTTP/1.1 304 Not Modified\r\nETag: "7"\r\n\r\n')) as (address, served):
        drive(address, client)

    assert client.heard == [(304, b"")] * 2
    assert client.answers[0].header("etag") == '"7"'
    assert client.answers[0].header("tag") is None
    assert len(served) == 1


@pytest.mark.parametrize("wrong", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nwithout a length"])
def test_answer_that_cannot_be_read_counts_as_none(wrong):
    client = Client(HELLO)

    with server(answering(wrong)) as (address, _):
        tally = drive(address, client)

    assert (tally.latencies, tally.unanswered, client.answers) == ([], 1, [None])


def test_connection_closed_after_an_answer_is_opened_again():
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    with server(answering(closing)) as (address, served):
        tally = drive(address, Client(HELLO, HELLO, HELLO))

    assert len(tally.latencies) == 3
    assert (len(served), tally.unanswered) == (3, 0)


def test_connection_closed_while_idle_is_opened_again():
    def serve(connection):
        read_request(connection)
        connection.sendall(OK)

    with server(serve) as (address, served):
        tally = drive(address, Client(HELLO, 0.2, HELLO))

    assert len(tally.latencies) == 2
    assert (len(served), tally.unanswered) == (2, 0)


def test_connection_closed_instead_of_an_answer_is_unanswered_and_not_sent_again():
    client = Client(HELLO)

    with server(read_request) as (address, served):
        tally = drive(address, client)

    assert (tally.latencies, tally.unanswered, client.answers) == ([], 1, [None])
    assert len(served) == 1


def test_request_under_way_at_the_end_is_waited_for_and_none_is_sent_after_it():
    client = Client(HELLO, HELLO)

    with server(answering(b"", OK, pause=0.4)) as (address, served):
        tally = drive(address, client, seconds=0.1)

    assert len(tally.latencies) == 1
    assert client.heard == [(200, b"ok")]
    assert tally.seconds >= 0.4
    assert len(served) == 1


def test_server_that_never_answers_is_left_after_the_time_for_an_answer():
    client = Client(HELLO, HELLO)
    began = time.perf_counter()

    with server(lambda connection: time.sleep(3)) as (address, _):
        tally = drive(address, client, seconds=0.1, answer_seconds=0.5)

    assert 0.5 <= time.perf_counter() - began < 2
    assert (tally.latencies, tally.unanswered, client.answers) == ([], 1, [None])
    assert (tally.rate, tally.percentile(50)) == (0, 0)


def test_each_of_many_requests_on_a_connection_has_the_whole_time_for_its_answer():
    client = Client(*[HELLO] * 5)

    with server(answering(b"", OK, pause=0.2)) as (address, served):
        tally = drive(address, client, answer_seconds=0.5)

    assert len(tally.latencies) == 5
    assert len(served) == 1


def test_lost_request_is_followed_by_the_next_on_a_new_connection():
    answers = iter([b"", OK])

    def serve(connection):
        read_request(connection)
        connection.sendall(next(answers))

    client = Client(HELLO, HELLO)

    with server(serve) as (address, served):
        tally = drive(address, client)

    assert len(tally.latencies) == 1
    assert client.answers[0] is None
    assert (len(served), tally.unanswered) == (2, 1)


def test_client_who_waits_beyond_the_end_is_not_waited_for():
    began = time.perf_counter()

    with server(answering(OK)) as (address, _):
        tally = drive(address, Client(60.0, HELLO), Client(HELLO), seconds=0.2)

    assert time.perf_counter() - began < 2
    assert len(tally.latencies) == 1


def test_client_that_fails_ends_all_and_is_reported():
    async def fail(ask):
        await ask(HELLO)
        raise LookupError("a fault of the client's own")

    with server(answering(OK)) as (address, _), pytest.raises(LookupError):
        drive(address, fail, Client(60.0))


def test_large_request_is_sent_whole_while_the_server_is_slow_to_read():
    large = load.request("POST", "/", host="ticks", body=b"x" * 5_000_000)

    def serve(connection):
        time.sleep(0.2)
        left = len(large)
        while left:
            left -= len(connection.recv(65536))
        connection.sendall(OK)

    with server(serve) as (address, _):
        tally = drive(address, Client(large))

    assert len(tally.latencies) == 1


def test_server_that_is_gone_costs_the_request_and_nothing_else():
    client = Client(HELLO, HELLO, HELLO)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_once() -> None:
            connection, _ = listener.accept()
            listener.close()
            with connection:
                read_request(connection)
                connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

        threading.Thread(target=serve_once, daemon=True).start()
        tally = drive(listener.getsockname(), client)

    assert len(tally.latencies) == 1
    assert client.answers[1:] == [None, None]


def test_percentiles_are_latencies_that_were_seen():
    tally = load.Tally(latencies=[0.4, 0.1, 0.3, 0.2], seconds=2.0)

    assert [tally.percentile(percent) for percent in (0, 25, 50, 75, 99, 100)] == [0.1, 0.1, 0.2, 0.3, 0.4, 0.4]
    assert tally.rate == 2.0


def test_request_is_written_as_http():
    plain = load.request("GET", "/a", host="h:1", headers={"X-Some": "thing"})
    posted = load.request("POST", "/b", host="h", body=b"{}")

    assert plain == b"GET /a HTTP/1.1\r\nHost: h:1\r\nX-Some: thing\r\n\r\n"
    assert posted == b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
