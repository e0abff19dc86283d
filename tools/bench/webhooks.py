"""Measures the webhooks of `manage.py deliver`: how fast it passes ledger entries that concern nobody, how fast it
sends messages, and how much slower it is beside a receiver that hangs.

    .venv/bin/python tools/private_mariadb.py -- .venv/bin/python -m tools.bench.webhooks --entries 1000000

The receivers are on this machine, in a process of their own. The database must be empty."""

import argparse
import multiprocessing
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import django

EVENTS = 10


def receive(ports) -> None:
    """Answers at once, and under `/slow` never in time."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/slow":
                time.sleep(30)
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ports.put(server.server_address[1])
    server.serve_forever()


def subscribe(name: str, url: str, event=None, *, from_beginning: bool = False):
    from bookings.services.webhooks.subscriptions import Terms, create_webhook

    return create_webhook(Terms(name, url, event, []), from_beginning=from_beginning)[0]


def forget_webhooks() -> None:
    from bookings.webhooks import Webhook, WebhookMessage

    WebhookMessage.objects.all().delete()
    Webhook.objects.all().delete()


def measure_reading(actor, url: str, *, entries: int) -> float:
    """Seconds to pass so many entries of other events than the one that a webhook asks for."""
    from bookings.services.events import open_event
    from bookings.services.webhooks.feed import read_feed
    from bookings.webhooks import WebhookMessage
    from tools.bench.fill import fill

    forget_webhooks()
    event = open_event({"name": "Asked for", "total_tickets": 1}, actor=actor)
    for _ in range(EVENTS):
        fill(bookings=entries // EVENTS, actor=actor)
    subscribe("One event", url, event, from_beginning=True)
    began = time.perf_counter()
    while read_feed():
        pass
    seconds = time.perf_counter() - began
    if WebhookMessage.objects.count() != 1:
        sys.exit("The webhook was told of other events than its own.")
    return seconds


def measure_sending(actor, urls: list[str], *, messages: int) -> float:
    """Seconds until the last of these receivers has taken so many messages, each about a booking of its own."""
    from bookings.services.webhooks.delivery import WebhookDelivery
    from bookings.webhooks import WebhookMessage
    from tools.bench.fill import fill

    forget_webhooks()
    webhooks = [subscribe(url, url) for url in urls]
    fill(bookings=messages, actor=actor)
    began, is_done = time.time(), threading.Event()
    watcher = threading.Thread(target=watch, args=[webhooks[-1], messages + 1, is_done])
    watcher.start()
    WebhookDelivery(is_stopping=is_done.is_set).run()
    watcher.join()
    # What follows the last message is the end of a request that hangs.
    return WebhookMessage.objects.filter(webhook=webhooks[-1]).latest("sent_at").sent_at.timestamp() - began


def watch(webhook, messages: int, is_done: threading.Event) -> None:
    from django.db import connection

    while webhook.messages.filter(state="sent").count() < messages:
        time.sleep(0.2)
    is_done.set()
    connection.close()


def measure_idling(*, turns: int = 200) -> float:
    """Seconds of a look for news, where there are none."""
    from bookings.services.webhooks.feed import read_feed

    began = time.perf_counter()
    for _ in range(turns):
        read_feed()
    return (time.perf_counter() - began) / turns


def main() -> None:
    parser = argparse.ArgumentParser(prog="webhooks", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=2000)
    options = parser.parse_args()
    ports = multiprocessing.Queue()
    server = multiprocessing.Process(target=receive, args=[ports], daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ports.get()}"
    os.environ |= {"EMAIL_URL": "", "WEBHOOK_ALLOW_PRIVATE": "on"}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    django.setup()
    from django.core.management import call_command

    from accounts.models import User

    call_command("migrate", verbosity=0)
    if User.objects.exists():
        sys.exit("The database is not empty.")
    actor = User.objects.create(username="bench", is_staff=True)
    sending = measure_sending(actor, [f"{url}/fast"], messages=options.messages)
    print(f"{options.messages:,} messages: {sending:.1f} s, {options.messages / sending * 60:,.0f} a minute")
    beside = measure_sending(actor, [f"{url}/slow", f"{url}/fast"], messages=options.messages)
    print(f"beside a receiver that hangs: {beside:.1f} s, {options.messages / beside * 60:,.0f} a minute")
    reading = measure_reading(actor, url, entries=options.entries)
    print(f"{options.entries:,} entries of other events: {reading:.1f} s, {options.entries / reading:,.0f} a second")
    print(f"a look without news: {measure_idling() * 1000:.1f} ms")
    server.terminate()


if __name__ == "__main__":
    main()
