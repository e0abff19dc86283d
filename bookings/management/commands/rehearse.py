import fcntl
import re
import signal
import sys
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.db import Error, connection
from django.utils import timezone

from bookings.rehearsal.copy import ROWS, copies, make_buyers, open_copy, remove_rehearsals
from bookings.rehearsal.crowd import Crowd, Server
from bookings.rehearsal.report import Comparison, compare, report
from events.models import Event
from ticks.db.migrations import refuse_other_schema
from ticks.exceptions import Refusal
from ticks.formatting import counted
from ticks.parsing import find

INTERRUPTED = 130
SIZES = re.compile(r"([1-4])(?:-([1-4]))?")
REST = "Anything that is left is deleted by the next rehearsal, or at once with --clean."


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def sizes(text: str) -> tuple[int, int]:
    match = SIZES.fullmatch(text)
    if match is None or match[1] > (match[2] or match[1]):
        raise ArgumentTypeError(f"{text!r} is neither a size such as 2 nor a range such as 1-4, from 1 to 4")
    return int(match[1]), int(match[2] or match[1])


class Command(BaseCommand):
    help = (
        "Rehearses an on-sale: made-up buyers storm a copy of the event over HTTP, on this deployment, and you read "
        "how fast it was, what was refused, and that nothing was oversold. The event itself is not touched. While it "
        "runs the copy is in the list of events, as 'Rehearsal of ...'; who books on it by mistake loses that booking. "
        "It puts real load on the server, so real buyers wait longer. Afterwards copy, bookings and accounts are "
        "deleted."
    )

    def add_arguments(self, parser):
        add = parser.add_argument
        add("event", nargs="?", metavar="EVENT", help="the event's id")
        add("--buyers", type=whole(1, 50_000), default=1000, metavar="N", help="how many, up to 50,000 (1000)")
        seconds = "in which they come, 1 to 600 (30); they then have a minute to finish"
        add("--seconds", type=whole(1, 600), default=30, metavar="S", help=seconds)
        add("--connections", type=whole(1, 500), default=64, metavar="C", help="that they share, up to 500 (64)")
        tickets = "of a booking, such as 2 or 1-4 (1-2); no more than the event sells at once"
        add("--tickets", type=sizes, default=(1, 2), metavar="SIZES", help=tickets)
        add("--url", help="of the server (HOST and PORT of the settings), such as http://127.0.0.1:8000")
        add("--clean", action="store_true", help="only delete what an interrupted rehearsal has left")
        add("--yes", action="store_true", help="do not ask")

    def run_from_argv(self, argv):
        # A rehearsal that is terminated, or whose terminal closes, cleans up as after Ctrl-C; not so under nohup. The
        # event loop ends in good order only by SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
        super().run_from_argv(argv)

    def handle(self, *args, **options):
        try:
            with one_at_a_time():
                refuse_other_schema()
                self.clean(options) if options["clean"] else self.run(options)
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. {REST}", returncode=INTERRUPTED) from None
        except (Refusal, Error) as error:
            raise CommandError(f"The database failed ({error.__cause__ or error}). {REST}") from error

    def run(self, options) -> None:
        event = event_to_rehearse(options["event"])
        server = Server(options["url"])
        server.refuse_unready()
        if not options["yes"] and sys.stdin and sys.stdin.isatty():
            self.confirm(event, options)
        self.clean(options)
        try:
            found = self.rehearse(event, server, options)
        finally:
            self.say("Removing what was made ...")
            connection.close()
            removed = remove_rehearsals()
        self.say(f"Deleted again: {listed(removed)}.")
        if found.findings:
            raise CommandError("The rehearsal found bookings that are not in order; see above.")

    def rehearse(self, event: Event, server: Server, options) -> Comparison:
        number = options["buyers"]
        self.say(f"Preparing a copy of the event and {counted(number, 'account')} ...")
        copy = open_copy(event)
        buyers = make_buyers(range(1))
        # This check comes before thousands of accounts are made.
        server.refuse_another_database(copy, token=buyers[0][1])
        for first in range(1, number, ROWS):
            buyers += make_buyers(range(first, min(first + ROWS, number)))
        limit = min(event.max_tickets_per_booking or event.total_tickets, event.total_tickets)
        low, high = options["tickets"]
        crowd = Crowd(buyers, server, copy, seconds=options["seconds"], tickets=(min(low, limit), min(high, limit)))
        self.say(f"On sale for {options['seconds']} s ...")
        began = timezone.now()
        crowd.come(connections=min(options["connections"], number), say=self.say)
        self.say("Comparing what the buyers were answered with the database ...")
        # The connection was idle meanwhile, and the database may have been restarted.
        connection.close()
        found = compare(copy, crowd, began=began)
        self.say(f"\n{report(event, crowd, found)}\n")
        return found

    def confirm(self, event: Event, options) -> None:
        buyers, seconds = options["buyers"], options["seconds"]
        self.say(f"{buyers:,} made-up buyers will load this deployment for {seconds} s, or a minute longer.")
        try:
            typed = input(f"Type the event's name to go on ({event.name}): ")
        except EOFError:
            typed = ""
        if typed.strip() != event.name.strip():
            raise CommandError("That is not the event's name; nothing was done.")

    def clean(self, options) -> None:
        removed = remove_rehearsals()
        if removed:
            self.say(f"Deleted what an earlier rehearsal had left: {listed(removed)}.")
        elif options["clean"]:
            self.say("No rehearsal has left anything.")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def event_to_rehearse(number: str | None) -> Event:
    if number is None:
        raise CommandError("EVENT is missing; name the id of the event to rehearse.")
    event = find(Event.objects.all(), number.strip())
    if event is None:
        raise CommandError(f"There is no event {number}; give the id of one.")
    if event.deleted_at:
        raise CommandError(f"Event {number} is cancelled; rehearse one that stands.")
    if copies().filter(pk=event.pk).exists():
        raise CommandError(f"Event {number} is itself a rehearsal; name the real event.")
    return event


def listed(removed: Counter[str]) -> str:
    return ", ".join(counted(removed[thing], thing) for thing in ("event", "booking", "account"))


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keeps out other rehearsals on this machine, since one would delete what another uses. Raises `CommandError`."""
    settings.LOCAL_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.LOCAL_DIR / "rehearsal.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("Another rehearsal is running here; wait until it ends.") from None
        yield
