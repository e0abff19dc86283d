"""Measures what the pages of the staff's site cost with a million bookings on MariaDB: queries and server milliseconds.

    .venv/bin/python -m tools.bench.pages [--bookings 1000000]

Each page is requested five times in this process, through all layers except the sockets, with the time-outs of a real
request. The median is printed."""

import argparse
import logging
import os
import secrets
import statistics
import sys
import time

import django

from tools.bench.world import MARIADB_OPTIONS
from tools.private_mariadb import private_mariadb
from tools.service import columns

ROUNDS = 5
GOAL_MS = 300
SMALL_EVENTS = 1000
NAMES = """
UPDATE bookings_booking SET
  first_name = ELT(1 + id % 5, 'Ada', 'Grace', 'Alan', 'Katherine', 'Edsger'),
  last_name = ELT(1 + id DIV 7 % 5, 'Lovelace', 'Hopper', 'Turing', 'Johnson', 'Dijkstra'),
  email = CONCAT(LOWER(ELT(1 + id DIV 7 % 5, 'Lovelace', 'Hopper', 'Turing', 'Johnson', 'Dijkstra')), '.',
                 id % 50000, '@example.org')
"""
PAGES = """
home: /admin/
events: /admin/events/event/
events, last page: /admin/events/event/?p=20
events, on sale: /admin/events/event/?state=on_sale
event: /admin/events/event/{event}/
event, in the midst of its waitlist: /admin/events/event/{event}/?place={middle}
event, book: /admin/events/event/{event}/book/
event, capacity: /admin/events/event/{event}/capacity/
event, sales: /admin/events/event/{event}/sales/
event, cancel: /admin/events/event/{event}/cancel/
bookings: /admin/bookings/booking/
bookings, oldest page: /admin/bookings/booking/?before=0
bookings of an event: /admin/bookings/booking/?event={event}
bookings that wait: /admin/bookings/booking/?status=waitlisted
bookings of today: /admin/bookings/booking/?since={today}
bookings of 4 tickets or more: /admin/bookings/booking/?least=4
bookings of 100 tickets or more (none): /admin/bookings/booking/?least=100
search, reference (leads to it): /admin/bookings/booking/?q={reference}
search, id (leads to it): /admin/bookings/booking/?q={waiting}
search, whole mail address: /admin/bookings/booking/?q=lovelace.7@example.org
search, part of mail addresses: /admin/bookings/booking/?q=.4711@
search, a name of many: /admin/bookings/booking/?q=Grace+Hopper
search, the name of the oldest booking: /admin/bookings/booking/?q=Quinquaginta
search, nothing found: /admin/bookings/booking/?q=nobody.of.this.name
booking: /admin/bookings/booking/{waiting}/
booking, cancel: /admin/bookings/booking/{waiting}/cancel/
booking, move: /admin/bookings/booking/{waiting}/move/
booking, serve: /admin/bookings/booking/{waiting}/serve/
ledger: /admin/bookings/ledgerentry/
ledger, oldest page: /admin/bookings/ledgerentry/?before=0
ledger of an event: /admin/bookings/ledgerentry/?event={event}
ledger, one kind: /admin/bookings/ledgerentry/?kind=waitlisted
ledger entry: /admin/bookings/ledgerentry/{entry}/change/
accounts: /admin/accounts/user/
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="pages", description=__doc__.splitlines()[0])
    parser.add_argument("--bookings", type=int, default=1_000_000)
    options = parser.parse_args()
    with private_mariadb(extra_options=MARIADB_OPTIONS) as mariadb:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "ticks.settings",
            "TICKS_ENV_FILE": "",
            "SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": secrets.token_hex(32),
            "DATABASE_URL": mariadb.url,
        }
        django.setup()
        print(f"Filling in {options.bookings:,} bookings ...", file=sys.stderr)
        addresses = PAGES.strip().format(**fill_tables(options.bookings))
        client = logged_in()
        lines = [measure(client, *line.split(": ", 1)) for line in addresses.splitlines()]
    print("\n" + columns([("page", "queries", "server ms", ""), *lines]))
    return 1 if any(line[-1] for line in lines) else 0


def fill_tables(bookings: int) -> dict[str, object]:
    """The ids in the addresses of the pages."""
    from django.core.management import call_command
    from django.db import connection

    from accounts.models import User
    from bookings.models import Booking, LedgerEntry
    from bookings.services.events import open_event
    from tools.bench.fill import fill

    call_command("migrate", verbosity=0)
    admin = User.objects.create_superuser("bench", "bench@example.org", None)
    for number in range(SMALL_EVENTS):
        open_event({"name": f"Evening {number}", "total_tickets": 100}, actor=admin)
    half, waiting = bookings // 2, bookings // 10
    fill(bookings=bookings - half, left=1000, actor=admin)
    event = fill(bookings=half - waiting, waiting=waiting, actor=admin)
    with connection.cursor() as cursor:
        cursor.execute(NAMES)
        cursor.execute("ANALYZE TABLE events_event, bookings_booking, bookings_ledgerentry")
    oldest = Booking.objects.order_by("pk").first()
    Booking.objects.filter(pk=oldest.pk).update(last_name="Quinquaginta")
    return {
        "event": event.pk,
        "middle": waiting // 2,
        "reference": oldest.reference,
        "waiting": Booking.objects.filter(event=event, status="waitlisted").order_by("pk")[waiting // 2].pk,
        "entry": LedgerEntry.objects.order_by("-pk").first().pk,
        "today": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def logged_in():
    from django.conf import settings
    from django.db import connection
    from django.test import Client

    from accounts.models import User

    logging.disable(logging.CRITICAL)
    # These are the server's time-outs, since a page that takes longer would not be served.
    connection.settings_dict["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
    connection.close()
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username="bench"))
    return client


def measure(client, name: str, address: str) -> tuple[str, ...]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        response = client.get(address)
        times.append((time.perf_counter() - began) * 1000)
        if response.status_code not in (200, 302):
            sys.exit(f"{address} was answered with {response.status_code}")
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    middle = statistics.median(times)
    return name, str(len(queries)), f"{middle:.0f}", "SLOW" if middle > GOAL_MS else ""


if __name__ == "__main__":
    sys.exit(main())
