"""Leases the messages that are due, sends one, and records what was answered."""

import logging
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import aiohttp
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from bookings.services.webhooks.feed import bodies_of
from bookings.services.webhooks.signing import SecretLost, signed_headers
from bookings.webhooks import GIVE_UP_AFTER, PING, PING_LANE, Webhook, WebhookAttempt, WebhookMessage
from ticks import outbound
from ticks.db.outgoing import LEASE
from ticks.db.transactions import in_one_transaction
from ticks.text import MISLEADING

log = logging.getLogger("bookings.webhooks")
# No request begins when less than this is left of its lease.
SPARE = timedelta(seconds=3 * outbound.WHOLE_SECONDS)
# The receiver says that it wants nothing any more.
GONE = 410
MESSAGE_FAILED = "One message failed for a day."
ALL_FAILED = "No message was taken for a day."
WANTS_NO_MORE = "The receiver answered 410, which says that it wants nothing any more."


class Draft(NamedTuple):
    """A leased message with its body."""

    message: WebhookMessage
    body: bytes
    # No request begins later than this, by `time.monotonic`.
    until: float


class AttemptOutcome(NamedTuple):
    """One attempt. No status: there was no answer."""

    message: WebhookMessage
    at: datetime
    milliseconds: int
    status: int | None
    text: str

    @property
    def has_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def webhooks_with_due(*, now: datetime) -> list[Webhook]:
    """The webhooks that have a message to be sent. A look into an index for each finds them."""
    due = WebhookMessage.objects.filter(webhook=OuterRef("pk"), state=WebhookMessage.State.WAITING, due_at__lte=now)
    is_on = Q(state=Webhook.State.ON) & Exists(due)
    return list(Webhook.objects.filter(is_on | Exists(due.filter(lane=PING_LANE))))


def lease_drafts(webhook: Webhook, *, limit: int) -> list[Draft]:
    """Messages of a webhook that are due, which nobody else sends until the lease ends. Of each booking, and of each
    event's own changes, it is the earliest one. A ping goes first, since somebody waits for its answer. Raises `Busy`,
    `Unavailable`, `OutcomeUnknown`."""
    until = time.monotonic() + (LEASE - SPARE).total_seconds()
    sendable = WebhookMessage.objects.sendable().filter(webhook=webhook)
    messages, drafts = sendable.filter(lane=PING_LANE).lease_due(limit=1), []
    if webhook.state == Webhook.State.ON:
        messages += sendable.exclude(lane=PING_LANE).lease_due(limit=limit - len(messages))
    bodies = bodies_of(messages)
    for message in messages:
        message.webhook = webhook
        if message.pk in bodies:
            drafts.append(Draft(message, bodies[message.pk], until))
        else:
            # It was about a rehearsal, which was removed meanwhile.
            message.delete_leased()
    return drafts


async def send_draft(session: aiohttp.ClientSession, draft: Draft) -> AttemptOutcome | None:
    """Sends one message. None: this process was stopped for so long that somebody else may be sending it."""
    if time.monotonic() > draft.until:
        return None
    message, now, began = draft.message, timezone.now(), time.monotonic()
    try:
        headers = signed_headers(message, draft.body, now=now)
        status, text = await outbound.post(session, message.webhook.url, draft.body, headers)
    except SecretLost as error:
        status, text = None, str(error)
    except Exception as error:
        # An address, a name server, TLS and a receiver can fail in many ways. The others do not wait for this one.
        status, text = None, outbound.fault_of(error)
    milliseconds = round((time.monotonic() - began) * 1000)
    return AttemptOutcome(message, now, milliseconds, status, MISLEADING.sub("", text).strip())


def record_outcomes(outcomes: Sequence[AttemptOutcome]) -> None:
    """Writes attempts into the log, marks what was taken, and has the rest wait, longer after each attempt. If this is
    interrupted and called again, an attempt may be in the log twice."""
    if not outcomes:
        return
    log_attempts(outcomes)
    taking = set()
    for one in outcomes:
        if one.has_taken:
            one.message.mark_sent()
            taking.add(one.message.webhook_id)
    note_success(taking)
    for one in outcomes:
        if not one.has_taken:
            is_exhausted = one.message.postpone(f"Answer {one.status}" if one.status else one.text)
            is_final = is_exhausted or one.status == GONE
            # A ping says nothing about what waits.
            if one.message.kind != PING and (is_final or one.message.webhook_id not in taking):
                note_failure(one, is_exhausted=is_exhausted)


@in_one_transaction
def log_attempts(outcomes: Sequence[AttemptOutcome]) -> None:
    WebhookAttempt.objects.bulk_create(
        WebhookAttempt(
            message=one.message, at=one.at, milliseconds=one.milliseconds, status=one.status, answer=one.text
        )
        for one in outcomes
    )


@in_one_transaction
def note_success(webhook_ids: Collection[int]) -> None:
    Webhook.objects.filter(pk__in=webhook_ids, failing_since__isnull=False).update(failing_since=None)


@in_one_transaction
def note_failure(outcome: AttemptOutcome, *, is_exhausted: bool) -> None:
    """Notes since when nothing is taken, and switches a webhook off that has failed for a day."""
    webhook = Webhook.objects.filter(pk=outcome.message.webhook_id, state=Webhook.State.ON)
    webhook.filter(failing_since=None).update(failing_since=outcome.at)
    reason = ""
    if outcome.status == GONE:
        reason = WANTS_NO_MORE
    elif is_exhausted:
        reason = MESSAGE_FAILED
    elif webhook.filter(failing_since__lte=timezone.now() - GIVE_UP_AFTER).exists():
        reason = ALL_FAILED
    if reason and webhook.update(state=Webhook.State.FAILED, off_reason=reason):
        log.warning("Webhook %s is switched off: %s", outcome.message.webhook_id, reason)
