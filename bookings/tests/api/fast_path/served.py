"""Requests as bytes over a connection, and what came back."""

import json
import time

from ticks.load import read_answer
from ticks.load import request as wire_request
from ticks.tests.served import answer_of, booking, request

BOOKING = "/api/v1/booking"
# These are events of the demo; the first has many tickets.
HOT, OTHER = 1, 2


def bytes_for(method, path, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return wire_request(method, path, host="localhost", headers=named, body=body and json.dumps(body).encode())


def wanted(event, **changes):
    return {**booking(1), "eventId": event, **changes}


def booking_bytes(event) -> bytes:
    """The bytes of a request that books one ticket. Each call books for a new person."""
    return bytes_for("POST", BOOKING, wanted(event))


def exchange(client, sent: bytes) -> bytes:
    """The bytes of the next answer on the connection."""
    client.sendall(sent)
    received = b""
    while read_answer(received) is None:
        part = client.recv(65536)
        assert part, received
        received += part
    return received


def read_json(port, path):
    status, content = request(port, "GET", path)
    assert status == 200
    return json.loads(content)["data"]


def timed(client, sent):
    began = time.monotonic()
    status, headers, content = read(client, sent)
    return status, headers.get("retry-after"), content, time.monotonic() - began


def read(client, sent):
    client.sendall(sent)
    status, headers, content = answer_of(client)
    return status, {name.lower(): value for name, value in headers.items()}, content
