"""Turns the ledger's entries into mails, event by event, each from a position of its own.

Ids of ledger entries commit out of order, so no position rests on them. Within an event the numbers have no gap, and
each commits with its booking, under the event's lock.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import User
from bookings.enums import FactKind, LedgerKind
from bookings.models import CANCELLED_WITH_EVENT, VOIDED_NOTE, WROTE_NOTE, Booking, LedgerEntry
from bookings.outbox import NOTIFIED_FIELDS, DeliveryPosition, FormerHolder, Mail, MailChoice, json_value
from events.models import Event
from ticks.db.transactions import in_one_transaction

# A transaction turns so many entries, or bookings of a changed event, into mails.
ENTRIES_A_PART = 1000
# Facts of one booking that happen within this time are told in one mail, so a mail waits for as long.
MERGED_WITHIN = timedelta(seconds=settings.MAIL_DELAY_SECONDS)
# A mail is given up only if it is older than this. A fact that is read later than this is not told by itself any more:
# its mail is given up from the beginning, so that staff see it and can send it.
GIVE_UP_AFTER = timedelta(days=5)
TOO_OLD = "It was read too late: manage.py deliver had not run for days."
# A booking is notified of these entries. Each is the fact of the same name, unless `facts_of_entry` knows better.
NOTIFIED_KINDS = {
    LedgerKind.BOOKED,
    LedgerKind.WAITLISTED,
    LedgerKind.PROMOTED,
    LedgerKind.REDUCED,
    LedgerKind.CANCELLED,
    LedgerKind.TRANSFERRED,
}
HOLDER_COLUMNS = ("first_name", "last_name", "email", "user_id")
ENTRY_COLUMNS = ("sequence", "kind", "tickets", "booking_id", "actor_id", "note", "created_at")


class Recipient(NamedTuple):
    """Whoever held a booking at some entry. `account` is the id of their account."""

    name: str
    email: str
    account: int | None


class Fact(NamedTuple):
    """Something that one person is told about one booking."""

    kind: FactKind
    sequence: int
    happened_at: datetime
    booking_id: int
    to: Recipient
    details: dict[str, Any] = {}
    # Staff chose to tell nobody.
    is_silent: bool = False

    @property
    def has_recipient(self) -> bool:
        return bool(self.to.email) and not self.is_silent

    def stored(self) -> dict:
        return {"kind": self.kind, "sequence": self.sequence, **self.details}


def events_with_news() -> dict[int, int]:
    """The events whose ledger goes on behind their position, each with the number of its last entry. One query finds
    them, however long the ledgers are."""
    is_unread = Q(delivery_position=None) | Q(ledger_sequence__gt=F("delivery_position__sequence"))
    return dict(Event.objects.filter(is_unread).order_by("pk").values_list("pk", "ledger_sequence"))


def add_positions() -> None:
    """Gives events that were never looked at a position before their first entry."""
    new = Event.objects.filter(delivery_position=None).only(*NOTIFIED_FIELDS)
    positions = [DeliveryPosition(event=event, known_values=event_values(event)) for event in new]
    # Another process may add the same ones.
    DeliveryPosition.objects.bulk_create(positions, batch_size=ENTRIES_A_PART, ignore_conflicts=True)


def event_values(event: Event) -> dict:
    return {name: json_value(getattr(event, name)) for name in NOTIFIED_FIELDS}


@in_one_transaction
def read_part(event_id: int) -> bool:
    """Turns the next entries of an event into mails, and moves its position in the same transaction. Returns whether
    there may be more: not if another process is at this event.

    Raises `Busy`, `Unavailable`, `OutcomeUnknown`, after which it can be called again: either all was done, or nothing.
    """
    position = lock_position(event_id)
    if position is None:
        return False
    now = timezone.now()
    if position.pending_change is not None:
        notify_next_bookings(position, now=now)
        return True
    entries = contiguous(position)
    # Where entries come one by one, the next part waits for more of them. Each part is a COMMIT beside the bookings'.
    has_more = len(entries) == ENTRIES_A_PART
    choices = choices_of(entries, event_id)
    for place in [place for place, entry in enumerate(entries) if is_edit(entry)]:
        change = change_of(entries[place].sequence, position, choices)
        if change and place == 0:
            position.pending_change = change
            notify_next_bookings(position, now=now)
            return True
        if change:
            # What happened before comes first.
            entries, has_more = entries[:place], True
            break
    if entries:
        queue_mails(facts_of(entries, choices), now=now)
        position.sequence = entries[-1].sequence
        position.save(update_fields=["sequence", "known_values"])
    return has_more


def lock_position(event_id: int) -> DeliveryPosition | None:
    """An event's position, locked until the transaction ends; None if another process reads this event. On SQLite the
    transaction itself is the lock."""
    can_skip = connection.features.has_select_for_update_skip_locked
    return DeliveryPosition.objects.select_for_update(skip_locked=can_skip).filter(pk=event_id).first()


def contiguous(position: DeliveryPosition) -> list[Any]:
    """The next entries up to a gap: the entries of a large cancelled event are written in parts, after the event's."""
    later = LedgerEntry.objects.filter(event=position.event_id, sequence__gt=position.sequence).order_by("sequence")
    # One look into an index for each entry costs less than another query for each part.
    choice = MailChoice.objects.filter(event=position.event_id, last__gte=OuterRef("sequence")).order_by("last")
    later = later.annotate(choice_from=Subquery(choice.values("first")[:1]))
    entries = list(later.values_list(*ENTRY_COLUMNS, "choice_from", named=True)[:ENTRIES_A_PART])
    expected = position.sequence
    for place, entry in enumerate(entries):
        expected += 1
        if entry.sequence != expected:
            return entries[:place]
    return entries


def is_edit(entry: Any) -> bool:
    # What staff write to holders is entered as an edit, and is told by a mail of its own.
    return entry.kind == LedgerKind.EDITED and not entry.note.startswith(WROTE_NOTE)


def choices_of(entries: Sequence[Any], event_id: int) -> list[MailChoice]:
    """What staff chose for the mails of these entries, in their order."""
    if all(entry.choice_from is None or entry.choice_from > entry.sequence for entry in entries):
        return []
    choices = MailChoice.objects.filter(event=event_id)
    return list(choices.filter(last__gte=entries[0].sequence, first__lte=entries[-1].sequence).order_by("last"))


def choice_at(sequence: int, choices: Sequence[MailChoice]) -> MailChoice | None:
    place = bisect_left(choices, sequence, key=attrgetter("last"))
    return choices[place] if place < len(choices) and choices[place].first <= sequence else None


def change_of(sequence: int, position: DeliveryPosition, choices: Sequence[MailChoice]) -> dict | None:
    """What all live bookings are to be notified of at this edit; None if it is nothing. What staff changed without
    telling anybody counts as known."""
    choice = choice_at(sequence, choices)
    if choice and choice.is_silent:
        position.known_values |= {name: new for name, _, new in choice.changes}
        return None
    changes = changes_since(position, sequence)
    return {"changes": changes, "after": 0, **noted(choice)} if changes else None


def noted(choice: MailChoice | None) -> dict:
    """What a fact has of a choice: the id, since the same note is told to many."""
    return {"choice": choice.pk} if choice and choice.note else {}


def changes_since(position: DeliveryPosition, sequence: int) -> list[tuple[str, Any, Any]]:
    """What differs from what holders know: each field with its old and its new value. Nobody is notified of changes of
    a cancelled event, nor of those that staff have made since then without telling anybody."""
    event = Event.objects.get(pk=position.event_id)
    if event.deleted_at:
        return []
    # A process of the version before has left the time zone out, and notified nobody that it would be another one.
    known, values = {"time_zone": event.time_zone, **position.known_values}, event_values(event)
    # They are read after the event: whoever commits in between has not changed what was read.
    silent = MailChoice.objects.filter(event=event, is_silent=True, first__gt=sequence).order_by("-last")
    for changes in silent.values_list("changes", flat=True):
        values |= {name: old for name, old, _ in changes}
    return [(name, known.get(name), values[name]) for name in NOTIFIED_FIELDS if known.get(name) != values[name]]


def notify_next_bookings(position: DeliveryPosition, *, now: datetime) -> None:
    """Notifies the next live bookings of a changed event. After the last one the position moves past the edit."""
    [edit] = LedgerEntry.objects.filter(event=position.event_id, sequence=position.sequence + 1)
    live = (
        Booking.objects.of_event(position.event_id)
        .live()
        .filter(pk__gt=position.pending_change["after"], created_at__lte=edit.created_at)
    )
    rows = live.order_by("pk").values_list("pk", *HOLDER_COLUMNS)[:ENTRIES_A_PART]
    bookings = {pk: recipient(*columns) for pk, *columns in rows}
    details = {name: value for name, value in position.pending_change.items() if name != "after"}
    queue_mails(
        [Fact(FactKind.EVENT_CHANGED, edit.sequence, edit.created_at, pk, to, details) for pk, to in bookings.items()],
        now=now,
    )
    if len(bookings) == ENTRIES_A_PART:
        position.pending_change["after"] = max(bookings)
    else:
        position.known_values |= {name: new for name, _, new in position.pending_change["changes"]}
        position.pending_change = None
        position.sequence = edit.sequence
    position.save(update_fields=["pending_change", "known_values", "sequence"])


def facts_of(entries: Sequence[Any], choices: Sequence[MailChoice]) -> list[Fact]:
    """What these entries tell, and to whom, in their order."""
    entries = [entry for entry in entries if entry.kind in NOTIFIED_KINDS]
    ids = {entry.booking_id for entry in entries}
    holders = {
        pk: recipient(*row) for pk, *row in Booking.objects.filter(pk__in=ids).values_list("pk", *HOLDER_COLUMNS)
    }
    formers: dict[int, list[FormerHolder]] = {}
    for former in FormerHolder.objects.filter(booking__in=ids).order_by("sequence"):
        formers.setdefault(former.booking_id, []).append(former)
    others, facts = others_among({entry.actor_id for entry in entries}), []
    for entry in entries:
        by = others.get(entry.actor_id, "holder")
        found = facts_of_entry(entry, holders[entry.booking_id], formers.get(entry.booking_id, []), by=by)
        choice = choice_at(entry.sequence, choices)
        facts += [with_choice(fact, choice) for fact in found] if choice else found
    return facts


def others_among(ids: Collection[int | None]) -> dict[int, str]:
    """The accounts among these that may do anything for others: staff, and those of programs (API keys). Anybody may
    cancel with a guest's token."""
    powers = Q(is_staff=True) | Q(is_superuser=True) | Q(groups__isnull=False) | Q(user_permissions__isnull=False)
    rows = User.objects.filter(powers | Q(api_key__isnull=False), pk__in=ids).values_list("pk", "api_key")
    return {pk: "staff" if api_key is None else "program" for pk, api_key in rows}


def facts_of_entry(entry: Any, holder: Recipient, formers: Sequence[FormerHolder], *, by: str) -> Iterable[Fact]:
    # Whoever held the booking at this entry: the first who gave it away later, or who holds it now.
    later = next((former for former in formers if former.sequence > entry.sequence), None)
    to = recipient_of(later) if later else holder
    kind = FactKind(entry.kind)
    details = {"tickets": entry.tickets, "by": "holder" if entry.actor_id == to.account else by}
    if kind == FactKind.TRANSFERRED and entry.note.startswith(VOIDED_NOTE):
        kind = FactKind.VOIDED
    elif kind == FactKind.TRANSFERRED:
        former = next((one for one in formers if one.sequence == entry.sequence), None)
        if former:
            yield fact_of(FactKind.TRANSFERRED_AWAY, entry, recipient_of(former), details)
        else:
            kind = FactKind.CORRECTED
    elif kind == FactKind.CANCELLED and entry.note == CANCELLED_WITH_EVENT:
        kind = FactKind.EVENT_CANCELLED
    yield fact_of(kind, entry, to, details)


def fact_of(kind: FactKind, entry: Any, to: Recipient, details: dict) -> Fact:
    return Fact(kind, entry.sequence, entry.created_at, entry.booking_id, to, details)


def with_choice(fact: Fact, choice: MailChoice) -> Fact:
    return fact._replace(details=fact.details | noted(choice), is_silent=choice.is_silent)


def recipient(first_name: str, last_name: str, email: str, account: int | None) -> Recipient:
    return Recipient(f"{first_name} {last_name}".strip(), email, account)


def recipient_of(former: FormerHolder) -> Recipient:
    return Recipient(former.name, former.email, former.account)


def queue_mails(facts: Sequence[Fact], *, now: datetime) -> None:
    """Makes mails of facts. A fact is merged into the mail that still waits for more of the same booking and person."""
    # A correction changes mails that wait, even if nobody is told of it.
    facts = [fact for fact in facts if fact.has_recipient or fact.kind == FactKind.CORRECTED]
    if not facts:
        return
    ids = {fact.booking_id for fact in facts}
    # What staff write to everybody is a mail of its own.
    waiting = Mail.objects.waiting().filter(booking__in=ids, announcement=None, lease=None, attempts=0)
    latest = {(mail.booking_id, mail.email): mail for mail in waiting.select_for_update().order_by("sequence")}
    new, merged = [], {}
    for fact in facts:
        if fact.kind == FactKind.CORRECTED:
            correct_waiting(fact, latest)
        if not fact.has_recipient:
            continue
        key = (fact.booking_id, fact.to.email)
        mail = latest.get(key)
        if mail and can_merge(fact, mail):
            mail.facts.append(fact.stored())
            if mail.pk:
                merged[mail.pk] = mail
        else:
            latest[key] = new_mail(fact, now=now)
            new.append(latest[key])
    Mail.objects.bulk_update(merged.values(), ["facts", "name", "email"])
    # A correction may have taken an address away.
    Mail.objects.bulk_create([mail for mail in new if mail.email])


def can_merge(fact: Fact, mail: Mail) -> bool:
    # Whoever gave the booking away hears nothing of it afterwards but that.
    is_away = fact.kind == FactKind.TRANSFERRED_AWAY
    return mail.state == Mail.State.WAITING and (is_away or fact.happened_at - mail.happened_at < MERGED_WITHIN)


def new_mail(fact: Fact, *, now: datetime) -> Mail:
    is_too_old = fact.happened_at < now - GIVE_UP_AFTER
    return Mail(
        booking_id=fact.booking_id,
        sequence=fact.sequence,
        is_to_former=fact.kind == FactKind.TRANSFERRED_AWAY,
        name=fact.to.name,
        email=fact.to.email,
        facts=[fact.stored()],
        happened_at=fact.happened_at,
        state=Mail.State.GIVEN_UP if is_too_old else Mail.State.WAITING,
        error=TOO_OLD if is_too_old else "",
        due_at=fact.happened_at + MERGED_WITHIN,
        give_up_at=now + GIVE_UP_AFTER,
    )


def correct_waiting(fact: Fact, latest: dict[tuple[int, str], Mail]) -> None:
    """Gives the mails that wait for a corrected booking the right name and address. Those for former holders stay.
    Without an address there is nobody to tell."""
    formers = set(FormerHolder.objects.filter(booking=fact.booking_id).values_list("email", flat=True))
    wrong = Mail.objects.filter(booking=fact.booking_id, state=Mail.State.WAITING, lease=None).exclude(
        email__in=formers
    )
    if fact.to.email:
        wrong.update(name=fact.to.name, email=fact.to.email)
    else:
        wrong.delete()
    for key in [key for key in latest if key[0] == fact.booking_id and key[1] not in formers]:
        mail = latest.pop(key)
        mail.name, mail.email = fact.to.name, fact.to.email
        latest[fact.booking_id, fact.to.email] = mail


def skip_all() -> None:
    """Moves all positions to the end of their ledgers. Nobody is notified of what is skipped."""
    for event_id in events_with_news():
        skip_to_end(event_id)


def skip_to_end(event_id: int) -> None:
    """Has nobody notified of what has happened to an event until now."""
    event = Event.objects.get(pk=event_id)
    values = {"sequence": event.ledger_sequence, "known_values": event_values(event), "pending_change": None}
    DeliveryPosition.objects.update_or_create(event=event, defaults=values)


def mute_event(event_id: int) -> None:
    """Has nobody notified of anything of this event, until `skip_to_end`."""
    DeliveryPosition.objects.update_or_create(event_id=event_id, defaults={"sequence": DeliveryPosition.NEVER})
