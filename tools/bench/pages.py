"""What the pages of the staff's site cost with a million bookings on MariaDB: queries and server milliseconds.

    .venv/bin/python -m tools.bench.pages [--bookings 1000000]

Each page is asked for five times in this process, past no layer but the sockets, with the time-outs that a request
has. The median is told.
"""

import argparse
import os
import secrets
import statistics
import sys
import time

import django

from tools.bench.progress import Progress
from tools.bench.report import columns
from tools.bench.stage import MARIADB_OPTIONS
from tools.private_mariadb import private_mariadb

ROUNDS = 5
GOAL_MS = 300
SMALL_EVENTS = 1000
FIRST = ("Ada", "Grace", "Alan", "Katherine", "Edsger", "Barbara", "Donald", "Margaret", "Rosalind", "Emmy", "Alonzo")
LAST = ("Lovelace", "Hopper", "Turing", "Johnson", "Dijkstra", "Liskov", "Knuth", "Hamilton", "Franklin", "Noether")
LAST_OF_ALL = "Quinquaginta"
NAMES = """
UPDATE bookings_booking SET
  first_name = ELT(1 + id %% {first}, {firsts}), last_name = ELT(1 + id DIV 7 %% {last}, {lasts}),
  email = CONCAT(LOWER(ELT(1 + id DIV 7 %% {last}, {lasts})), '.', id %% 50000, '@example.org')
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
        progress = Progress(0)
        progress.say(f"filling in {options.bookings} bookings ...")
        pages = filled(options.bookings)
        lines = [measured(name, address) for name, address in pages]
    print("\n" + columns([("page", "queries", "server ms", "(min-max)", ""), *(line for line, _ in lines)]))
    return 1 if any(is_slow for _, is_slow in lines) else 0


def filled(bookings: int) -> list[tuple[str, str]]:
    """The pages to ask for, once the tables are filled."""
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
    listed = {name: ", ".join(["%s"] * len(names)) for name, names in (("firsts", FIRST), ("lasts", LAST))}
    with connection.cursor() as cursor:
        cursor.execute(NAMES.format(first=len(FIRST), last=len(LAST), **listed), [*FIRST, *LAST, *LAST])
        cursor.execute("ANALYZE TABLE events_event, bookings_booking, bookings_ledgerentry")
    oldest = Booking.objects.order_by("pk").first()
    Booking.objects.filter(pk=oldest.pk).update(last_name=LAST_OF_ALL)
    waits = Booking.objects.filter(event=event, status="waitlisted").order_by("pk")[waiting // 2]
    entry = LedgerEntry.objects.order_by("-pk").first()
    return list(addresses(event=event.pk, oldest=oldest, waits=waits.pk, entry=entry.pk, waiting=waiting))


def addresses(*, event: int, oldest, waits: int, entry: int, waiting: int):
    yield "home", "/admin/"
    events, bookings, ledger = "/admin/events/event/", "/admin/bookings/booking/", "/admin/bookings/ledgerentry/"
    yield "events", events
    yield "events, last page", f"{events}?p={SMALL_EVENTS // 50}"
    yield "events, on sale", f"{events}?state=on_sale"
    yield "event", f"{events}{event}/"
    yield "event, in the midst of its line", f"{events}{event}/?place={waiting // 2}"
    for action in ("book", "capacity", "sales", "edit", "cancel"):
        yield f"event: {action}", f"{events}{event}/{action}/"
    yield "event: import", f"{events}import/"
    yield "bookings", bookings
    yield "bookings, oldest page", f"{bookings}?before=0"
    yield "bookings of an event", f"{bookings}?event={event}"
    yield "bookings that wait", f"{bookings}?status=waitlisted"
    yield "bookings of today", f"{bookings}?since={time.strftime('%Y-%m-%d', time.gmtime())}"
    yield "bookings of 4 tickets or more", f"{bookings}?least=4"
    yield "bookings of 100 tickets or more (none)", f"{bookings}?least=100"
    yield "search: reference (leads to it)", f"{bookings}?q={oldest.reference}"
    yield "search: id (leads to it)", f"{bookings}?q={waits}"
    yield "search: whole mail address", f"{bookings}?q={LAST[0].lower()}.7@example.org"
    yield "search: part of mail addresses", f"{bookings}?q=.4711@"
    yield "search: a name of many", f"{bookings}?q=Grace+Hopper"
    yield "search: a name of the oldest booking", f"{bookings}?q={LAST_OF_ALL}"
    yield "search: nothing found", f"{bookings}?q=nobody.of.this.name"
    yield "booking", f"{bookings}{waits}/"
    for action in ("cancel", "transfer", "move", "serve"):
        yield f"booking: {action}", f"{bookings}{waits}/{action}/"
    yield "ledger", ledger
    yield "ledger, oldest page", f"{ledger}?before=0"
    yield "ledger of an event", f"{ledger}?event={event}"
    yield "ledger, one kind", f"{ledger}?kind=waitlisted"
    yield "ledger entry", f"{ledger}{entry}/change/"
    yield "accounts", "/admin/accounts/user/"


def measured(name: str, address: str) -> tuple[tuple[str, ...], bool]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = logged_in()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        response = client.get(address)
        took.append((time.perf_counter() - began) * 1000)
        if response.status_code not in (200, 302):
            sys.exit(f"{address} was answered with {response.status_code}")
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    middle = statistics.median(took)
    is_slow = middle > GOAL_MS
    spread = f"({min(took):.0f}-{max(took):.0f})"
    return (name, str(len(queries)), f"{middle:.0f}", spread, "SLOW" if is_slow else ""), is_slow


def logged_in():
    import logging

    from django.conf import settings
    from django.db import connection, connections
    from django.test import Client

    from accounts.models import User

    logging.disable(logging.CRITICAL)
    # As the server's: whatever takes longer there is no page.
    if not connections.settings["default"]["OPTIONS"].get("read_timeout"):
        connections.settings["default"]["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
        connection.close()
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username="bench"))
    return client


if __name__ == "__main__":
    sys.exit(main())
