from datetime import timedelta

from django.conf import settings
from django.core.management import BaseCommand
from django.utils import timezone

from accounts.services import prune_accounts
from bookings.models import IdempotencyKey
from ticks.db.migrations import refuse_other_schema
from ticks.db.transactions import delete_in_batches


class Command(BaseCommand):
    help = "Deletes what has run out: idempotency keys, expired logins and attempt counters. Run it daily."

    def handle(self, *args, **options):
        refuse_other_schema()
        keys = delete_in_batches(
            IdempotencyKey.objects.filter(created_at__lt=timezone.now() - timedelta(hours=settings.IDEMPOTENCY_HOURS))
        )
        rows = prune_accounts()
        self.stdout.write(f"Deleted {keys} idempotency keys, {rows} expired logins and attempt counters.")
