"""A person goes through an action: they fill in the form, read the preview, and confirm."""

from playwright.sync_api import Page

from bookings.models import Booking, LedgerEntry
from bookings.services.verification import verify_event
from bookings.tests.browser.looks import see
from events.models import Event


def look(page: Page, *will_happen: str) -> None:
    """Asks for the preview, and checks that it has these sentences."""
    page.get_by_role("button", name="Show what will happen").click()
    foretold(page, *will_happen)


def foretold(page: Page, *will_happen: str) -> None:
    see(page, "What will happen")
    for sentence in will_happen:
        see(page, sentence)


def confirm(page: Page, button: str, *said: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()
    for sentence in said:
        see(page, sentence)


def start(page: Page, link: str) -> None:
    """Clicks from a page's buttons to the form of an action."""
    page.get_by_role("link", name=link, exact=True).click()
    page.wait_for_load_state()


def counts(event: Event) -> tuple[int, int, int, int]:
    """The total and available tickets, the waiting bookings and the tickets that they want. The event must verify."""
    event.refresh_from_db()
    assert verify_event(event).findings == []
    return event.total_tickets, event.available_tickets, event.waitlisted_count, event.waitlisted_tickets


def line(event: Event) -> list[str]:
    waiting = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    return list(waiting.values_list("first_name", flat=True))


def last_entries(event: Event, count: int) -> list[tuple]:
    """The kind, tickets, actor and reason of each ledger entry, in order."""
    entries = LedgerEntry.objects.filter(event=event).order_by("-sequence")
    told = entries.values_list("kind", "tickets", "actor__username", "note")[:count]
    return list(told)[::-1]
