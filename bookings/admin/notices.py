"""What the staff's first page says needs attention: a line each."""

from datetime import datetime
from typing import NamedTuple

from bookings.admin.links import event_url, list_of_events
from bookings.services.checks import quick_findings
from bookings.services.overview import (
    InAll,
    OnSale,
    failed_checks,
    off_their_ledgers,
    opening_soon,
    sold_out_with_waitlist,
)
from events.models import Event
from ticks.formatting import told_length, told_moment
from ticks.words import counted

# Of one kind.
SHOWN = 5
GRAVEST_FIRST = ["bad", "warn", "quiet"]


class Notice(NamedTuple):
    """`shape` and `badge` tell the kind; `subject`, where there is one, is what the link leads to."""

    shape: str
    badge: str
    said: str
    subject: str = ""
    url: str = ""


def gravest_first(notices: list[Notice]) -> list[Notice]:
    return sorted(notices, key=lambda notice: GRAVEST_FIRST.index(notice.shape))


def about_events(now: datetime, on_sale: OnSale, in_all: InAll) -> list[Notice]:
    return [*about_inventories(), *about_waitlists(now, on_sale.queued), *about_openings(now, in_all.opening)]


def about_inventories() -> list[Notice]:
    said = {check.event: in_short(check.findings) for check in failed_checks()[: SHOWN + 1]}
    off = [event for event in off_their_ledgers()[: SHOWN + 1] if event not in said]
    # Looked at once more: who is no longer among them was mended in between.
    findings = quick_findings(off) if off else {}
    said |= {event: in_short(findings[event.pk]) for event in off if event.pk in findings}
    notices = [notice_of(event, "bad", "Does not verify", why) for event, why in list(said.items())[:SHOWN]]
    if len(said) > SHOWN:
        notices.append(Notice("bad", "Does not verify", "and more: run manage.py verify_inventory"))
    return notices


def in_short(findings: list[str]) -> str:
    more = len(findings) - 1
    return f"{findings[0]}, and {counted(more, 'more finding')}" if more else findings[0]


def about_waitlists(now: datetime, in_all: int) -> list[Notice]:
    notices = [
        notice_of(
            event,
            "warn",
            "Sold out",
            f"{counted(event.waitlisted_count, 'booking')} waiting for {counted(event.waitlisted_tickets, 'ticket')}",
        )
        for event in sold_out_with_waitlist(now)[:SHOWN]
    ]
    return notices + rest("warn", "Sold out", in_all, "sold_out")


def about_openings(now: datetime, in_all: int) -> list[Notice]:
    notices = [
        notice_of(event, "quiet", "Opens soon", opening_in_words(event, now)) for event in opening_soon(now)[:SHOWN]
    ]
    return notices + rest("quiet", "Opens soon", in_all, "not_open")


def opening_in_words(event: Event, now: datetime) -> str:
    return f"on sale {told_moment(event.sales_start, now=now)}, in {told_length(event.sales_start - now)}"


def notice_of(event: Event, shape: str, badge: str, said: str) -> Notice:
    return Notice(shape, badge, said, event.name, event_url(event.pk))


def rest(shape: str, badge: str, in_all: int, state: str) -> list[Notice]:
    if in_all <= SHOWN:
        return []
    return [Notice(shape, badge, "", f"and {counted(in_all - SHOWN, 'more event')}", list_of_events(state))]
