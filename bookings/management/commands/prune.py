from django.core.management import BaseCommand, CommandError

from bookings.services.upkeep import finish_cancellations, prune
from ticks.db.migrations import refuse_other_schema
from ticks.formatting import counted


class Command(BaseCommand):
    help = (
        "Deletes what has run out: idempotency keys, expired logins, attempt counters, old mails and "
        "webhook messages. Finishes "
        "cancellations of events that were interrupted. Run it daily."
    )

    def handle(self, *args, **options):
        refuse_other_schema()
        keys, rows, messages = prune()
        self.stdout.write(
            f"Deleted {keys} idempotency keys, {rows} expired logins and attempt counters, "
            f"{messages} old rows of mails and webhooks."
        )
        if failed := finish_cancellations():
            events = f"{counted(len(failed), 'event')} ({', '.join(map(str, failed))})"
            raise CommandError(
                f"The cancellation of {events} could not be finished. The log has the reasons. Run the command again."
            )
