"""The first page of the staff's site: what is on sale, what needs attention, and the latest ledger entries."""

from datetime import datetime
from typing import NamedTuple

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from bookings.admin.formatting import booking_url, event_url, webhook_url
from bookings.models import Booking, LedgerEntry
from bookings.outbox import MailChoice
from bookings.services.reports import (
    booked_today,
    delivery_lag,
    event_totals,
    first_hour_of_today,
    inventory_findings,
    is_prune_overdue,
    latest_entries,
    mails_given_up,
    next_on_sale,
    opening_soon,
    sold_out_with_waitlist,
    start_of_today,
)
from bookings.services.webhooks.lag import webhook_lag, webhooks_in_trouble
from bookings.webhooks import Webhook
from events.models import Event
from ticks.formatting import bar, counted, format_duration, format_time, local_time, plural, usual_zone

MAX_EVENTS = 12
MAX_ENTRIES = 10
MAX_NOTICES_OF_A_KIND = 5


class Figure(NamedTuple):
    """A number, what it counts, and the bar of a share."""

    number: int
    label: str
    bar: str = ""


class Notice(NamedTuple):
    """Something that needs attention. `level` is bad, warn or quiet; `subject` is the text of the link to `url`."""

    level: str
    badge: str
    text: str
    subject: str = ""
    url: str = ""


def dashboard(request: HttpRequest) -> dict:
    """The page's context. It has only the parts that the user may see. Its queries do not grow with events or
    bookings."""
    now = timezone.now()
    sees_events, sees_bookings, sees_entries = (
        admin.site.get_model_admin(model).has_view_permission(request) for model in (Event, Booking, LedgerEntry)
    )
    # The entries contain the names of holders.
    sees_entries = sees_entries and sees_bookings
    updated = local_time(now, usual_zone(), "H:i")
    context = {"now": now, "updated": updated, "figures": [], "sees_events": sees_events, "sees_entries": sees_entries}
    if sees_events:
        totals = event_totals(now)
        context |= {
            "is_new": not totals["events"],
            "figures": event_figures(totals),
            "notices": [
                *inventory_notices(),
                *upkeep_notices(now),
                *delivery_notices(now),
                *(webhook_notices(now) if request.user.has_perm("bookings.view_webhook") else []),
                *waitlist_notices(now, count=totals["sold_out_with_waitlist"]),
                *opening_notices(now, count=totals["opening_soon"]),
            ],
            "events": next_on_sale(now, MAX_EVENTS),
            "today": today(now),
            "more_on_sale": max(0, totals["on_sale"] - MAX_EVENTS),
            "on_sale_url": events_url("on_sale"),
        }
    if sees_bookings:
        bookings, tickets = booked_today(now)
        label = f"{plural(bookings, 'booking')} {today(now)}, for {counted(tickets, 'ticket')}"
        context["figures"].insert(2, Figure(bookings, label))
    if sees_entries:
        context["entries"] = latest_entries(MAX_ENTRIES)
        MailChoice.attach(context["entries"])
    return context


def today(now: datetime) -> str:
    """Since when the day's numbers are counted."""
    start = first_hour_of_today(now)
    return "today" if start == start_of_today(now) else f"since {local_time(start, usual_zone(), 'H:i')}"


def event_figures(totals: dict[str, int]) -> list[Figure]:
    on_sale, capacity, waiting = totals["on_sale"], totals["capacity"], totals["waiting_bookings"]
    held = capacity - totals["available"]
    return [
        Figure(on_sale, f"{plural(on_sale, 'event')} on sale now"),
        Figure(held, f"of {counted(capacity, 'ticket')} held", bar(held, capacity)),
        Figure(waiting, f"{plural(waiting, 'booking')} waiting, for {counted(totals['waiting_tickets'], 'ticket')}"),
    ]


def inventory_notices() -> list[Notice]:
    notices = []
    for event, (first, *others) in inventory_findings(MAX_NOTICES_OF_A_KIND + 1).items():
        if len(notices) == MAX_NOTICES_OF_A_KIND:
            return [*notices, Notice("bad", "Does not verify", "and more: run manage.py verify_inventory")]
        text = f"{first}, and {counted(len(others), 'more finding')}" if others else first
        notices.append(event_notice(event, "bad", "Does not verify", text))
    return notices


def upkeep_notices(now: datetime) -> list[Notice]:
    text = "Expired logins and idempotency keys are kept for two days or longer: run manage.py prune daily"
    return [Notice("warn", "Not pruned", text)] if is_prune_overdue(now) else []


def delivery_notices(now: datetime) -> list[Notice]:
    unread, unsent = delivery_lag(now)
    notices = []
    if unread:
        since = format_time(unread, now)
        text = f"No ledger entry has been read since {since}. Check that manage.py deliver is running."
        notices.append(Notice("bad", "Mails are late", text))
    if unsent:
        text = f"Mails have been waiting since {format_time(unsent, now)}. Check the mail server."
        notices.append(Notice("warn", "Mails are late", text))
    given_up = mails_given_up(MAX_NOTICES_OF_A_KIND + 1)
    for mail in given_up[:MAX_NOTICES_OF_A_KIND]:
        reference = mail.booking.reference
        text = "A mail about this booking could not be delivered."
        notices.append(Notice("bad", "Mail given up", text, reference, booking_url(mail.booking_id)))
    if len(given_up) > MAX_NOTICES_OF_A_KIND:
        notices.append(Notice("bad", "Mail given up", "and more"))
    return notices


def webhook_notices(now: datetime) -> list[Notice]:
    unread, unsent = webhook_lag(now)
    notices = []
    if since := min((moment for moment in (unread, unsent) if moment), default=None):
        text = f"Nothing has been sent since {format_time(since, now=now)}. Check that manage.py deliver is running."
        notices.append(Notice("bad", "Webhooks are late", text))
    for webhook in webhooks_in_trouble(MAX_NOTICES_OF_A_KIND):
        if webhook.state == Webhook.State.FAILED:
            level, label, text = "bad", "Webhook off", webhook.off_reason
        else:
            since = format_time(webhook.failing_since, now=now)
            level, label, text = "warn", "Webhook fails", f"Its receiver has taken nothing since {since}."
        notices.append(Notice(level, label, text, webhook.name, webhook_url(webhook.pk)))
    return notices


def waitlist_notices(now: datetime, *, count: int) -> list[Notice]:
    notices = []
    for event in sold_out_with_waitlist(now)[:MAX_NOTICES_OF_A_KIND]:
        tickets = counted(event.waitlisted_tickets, "ticket")
        text = f"{counted(event.waitlisted_count, 'booking')} waiting for {tickets}"
        notices.append(event_notice(event, "warn", "Sold out", text))
    return notices + more_notices("warn", "Sold out", count, "sold_out")


def opening_notices(now: datetime, *, count: int) -> list[Notice]:
    notices = []
    for event in opening_soon(now)[:MAX_NOTICES_OF_A_KIND]:
        start = format_time(event.sales_start, now, zone=event.zone)
        text = f"on sale {start}, in {format_duration(event.sales_start - now)}"
        notices.append(event_notice(event, "quiet", "Opens soon", text))
    return notices + more_notices("quiet", "Opens soon", count, "not_open")


def event_notice(event: Event, level: str, badge: str, text: str) -> Notice:
    return Notice(level, badge, text, event.name, event_url(event.pk))


def more_notices(level: str, badge: str, count: int, state: str) -> list[Notice]:
    """A notice that leads to all events in this state, if there are more than are listed."""
    more = count - MAX_NOTICES_OF_A_KIND
    return [Notice(level, badge, "", f"and {counted(more, 'more event')}", events_url(state))] if more > 0 else []


def events_url(state: str) -> str:
    return f"{reverse('admin:events_event_changelist')}?state={state}"


admin.site.board = dashboard
admin.site.index_template = "bookings/admin/home.html"
