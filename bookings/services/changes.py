"""The change feed: the ledger of one event, and of all events in one order in which nothing comes late.

**One event.** Every writer of an event's ledger holds the lock of the event's row until it has committed, so entries
are committed in the order of their sequence. Whoever sees entry s sees all before it.

**All events.** Ids of ledger entries are given out before their transactions commit, in any order, and no horizon
bounds how late: a process that is stopped within a transaction can commit an hour afterwards. A cursor of bounded size
cannot hold a position for each of some thousand events either. So readers store the order themselves, outside of every
booking, as parts (`FeedPart`): part n says "next come the entries `first` to `last` of this event". A cursor is a place
in that list: a part's number and a sequence. `extend_feed` appends a part for each event that has moved since its last
part. That nothing is skipped, doubled or out of order follows from this:

1. Parts are committed in the order of their numbers, without a gap. A number is one more than the largest that its
   writer sees, and unique. So who commits part n+1 has seen part n committed, or wrote it in the same transaction.
   Whoever sees part n sees all before it, and nothing can come before a cursor any more.
2. The parts of an event follow each other without gap or overlap. A writer reads the last number first, then where
   each event's last part ends. If another part is committed afterwards, that one has the number, and this writer fails.
   So whoever commits has begun where the feed ended. (That `first` is unique within an event is a second guard.)
3. A part ends at an entry that its writer sees, so all its entries are committed.
4. Every entry comes. Once it is committed, the next reader at the end of the feed sees it beyond its event's last
   part, however late that is and whatever its id is.

Nothing is assumed about times, ids or isolation but that a statement reads what is committed."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from django.db import IntegrityError
from django.db.models import F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from bookings.exceptions import UnknownCursor
from bookings.models import FeedPart, LedgerEntry
from events.exceptions import EventNotFound
from events.models import Event
from ticks.db.transactions import in_one_transaction
from ticks.formatting import iso_milliseconds

MOST_ENTRIES = 1000
# Each part of a page is a range of its own in the query for the entries.
PARTS_A_PAGE = 100


class Cursor(NamedTuple):
    """The place in the feed after an entry: the number of its part, and its sequence."""

    number: int
    sequence: int


class EntryRange(NamedTuple):
    event_id: int
    first: int
    last: int


class EventProgress(NamedTuple):
    """An event, and the sequences up to which the feed and the ledger have its entries."""

    event_id: int
    in_feed: int
    in_ledger: int


BEGINNING = Cursor(0, 0)


def change_data(entry: LedgerEntry) -> dict:
    """An entry as programs read it, in the API and in webhooks. `ChangeSerializer` describes it, and would take many
    times as long: a page may have a thousand entries."""
    return {
        "eventId": entry.event_id,
        "sequence": entry.sequence,
        "kind": entry.kind,
        "tickets": entry.tickets,
        "availableAfter": entry.available_after,
        "waitlistedAfter": entry.waitlisted_after,
        "bookingId": entry.booking_id,
        "actorId": entry.actor_id,
        "note": entry.note,
        "createdAt": iso_milliseconds(entry.created_at),
    }


def changes_of_event(event_id: int, *, after: int, limit: int) -> list[LedgerEntry]:
    """The event's next entries after this sequence, cancelled events included. Raises `EventNotFound`."""
    entries = LedgerEntry.objects.filter(event=event_id, sequence__gt=after).order_by("sequence")
    found = list(entries[:limit])
    if not found and not Event.objects.filter(pk=event_id).exists():
        raise EventNotFound
    return found


def latest_changes(event_ids: Collection[int]) -> dict[int, int]:
    """The sequence of each event's latest entry; an event that does not exist is missing.

    `ledger_sequence` would not do: while a large event is cancelled, it is ahead of the entries.
    """
    events = Event.objects.filter(pk__in=event_ids).order_by()
    return dict(events.values_list("pk", latest_sequence()))


def latest_sequence() -> Coalesce:
    entries = LedgerEntry.objects.filter(event=OuterRef("pk")).order_by("-sequence")
    return Coalesce(Subquery(entries.values("sequence")[:1]), 0)


def changes_after(cursor: Cursor, *, limit: int) -> tuple[list[LedgerEntry], Cursor]:
    """The next entries of all events after this place, and the place after them: the same at the end of the feed.
    Raises `UnknownCursor`, `Busy`, `Unavailable`."""
    ranges, end = ranges_of(read_parts(cursor), cursor, limit=limit)
    is_end = sum(last - first + 1 for _, first, last in ranges) < limit and len(ranges) < PARTS_A_PAGE
    # Only a reader that has come to the end looks for what has moved.
    if is_end and extend_feed():
        ranges, end = ranges_of(read_parts(cursor), cursor, limit=limit)
    return entries_of(ranges), end


def end_of_feed() -> Cursor:
    """The place after everything that is committed now."""
    extend_feed()
    last = FeedPart.objects.order_by("-number").first()
    return Cursor(last.number, last.last) if last else BEGINNING


def extend_feed() -> bool:
    """Appends what has been committed since to the feed. Returns whether there was something. Raises `Busy`,
    `Unavailable`, `OutcomeUnknown`."""
    # The last number is read first. If another reader appends meanwhile, these parts are refused (2.).
    last = FeedPart.objects.aggregate(last=Max("number"))["last"] or 0
    parts = parts_of(moved_events(), after=last)
    if parts:
        # Another reader was faster. What it has not seen, the next one will.
        with suppress(IntegrityError):
            append_parts(parts)
    return bool(parts)


@in_one_transaction
def append_parts(parts: Sequence[FeedPart]) -> None:
    FeedPart.objects.bulk_create(parts, batch_size=500)


def moved_events() -> Iterable[EventProgress]:
    """The events whose ledger has gone on since their last part. One statement reads both."""
    last_part = FeedPart.objects.filter(event_id=OuterRef("pk")).order_by("-first").values("last")[:1]
    in_feed = Coalesce(Subquery(last_part), 0)
    events = Event.objects.alias(in_feed=in_feed).filter(ledger_sequence__gt=F("in_feed")).order_by("pk")
    return map(EventProgress._make, events.values_list("pk", in_feed, latest_sequence()))


def parts_of(moved: Iterable[EventProgress], *, after: int) -> list[FeedPart]:
    # While a large event is cancelled, its `ledger_sequence` is ahead of its entries.
    news = [event for event in moved if event.in_ledger > event.in_feed]
    return [
        FeedPart(number=number, event_id=event_id, first=in_feed + 1, last=in_ledger)
        for number, (event_id, in_feed, in_ledger) in enumerate(news, after + 1)
    ]


def read_parts(cursor: Cursor) -> list[FeedPart]:
    """The part that the cursor is in, which may have been read to its end, and those after it. Raises
    `UnknownCursor`."""
    parts = list(FeedPart.objects.filter(number__gte=cursor.number).order_by("number")[: PARTS_A_PAGE + 1])
    if cursor != BEGINNING:
        # If the database was restored from a backup, the part may be missing, and whoever waited for it would miss
        # what comes before it.
        here = parts[0] if parts else None
        if not (here and here.number == cursor.number and here.first - 1 <= cursor.sequence <= here.last):
            raise UnknownCursor
    return parts


def ranges_of(parts: Sequence[FeedPart], cursor: Cursor, *, limit: int) -> tuple[list[EntryRange], Cursor]:
    """What is to be read of these parts after a place, and the place after it."""
    ranges = []
    for part in parts:
        first = cursor.sequence + 1 if part.number == cursor.number else part.first
        last = min(part.last, first + limit - 1)
        if first <= last and len(ranges) < PARTS_A_PAGE:
            ranges.append(EntryRange(part.event_id, first, last))
            cursor, limit = Cursor(part.number, last), limit - (last - first + 1)
    return ranges, cursor


def entries_of(ranges: Sequence[EntryRange]) -> list[LedgerEntry]:
    """The entries of these ranges, in order. Those of a rehearsal that was removed are missing."""
    if not ranges:
        return []
    wanted = Q()
    for event_id, first, last in ranges:
        wanted |= Q(event=event_id, sequence__range=(first, last))
    found = {(entry.event_id, entry.sequence): entry for entry in LedgerEntry.objects.filter(wanted).order_by()}
    places = ((event_id, sequence) for event_id, first, last in ranges for sequence in range(first, last + 1))
    return [found[place] for place in places if place in found]
