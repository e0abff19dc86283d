from django.core.management import BaseCommand

from bookings.services.upkeep import finish_cancellations, prune
from ticks.db.migrations import refuse_other_schema


class Command(BaseCommand):
    help = (
        "Deletes what has run out: idempotency keys, expired logins, attempt counters and old mails. Finishes "
        "cancellations of events that were interrupted. Run it daily."
    )

    def handle(self, *args, **options):
        refuse_other_schema()
        keys, rows, mails = prune()
        self.stdout.write(
            f"Deleted {keys} idempotency keys, {rows} expired logins and attempt counters, {mails} old mails."
        )
        finish_cancellations()
