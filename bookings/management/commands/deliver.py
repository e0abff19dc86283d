import os
import signal
import threading
import time

from django.conf import settings
from django.core.management import BaseCommand

from bookings.services.delivery import Delivery
from ticks.db.migrations import refuse_other_schema

# How often it looks for something new.
POLL_SECONDS = 1
# A mail that is being sent may take so long after the end of the server beside which it runs.
END_SECONDS = 8


class Command(BaseCommand):
    help = (
        "Tells holders by mail what happened to their bookings, until it is stopped. Any number may run, on any hosts. "
        "Without a mail server (EMAIL_URL) it passes what happens and tells nobody, except on SQLite, where mails are "
        "written to files."
    )

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="end when nothing is left to do at the moment")
        parser.add_argument("--beside", type=int, metavar="PID", help="end when this process, the parent, has ended")

    def handle(self, *args, once, beside, **options):
        refuse_other_schema()
        stopping = threading.Event()
        if not once:
            self.stdout.write(f"Delivering. {settings.MAIL_STATUS}")
            self.stdout.flush()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: stopping.set())
        if beside:
            threading.Thread(target=end_with, args=[beside, stopping], name="parent", daemon=True).start()
        delivery = Delivery(is_stopping=stopping.is_set)
        while not stopping.is_set():
            has_more = delivery.run_once()
            if once and not has_more:
                break
            if not has_more:
                stopping.wait(POLL_SECONDS)
        if once:
            self.stdout.write(f"Sent {delivery.sent} mails; {delivery.failed} failed and wait for their next attempt.")


def end_with(parent: int, stopping: threading.Event) -> None:
    """Ends this process soon after its parent has ended, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.2)
    stopping.set()
    time.sleep(END_SECONDS)
    os._exit(1)
