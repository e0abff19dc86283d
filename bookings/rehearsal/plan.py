"""What a rehearsal is asked to do, within bounds."""

import re
from dataclasses import dataclass

from bookings.rehearsal.scratch import copies_of
from events.models import Event
from ticks.parsing import find

BUYERS = (1, 50_000)
SECONDS = (1, 600)
CONNECTIONS = (1, 500)
TICKETS = (1, 4)
USUAL_TICKETS = (1, 2)
SIZES = re.compile(r"([1-9])(?:-([1-9]))?")


class Unfit(Exception):
    """What was asked for cannot be rehearsed; says in one sentence why, and how it could."""


@dataclass(frozen=True, slots=True)
class Plan:
    event: Event
    buyers: int
    seconds: int
    connections: int
    # The smallest and the largest booking.
    tickets: tuple[int, int]
    keep: bool = False


def make_plan(event, *, buyers, seconds, connections, tickets, keep: bool = False) -> Plan:
    """From the options as they were typed. Raises `Unfit`."""
    found = event_of(event)
    buyers = whole("--buyers", buyers, BUYERS)
    return Plan(
        found,
        buyers,
        whole("--seconds", seconds, SECONDS),
        min(whole("--connections", connections, CONNECTIONS), buyers),
        sizes(tickets, event=found),
        keep,
    )


def event_of(given) -> Event:
    event = find(Event.objects.all(), str(given).strip())
    if event is None:
        raise Unfit(f"There is no event {given}; give the id of one.")
    if event.deleted_at:
        raise Unfit(f"Event {given} is cancelled; rehearse one that stands.")
    if copies_of().filter(pk=event.pk).exists():
        raise Unfit(f"Event {given} is itself a rehearsal; name the real event.")
    return event


def whole(option: str, given, bounds: tuple[int, int]) -> int:
    low, high = bounds
    text = str(given).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise Unfit(f"{option} is {text!r}; give a whole number from {low} to {high}.")
    return int(text)


def sizes(given, *, event: Event) -> tuple[int, int]:
    """`2` or `1-4`; if nothing is given what is usual, as far as the event sells so many at once."""
    limit = min(event.max_tickets_per_booking or event.total_tickets, event.total_tickets)
    if given is None:
        return USUAL_TICKETS[0], min(USUAL_TICKETS[1], limit)
    asked = SIZES.fullmatch(str(given).strip())
    low, high = (int(asked[1]), int(asked[2] or asked[1])) if asked else (0, 0)
    if not TICKETS[0] <= low <= high <= TICKETS[1]:
        raise Unfit(f"--tickets is {str(given)!r}; give a size such as 2, or a range such as 1-4, from 1 to 4.")
    if high > limit:
        raise Unfit(f"--tickets is {str(given)!r}, but this event sells at most {limit} at once; give no more.")
    return low, high
