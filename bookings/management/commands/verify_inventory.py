from django.core.management import BaseCommand, CommandError

from bookings.services.verification import verify_events

ROW = "{:>8}  {:<32}  {:>8}  {:>8}  {:>9}  {:>8}  {:>9}  {}"


class Command(BaseCommand):
    help = (
        "Proves for every event that counter, bookings, waitlist and ledger agree and that nobody waits who "
        "should have been served. Reads only; safe on a live system. Fails at the first event that disagrees."
    )

    def add_arguments(self, parser):
        parser.add_argument("--event", type=int, metavar="ID", help="this event only")

    def handle(self, *args, event, **options):
        self.stdout.write(ROW.format("event", "name", "total", "held", "available", "waiting", "ledger", "verdict"))
        checked = 0
        for report in verify_events(event):
            checked += 1
            found = report.event
            name = found.name if len(found.name) <= 32 else found.name[:31] + "…"
            self.stdout.write(
                ROW.format(
                    found.pk,
                    name,
                    found.total_tickets,
                    report.held,
                    found.available_tickets,
                    report.waiting,
                    found.ledger_sequence,
                    "DIFFERS" if report.findings else "agrees",
                )
            )
            if report.findings:
                raise CommandError(f"event {found.pk} disagrees: " + "; ".join(report.findings))
        if event is not None and not checked:
            raise CommandError(f"There is no event {event}.")
        self.stdout.write(f"{checked} event{'' if checked == 1 else 's'} verified.")
