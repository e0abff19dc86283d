from django.core.management import BaseCommand, CommandError
from django.db import DatabaseError

from bookings.services.checks import store_report
from bookings.services.verification import VerificationReport, verify_events
from ticks.db.migrations import refuse_other_schema
from ticks.formatting import counted

ROW = "{:>8}  {:<32.32}  {:>8}  {:>8}  {:>9}  {:>8}  {:>9}  {}"


class Command(BaseCommand):
    help = (
        "Proves for every event that counter, bookings, waitlist and ledger agree and that nobody waits who "
        "should have been served. Safe on a live system: it changes nothing but the verdict that the staff's site "
        "shows. Fails at the first event that disagrees."
    )

    def add_arguments(self, parser):
        parser.add_argument("--event", type=int, metavar="ID", help="this event only")

    def handle(self, *args, event, **options):
        refuse_other_schema()
        self.stdout.write(ROW.format("event", "name", "total", "held", "available", "waiting", "ledger", "verdict"))
        checked = 0
        for report in verify_events(event):
            checked += 1
            found, verdict = report.event, "DIFFERS" if report.findings else "agrees"
            if report.left:
                verdict += f", {counted(report.left, 'booking')} still to be cancelled with it"
            counts = found.total_tickets, report.held, found.available_tickets, report.waiting, found.ledger_sequence
            self.stdout.write(ROW.format(found.pk, found.name, *counts, verdict))
            self.store(report)
            if report.findings:
                raise CommandError(f"event {found.pk} disagrees: " + "; ".join(report.findings))
        if event is not None and not checked:
            raise CommandError(f"There is no event {event}.")
        self.stdout.write(f"{counted(checked, 'event')} verified.")

    def store(self, report: VerificationReport) -> None:
        """Stores the result if it may write. A database account that can only read still gets its verdict."""
        try:
            store_report(report)
        except DatabaseError as error:
            self.stderr.write(f"The verdict on event {report.event.pk} is not stored: {error}")
