import signal
import sys
from contextlib import contextmanager

from django.core.management import BaseCommand, CommandError
from django.db import Error

from bookings.rehearsal.alone import NotAlone, alone
from bookings.rehearsal.deployment import deployment_at, refuse_unready
from bookings.rehearsal.plan import Unfit, make_plan
from bookings.rehearsal.removal import Removed
from bookings.rehearsal.report import report
from bookings.rehearsal.run import Progress, clear_left_overs, put_away, rehearse
from bookings.rehearsal.scratch import new_run
from ticks.db.migrations import refuse_other_schema
from ticks.exceptions import Refusal

INTERRUPTED = 130
REST = "What is left is deleted by the next rehearsal, or at once with --clean."
ERASE_LINE = "\r\033[K"


class Command(BaseCommand):
    help = (
        "Rehearses an on-sale: made-up buyers storm a copy of the event over HTTP, on this deployment, and you read "
        "how fast it was, what was refused, and that nothing was oversold. The event itself is not touched. While it "
        "runs the copy is in the list of events, as 'Rehearsal of ...'; who books on it by mistake loses that booking. "
        "It puts real load on the server, so real buyers wait longer. Afterwards copy, bookings and accounts are "
        "deleted."
    )

    def add_arguments(self, parser):
        parser.add_argument("event", nargs="?", metavar="EVENT", help="the event's id")
        parser.add_argument("--buyers", default=1000, metavar="N", help="how many, up to 50,000 (1000)")
        parser.add_argument(
            "--seconds",
            default=30,
            metavar="S",
            help="in which they come, 1 to 600 (30); they then have a minute to finish",
        )
        parser.add_argument("--connections", default=64, metavar="C", help="that they share, up to 500 (64)")
        parser.add_argument("--tickets", metavar="SIZES", help="of a booking, such as 2 or 1-4 (1-2)")
        parser.add_argument(
            "--url", help="of the server (HOST and PORT of the settings), such as http://127.0.0.1:8000"
        )
        parser.add_argument("--keep", action="store_true", help="leave copy and accounts, cancelled and deactivated")
        parser.add_argument(
            "--clean", action="store_true", help="only delete what is left or kept of earlier rehearsals"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args, **options):
        try:
            with alone(), endable():
                self.run(options)
        except Unfit as unfit:
            raise CommandError(str(unfit)) from None
        except NotAlone:
            raise CommandError("Another rehearsal is running on this database; wait until it ends.") from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
        except (Refusal, Error) as error:
            raise CommandError(f"The database failed ({error.__cause__ or error}). {REST}") from error

    def run(self, options) -> None:
        refuse_other_schema()
        if options["clean"]:
            self.clean(kept_too=True)
            return
        names = ("buyers", "seconds", "connections", "tickets", "keep")
        if options["event"] is None:
            raise Unfit("EVENT is missing; name the id of the event to rehearse.")
        plan = make_plan(options["event"], **{name: options[name] for name in names})
        deployment = deployment_at(options["url"])
        refuse_unready(deployment)
        if not options["yes"]:
            self.confirm(plan)
        self.clean(kept_too=False)
        run = new_run()
        progress = Shown(self.stdout)
        try:
            outcome = rehearse(plan, deployment, run=run, progress=progress)
            progress.end()
            self.stdout.write(f"\n{report(plan, outcome)}\n")
        finally:
            progress.step("Closing what was made" if plan.keep else "Removing what was made")
            removed = self.put_away(plan, run=run)
            progress.end()
        if removed is None:
            self.stdout.write(f"Kept: event {outcome.copy.pk}, cancelled, and its accounts; --clean deletes them.")
        else:
            self.stdout.write(f"Deleted again: {removed}.")
        if outcome.verdict.findings:
            raise CommandError("The rehearsal found bookings that are not in order; see above.")

    def put_away(self, plan, *, run: str) -> Removed | None:
        try:
            return put_away(plan, run=run)
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted once more. {REST}", returncode=INTERRUPTED) from None

    def confirm(self, plan) -> None:
        if not (sys.stdin and sys.stdin.isatty()):
            return
        self.stdout.write(
            f"{plan.buyers:,} made-up buyers will load this deployment for {plan.seconds} s, or a minute longer."
        )
        try:
            typed = input(f"Type the event's name to go on ({plan.event.name}): ")
        except EOFError:
            typed = ""
        if typed.strip() != plan.event.name.strip():
            raise Unfit("That is not the event's name; nothing was done.")

    def clean(self, *, kept_too: bool) -> None:
        removed = clear_left_overs(kept_too=kept_too)
        if removed:
            self.stdout.write(f"Deleted what earlier rehearsals had left: {removed}.")
        elif kept_too:
            self.stdout.write("No rehearsal has left anything.")


class Shown(Progress):
    """On a terminal a line that changes; elsewhere a line for each part."""

    def __init__(self, stdout):
        self.stdout = stdout
        self.part = ""

    def step(self, text):
        self.end()
        self.part = text
        self.stdout.write(f"{text} ...", ending="" if self.stdout.isatty() else "\n")
        self.stdout.flush()

    def moved(self, text):
        if self.stdout.isatty():
            self.stdout.write(f"{ERASE_LINE}{self.part} ... {text}", ending="")
            self.stdout.flush()

    def end(self):
        if self.part and self.stdout.isatty():
            self.stdout.write("")
        self.part = ""


@contextmanager
def endable():
    """A rehearsal that is told to end, or whose terminal goes, cleans up as after Ctrl-C."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    ends = (signal.SIGTERM, signal.SIGHUP)
    # Under nohup a hang-up is to be ignored.
    ends = [number for number in ends if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
