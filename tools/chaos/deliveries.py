"""Kills and stops `deliver`, the mail server and a webhook's receiver while bookings are made, and then compares.

    .venv/bin/python tools/private_mariadb.py -- .venv/bin/python -m tools.chaos.deliveries --bookings 2000 --seconds 60

Every fact must have been mailed, and every entry of the ledger must have come to the webhook, signed; both in order for
each booking. Some may come twice. Both servers also refuse messages, hang, and lose connections after they took a
message. The database must be empty. Ten bookings have about 20 entries."""

import argparse
import logging
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 2
# Of 1,000 messages so many are refused, taken so late that nobody waits, and taken while the connection is lost.
REFUSED, HANGING, LOST = 30, 1, 10
HANG_SECONDS = 12
STOP_SECONDS, AWAY_SECONDS = 3, 2
# A killed process keeps its messages for five minutes, and a refused one may wait a few minutes for its third attempt.
# Mails with tickets take a second for forty of them.
TIMEOUT_SECONDS = 1200
MAILED = ("booked", "waitlisted", "promoted", "reduced", "cancelled")

# Messages by their identities, each with its booking, or its event, and its number in the ledger.
Messages = dict[str, tuple[int, int]]


def accept_mails(port: int, inbox: Path) -> None:
    import asyncio
    from email import message_from_bytes

    from aiosmtpd.controller import Controller

    logging.getLogger("mail.log").setLevel(logging.ERROR)

    class Inbox:
        # aiosmtpd calls it by its name.
        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            fate = random.randrange(1000)  # noqa: S311 (chaos)
            if fate < REFUSED:
                return "451 later"
            with inbox.open("a") as file:
                file.write(message_from_bytes(envelope.content)["Message-ID"] + "\n")
            if fate < REFUSED + HANGING:
                await asyncio.sleep(HANG_SECONDS)
            elif fate < REFUSED + HANGING + LOST:
                server.transport.abort()
            return "250 OK"

    Controller(Inbox(), hostname="127.0.0.1", port=port).start()
    time.sleep(3600)


def accept_webhooks(port: int, inbox: Path) -> None:
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
            with writing, inbox.open("a") as file:
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


class Receiver:
    """A server that takes messages, in a process of its own, and notes the identity of each."""

    def __init__(self, name: str, serve: Callable[[int, Path], None]):
        self.name, self.serve = name, serve
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.inbox = Path(tempfile.mkdtemp(prefix="ticks-chaos-")) / "inbox"
        self.inbox.touch()
        self.process: multiprocessing.Process | None = None

    def start(self) -> None:
        if self.process is None or not self.process.is_alive():
            self.process = multiprocessing.Process(target=self.serve, args=[self.port, self.inbox], daemon=True)
            self.process.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        time.sleep(AWAY_SECONDS)

    def stop(self) -> None:
        stop_for_a_while(self.process.pid)

    def came(self) -> list[str]:
        """The identities of what came, in order."""
        return self.inbox.read_text().split()


class Stage:
    """The processes that deliver, and the servers that they deliver to. What was killed is started again."""

    def __init__(self, receivers: list[Receiver]):
        self.receivers = receivers
        self.deliveries: list[subprocess.Popen] = []

    def start_all(self) -> None:
        for receiver in self.receivers:
            receiver.start()
        self.deliveries = [process for process in self.deliveries if process.poll() is None]
        while len(self.deliveries) < PROCESSES:
            command = [sys.executable, "manage.py", "deliver"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.deliveries.append(subprocess.Popen(command, cwd=ROOT, **quiet))  # noqa: S603 (our own command)

    def disturb(self) -> str:
        victim = random.choice([*self.receivers, random.choice(self.deliveries)])  # noqa: S311 (chaos)
        is_killed = random.random() < 0.5  # noqa: S311 (chaos)
        done = "killed" if is_killed else "stopped"
        if isinstance(victim, Receiver):
            (victim.kill if is_killed else victim.stop)()
            return f"{victim.name} {done}"
        if is_killed:
            victim.kill()
            victim.wait()
        else:
            stop_for_a_while(victim.pid)
        return f"deliver {done}"

    def end(self) -> None:
        for process in self.deliveries:
            process.kill()
            process.wait()
        for receiver in self.receivers:
            if receiver.process:
                receiver.process.kill()


def stop_for_a_while(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STOP_SECONDS)
    os.kill(pid, signal.SIGCONT)


def book(count: int) -> None:
    """Makes so many bookings of several events, and gives back or cancels two thirds of them."""
    django.setup()
    from accounts.models import User
    from bookings.services.booking import BookingRequest, book_tickets
    from bookings.services.cancellation import cancel_tickets
    from bookings.services.events import open_event

    actor = User.objects.create(username="chaos", is_staff=True)
    events = [open_event({"name": f"Event {n}", "total_tickets": 1 + count // 4}, actor=actor) for n in range(4)]
    for number in range(count):
        request = BookingRequest(events[number % 4].pk, 2, "Ada", str(number), f"ada{number}@example.org")
        booking = book_tickets(request).booking
        if number % 3:
            cancel_tickets(booking, tickets=1)
        if number % 3 == 1:
            cancel_tickets(booking, actor=actor)


def expected_mails() -> Messages:
    from bookings.models import LedgerEntry

    entries = LedgerEntry.objects.filter(kind__in=MAILED).values_list("event", "sequence", "booking")
    return {f"<ticks.{event}.{number}.{pk}@example.org>": (pk, number) for event, number, pk in entries}


def expected_webhooks() -> Messages:
    from bookings.models import LedgerEntry
    from bookings.webhooks import Webhook

    webhook = Webhook.objects.get().pk
    entries = LedgerEntry.objects.values_list("event", "sequence", "booking")
    return {f"msg_{webhook}_{event}_{number}": (pk or -event, number) for event, number, pk in entries}


def disturb(stage: Stage, is_done: Callable[[], bool], *, bookings: int, seconds: int) -> Counter[str]:
    """Disturbs while bookings are made, and for so many seconds at least; then waits until all has come. Returns how
    often what was done."""
    faults: Counter[str] = Counter()
    try:
        buyers = multiprocessing.get_context("spawn").Process(target=book, args=[bookings])
        buyers.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until or buyers.is_alive():
            stage.start_all()
            time.sleep(random.uniform(1, 5))  # noqa: S311 (chaos)
            faults[stage.disturb()] += 1
        until = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < until and not is_done():
            stage.start_all()
            time.sleep(1)
    finally:
        stage.end()
    return faults


def compare(receiver: Receiver, wanted: Messages) -> bool:
    """Prints what came of what was wanted. Returns whether all of it came, in order for each booking."""
    came = receiver.came()
    numbers_of = defaultdict(list)
    for identity in dict.fromkeys(came):
        booking, number = wanted[identity]
        numbers_of[booking].append(number)
    lost = len(wanted.keys() - set(came))
    out_of_order = sum(numbers != sorted(numbers) for numbers in numbers_of.values())
    twice = len(came) - len(set(came))
    print(f"{receiver.name}: {len(wanted)} messages, {lost} lost, {out_of_order} bookings out of order, {twice} twice")
    return bool(wanted) and not (lost or out_of_order)


def main() -> int:
    parser = argparse.ArgumentParser(prog="deliveries", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60, help="how long it is disturbed")
    options = parser.parse_args()
    mails, webhooks = Receiver("mail server", accept_mails), Receiver("receiver", accept_webhooks)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "ticks.settings",
        "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}",
        "DEFAULT_FROM_EMAIL": "ticks@example.org",
        "SITE_URL": "http://127.0.0.1:8000",
        "MAIL_DELAY_SECONDS": "0",
        "WEBHOOK_ALLOW_PRIVATE": "on",
    }
    django.setup()
    from django.core.management import call_command

    from bookings.services.webhooks.subscriptions import Terms, create_webhook

    call_command("migrate", verbosity=0)
    url = f"http://127.0.0.1:{webhooks.port}/"
    _, os.environ["CHAOS_SECRET"] = create_webhook(Terms("Chaos", url, None, []), from_beginning=True)

    expected = {mails: expected_mails, webhooks: expected_webhooks}

    def is_done() -> bool:
        return all(wanted().keys() <= set(receiver.came()) for receiver, wanted in expected.items())

    stage = Stage(list(expected))
    faults = disturb(stage, is_done, bookings=options.bookings, seconds=options.seconds)
    print(f"Faults: {', '.join(f'{fault} {times}' for fault, times in sorted(faults.items()))}")
    results = [compare(receiver, wanted()) for receiver, wanted in expected.items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
