import os
import signal
import threading

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from bookings.services.delivery import Delivery
from bookings.services.webhooks.delivery import WebhookDelivery
from ticks.db.migrations import refuse_other_schema
from ticks.formatting import counted

# How often it looks for something new.
POLL_SECONDS = 1
# The operating system's priority, as for the command `nice`. A server on the same machine goes first: its callers wait,
# and mails and webhooks can.
NICENESS = 10


class Command(BaseCommand):
    help = (
        "Sends mails to holders about what happened to their bookings, and changes to webhooks, until it is stopped. "
        "Any number may run, on any hosts. Without a mail server (EMAIL_URL) it skips what happens and sends no mails, "
        "except on SQLite, where mails are written to files."
    )

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="end when nothing is left to do at the moment")
        parser.add_argument("--parent", type=int, metavar="PID", help="end soon after this parent process has ended")

    def handle(self, *args, once, parent, **options):
        refuse_other_schema()
        stopping = threading.Event()
        if not once:
            self.stdout.write(f"Delivering. {settings.MAIL_STATUS}")
            self.stdout.flush()
            os.nice(NICENESS)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: stopping.set())

        def is_stopping() -> bool:
            return stopping.is_set() or parent not in (None, os.getppid())

        # Neither a mail server nor a receiver that hangs holds up the other.
        webhooks = WebhookDelivery(is_stopping=is_stopping)
        webhooks_thread = threading.Thread(target=webhooks.run, kwargs={"once": once}, daemon=True)
        webhooks_thread.start()
        delivery = Delivery(is_stopping=is_stopping)
        while not is_stopping():
            has_more = delivery.run_once()
            if once and not has_more:
                break
            if not (once or webhooks_thread.is_alive() or is_stopping()):
                # Whoever started this process starts it again.
                raise CommandError("Webhooks are no longer sent; the log says why.")
            if not has_more:
                stopping.wait(POLL_SECONDS)
        webhooks_thread.join()
        if once:
            failed = f" {counted(delivery.failed, 'attempt')} failed and will be repeated." if delivery.failed else ""
            self.stdout.write(f"Sent {counted(delivery.sent, 'mail')}.{failed}")
            if webhooks.sent or webhooks.failed:
                failed = f" {counted(webhooks.failed, 'attempt')} failed." if webhooks.failed else ""
                self.stdout.write(f"Sent {counted(webhooks.sent, 'message')} to webhooks.{failed}")
