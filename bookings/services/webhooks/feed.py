"""Reads the change feed for webhooks, and makes a message of each entry that one of them asks for."""

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from bookings.exceptions import UnknownCursor
from bookings.models import LedgerEntry
from bookings.outbox import DeliveryPosition
from bookings.services.changes import MOST_ENTRIES, Cursor, change_data, changes_after
from bookings.webhooks import GIVE_UP_AFTER, PING, Webhook, WebhookMessage
from ticks.db.transactions import in_one_transaction
from ticks.formatting import iso_milliseconds

log = logging.getLogger("bookings.webhooks")
LOST_PLACE = "Its place in the change feed is unknown, as after a restored backup: switch it on from now on."


def read_feed() -> bool:
    """Makes messages of the next entries for every webhook that is switched on. Returns whether it moved any of them
    on, so that there may be more.

    Webhooks that are at the same place are read for together. If another process reads for them, it does nothing.
    What fails at one place is logged: either all was done there, or nothing, and it can be called again.
    """
    places = Webhook.objects.filter(state=Webhook.State.ON).order_by("cursor_number", "cursor_sequence")
    cursors = [Cursor(*place) for place in places.values_list("cursor_number", "cursor_sequence").distinct()]
    has_read = False
    for cursor in cursors:
        try:
            has_read = read_on(cursor) or has_read
        except Exception:
            # The webhooks at other places do not wait for these.
            log.warning("The change feed is read later from part %s, entry %s.", *cursor, exc_info=True)
    return has_read


def read_on(cursor: Cursor) -> bool:
    """Reads the feed from one place. Returns whether a webhook was moved on."""
    try:
        entries, end = changes_after(cursor, limit=MOST_ENTRIES)
    except UnknownCursor:
        give_up_place(cursor)
        return False
    return end != cursor and store(cursor, end, entries, now=timezone.now())


@in_one_transaction
def store(cursor: Cursor, end: Cursor, entries: Sequence[LedgerEntry], *, now: datetime) -> bool:
    """Makes the messages for the webhooks that are still at this place, and moves these on. Returns whether there are
    any. A webhook whose place was set back has some of the messages already."""
    can_skip = connection.features.has_select_for_update_skip_locked
    webhooks = list(at(cursor).select_for_update(skip_locked=can_skip).order_by("pk"))
    wanted = [(webhook, entry) for webhook in webhooks for entry in entries_for(webhook, entries)]
    muted = muted_events({entry.event_id for _, entry in wanted})
    messages = [new_message(webhook, entry, now=now) for webhook, entry in wanted if entry.event_id not in muted]
    WebhookMessage.objects.bulk_create(messages, batch_size=500, ignore_conflicts=True)
    ids = [webhook.pk for webhook in webhooks]
    Webhook.objects.filter(pk__in=ids).update(cursor_number=end.number, cursor_sequence=end.sequence)
    return bool(ids)


def at(cursor: Cursor):
    place = {"cursor_number": cursor.number, "cursor_sequence": cursor.sequence}
    return Webhook.objects.filter(state=Webhook.State.ON, **place)


def entries_for(webhook: Webhook, entries: Iterable[LedgerEntry]) -> Iterable[LedgerEntry]:
    kinds = set(webhook.kinds)
    for entry in entries:
        if (not kinds or entry.kind in kinds) and webhook.event_id in (None, entry.event_id):
            yield entry


def muted_events(event_ids: Iterable[int]) -> set[int]:
    """The rehearsals among these events: nobody is told what happens there."""
    never = DeliveryPosition.objects.filter(event__in=event_ids, sequence=DeliveryPosition.NEVER)
    return set(never.values_list("event", flat=True))


def new_message(webhook: Webhook, entry: LedgerEntry, *, now: datetime) -> WebhookMessage:
    return WebhookMessage(
        webhook=webhook,
        lane=entry.booking_id or -entry.event_id,
        event_id=entry.event_id,
        sequence=entry.sequence,
        kind=entry.kind,
        due_at=now,
        give_up_at=now + GIVE_UP_AFTER,
        created_at=now,
    )


@in_one_transaction
def give_up_place(cursor: Cursor) -> None:
    if at(cursor).update(state=Webhook.State.FAILED, off_reason=LOST_PLACE):
        log.warning("Webhooks are switched off, since their place in the change feed is unknown.")


def bodies_of(messages: Sequence[WebhookMessage]) -> dict[int, bytes]:
    """The body of each message by its id. The one of a rehearsal's entry is missing once the rehearsal was removed."""
    sequences: dict[int, list[int]] = {}
    for message in messages:
        if message.kind != PING:
            sequences.setdefault(message.event_id, []).append(message.sequence)
    wanted = Q(pk__in=[])
    for event_id, numbers in sequences.items():
        wanted |= Q(event=event_id, sequence__in=numbers)
    entries = LedgerEntry.objects.filter(wanted).order_by()
    found = {(entry.event_id, entry.sequence): body_of_entry(entry) for entry in entries}
    bodies = {message.pk: found.get((message.event_id, message.sequence)) for message in messages}
    bodies |= {message.pk: body_of_ping(message) for message in messages if message.kind == PING}
    return {pk: body for pk, body in bodies.items() if body is not None}


def body_of_entry(entry: LedgerEntry) -> bytes:
    return encoded(type_of(entry), entry.created_at, change_data(entry))


def type_of(entry: LedgerEntry) -> str:
    """Such as `booking.promoted` and `event.cancelled`."""
    return f"booking.{entry.kind}" if entry.booking_id else f"event.{entry.kind.removeprefix('event_')}"


def body_of_ping(message: WebhookMessage) -> bytes:
    return encoded(PING, message.created_at, {"webhook": message.webhook.name})


def encoded(kind: str, moment: datetime, content: dict) -> bytes:
    body = {"type": kind, "timestamp": iso_milliseconds(moment), "data": content}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
