"""The regular work of the server and of `manage.py prune`."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services import expired_rows, prune_accounts
from bookings.models import IdempotencyKey
from bookings.outbox import FormerHolder, LinkRequest, Mail
from bookings.services.events import CANCEL_SECONDS, finish_cancellation, unfinished_cancellations
from bookings.webhooks import Webhook, WebhookMessage
from ticks.db.outgoing import Outgoing
from ticks.db.transactions import delete_in_batches

log = logging.getLogger("bookings.upkeep")
DAY = timedelta(days=1)


def keep_up() -> None:
    """Finishes what other processes have left. With the embedded database, also prunes once a day.

    Every worker calls it once a minute, in a thread that otherwise answers requests.
    """
    try:
        # Requests wait for this thread, so what takes longer is left to the next time.
        finish_cancellations(seconds=CANCEL_SECONDS)
        if settings.EMBEDDED and has_expired(timezone.now() - DAY):
            prune()
    except Exception:
        # No caller waits for the result, and the upkeep runs again after a minute.
        log.warning("The upkeep was interrupted and is tried again.", exc_info=True)


def finish_cancellations(*, seconds: float = float("inf")) -> list[int]:
    """Cancels the bookings that are left of cancelled events, for at most so many seconds of each event. Returns the
    ids of the events where that failed."""
    failed = []
    for event in unfinished_cancellations():
        try:
            finish_cancellation(event.pk, seconds=seconds)
        except Exception:
            # The other events do not wait for this one.
            log.warning("Bookings of the cancelled event %s are left for later.", event.pk, exc_info=True)
            failed.append(event.pk)
    return failed


def prune() -> tuple[int, int, int]:
    """Deletes what has expired. Returns how many idempotency keys, how many rows of accounts, and how many messages:
    mails with their former holders, and those of webhooks."""
    now = timezone.now()
    expired = [*expired_mail_rows(now), expired_link_requests(now), expired_webhook_messages(now)]
    messages = sum(map(delete_in_batches, expired))
    return delete_in_batches(expired_keys(now)), prune_accounts(), messages


def has_expired(moment: datetime) -> bool:
    """Whether there is a row that had expired at this moment, so that nothing has been pruned since.

    The rows tell it by themselves, so all processes and hosts see the same and nobody has to note when it was done.
    """
    expired = [expired_keys(moment), *expired_rows(moment), *expired_mail_rows(moment), expired_link_requests(moment)]
    expired.append(expired_webhook_messages(moment))
    return any(rows.exists() for rows in expired)


def expired_keys(moment: datetime) -> QuerySet:
    return IdempotencyKey.objects.filter(created_at__lt=moment - timedelta(hours=settings.IDEMPOTENCY_HOURS))


def expired_mail_rows(moment: datetime) -> list[QuerySet]:
    """The mails that had left or were given up, and the former holders, that are no longer kept at this moment."""
    oldest = moment - timedelta(days=settings.MAIL_DAYS)
    return [done_before(Mail, oldest), FormerHolder.objects.filter(created_at__lt=oldest)]


def expired_link_requests(moment: datetime) -> QuerySet:
    return done_before(LinkRequest, moment - timedelta(days=settings.MAIL_DAYS))


def expired_webhook_messages(moment: datetime) -> QuerySet:
    """The messages that were sent or given up, and are no longer kept at this moment. Their attempts go with them."""
    oldest = moment - timedelta(days=settings.WEBHOOK_DAYS)
    # With the webhooks named, an index leads to the rows.
    webhooks = list(Webhook.objects.values_list("pk", flat=True))
    return done_before(WebhookMessage, oldest).filter(webhook__in=webhooks)


def done_before(model: type[Outgoing], moment: datetime) -> QuerySet:
    return model.objects.filter(state__in=[Outgoing.State.SENT, Outgoing.State.GIVEN_UP], due_at__lt=moment)
