"""What is wrong with webhooks, for the staff's first page and for `/readyz`."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from bookings.models import FeedPart, LedgerEntry
from bookings.services.changes import moved_events
from bookings.webhooks import Webhook, WebhookMessage
from ticks.formatting import counted, format_duration

# A change is sent within seconds. Behind this something is wrong.
LATE_AFTER = timedelta(minutes=5)
# While nobody reads, many events may have moved. The time is read of so many.
MOST_LOOKED_AT = 20


class WebhookLag(NamedTuple):
    """Since when the feed is not read, and since when messages are due that nobody sends. None: not late."""

    unread_since: datetime | None = None
    unsent_since: datetime | None = None


def webhook_lag(now: datetime) -> WebhookLag:
    """How far webhooks that are on are behind, if they are late. Messages that fail are no lag: their webhook says
    since when it fails."""
    webhooks = Webhook.objects.filter(state=Webhook.State.ON)
    first = webhooks.order_by("cursor_number", "cursor_sequence").first()
    if first is None:
        return WebhookLag()
    due = WebhookMessage.objects.sendable().filter(webhook=OuterRef("pk")).order_by("due_at")
    steady = webhooks.filter(failing_since=None).annotate(since=Subquery(due.values("due_at")[:1]))
    unsent = steady.exclude(since=None).order_by("since").values_list("since", flat=True).first()
    late = now - LATE_AFTER
    return WebhookLag(*(since if since and since < late else None for since in (unread_since(first), unsent)))


def unread_since(webhook: Webhook) -> datetime | None:
    """When the earliest entry behind a webhook's place in the feed was made."""
    place = {"number": webhook.cursor_number, "last__gt": webhook.cursor_sequence}
    part = FeedPart.objects.filter(**place).first()
    next_part = FeedPart.objects.filter(number__gt=webhook.cursor_number).order_by("number").first()
    if part:
        behind = [(part.event_id, webhook.cursor_sequence + 1)]
    elif next_part:
        behind = [(next_part.event_id, next_part.first)]
    else:
        # The feed ends at this place, and the ledgers may go on behind it.
        behind = [(event_id, in_feed + 1) for event_id, in_feed, _ in moved_events()]
    times = [
        LedgerEntry.objects.filter(event=event_id, sequence=sequence).values_list("created_at", flat=True).first()
        for event_id, sequence in behind[:MOST_LOOKED_AT]
    ]
    return min((time for time in times if time), default=None)


def webhooks_in_trouble(limit: int) -> list[Webhook]:
    """Those that were switched off after failures, and those that have failed for a while."""
    is_failing = Q(state=Webhook.State.ON, failing_since__lt=timezone.now() - LATE_AFTER)
    return list(Webhook.objects.filter(Q(state=Webhook.State.FAILED) | is_failing).order_by("state", "name")[:limit])


def webhook_warnings() -> list[str]:
    """What is wrong with webhooks, in sentences without names."""
    now = timezone.now()
    unread, unsent = webhook_lag(now)
    warnings = []
    if unread:
        warnings.append(
            f"webhooks: the ledger has not been read for {format_duration(now - unread)}; run manage.py deliver"
        )
    if unsent:
        warnings.append(
            f"webhooks: some messages have waited for {format_duration(now - unsent)}; run manage.py deliver"
        )
    if failed := Webhook.objects.filter(state=Webhook.State.FAILED).count():
        warnings.append(f"webhooks: {counted(failed, 'webhook')} switched off after failures")
    return warnings
