import fcntl
import re
import signal
import sys
from argparse import ArgumentTypeError
from asyncio import CancelledError
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.db import Error, connection
from django.utils import timezone

from bookings.models import Booking, LedgerEntry
from bookings.rehearsal.copy import copies, make_buyers, open_copy, remove_rehearsals
from bookings.rehearsal.crowd import DRAIN_SECONDS, Crowd, Server
from bookings.services.verification import verify_events
from events.models import Event
from ticks.db.migrations import refuse_other_schema
from ticks.exceptions import Refusal
from ticks.formatting import counted
from ticks.load import Tally
from ticks.parsing import find

INTERRUPTED = 130
MOST = {"buyers": 50_000, "seconds": 600}
SIZES = re.compile(r"([1-4])(?:-([1-4]))?")
REST = "Anything that is left is deleted by the next rehearsal, or at once with --clean."
LABEL = 26


def sizes(text: str) -> tuple[int, int]:
    match = SIZES.fullmatch(text)
    if match is None or match[1] > (match[2] or match[1]):
        raise ArgumentTypeError(f"{text!r} is neither a size such as 2 nor a range such as 1-4, from 1 to 4")
    return int(match[1]), int(match[2] or match[1])


class Command(BaseCommand):
    help = (
        "Rehearses an on-sale: made-up buyers storm a copy of the event over HTTP, on this deployment, and you read "
        "how fast it was, what was refused, and that nothing was oversold. Real buyers wait longer meanwhile. The copy "
        "is in the list of events, as 'Rehearsal of ...'. Afterwards it is deleted with the made-up accounts and with "
        "all its bookings, also those that other people made on it by mistake."
    )

    def add_arguments(self, parser):
        add = parser.add_argument
        add("event", nargs="?", metavar="EVENT", help="the event's id")
        add("--buyers", type=int, default=1000, metavar="N", help="how many, up to 50,000 (1000)")
        seconds = "in which they come, 1 to 600 (30); they then have a minute to finish"
        add("--seconds", type=int, default=30, metavar="S", help=seconds)
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
        for name, most in MOST.items():
            if not 1 <= options[name] <= most:
                raise CommandError(f"--{name} is a number from 1 to {most}.")
        try:
            with lock_rehearsals():
                refuse_other_schema()
                self.clean(options) if options["clean"] else self.run(options)
        except (KeyboardInterrupt, CancelledError):
            # asyncio passes the second one on where something else was cancelling the crowd at the same moment.
            raise CommandError(f"Interrupted. {REST}", returncode=INTERRUPTED) from None
        except (Refusal, Error) as error:
            raise CommandError(f"The database failed ({error.__cause__ or error}). {REST}") from error

    def run(self, options) -> None:
        event = event_to_rehearse(options["event"])
        server = Server(options["url"])
        if not options["yes"] and sys.stdin and sys.stdin.isatty():
            self.confirm(event, options)
        self.clean(options)
        try:
            findings = self.rehearse(event, server, options)
        finally:
            self.say("Removing what was made ...")
            connection.close()
            removed = remove_rehearsals()
        self.say(f"Deleted again: {listed(removed)}.")
        if findings:
            raise CommandError("The rehearsal found bookings that are not in order; see above.")

    def rehearse(self, event: Event, server: Server, options) -> list[str]:
        number, seconds = options["buyers"], options["seconds"]
        self.say(f"Preparing a copy of the event and {counted(number, 'account')} ...")
        copy = open_copy(event)
        buyers = make_buyers(number)
        server.refuse_another_database(copy, token=buyers[0][1])
        limits = (event.total_tickets, event.max_tickets_per_booking, event.max_tickets_per_person)
        limit = min(filter(None, limits))
        low, high = options["tickets"]
        crowd = Crowd(buyers, server, copy, seconds=seconds, tickets=(min(low, limit), min(high, limit)))
        self.say(f"On sale for {seconds} s, and until the last buyer has an answer: {DRAIN_SECONDS} s more at most ...")
        began = timezone.now()
        crowd.come()
        # The connection was idle meanwhile, and the database may have been restarted.
        connection.close()
        found = Comparison(copy, crowd, began)
        self.say("\n" + "\n".join(report(event, crowd, found)) + "\n")
        return found.findings

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
def lock_rehearsals() -> Iterator[None]:
    """Keeps out other rehearsals on this machine, since one would delete what another uses. Raises `CommandError`."""
    settings.LOCAL_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.LOCAL_DIR / "rehearsal.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError("Another rehearsal is running here; wait until it ends.") from None
        yield


class Comparison:
    """The stored rows of the copy, compared with the buyers' answers."""

    def __init__(self, copy: Event, crowd: Crowd, began: datetime):
        [verified] = verify_events(copy.pk)
        rows = list(Booking.objects.filter(event=copy).values_list("pk", "user_id", "tickets_reserved"))
        by_buyer = {order.user_id: order for order in crowd.orders}
        own = [row for row in rows if row[1] in by_buyer]
        last = LedgerEntry.objects.filter(event=copy, available_after=0, kind="booked").order_by("sequence").first()
        self.sold_out_after = (last.created_at - began).total_seconds() if last else None
        self.held, self.by_others = verified.held, len(rows) - len(own)
        self.findings = [*verified.findings, *broken_promises(own, by_buyer)]


def broken_promises(rows: list[tuple], by_buyer: dict) -> list[str]:
    """The differences between a buyer's answers and the stored rows, counted by kind."""
    stored = {pk: (user, tickets) for pk, user, tickets in rows}
    answered = {order.booking_id: (user, order.tickets) for user, order in by_buyer.items() if order.booking_id}
    counts = {
        "acknowledged bookings that are not stored": len(answered.keys() - stored.keys()),
        "bookings stored for another buyer or number of tickets than was answered": sum(
            stored.get(pk, booking) != booking for pk, booking in answered.items()
        ),
        "second bookings of a buyer who asked for one": len(rows) - len({user for _, user, _ in rows}),
        "bookings stored for buyers who were refused": sum(by_buyer[user].outcome == "refused" for _, user, _ in rows),
    }
    return [f"{what}: {count:,}" for what, count in counts.items() if count]


def report(event: Event, crowd: Crowd, found: Comparison) -> Iterator[str]:
    total, outcomes = event.total_tickets, Counter(order.outcome for order in crowd.orders)
    low, high = crowd.tickets
    waitlist = "with a waitlist" if event.waitlist_enabled else "without a waitlist"
    yield f"Rehearsal of event {event.pk}, {event.name}: {counted(total, 'ticket')}, {waitlist}."
    sizes = counted(high, "ticket") if low == high else f"{low} to {high} tickets"
    yield f"{counted(len(crowd.orders), 'buyer')} came within {crowd.seconds} s, each for {sizes}."
    yield ""
    acknowledged = sum(order.booking_id is not None for order in crowd.orders)
    in_order = f"IN ORDER: nothing oversold; {acknowledged:,} bookings acknowledged, and all of them stored."
    yield "NOT IN ORDER" if found.findings else in_order
    yield from (f"  {finding}" for finding in found.findings)
    if found.by_others:
        yield f"  {counted(found.by_others, 'booking')} made on the copy by other people; they are deleted with it."
    yield ""
    yield row("Tickets sold", f"{found.held:,} of {total:,} ({100 * found.held / total:.0f} %)")
    yield row("Sold out after", "not sold out" if found.sold_out_after is None else f"{found.sold_out_after:.1f} s")
    yield row("Requests a second", f"{crowd.total.rate:,.0f} on average")
    labels = {"completed": "got tickets", "waitlisted": "waited", "refused": "were refused", "trying": "got no answer"}
    yield from (row(f"Buyers who {label}", f"{outcomes[outcome]:,}") for outcome, label in labels.items())
    yield row("Answers to bookings", spread(crowd.bookings))
    yield row("Answers about the status", spread(crowd.looks))
    yield ""
    lost = crowd.total.unanswered
    yield "Refused requests" if crowd.refusals or lost else "No request was refused or lost."
    for (status, code), count in crowd.refusals.most_common():
        yield f"{count:>8,}  {status} {code}: {crowd.messages[status, code]}"
    if lost:
        yield f"{lost:>8,}  no answer: the connection broke, or ten seconds passed"


def spread(tally: Tally) -> str:
    parts = {"half": 50, "95 %": 95, "99 %": 99, "all": 100}
    return ", ".join(f"{name} within {tally.percentile(percent):.3f} s" for name, percent in parts.items())


def row(label: str, value: str) -> str:
    return f"{label:<{LABEL}}{value}"
