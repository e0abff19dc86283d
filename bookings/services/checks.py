"""Checks whether an event's inventory is consistent: a quick look for every page, and a whole check on demand."""

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from django.db import Error, connection
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.models import User
from bookings.exceptions import AlreadyChecking, OtherCheckRuns
from bookings.models import InventoryCheck, LedgerEntry
from bookings.services.verification import VerificationReport, verify_events
from events.exceptions import EventNotFound
from events.models import Event

log = logging.getLogger("bookings.checks")
# This is the limit for one statement of a check. One statement counts all bookings of such an event.
STATEMENT_SECONDS = 120
# Each worker runs one check at a time, since a check takes all the Python time that it can get.
checking = threading.Lock()


def quick_findings(events: Iterable[Event]) -> dict[int, list[str]]:
    """The differences between each event's counts and its latest ledger entry, by event id. It takes one query.

    Counts and entry are read in one statement, so that a booking made meanwhile is no difference.
    """
    latest = LedgerEntry.objects.filter(event=OuterRef("pk")).order_by("-sequence")
    columns = ("sequence", "available_after", "waitlisted_after")
    found = Event.objects.filter(pk__in=[event.pk for event in events]).order_by("pk")
    found = found.annotate(**{f"last_{column}": Subquery(latest.values(column)[:1]) for column in columns})
    findings = {}
    for event in found:
        if event.deleted_at and (event.last_sequence or 0) < event.ledger_sequence:
            # Its bookings are being cancelled part by part, so their entries are not all there yet.
            continue
        counts = (
            ("entries", event.ledger_sequence, event.last_sequence),
            ("available", event.available_tickets, event.last_available_after),
            ("waiting", event.waitlisted_count, event.last_waitlisted_after),
        )
        for what, count, expected in counts:
            # The value is None if the event has no entry.
            if count != (expected or 0):
                text = f"ledger says {expected or 0} {what}, the event says {count}"
                findings.setdefault(event.pk, []).append(text)
    return findings


def check_inventory(event_id: int) -> InventoryCheck:
    """Verifies an event's whole inventory, as of one moment, and stores the result. Raises `EventNotFound`."""
    reports = list(verify_events(event_id))
    if not reports:
        raise EventNotFound
    return store_report(reports[0])


def store_report(report: VerificationReport) -> InventoryCheck:
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
    """Begins a check in a thread of its own, which stores its result (`check_of`).

    Raises `EventNotFound`. Raises `AlreadyChecking` while any worker checks this event, and `OtherCheckRuns` while this
    worker checks another event.
    """
    if not Event.objects.filter(pk=event_id).exists():
        raise EventNotFound
    if not checking.acquire(blocking=False):
        check = check_of(event_id)
        raise AlreadyChecking if check and check.is_running(timezone.now()) else OtherCheckRuns
    try:
        began = begin_check(event_id)
        log.info("Account %s has the inventory of event %s verified.", actor.pk, event_id)
        threading.Thread(target=run_check, args=[event_id, began], name="inventory-check", daemon=True).start()
    except BaseException:
        checking.release()
        raise


def begin_check(event_id: int) -> datetime:
    """Stores that a check begins now. No other worker begins one of this event until it ends or is stale.

    Raises `AlreadyChecking`.
    """
    began = timezone.now()
    kept = InventoryCheck.objects.filter(event=event_id)
    idle = Q(finished_at__isnull=False) | Q(started_at__lt=began - InventoryCheck.STALE)
    if not kept.filter(idle).update(started_at=began, finished_at=None):
        _, is_new = InventoryCheck.objects.get_or_create(event_id=event_id, defaults={"started_at": began})
        if not is_new:
            raise AlreadyChecking
    return began


def run_check(event_id: int, began: datetime) -> None:
    """Runs in the check's own thread."""
    try:
        wait_longer()
        check_inventory(event_id)
    except Exception:
        log.exception("The inventory of event %s could not be verified.", event_id)
        # The connection may be lost, or still be in the transaction of the reads.
        connection.close()
        # The check counts as stale at once. If this fails too, it does so after a while.
        with suppress(Error):
            mine = InventoryCheck.objects.filter(event=event_id, started_at=began, finished_at=None)
            mine.update(started_at=began - InventoryCheck.STALE)
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
