"""Verifies that counters, bookings and ledger agree. It only reads, and uses bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models import Count, F, Min, Sum
from django.utils import timezone

from bookings.enums import ARRIVALS, BookingStatus, LedgerKind
from bookings.models import Booking, LedgerEntry, LinePart, SalesHour
from bookings.rules import NUMBERS_A_PART, number_of_arrival
from bookings.services.inventory import hour_of
from events.models import Event

CHUNK = 1000
# This many findings are enough to see what is wrong. The findings of a broken event of 100,000 bookings must not fill
# the memory.
MAX_FINDINGS = 20
# These columns are read of every row, as a tuple. A model instance takes three times as long, and a check of a million
# bookings takes minutes of a server's Python.
STEP = ("sequence", "kind", "tickets", "available_after", "waitlisted_after", "created_at")
STORY = ("booking_id", "event_id", "sequence", "kind", "tickets", "place")
FOUND = ("pk", "event_id", "reference", "status", "tickets_reserved", "waitlist_number")
# The counts are bookings made, tickets asked for, tickets held, and bookings waiting.
Hour = tuple[int, int, int, int]


@dataclass(slots=True)
class VerificationReport:
    event: Event
    began: datetime = field(default_factory=timezone.now)
    held: int = 0
    waiting: int = 0
    # These bookings of a cancelled event are live: they are about to be cancelled, part by part. The event's counts are
    # already those from afterwards.
    left: int = 0
    # The event was cancelled before its bookings got ledger entries for that: one entry cancelled them all.
    is_cancelled_by_one_entry: bool = False
    findings: list[str] = field(default_factory=list)

    def check(self, is_so: bool, finding: str) -> None:
        if not is_so and len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


def verify_events(event_id: int | None = None) -> Iterator[VerificationReport]:
    """One report for each event, deleted events included. Each is read from one snapshot of a live database."""
    last = 0
    while True:
        ids = Event.objects.filter(pk=event_id) if event_id is not None else Event.objects.filter(pk__gt=last)
        last = ids.order_by("pk").values_list("pk", flat=True).first()
        if last is None:
            return
        with snapshot():
            report = verify_event(Event.objects.get(pk=last))
        # The report is given outside of the snapshot, so that the caller may write.
        yield report
        if event_id is not None:
            return


@contextmanager
def snapshot() -> Iterator[None]:
    """All reads inside see the same moment, and block nobody. In a transaction, it is that of the transaction."""
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        else:
            # This is not atomic(), which would take SQLite's one write lock.
            cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def verify_event(event: Event) -> VerificationReport:
    report = VerificationReport(event)
    verify_counts(report)
    verify_waitlist(report)
    verify_parts(report)
    verify_ledger(report)
    verify_bookings(report)
    return report


def verify_counts(report: VerificationReport) -> None:
    event = report.event
    bookings = completed = waiting = wanted = 0
    made = Booking.objects.filter(event=event).order_by()
    for status, count, tickets in (
        made.values("status").annotate(n=Count("pk"), t=Sum("tickets_reserved")).values_list("status", "n", "t")
    ):
        bookings += count
        if status == BookingStatus.COMPLETED:
            report.held, completed = tickets, count
        elif status == BookingStatus.WAITLISTED:
            report.waiting = waiting = count
            wanted = tickets
    free = event.total_tickets - report.held
    report.check(free >= 0, f"oversold: {report.held} tickets held of {event.total_tickets}")
    if event.deleted_at:
        report.left = completed + report.waiting
        free, completed, waiting, wanted = event.total_tickets, 0, 0, 0
    report.check(
        event.available_tickets == free, f"counter says {event.available_tickets} available, bookings leave {free}"
    )
    for what, counted, found in (
        ("waiting", event.waitlisted_count, waiting),
        ("tickets waited for", event.waitlisted_tickets, wanted),
        ("completed", event.completed_count, completed),
        ("in all", event.booking_count, bookings),
    ):
        report.check(counted == found, f"counter says {counted} {what}, bookings say {found}")


def verify_waitlist(report: VerificationReport) -> None:
    event = report.event
    if event.deleted_at or event.has_ended(report.began):
        # Bookings are no longer promoted automatically, so one that would fit may be waiting.
        return
    waiting = Booking.objects.filter(event=event).waitlisted()
    if event.waitlist_policy == Event.WaitlistPolicy.STRICT:
        next_size = waiting.order_by("waitlist_number").values_list("tickets_reserved", flat=True).first()
    else:
        next_size = waiting.aggregate(smallest=Min("tickets_reserved"))["smallest"]
    report.check(
        next_size is None or next_size > event.available_tickets,
        f"somebody waits for {next_size} tickets while {event.available_tickets} are available",
    )


def verify_parts(report: VerificationReport) -> None:
    """The counts of the waitlist's parts, from which positions are computed."""
    waiting = Booking.objects.filter(event=report.event).waitlisted().order_by()
    part = F("waitlist_number") - F("waitlist_number") % NUMBERS_A_PART
    found = dict(waiting.annotate(part=part).values("part").annotate(n=Count("pk")).values_list("part", "n"))
    if report.event.deleted_at:
        # The parts of a cancelled event are deleted at once.
        found = {}
    # A part in which nobody waits any more keeps its row.
    counted = dict(
        LinePart.objects.filter(event=report.event).exclude(waiting=0).values_list("first_number", "waiting")
    )
    for number in sorted({number for number, _ in found.items() ^ counted.items()}):
        report.check(
            False,
            f"the line from {number} counts {counted.get(number, 0)} waiting, bookings say {found.get(number, 0)}",
        )


def verify_ledger(report: VerificationReport) -> None:
    """Checks the entries in order: they have no gap, each step is legal, and the last one agrees with the counters."""
    total = available = waitlisted = sequence = 0
    hours: dict[datetime, Hour] = {}
    for entry in ledger_in_order(report.event):
        sequence += 1
        if entry.sequence != sequence:
            report.check(False, f"ledger entry {sequence} is missing")
            sequence = entry.sequence
        if entry.kind in (LedgerKind.OPENED, LedgerKind.CAPACITY_CHANGED):
            total += entry.tickets
        moves = legal_moves(entry, total=total, available=available, waitlisted=waitlisted)
        after = (entry.available_after, entry.waitlisted_after)
        report.check(
            after in moves,
            f"ledger entry {sequence} ({entry.kind} {entry.tickets}) goes from {available} available,"
            f" {waitlisted} waiting to {after[0]}, {after[1]}",
        )
        if entry.kind == LedgerKind.EVENT_CANCELLED:
            report.is_cancelled_by_one_entry = after != (available, waitlisted)
        available, waitlisted = after
        if entry.kind != LedgerKind.OPENED:
            hour = hour_of(entry.created_at)
            hours[hour] = add_to_hour(hours.get(hour), entry, total=total)
    event = report.event
    if report.left:
        report.check(
            sequence + report.left == event.ledger_sequence,
            f"deleted, but has live bookings: {report.left}, with {event.ledger_sequence - sequence} entries to come",
        )
        # The entries to come have the time of the cancellation.
        hour = hour_of(event.deleted_at)
        hours[hour] = (*hours.get(hour, (0, 0))[:2], 0, 0)
        sequence, available, waitlisted = event.ledger_sequence, available + report.held, waitlisted - report.waiting
    verify_hours(report, hours)
    for what, expected, counted in (
        ("entries", sequence, event.ledger_sequence),
        ("tickets in total", total, event.total_tickets),
        ("available", available, event.available_tickets),
        ("waiting", waitlisted, event.waitlisted_count),
    ):
        report.check(expected == counted, f"ledger says {expected} {what}, the event says {counted}")


def add_to_hour(hour: Hour | None, entry: LedgerEntry, *, total: int) -> Hour:
    bookings, tickets = hour[:2] if hour else (0, 0)
    if entry.kind in ARRIVALS:
        bookings, tickets = bookings + 1, tickets + entry.tickets
    return bookings, tickets, total - entry.available_after, entry.waitlisted_after


def verify_hours(report: VerificationReport, expected: dict[datetime, Hour]) -> None:
    counted = {
        hour: tuple(counts)
        for hour, *counts in SalesHour.objects.filter(event=report.event).values_list(
            "hour", "bookings", "tickets", "held", "waiting"
        )
    }
    for hour in sorted(hour for hour, _ in expected.items() ^ counted.items()):
        report.check(
            False,
            f"the hour from {hour:%Y-%m-%d %H}:00 counts {counted.get(hour)} (bookings, tickets, held, waiting),"
            f" its ledger entries say {expected.get(hour)}",
        )


def legal_moves(entry: LedgerEntry, *, total: int, available: int, waitlisted: int) -> set[tuple[int, int]]:
    """The counts (available, waiting) that may follow from the entry and the counts before it."""
    tickets = entry.tickets
    match entry.kind:
        case LedgerKind.OPENED | LedgerKind.CAPACITY_CHANGED:
            return {(available + tickets, waitlisted)}
        case LedgerKind.BOOKED:
            return {(available - tickets, waitlisted)}
        case LedgerKind.WAITLISTED:
            return {(available, waitlisted + 1)}
        case LedgerKind.PROMOTED:
            return {(available - tickets, waitlisted - 1)}
        case LedgerKind.REDUCED:
            return {(available + tickets, waitlisted), (available, waitlisted)}
        case LedgerKind.CANCELLED:
            return {(available + tickets, waitlisted), (available, waitlisted - 1)}
        case LedgerKind.MOVED | LedgerKind.TRANSFERRED | LedgerKind.EDITED:
            return {(available, waitlisted)}
        case LedgerKind.EVENT_CANCELLED if tickets == total - available:
            # Before the bookings had entries of their own, this one entry moved all of them.
            return {(available, waitlisted), (total, 0)}
    return set()


def ledger_in_order(event: Event) -> Iterator[LedgerEntry]:
    last = 0
    while True:
        # The rows are read in pages by key, since MySQL's client would hold the whole result of one large query.
        later = LedgerEntry.objects.filter(event=event, sequence__gt=last).order_by("sequence")
        page = list(later.values_list(*STEP, named=True)[:CHUNK])
        yield from page
        if len(page) < CHUNK:
            return
        last = page[-1].sequence


def verify_bookings(report: VerificationReport) -> None:
    """Checks that each booking agrees with its own ledger entries."""
    last = 0
    while True:
        later = Booking.objects.filter(event=report.event, pk__gt=last).order_by("pk")
        page = list(later.values_list(*FOUND, named=True)[:CHUNK])
        if not page:
            return
        last = page[-1].pk
        entries: dict[int, list[LedgerEntry]] = {booking.pk: [] for booking in page}
        their_entries = LedgerEntry.objects.filter(booking__in=list(entries)).order_by()
        for entry in their_entries.values_list(*STORY, named=True):
            entries[entry.booking_id].append(entry)
        for booking in page:
            story = sorted(entries[booking.pk], key=lambda entry: entry.sequence)
            expected = state_after(story, is_cancelled_by_event=report.is_cancelled_by_one_entry)
            found = (booking.status, booking.tickets_reserved, booking.waitlist_number)
            report.check(
                expected == found, f"booking {booking.reference} is {found}, its ledger entries say {expected}"
            )
            report.check(
                all(entry.event_id == booking.event_id for entry in story),
                f"booking {booking.reference} has ledger entries of another event",
            )


def state_after(story: list[LedgerEntry], *, is_cancelled_by_event: bool) -> tuple[str | None, int, int | None]:
    """The (status, tickets, waitlist number) after a booking's entries; (None, 0, None) if they make no sense."""
    status, tickets, number = None, 0, None
    for entry in story:
        match entry.kind, status:
            case LedgerKind.BOOKED, None:
                status, tickets = BookingStatus.COMPLETED, entry.tickets
            case LedgerKind.WAITLISTED, None:
                status, tickets, number = BookingStatus.WAITLISTED, entry.tickets, number_of_arrival(entry.sequence)
            case LedgerKind.MOVED, BookingStatus.WAITLISTED if entry.tickets == tickets:
                number = entry.place
            case LedgerKind.TRANSFERRED, str() if entry.tickets == tickets:
                pass
            case LedgerKind.PROMOTED, BookingStatus.WAITLISTED if entry.tickets == tickets:
                status, number = BookingStatus.COMPLETED, None
            case LedgerKind.REDUCED, BookingStatus.COMPLETED | BookingStatus.WAITLISTED if entry.tickets < tickets:
                tickets -= entry.tickets
            case LedgerKind.CANCELLED, BookingStatus.COMPLETED | BookingStatus.WAITLISTED if entry.tickets == tickets:
                status, number = BookingStatus.CANCELLED, None
            case _:
                return None, 0, None
    if is_cancelled_by_event and status is not None:
        return BookingStatus.CANCELLED, tickets, None
    return status, tickets, number
