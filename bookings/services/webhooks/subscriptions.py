"""What staff do with webhooks: add and change them, rotate their secrets, switch them on and off, send again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError
from django.utils import timezone

from bookings.enums import LedgerKind
from bookings.exceptions import MessageInFlight, WebhookNameTaken
from bookings.services.changes import BEGINNING, end_of_feed
from bookings.services.references import new_nonce
from bookings.services.webhooks.signing import digest_of_secret, secret_of
from bookings.webhooks import GIVE_UP_AFTER, PING, PING_LANE, MessageQuerySet, Webhook, WebhookMessage
from events.models import Event
from ticks.db.scanning import range_of
from ticks.db.transactions import in_one_transaction

PASSED_OVER = "Passed over when the webhook was switched on."
GIVEN_UP_BY_STAFF = "Given up by staff."


class Terms(NamedTuple):
    """What a webhook is told, and where. No event: all of them. No kinds: all of them."""

    name: str
    url: str
    event: Event | None
    kinds: Sequence[LedgerKind]


def create_webhook(terms: Terms, *, from_beginning: bool = False) -> tuple[Webhook, str]:
    """Adds a webhook, which is told what happens from now on, or all that ever happened. Returns it with its secret,
    which nobody is shown again. Raises `WebhookNameTaken`."""
    cursor = BEGINNING if from_beginning else end_of_feed()
    nonce = new_nonce()
    secret = secret_of(nonce)
    webhook = Webhook(nonce=nonce, secret_digest=digest_of_secret(secret), **terms._asdict())
    webhook.cursor_number, webhook.cursor_sequence = cursor
    save(webhook)
    return webhook, secret


def change_webhook(webhook: Webhook, terms: Terms) -> None:
    """What waits already goes to the new address as well. Raises `WebhookNameTaken`."""
    fields = list(Terms._fields)
    if terms.url != webhook.url:
        # The new receiver has not failed yet.
        webhook.failing_since = None
        fields.append("failing_since")
    for name, value in terms._asdict().items():
        setattr(webhook, name, value)
    save(webhook, update_fields=fields)


@in_one_transaction
def save_row(webhook: Webhook, **options) -> None:
    webhook.save(**options)


def save(webhook: Webhook, **options) -> None:
    try:
        save_row(webhook, **options)
    except IntegrityError as error:
        raise WebhookNameTaken from error


@in_one_transaction
def rotate_secret(webhook: Webhook, *, overlap: timedelta) -> str:
    """Gives a webhook a new secret, and returns it. The former one signs as well until the overlap ends."""
    nonce = new_nonce()
    secret = secret_of(nonce)
    webhook.refresh_from_db(from_queryset=Webhook.objects.select_for_update())
    if overlap:
        webhook.former_nonce, webhook.former_until = webhook.nonce, timezone.now() + overlap
    else:
        webhook.former_nonce, webhook.former_until = "", None
    webhook.nonce, webhook.secret_digest = nonce, digest_of_secret(secret)
    webhook.save(update_fields=["former_nonce", "former_until", "nonce", "secret_digest"])
    return secret


@in_one_transaction
def switch_off(webhook: Webhook) -> None:
    """Nothing is sent until it is switched on, and the feed is not read for it, so that nothing is missed."""
    Webhook.objects.filter(pk=webhook.pk).update(state=Webhook.State.OFF, off_reason="")


def switch_on(webhook: Webhook, *, from_now_on: bool) -> None:
    """Goes on where it was switched off, or with what happens from now on. What is passed over stays in the log.
    Nothing happens if it is on."""
    switch_on_at(webhook, end_of_feed() if from_now_on else None)


@in_one_transaction
def switch_on_at(webhook: Webhook, cursor) -> None:
    now = timezone.now()
    values = {"state": Webhook.State.ON, "off_reason": "", "failing_since": None}
    if cursor:
        values |= {"cursor_number": cursor.number, "cursor_sequence": cursor.sequence}
    # If somebody else was faster, the feed may have been read on already, and this cursor would set it back.
    if not Webhook.objects.filter(pk=webhook.pk).exclude(state=Webhook.State.ON).update(**values):
        return
    waiting = webhook.messages.filter(state=WebhookMessage.State.WAITING)
    if cursor:
        waiting.update(state=WebhookMessage.State.GIVEN_UP, error=PASSED_OVER, due_at=now, lease=None)
    else:
        waiting.update(give_up_at=now + GIVE_UP_AFTER, attempts=0)
        # What another process is sending stays with it until its lease ends.
        waiting.filter(lease=None).update(due_at=now)


@in_one_transaction
def ping(webhook: Webhook) -> WebhookMessage:
    """Has a message sent that says nothing, at once and only once, also to a webhook that is switched off."""
    now = timezone.now()
    microseconds = int(now.timestamp() * 1_000_000)
    return WebhookMessage.objects.create(
        webhook=webhook, lane=PING_LANE, event_id=0, sequence=microseconds, kind=PING, due_at=now, give_up_at=now
    )


@in_one_transaction
def send_message_again(message: WebhookMessage) -> None:
    """Sends a message at once, also one that was sent or given up. Raises `MessageInFlight`."""
    if not WebhookMessage.objects.filter(pk=message.pk).send_again(keep_for=GIVE_UP_AFTER):
        raise MessageInFlight


@in_one_transaction
def send_span_again(webhook: Webhook, *, since: datetime, until: datetime) -> int:
    """Sends the webhook's messages of a span of time again, in order for each booking. Returns how many."""
    return messages_of_span(webhook, since=since, until=until).send_again(keep_for=GIVE_UP_AFTER)


def messages_of_span(webhook: Webhook, *, since: datetime, until: datetime) -> MessageQuerySet:
    """The messages that were made in a span, besides pings and those that wait by themselves."""
    done = [WebhookMessage.State.SENT, WebhookMessage.State.GIVEN_UP]
    # No index has their times, which rise with their ids.
    ids = range_of(webhook.messages.all(), since=since, until=until)
    made = webhook.messages.filter(pk__range=ids, created_at__gte=since, created_at__lt=until, state__in=done)
    return made.exclude(kind=PING)


@in_one_transaction
def give_up(message: WebhookMessage) -> None:
    """Lets the next message of the booking be sent before this one. Raises `MessageInFlight`."""
    waiting = WebhookMessage.objects.filter(pk=message.pk, state=WebhookMessage.State.WAITING, lease=None)
    if not waiting.update(state=WebhookMessage.State.GIVEN_UP, error=GIVEN_UP_BY_STAFF, due_at=timezone.now()):
        raise MessageInFlight
    # What fails still says so at its next attempt.
    Webhook.objects.filter(pk=message.webhook_id).update(failing_since=None)
