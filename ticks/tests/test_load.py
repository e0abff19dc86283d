"""The load generator against a tiny server that does what it is told, for each connection in turn."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress

import pytest

from ticks import load, wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HELLO = wire.request("GET", "/", host="ticks")


class Asker(load.Caller):
    """Sends what it was given, one after the other, and writes down all that it hears."""

    def __init__(self, *wishes: bytes | float):
        self.wishes = list(wishes)
        self.heard: list[tuple[int, bytes, bytes]] = []
        self.losses = 0

    def next(self):
        return self.wishes.pop(0) if self.wishes else None

    def took(self, status, body, seconds, head):
        self.heard.append((status, body, head))

    def lost(self):
        self.losses += 1


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
                # The first look, whether anybody listens, asks for nothing.
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


def test_connection_is_kept_for_all_requests_of_a_caller():
    callers = [Asker(HELLO, HELLO, HELLO), Asker(HELLO, HELLO)]

    with server(answering(OK)) as (address, served):
        tally = load.drive(address, callers, seconds=5)

    assert len(served) == 2
    assert tally.statuses == {200: 5}
    assert (tally.answered, tally.unanswered, tally.reopened) == (5, 0, 0)
    assert [len(caller.heard) for caller in callers] == [3, 2]


def test_server_on_ipv6_is_reached():
    with server(answering(OK), family=socket.AF_INET6, host="::1") as (address, _):
        tally = load.drive(address, [Asker(HELLO)], seconds=5)

    assert tally.statuses == {200: 1}


def test_name_of_two_addresses_is_reached_where_somebody_listens():
    with server(answering(OK)) as ((_, port), _served):
        tally = load.drive(("localhost", port), [Asker(HELLO)], seconds=5)

    assert tally.statuses == {200: 1}


def test_drive_where_nobody_listens_says_so_at_once():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        with pytest.raises(ConnectionRefusedError):
            load.drive(unused.getsockname(), [Asker(HELLO)], seconds=5)


@pytest.mark.parametrize("cut", range(1, len(OK)))
def test_answer_is_read_wherever_it_is_cut(cut):
    assert wire.read_answer(OK[:cut]) is None
    assert wire.read_answer(OK) == (200, OK[:-6], b"ok", True)


def test_answer_that_comes_in_pieces_is_put_together():
    caller = Asker(HELLO, HELLO)

    with server(answering(b"HTTP/1.1 201 Cre", b"ated\r\nContent-Len", b"gth: 4\r\n\r\nbo", b"dy", pause=0.02)) as (
        address,
        _,
    ):
        tally = load.drive(address, [caller], seconds=5)

    assert [(status, body) for status, body, _ in caller.heard] == [(201, b"body")] * 2
    assert tally.reopened == 0


def test_chunked_answer_is_put_together():
    pieces = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbo", b"d\r\n1;x=y\r\ny\r\n0\r", b"\n\r\n")
    caller = Asker(HELLO, HELLO)

    with server(answering(*pieces, pause=0.02)) as (address, _):
        load.drive(address, [caller], seconds=5)

    assert [(status, body) for status, body, _ in caller.heard] == [(200, b"body")] * 2


def test_answer_without_a_body_is_complete_without_a_length():
    not_modified = b'HTTP/1.1 304 Not Modified\r\nETag: "7"\r\n\r\n'
    caller = Asker(HELLO, HELLO)

    with server(answering(not_modified)) as (address, served):
        load.drive(address, [caller], seconds=5)

    assert [(status, body) for status, body, _ in caller.heard] == [(304, b"")] * 2
    assert wire.header(caller.heard[0][2], "etag") == '"7"'
    assert wire.header(caller.heard[0][2], "tag") is None
    assert len(served) == 1


def test_body_without_a_length_ends_with_the_connection():
    def serve(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nto the ")
        time.sleep(0.02)
        connection.sendall(b"end")

    caller = Asker(HELLO, HELLO)

    with server(serve) as (address, _):
        tally = load.drive(address, [caller], seconds=5)

    assert [body for _, body, _ in caller.heard] == [b"to the end"] * 2
    assert (tally.unanswered, tally.reopened) == (0, 1)


def test_what_is_no_http_counts_as_unanswered():
    caller = Asker(HELLO)

    with server(answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")) as (address, _):
        tally = load.drive(address, [caller], seconds=5)

    assert (tally.answered, tally.unanswered, caller.losses) == (0, 1, 1)


def test_connection_closed_after_an_answer_is_opened_again_and_counted():
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    with server(answering(closing)) as (address, served):
        tally = load.drive(address, [Asker(HELLO, HELLO, HELLO)], seconds=5)

    assert tally.statuses == {200: 3}
    assert (len(served), tally.reopened, tally.unanswered) == (3, 2, 0)


def test_connection_closed_while_idle_is_opened_again_and_counted():
    def serve(connection):
        read_request(connection)
        connection.sendall(OK)

    with server(serve) as (address, served):
        tally = load.drive(address, [Asker(HELLO, 0.2, HELLO)], seconds=5)

    assert tally.statuses == {200: 2}
    assert (len(served), tally.reopened, tally.unanswered) == (2, 1, 0)


def test_connection_closed_instead_of_an_answer_is_unanswered_and_not_sent_again():
    caller = Asker(HELLO)

    with server(read_request) as (address, served):
        tally = load.drive(address, [caller], seconds=5)

    assert (tally.answered, tally.unanswered, caller.losses) == (0, 1, 1)
    assert len(served) == 1


def test_request_under_way_at_the_end_is_waited_for():
    caller = Asker(HELLO, HELLO)

    with server(answering(b"", OK, pause=0.4)) as (address, _):
        tally = load.drive(address, [caller], seconds=0.1)

    assert tally.statuses == {200: 1}
    assert caller.wishes == [HELLO]
    assert tally.seconds >= 0.4


def test_server_that_never_answers_is_left_when_patience_ends():
    caller = Asker(HELLO, HELLO)
    began = time.perf_counter()

    with server(lambda connection: time.sleep(3)) as (address, _):
        tally = load.drive(address, [caller], seconds=0.1, patience=0.5)

    assert 0.5 <= time.perf_counter() - began < 2
    assert (tally.answered, tally.unanswered, caller.losses) == (0, 1, 1)
    assert (tally.rate, tally.percentile(50)) == (0, 0)


def test_lost_request_is_followed_by_the_next_on_a_new_connection():
    answers = iter([b"", OK])

    def serve(connection):
        read_request(connection)
        connection.sendall(next(answers))

    caller = Asker(HELLO, HELLO)

    with server(serve) as (address, _):
        tally = load.drive(address, [caller], seconds=5)

    assert tally.statuses == {200: 1}
    assert (tally.unanswered, tally.reopened, caller.losses) == (1, 1, 1)


def test_caller_who_waits_holds_nobody_up():
    patient, busy = Asker(0.3, HELLO), Asker(HELLO, HELLO)

    with server(answering(OK)) as (address, _):
        tally = load.drive(address, [patient, busy], seconds=5)

    assert (len(patient.heard), len(busy.heard)) == (1, 2)
    assert 0.3 <= tally.seconds < 2


def test_caller_who_waits_beyond_the_end_is_not_waited_for():
    began = time.perf_counter()

    with server(answering(OK)) as (address, _):
        tally = load.drive(address, [Asker(60.0, HELLO)], seconds=0.2)

    assert time.perf_counter() - began < 2
    assert tally.answered == 0


def test_large_request_is_sent_whole_while_the_server_is_slow_to_read():
    body = b"x" * 5_000_000

    def serve(connection):
        time.sleep(0.2)
        left = len(large)
        while left:
            left -= len(connection.recv(65536))
        connection.sendall(OK)

    large = wire.request("POST", "/", host="ticks", body=body)

    with server(serve) as (address, _):
        tally = load.drive(address, [Asker(large)], seconds=5)

    assert tally.statuses == {200: 1}


def test_answer_before_the_request_was_sent_whole_ends_the_connection():
    def serve(connection):
        connection.sendall(OK)
        time.sleep(0.5)

    large = wire.request("POST", "/", host="ticks", body=b"x" * 5_000_000)

    with server(serve) as (address, served):
        tally = load.drive(address, [Asker(large, HELLO)], seconds=5)

    assert tally.statuses == {200: 2}
    assert (len(served), tally.reopened) == (2, 1)


def test_server_that_is_gone_in_between_costs_the_request_and_nothing_else():
    caller = Asker(HELLO, HELLO, HELLO)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_once() -> None:
            listener.accept()[0].close()
            connection, _ = listener.accept()
            listener.close()
            with connection:
                read_request(connection)
                connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

        threading.Thread(target=serve_once, daemon=True).start()
        tally = load.drive(listener.getsockname(), [caller], seconds=5)

    assert tally.statuses == {200: 1}
    assert (tally.unanswered, caller.losses) == (2, 2)


def test_watch_hears_of_the_progress():
    heard = []

    with server(answering(OK)) as (address, _):
        load.drive(
            address,
            [Asker(HELLO, 0.35)],
            seconds=0.4,
            watch=lambda passed, tally: heard.append((passed, tally.answered)),
        )

    assert len(heard) >= 3
    assert heard == sorted(heard)
    assert heard[-1][1] == 1


def test_percentiles_are_latencies_that_were_seen():
    tally = load.Tally(latencies=[0.4, 0.1, 0.3, 0.2], seconds=2.0)

    assert [tally.percentile(percent) for percent in (0, 25, 50, 75, 99, 100)] == [0.1, 0.1, 0.2, 0.3, 0.4, 0.4]
    assert tally.rate == 2.0


def test_request_is_written_as_http():
    plain = wire.request("GET", "/a", host="h:1", headers={"X-Some": "thing"})
    posted = wire.request("POST", "/b", host="h", body=b"{}")

    assert plain == b"GET /a HTTP/1.1\r\nHost: h:1\r\nX-Some: thing\r\n\r\n"
    assert posted == b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def test_address_of_reads_http_urls_only():
    assert wire.address_of("http://127.0.0.1:8000/") == ("127.0.0.1", 8000)
    assert wire.address_of("http://[::1]:8000") == ("::1", 8000)
    assert wire.address_of("http://tickets.example.org") == ("tickets.example.org", 80)
    for wrong in ("https://tickets.example.org", "tickets.example.org:8000", "http://"):
        with pytest.raises(ValueError, match="is no http:// address"):
            wire.address_of(wrong)
