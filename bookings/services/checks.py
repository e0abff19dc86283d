"""Checks whether an event's inventory is consistent: a quick look for every page, and a whole check on demand."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import connection
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import User
from bookings.exceptions import AlreadyChecking, OtherCheckRuns
from bookings.models import InventoryCheck, LedgerEntry
from bookings.services.verification import Report, verify_events
from events.exceptions import EventNotFound
from events.models import Event

log = logging.getLogger("bookings.checks")
# If a check has not ended after this time, its worker is lost. A check of 1,000,000 bookings takes a few minutes.
STALE = timedelta(minutes=10)
# This is the limit for one statement of a check. One statement counts all bookings of such an event.
STATEMENT_SECONDS = 120
# Each worker runs one check at a time, since a check takes all the Python time that it can get.
checking = threading.Lock()


class BadgeState(StrEnum):
    VERIFIED = "verified"
    DIFFERS = "differs"
    RUNNING = "running"
    # No check was begun, or the last one did not end.
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Badge:
    state: BadgeState
    # This is a sentence for people.
    message: str
    findings: tuple[str, ...] = ()
    # This is the end of the whole check that the badge is about, if there was one.
    finished_at: datetime | None = None


def quick_findings(events: Iterable[Event]) -> dict[int, list[str]]:
    """The differences between each event's counts and its latest ledger entry, by event id. It takes one query.

    Counts and entry are read in one statement, so that a booking made meanwhile is no difference.
    """
    latest = LedgerEntry.objects.filter(event=OuterRef("pk")).order_by("-sequence")
    columns = ("sequence", "available_after", "waitlisted_after")
    found = (
        Event.objects.filter(pk__in=[event.pk for event in events])
        .order_by("pk")
        .values_list("pk", "ledger_sequence", "available_tickets", "waitlisted_count")
        .annotate(**{f"last_{column}": Subquery(latest.values(column)[:1]) for column in columns})
    )
    findings = {}
    for event_id, *numbers in found:
        counts = zip(("entries", "available", "waiting"), numbers[:3], numbers[3:], strict=True)
        # The value is None if the event has no entry.
        found_here = [
            f"ledger says {expected or 0} {what}, the event says {counted}"
            for what, counted, expected in counts
            if counted != (expected or 0)
        ]
        if found_here:
            findings[event_id] = found_here
    return findings


def check_inventory(event_id: int) -> InventoryCheck:
    """Verifies an event's whole inventory, as of one moment, and stores the result. Raises `EventNotFound`."""
    reports = list(verify_events(event_id))
    if not reports:
        raise EventNotFound
    return store_report(reports[0])


def store_report(report: Report) -> InventoryCheck:
    """Stores the event's latest check: this one, unless a later one is there already."""
    event = report.event
    found = {
        "sequence": event.ledger_sequence,
        "findings": report.findings,
        "started_at": report.began,
        "finished_at": timezone.now(),
    }
    if not InventoryCheck.objects.filter(event=event, started_at__lte=report.began).update(**found):
        InventoryCheck.objects.bulk_create([InventoryCheck(event=event, **found)], ignore_conflicts=True)
    return InventoryCheck.objects.get(event=event)


def start_check(event_id: int, *, actor: User) -> None:
    """Begins a check in a thread of its own; `badge_of` tells how it went.

    Raises `EventNotFound`. Raises `AlreadyChecking` while any worker checks this event, and `OtherCheckRuns` while this
    worker checks another event.
    """
    if not Event.objects.filter(pk=event_id).exists():
        raise EventNotFound
    if not checking.acquire(blocking=False):
        raise AlreadyChecking if is_running(check_of(event_id), now=timezone.now()) else OtherCheckRuns
    try:
        check = BegunCheck(event_id)
        log.info("Account %s has the inventory of event %s verified.", actor.pk, event_id)
        try:
            threading.Thread(target=run_check, args=[check], name="inventory-check", daemon=True).start()
        except BaseException:
            check.give_up()
            raise
    except BaseException:
        checking.release()
        raise


class BegunCheck:
    """A check of an event that has begun. No other worker begins a check of this event until it ends or is stale."""

    def __init__(self, event_id: int):
        self.event_id, self.began = event_id, timezone.now()
        kept = InventoryCheck.objects.filter(event=event_id)
        self.before = kept.values("started_at", "finished_at").first()
        idle = Q(finished_at__isnull=False) | Q(started_at__lt=self.began - STALE)
        if kept.filter(idle).update(started_at=self.began, finished_at=None):
            return
        _, is_new = InventoryCheck.objects.get_or_create(event_id=event_id, defaults={"started_at": self.began})
        if not is_new:
            raise AlreadyChecking

    def give_up(self) -> None:
        """Restores the row as it was before this check began."""
        mine = InventoryCheck.objects.filter(event=self.event_id, started_at=self.began, finished_at=None)
        if self.before:
            mine.update(**self.before)
        else:
            mine.delete()


def run_check(check: BegunCheck) -> None:
    """Runs in the check's own thread."""
    try:
        wait_longer()
        try:
            check_inventory(check.event_id)
        except Exception:
            log.exception("The inventory of event %s could not be verified.", check.event_id)
            # The connection may be lost, or still be in the transaction of the reads.
            connection.close()
            check.give_up()
    except Exception as error:
        # The row stays as it is, and counts as stale after a while.
        log.warning("The check of event %s is left as it is: %s", check.event_id, error)
    finally:
        connection.close()
        checking.release()


def wait_longer() -> None:
    """Lets this thread's connection wait longer than a request may."""
    known = connection.settings_dict
    limits = dict.fromkeys(known["OPTIONS"].keys() & {"read_timeout", "write_timeout"}, STATEMENT_SECONDS)
    # All threads share the settings dict, so it is copied and not changed.
    connection.settings_dict = {**known, "OPTIONS": {**known["OPTIONS"], **limits}}


def check_of(event_id: int) -> InventoryCheck | None:
    return InventoryCheck.objects.filter(event=event_id).first()


def is_running(check: InventoryCheck | None, *, now: datetime) -> bool:
    return check is not None and check.finished_at is None and check.started_at >= now - STALE


def badge_of(
    event: Event, check: InventoryCheck | None, *, quick: Iterable[str] = (), now: datetime | None = None
) -> Badge:
    """The badge to show beside an event, from its latest whole check and from the findings of a quick look."""
    findings = tuple(quick)
    if findings:
        return Badge(BadgeState.DIFFERS, "Differs from its ledger", findings)
    if is_running(check, now=now or timezone.now()):
        return Badge(BadgeState.RUNNING, "Being verified")
    if check is None or check.finished_at is None:
        return Badge(BadgeState.UNCHECKED, "Not verified yet" if check is None else "Its last check did not end")
    at = f"at entry {check.sequence:,}"
    # The page may have read the event before the check did, so the difference can be negative.
    since = max(0, event.ledger_sequence - check.sequence)
    if since:
        at += f", {since:,} {'entry' if since == 1 else 'entries'} since"
    if check.findings:
        return Badge(BadgeState.DIFFERS, f"Differed {at}", tuple(check.findings), check.finished_at)
    return Badge(BadgeState.VERIFIED, f"Verified {at}", (), check.finished_at)
