"""A real HTTP receiver for the tests, which checks signatures with the reference library."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from bookings.services.webhooks.delivery import WebhookDelivery
from bookings.services.webhooks.subscriptions import Terms, create_webhook


class Received:
    """One request, as it came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes):
        self.path, self.headers, self.body = path, headers, body

    @property
    def identity(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        try:
            Verifier(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


class Receiver:
    """Keeps what comes. `answer(received)` returns the status, or the status, headers and body of the answer."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.requests: list[Received] = []
        self.answer = lambda received: 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            # The server calls these by their names.
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                receiver.requests.append(received)
                answer = receiver.answer(received)
                status, headers, text = answer if isinstance(answer, tuple) else (answer, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://localhost:{self.port}/hooks"
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def told(self) -> list[tuple[str, int, int]]:
        """The type, the event and the sequence of each message, in the order in which they came."""
        contents = [request.content for request in self.requests]
        return [(one["type"], one["data"].get("eventId"), one["data"].get("sequence")) for one in contents]


@pytest.fixture
def receiver(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    receiver = Receiver()
    yield receiver
    receiver.stop()


def subscribe(receiver, *, name="Till", event=None, kinds=(), **options):
    """A webhook that goes to a receiver, and its secret."""
    return create_webhook(Terms(name, receiver.url, event, list(kinds)), **options)


def deliver_webhooks() -> WebhookDelivery:
    """Does what there is to do at the moment, as `manage.py deliver --once` does."""
    delivery = WebhookDelivery()
    delivery.run(once=True)
    return delivery


def slow(seconds: float, status: int = 204):
    def answer(received):
        time.sleep(seconds)
        return status

    return answer
