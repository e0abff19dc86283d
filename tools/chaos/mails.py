"""Kills and stops `deliver` and the mail server while bookings are made and cancelled, and then compares.

    .venv/bin/python tools/private_mariadb.py -- .venv/bin/python -m tools.chaos.mails --bookings 2000 --seconds 60

Every fact must have been told, in order for each booking; some may be told twice. The mail server also refuses mails,
hangs, and loses connections after it took a mail. The database must be empty."""

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
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 2
# Of 1,000 mails so many are refused, taken so late that nobody waits, and taken while the connection is lost.
REFUSED, HANGING, LOST = 30, 1, 10
HANG_SECONDS = 12
STOP_SECONDS = 3
# A killed process keeps its mails for five minutes, and a refused mail may wait a few minutes for its third attempt.
TIMEOUT_SECONDS = 600
TOLD = ("booked", "waitlisted", "promoted", "reduced", "cancelled")


def accept_mails(port: int, inbox: str) -> None:
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
            with Path(inbox).open("a") as file:
                file.write(message_from_bytes(envelope.content)["Message-ID"] + "\n")
            if fate < REFUSED + HANGING:
                await asyncio.sleep(HANG_SECONDS)
            elif fate < REFUSED + HANGING + LOST:
                server.transport.abort()
            return "250 OK"

    Controller(Inbox(), hostname="127.0.0.1", port=port).start()
    time.sleep(3600)


class Stage:
    """The processes that deliver, and the server that they deliver to. What was killed is started again."""

    def __init__(self, name: str, serve: Callable[[int, str], None]):
        self.name, self.serve = name, serve
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.inbox = Path(tempfile.mkdtemp(prefix="ticks-chaos-")) / "inbox"
        self.inbox.touch()
        self.server: multiprocessing.Process | None = None
        self.deliveries: list[subprocess.Popen] = []

    def start_all(self) -> None:
        if self.server is None or not self.server.is_alive():
            arguments = [self.port, str(self.inbox)]
            self.server = multiprocessing.Process(target=self.serve, args=arguments, daemon=True)
            self.server.start()
        self.deliveries = [process for process in self.deliveries if process.poll() is None]
        while len(self.deliveries) < PROCESSES:
            command = [sys.executable, "manage.py", "deliver"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.deliveries.append(subprocess.Popen(command, cwd=ROOT, **quiet))  # noqa: S603 (our own command)

    def disturb(self) -> str:
        faults = ["deliver killed", "deliver stopped", f"{self.name} killed", f"{self.name} stopped"]
        fault = random.choice(faults)  # noqa: S311 (chaos)
        victim = random.choice(self.deliveries)  # noqa: S311 (chaos)
        if fault == "deliver killed":
            victim.kill()
            victim.wait()
        elif fault == "deliver stopped":
            victim.send_signal(signal.SIGSTOP)
            time.sleep(2)
            victim.send_signal(signal.SIGCONT)
        elif fault == f"{self.name} stopped":
            os.kill(self.server.pid, signal.SIGSTOP)
            time.sleep(STOP_SECONDS)
            os.kill(self.server.pid, signal.SIGCONT)
        else:
            self.server.kill()
            self.server.join()
            time.sleep(2)
        return fault

    def came(self) -> list[str]:
        """The identities of what came, in order."""
        return self.inbox.read_text().split()

    def end(self) -> None:
        for process in self.deliveries:
            process.kill()
            process.wait()
        self.server.kill()


def book(count: int) -> None:
    """Makes so many bookings of several events, and gives back or cancels two thirds of them."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "ticks.settings"
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


def expected() -> dict[str, tuple[int, int]]:
    """The identity of each mail that must come, with its booking and its number in the ledger."""
    from bookings.models import LedgerEntry

    entries = LedgerEntry.objects.filter(kind__in=TOLD).values_list("event", "sequence", "booking")
    return {f"<ticks.{event}.{number}.{pk}@example.org>": (pk, number) for event, number, pk in entries}


def main() -> int:
    parser = argparse.ArgumentParser(prog="mails", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60, help="how long it is disturbed")
    options = parser.parse_args()
    stage = Stage("mail server", accept_mails)
    os.environ |= {
        "EMAIL_URL": f"smtp://127.0.0.1:{stage.port}",
        "DEFAULT_FROM_EMAIL": "ticks@example.org",
        "SITE_URL": "http://127.0.0.1:8000",
        "MAIL_DELAY_SECONDS": "0",
    }
    migrate()
    faults = disturb(stage, expected, bookings=options.bookings, seconds=options.seconds)
    return compare(expected(), stage.came(), faults)


def migrate() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "ticks.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def disturb(
    stage: Stage, expected: Callable[[], dict[str, tuple[int, int]]], *, bookings: int, seconds: int
) -> Counter[str]:
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
        wanted = expected()
        until = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < until and wanted.keys() - set(stage.came()):
            stage.start_all()
            time.sleep(1)
    finally:
        stage.end()
    return faults


def compare(wanted: dict[str, tuple[int, int]], came: list[str], faults: Counter) -> int:
    told = defaultdict(list)
    for identity in dict.fromkeys(came):
        booking, number = wanted[identity]
        told[booking].append(number)
    lost = len(wanted.keys() - set(came))
    out_of_order = sum(numbers != sorted(numbers) for numbers in told.values())
    print(f"Faults: {', '.join(f'{fault} {times}' for fault, times in sorted(faults.items()))}")
    print(f"{len(wanted)} facts: {lost} lost, {out_of_order} bookings out of order, {len(came) - len(set(came))} twice")
    return 1 if lost or out_of_order else 0


if __name__ == "__main__":
    sys.exit(main())
