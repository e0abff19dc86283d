"""Requests to addresses that people have typed in."""

import asyncio
import socket
import time
from ipaddress import ip_address

import aiohttp
import pytest

from ticks import outbound
from ticks.public_urls import NOT_HTTPS, PRIVATE, is_public


@pytest.fixture
def allowed(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True


class Trickle:
    """A server that sends these parts, one after the other, with pauses. It keeps what it was asked."""

    def __init__(self, *parts: bytes, pause: float = 0):
        self.parts, self.pause, self.asked = parts, pause, 0

    async def serve(self, reader, writer):
        self.asked += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in self.parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(self.pause)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def ask(self, url="http://127.0.0.1:{port}/", host="127.0.0.1"):
        """What one request to this server comes to, and how long it takes."""

        async def run():
            async with await asyncio.start_server(self.serve, host, 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with outbound.new_session() as session:
                    return await outbound.post(session, url.format(port=port), b"{}", {})

        began = time.monotonic()
        try:
            return asyncio.run(run()), time.monotonic() - began
        except Exception as error:
            return error, time.monotonic() - began


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_asked(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1"),
        *("192.0.2.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "fe80::1", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:1::1"),
    ],
)
def test_other_addresses_are_not(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("url", ["https://localhost:{port}/", "https://127.1:{port}/", "https://2130706433:{port}/"])
def test_name_of_a_private_address_is_not_asked(url):
    server = Trickle(b"HTTP/1.1 204 No Content\r\n\r\n")

    error, _ = server.ask(url)

    assert isinstance(error, aiohttp.ClientError)
    assert server.asked == 0
    if "localhost" in url:
        assert outbound.fault_of(error) == PRIVATE


def test_each_connection_is_checked_and_not_what_a_name_led_to_before():
    for host in ("127.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%lo"):
        with pytest.raises(outbound.NotPublic):
            outbound.checked_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 443)))
    outbound.checked_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))).close()


def test_private_address_is_asked_where_the_setting_allows_it(allowed):
    answer, _ = Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nThank you").ask()

    assert answer == (200, "Thank you")


def test_address_that_was_allowed_earlier_is_not_asked_any_more():
    server = Trickle(b"HTTP/1.1 204 No Content\r\n\r\n")

    error, _ = server.ask("http://127.0.0.1:{port}/")

    assert str(error) == NOT_HTTPS
    assert server.asked == 0


def test_redirect_is_an_answer(allowed):
    server = Trickle(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    assert server.ask()[0] == (302, "")
    assert server.asked == 1


def test_headers_that_come_byte_by_byte_are_late(allowed, monkeypatch):
    monkeypatch.setattr(outbound, "WHOLE_SECONDS", 1)
    server = Trickle(b"HTTP/1.1 200 OK\r\n", *(b"x: y\r\n" for _ in range(50)), pause=0.2)

    error, seconds = server.ask()

    assert isinstance(error, TimeoutError)
    assert outbound.fault_of(error) == "No answer within 1 seconds."
    assert seconds < 3


def test_body_that_comes_byte_by_byte_leaves_the_status(allowed, monkeypatch):
    monkeypatch.setattr(outbound, "WHOLE_SECONDS", 1)
    server = Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *(b"x" for _ in range(50)), pause=0.2)

    answer, seconds = server.ask()

    assert answer.status == 200
    assert set(answer.text) == {"x"}
    assert seconds < 3


def test_long_answer_is_read_in_part(allowed):
    server = Trickle(b"HTTP/1.1 500 Oh\r\n\r\n", *(b"x" * 100_000 for _ in range(100)))

    assert server.ask()[0] == (500, "x" * outbound.MOST_READ)


@pytest.mark.parametrize("answer", [b"", b"not HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000])
def test_no_http_is_an_error(allowed, answer):
    error, _ = Trickle(answer).ask()

    assert isinstance(error, aiohttp.ClientError)
