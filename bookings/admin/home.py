"""The staff's first page: how it is going. Each card is for whoever may see what is in it."""

from datetime import datetime
from typing import NamedTuple

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from bookings.admin.links import list_of_events
from bookings.admin.notices import about_events, gravest_first
from bookings.models import Booking, LedgerEntry
from bookings.services.overview import (
    InAll,
    OnSale,
    events_in_all,
    fullest_on_sale,
    latest_entries,
    on_sale_in_all,
)
from bookings.services.reports import sold_since, tickets_since
from events.models import Event
from ticks.formatting import bar
from ticks.words import counted, plural

# However many there are: a page to look at, not to scroll.
EVENTS_SHOWN = 12
ENTRIES_SHOWN = 10


class May(NamedTuple):
    """What the user may see here, or go on to."""

    see_events: bool
    add_events: bool
    see_bookings: bool
    book: bool
    see_entries: bool


class Figure(NamedTuple):
    """A number, what it counts, and the bar of a share."""

    number: str
    said: str
    bar: str = ""


class Row(NamedTuple):
    """An event on sale, and what is to say besides its name and date."""

    event: Event
    held: str
    left: str
    facts: list[str]


def may(request: HttpRequest) -> May:
    events, bookings, entries = (admin.site.get_model_admin(model) for model in (Event, Booking, LedgerEntry))
    sees_bookings = bookings.has_view_permission(request)
    return May(
        events.has_view_permission(request),
        events.has_add_permission(request),
        sees_bookings,
        # Not the model admin's: bookings are made on a page of their event.
        request.user.has_perm("bookings.add_booking"),
        # In words they name who booked.
        sees_bookings and entries.has_view_permission(request),
    )


def board(request: HttpRequest) -> dict:
    """The first page's context: as many queries for thousands of events and all their bookings as for one."""
    now, allowed = timezone.now(), may(request)
    figures, notices = [], []
    context = {"may": allowed, "now": now}
    if allowed.see_events:
        on_sale, in_all = on_sale_in_all(now), events_in_all(now)
        figures = [*figures_of_sales(on_sale), figure_of_waiting(in_all)]
        notices += about_events(now, on_sale, in_all)
        context |= {
            "is_new": not in_all.events,
            "rows": rows_on_sale(now),
            "more_on_sale": max(0, on_sale.events - EVENTS_SHOWN),
            "all_on_sale": list_of_events("on_sale"),
        }
    if allowed.see_bookings:
        figures.insert(2, figure_of_today(now))
    if allowed.see_entries:
        context["entries"] = latest_entries(ENTRIES_SHOWN)
    return context | {"figures": figures, "notices": gravest_first(notices)}


def figures_of_sales(on_sale: OnSale) -> list[Figure]:
    held, capacity = on_sale.held, on_sale.capacity
    return [
        Figure(f"{on_sale.events:,}", f"{plural(on_sale.events, 'event')} on sale now"),
        Figure(f"{held:,}", f"of {counted(capacity, 'ticket')} held", bar(held, capacity)),
    ]


def figure_of_today(now: datetime) -> Figure:
    sold = sold_since(now.replace(hour=0, minute=0, second=0, microsecond=0))
    said = f"{plural(sold.bookings, 'booking')} today, for {counted(sold.tickets, 'ticket')}"
    return Figure(f"{sold.bookings:,}", said)


def figure_of_waiting(in_all: InAll) -> Figure:
    bookings, tickets = in_all.waiting_bookings, in_all.waiting_tickets
    said = f"{plural(bookings, 'booking')} waiting, for {counted(tickets, 'ticket')}"
    return Figure(f"{bookings:,}", said)


def rows_on_sale(now: datetime) -> list[Row]:
    events = list(fullest_on_sale(now)[:EVENTS_SHOWN])
    today = tickets_since(now.replace(hour=0, minute=0, second=0, microsecond=0), [event.pk for event in events])
    return [row(event, int(today.get(event.pk, 0))) for event in events]


def row(event: Event, today: int) -> Row:
    left, waiting = event.available_tickets, event.waitlisted_count
    return Row(
        event,
        f"{event.held_tickets:,} of {event.total_tickets:,} held",
        f"{left:,} left" if left else "Sold out",
        [f"{today:,} asked for today", *([f"{counted(waiting, 'booking')} waiting"] if waiting else [])],
    )


admin.site.board = board
admin.site.index_template = "bookings/admin/home.html"
