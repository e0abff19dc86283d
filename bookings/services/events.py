import logging
import time
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import Error
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from bookings.commands import CancelEvent, ChangeTerms, Claim, Note
from bookings.enums import BookingStatus, LedgerKind
from bookings.exceptions import InvalidTerms, StaleVersion
from bookings.models import CANCELLED_WITH_EVENT, MAX_NOTE, Booking, LedgerEntry, LinePart
from bookings.outbox import NOTIFIED_FIELDS, MailOptions, json_value
from bookings.services import sql
from bookings.services.idempotency import EventReceipt, once
from bookings.services.inventory import apply, lock_event
from bookings.services.notifications import mute_event
from events.exceptions import EventNotFound
from events.models import Event
from ticks.db.transactions import in_one_transaction
from ticks.exceptions import Refusal
from ticks.parsing import moment_of
from ticks.server import stopping
from ticks.zones import name_in

log = logging.getLogger("bookings.events")
# One transaction cancels this many bookings of a cancelled event. MariaDB gives out no id of a table while an
# INSERT ... SELECT fills it. So bookings for other events wait while one statement inserts this many ledger entries: a
# tenth of a second.
BOOKINGS_A_PART = 2_000
# The request that cancels an event also cancels its bookings for this long. The server cancels the others
# (`bookings.services.upkeep`).
CANCEL_SECONDS = 5
STARTS_TOO_LATE = "Sales would end at the event's date, before they start. Choose when they end."


@in_one_transaction
def open_event(fields: dict, *, actor: User) -> Event:
    """Creates an event with all its tickets available. `fields` are those of `new_event_fields`. Raises
    `InvalidTerms`."""
    return insert_event(fields, actor=actor, now=timezone.now())


@in_one_transaction
def open_events(rows: list[dict], *, actor: User) -> list[Event]:
    """Creates all these events as `open_event` does, or none of them. Raises `InvalidTerms`."""
    now = timezone.now()
    return [insert_event(fields, actor=actor, now=now) for fields in rows]


@in_one_transaction
def open_muted_event(fields: dict, *, actor: User) -> Event:
    """Creates an event as `open_event` does. Nobody is notified of anything about it until `skip_to_end`, since nobody
    can read its first entry before it is muted. Raises `InvalidTerms`."""
    event = insert_event(fields, actor=actor, now=timezone.now())
    mute_event(event.pk)
    return event


def insert_event(fields: dict, *, actor: User, now: datetime) -> Event:
    event = Event(**new_event_fields(fields, now=now), created_by=actor, created_at=now, updated_at=now)
    event.available_tickets = event.total_tickets
    event.ledger_sequence = 1
    event.save(force_insert=True)
    LedgerEntry.objects.create(
        event=event,
        sequence=event.ledger_sequence,
        kind=LedgerKind.OPENED,
        tickets=event.total_tickets,
        available_after=event.available_tickets,
        waitlisted_after=0,
        actor=actor,
        created_at=now,
    )
    return event


def new_event_fields(fields: dict, *, now: datetime) -> dict:
    """The fields of the model for a new event. Raises `InvalidTerms`.

    If nobody has chosen when sales end, `default_sales_end` stands among the fields. If that is past, the event is
    entered afterwards, and stays on sale. It is decided here, so that a request is the same when it is repeated later.
    """
    end = fields.get("default_sales_end")
    fields = {name: value for name, value in fields.items() if name != "default_sales_end"}
    start = fields.get("sales_start")
    if end and end > now:
        if start and end <= start:
            raise InvalidTerms(STARTS_TOO_LATE, field="salesEnd")
        fields["sales_end"] = end
    refuse_empty_sales_window(start, fields.get("sales_end"))
    return fields


class EventChange(NamedTuple):
    """An event after an edit, and the claims of the waiting bookings that it promoted."""

    event: Event
    promoted: list[Claim]


@in_one_transaction
def change_event(
    event_id: int, *, changes: dict, actor: User, version: int | None = None, mails: MailOptions | None = None
) -> EventChange:
    """Changes an event as staff wish, the number of tickets included. Additional tickets and a later end of sales serve
    the waitlist at once.

    A day among the changes is its beginning in the event's time zone, in the new one if that changes too. `version` is
    the version of the event that the change was made from; None skips this comparison. A field that already has the
    wished value is not an edit, and does not change the version. Raises `EventNotFound`,
    `StaleVersion`, `CapacityBelowHeld`, `InvalidTerms`, `Busy`.
    """
    event = lock_standing_event(event_id, version=version)
    zone = ZoneInfo(changes.get("time_zone", event.time_zone))
    changes = {name: moment_of(value, zone) for name, value in changes.items()}
    changes = {name: value for name, value in changes.items() if getattr(event, name) != value}
    if not changes:
        return EventChange(event, [])
    terms = ChangeTerms(
        changes.pop("total_tickets", event.total_tickets),
        changes.get("waitlist_policy", event.waitlist_policy),
        changes.get("sales_end", event.sales_end),
        actor,
    )
    now = timezone.now()
    notes = [Note(LedgerKind.EDITED, edit_summary(event, changes), actor=actor)] if changes else []
    work = apply(
        event, [*notes, terms], now=now, mails=mails and mails._replace(changes=notified_changes(event, changes))
    )
    for name, value in changes.items():
        setattr(event, name, value)
    refuse_empty_sales_window(event.sales_start, event.sales_end)
    event.version += 1
    event.updated_at = now
    event.save(update_fields=[*changes, "version", "updated_at"])
    return EventChange(event, work.promoted)


def sales_opened(event: Event, *, now: datetime) -> dict:
    """The changes after which anybody can book from now on. An end in the future stays, since it is still wanted."""
    start, end = event.sales_start, event.sales_end
    return {
        "sales_start": start if start and start <= now else None,
        "sales_end": end if end and end > now else None,
    }


def sales_closed(event: Event, *, now: datetime) -> dict:
    """The changes after which nobody can book from now on. Raises `InvalidTerms`."""
    start, end = event.sales_start, event.sales_end
    if end and end <= now:
        raise InvalidTerms("Sales are closed already.")
    if start and start >= now:
        # Sales must end after they start.
        start = now - timedelta(seconds=1)
    return {"sales_start": start, "sales_end": now}


def cancel_event(
    event_id: int,
    *,
    actor: User,
    version: int | None = None,
    key: str | None = None,
    mails: MailOptions | None = None,
) -> EventReceipt:
    """Hides an event from every reader and cancels its bookings. The bookings and the ledger are kept.

    From the first transaction on nobody can book, and the event's counts are those of an event without live bookings.
    The rows and ledger entries of more than `BOOKINGS_A_PART` bookings follow in transactions of their own; until then
    readers see these bookings as cancelled (`show_cancelled`). Raises `EventNotFound`, `StaleVersion`, `Busy`, and with
    an idempotency `key` what `once` raises.
    """
    # The key's fingerprint has all options. Without a choice it stays that of earlier versions.
    options = {"mails": mails} if mails else {}
    receipt = once("cancel event", close_event, event_id, actor=actor, version=version, key=key, **options)
    cancel_what_is_left(event_id)
    return receipt


@in_one_transaction
def close_event(event_id: int, *, actor: User, version: int | None = None, mails: MailOptions | None = None) -> Event:
    """Cancels an event, and its first bookings. The others are left to `cancel_what_is_left`. Raises `EventNotFound`,
    `StaleVersion`."""
    event = lock_standing_event(event_id, version=version)
    now = timezone.now()
    # The numbers of all entries are reserved now, so the choice holds for those that follow in parts, too.
    apply(event, [CancelEvent(actor)], now=now, mails=mails)
    LinePart.objects.filter(event=event).delete()
    event.deleted_at = event.updated_at = now
    event.version += 1
    event.save(update_fields=["deleted_at", "updated_at", "version"])
    cancel_next_bookings(event)
    return event


def cancel_what_is_left(event_id: int) -> None:
    """Cancels the bookings that are left of a cancelled event, as far as the time of a request allows."""
    try:
        if unfinished_cancellations().filter(pk=event_id).exists():
            finish_cancellation(event_id, seconds=CANCEL_SECONDS)
    except (Refusal, Error):
        # The event is cancelled all the same.
        log.warning("Bookings of the cancelled event %s are left for later.", event_id, exc_info=True)


def unfinished_cancellations() -> QuerySet[Event]:
    """The cancelled events some of whose bookings have no ledger entry for that yet."""
    latest = LedgerEntry.objects.filter(event=OuterRef("pk"), sequence=OuterRef("ledger_sequence"))
    return Event.objects.exclude(deleted_at=None).filter(~Exists(latest.order_by())).order_by("pk")


def finish_cancellation(event_id: int, *, seconds: float = float("inf")) -> None:
    """Cancels the bookings that are left of a cancelled event, part by part. It ends early when the time is over or the
    server is about to stop. Raises `Busy`, `Unavailable`, `OutcomeUnknown`, after which it can be called again."""
    deadline = time.monotonic() + seconds
    while cancel_part(event_id) and time.monotonic() < deadline and not stopping.has_begun():
        pass


@in_one_transaction
def cancel_part(event_id: int) -> bool:
    return cancel_next_bookings(lock_event(event_id))


def cancel_next_bookings(event: Event) -> bool:
    """Cancels the next bookings of a locked, cancelled event, each with a ledger entry. Returns whether any was left.

    They are cancelled in the order of their ids. So the latest entry says which booking was the last one: none if it is
    the event's own. The entries go on from it, with its actor and time.
    """
    latest = LedgerEntry.objects.filter(event=event).order_by("-sequence").first()
    first = (latest.booking_id or 0) + 1
    live = Booking.objects.of_event(event.pk).live().filter(pk__gte=first).order_by("pk")
    last = live[:BOOKINGS_A_PART].aggregate(last=Max("pk"))["last"]
    if last is None:
        return False
    sql.run_all([sql.insert_cancellations(event.pk, (first, last), CANCELLED_WITH_EVENT)])
    live.filter(pk__lte=last).update(
        status=BookingStatus.CANCELLED, waitlist_number=None, one_ticket_holder=None, updated_at=event.deleted_at
    )
    return True


def notified_changes(event: Event, changes: dict) -> list[tuple]:
    """The changes that holders are notified of: each field with its old and its new value."""
    return [
        (name, *map(json_value, (getattr(event, name), changes[name]))) for name in NOTIFIED_FIELDS if name in changes
    ]


def edit_summary(event: Event, edits: dict) -> str:
    """The text for the ledger: each edited field with its old and its new value."""
    zone = ZoneInfo(edits.get("time_zone", event.time_zone))
    changes = [
        f"{Event._meta.get_field(name).verbose_name}: "
        f"{edited_value(getattr(event, name), event.zone)} → {edited_value(value, zone)}"
        for name, value in edits.items()
    ]
    return Truncator("; ".join(changes)).chars(MAX_NOTE)


def edited_value(value, zone: ZoneInfo) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M} {name_in(zone, value)}"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "nothing" if value in (None, "") else Truncator(value).chars(100)


def lock_standing_event(event_id: int, *, version: int | None) -> Event:
    event = lock_event(event_id)
    if event.deleted_at:
        raise EventNotFound
    if version is not None and version != event.version:
        raise StaleVersion
    return event


def refuse_empty_sales_window(sales_start: datetime | None, sales_end: datetime | None) -> None:
    if sales_start and sales_end and sales_end <= sales_start:
        raise InvalidTerms("Sales must end after they start.", field="salesEnd")
