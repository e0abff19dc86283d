"""Kills and stops `deliver` and the receiver of webhooks while bookings are made and cancelled, and then compares.

    .venv/bin/python tools/private_mariadb.py -- .venv/bin/python -m tools.chaos.webhooks --bookings 10000 --seconds 120

Every entry of the ledger must have come, in order for each booking, and signed; some may come twice. The receiver also
refuses messages, hangs, and closes connections after it took a message. The database must be empty."""

import argparse
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools.chaos.mails import HANG_SECONDS, HANGING, LOST, REFUSED, Stage, compare, disturb, migrate


def accept_messages(port: int, inbox: str) -> None:
    from standardwebhooks import Webhook

    verifier, writing = Webhook(os.environ["CHAOS_SECRET"]), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        # The server calls these by their names.
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fate = random.randrange(1000)  # noqa: S311 (chaos)
            if fate < REFUSED:
                return self.answer(500)
            verifier.verify(body, dict(self.headers))
            with writing, Path(inbox).open("a") as file:
                file.write(self.headers["webhook-id"] + "\n")
            if fate < REFUSED + HANGING:
                time.sleep(HANG_SECONDS)
            elif fate < REFUSED + HANGING + LOST:
                self.close_connection = True
                return None
            return self.answer(204)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 100

        def handle_error(self, request, client_address):
            pass

    Server(("127.0.0.1", port), Handler).serve_forever()


def expected() -> dict[str, tuple[int, int]]:
    """The identity of each message that must come, with its booking, or its event, and its number in the ledger."""
    from bookings.models import LedgerEntry
    from bookings.webhooks import Webhook

    webhook = Webhook.objects.get().pk
    entries = LedgerEntry.objects.values_list("event", "sequence", "booking")
    return {f"msg_{webhook}_{event}_{number}": (pk or -event, number) for event, number, pk in entries}


def main() -> int:
    parser = argparse.ArgumentParser(prog="webhooks", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60, help="how long it is disturbed")
    options = parser.parse_args()
    stage = Stage("receiver", accept_messages)
    os.environ |= {"EMAIL_URL": "", "WEBHOOK_ALLOW_PRIVATE": "on"}
    migrate()
    from bookings.services.webhooks.subscriptions import Terms, create_webhook

    url = f"http://127.0.0.1:{stage.port}/"
    _, os.environ["CHAOS_SECRET"] = create_webhook(Terms("Chaos", url, None, []), from_beginning=True)
    faults = disturb(stage, expected, bookings=options.bookings, seconds=options.seconds)
    return compare(expected(), stage.came(), faults)


if __name__ == "__main__":
    sys.exit(main())
