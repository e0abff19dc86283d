"""Measures `manage.py deliver`: how fast it passes ledger entries that concern nobody, and how fast it sends mails.

    .venv/bin/python tools/private_mariadb.py -- .venv/bin/python -m tools.bench.deliveries

The mails go to a mail server in a process of its own on this machine. The database must be empty."""

import argparse
import logging
import multiprocessing
import os
import socket
import sys
import time

import django


def accept_mails(port: int, is_ready) -> None:
    from aiosmtpd.controller import Controller

    logging.getLogger("mail.log").setLevel(logging.ERROR)

    class Accept:
        # aiosmtpd calls it by its name.
        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            return "250 OK"

    Controller(Accept(), hostname="127.0.0.1", port=port).start()
    is_ready.set()
    time.sleep(3600)


def start_mail_server() -> tuple[multiprocessing.Process, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    is_ready = multiprocessing.Event()
    server = multiprocessing.Process(target=accept_mails, args=[port, is_ready], daemon=True)
    server.start()
    is_ready.wait(10)
    return server, port


def measure_reading(actor, *, entries: int, event_count: int = 10) -> float:
    """Seconds to pass so many entries of bookings without an address."""
    from bookings.models import Booking
    from bookings.outbox import Mail
    from tools.bench.fill import fill

    for _ in range(event_count):
        fill(bookings=entries // event_count, actor=actor)
    Booking.objects.update(email="")
    seconds = deliver_all()
    if Mail.objects.exists():
        sys.exit("A booking without an address got a mail.")
    return seconds


def measure_sending(actor, *, mails: int) -> float:
    """Seconds to read so many bookings and send a mail for each."""
    from bookings.outbox import Mail
    from tools.bench.fill import fill

    fill(bookings=mails, actor=actor)
    seconds = deliver_all()
    if Mail.objects.filter(state="sent").count() != mails:
        sys.exit("Not every mail was sent.")
    return seconds


def measure_idling(*, turns: int = 200) -> float:
    """Seconds of a turn without news."""
    from bookings.services.delivery import Delivery

    delivery = Delivery()
    began = time.perf_counter()
    for _ in range(turns):
        delivery.run_once()
    return (time.perf_counter() - began) / turns


def deliver_all() -> float:
    from bookings.services.delivery import Delivery

    delivery = Delivery()
    began = time.perf_counter()
    while delivery.run_once():
        pass
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="deliveries", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--mails", type=int, default=2000)
    options = parser.parse_args()
    server, port = start_mail_server()
    os.environ["EMAIL_URL"], os.environ["DEFAULT_FROM_EMAIL"] = f"smtp://127.0.0.1:{port}", "ticks@example.org"
    os.environ["SITE_URL"], os.environ["MAIL_DELAY_SECONDS"] = "http://127.0.0.1:8000", "0"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    django.setup()
    from django.core.management import call_command

    from accounts.models import User

    call_command("migrate", verbosity=0)
    if User.objects.exists():
        sys.exit("The database is not empty.")
    actor = User.objects.create(username="bench", is_staff=True)
    reading = measure_reading(actor, entries=options.entries)
    print(f"{options.entries:,} entries without an address: {reading:.1f} s, {options.entries / reading:,.0f} a second")
    print(f"a turn without news: {measure_idling() * 1000:.1f} ms")
    sending = measure_sending(actor, mails=options.mails)
    print(f"{options.mails:,} mails: {sending:.1f} s, {options.mails / sending * 60:,.0f} a minute")
    server.terminate()


if __name__ == "__main__":
    main()
