import re
from datetime import UTC, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from accounts.tests.factories import UserFactory
from bookings.models import SalesHour
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event
from ticks.zones import start_of_day

pytestmark = pytest.mark.django_db

HOME = "/admin/"
SEES_ALL = ("events.view_event", "bookings.view_booking", "bookings.view_ledgerentry")


def somebody_who_may(client, *permissions):
    user = UserFactory(is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client.force_login(user)
    return client


def figures(client):
    return [f"{figure.number:,} {figure.label}" for figure in client.get(HOME).context["figures"]]


def rows(client):
    """The page's texts about each event on sale, besides its date."""
    card = client.get(HOME).content.decode().partition('<ul class="home-events">')[2].partition("</ul>")[0]
    return [
        (re.search(r"<a [^>]+>([^<]+)</a>", row)[1], *re.findall(r"<span>([^<]+)</span>", row))
        for row in card.split("</li>")[:-1]
    ]


def cards(page):
    """The ids of the page's cards."""
    return re.findall(r'id="home-(figures|empty|notices|on-sale|entries)"', page.content.decode())


def words(page):
    """The text of the page's main part, without markup."""
    main = page.content.decode().partition('<div id="content-main">')[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_figures_add_up_what_is_on_sale(superuser_client, admin_user):
    full, other = EventFactory(total_tickets=3), EventFactory(total_tickets=1200)
    BookingFactory(event=full, tickets=3)
    BookingFactory(event=full, tickets=2)
    BookingFactory(event=full, tickets=1)
    BookingFactory(event=other, tickets=1100)
    BookingFactory(event=EventFactory(total_tickets=5, sales_end=timezone.now() + timedelta(days=1)), tickets=4)
    Event.objects.filter(total_tickets=5).update(sales_end=timezone.now())
    cancel_event(EventFactory().pk, actor=admin_user)

    assert figures(superuser_client) == [
        "2 events on sale now",
        "1,103 of 1,203 tickets held",
        "5 bookings today, for 1,110 tickets",
        "2 bookings waiting, for 3 tickets",
    ]


def test_figures_of_one_are_no_plural(superuser_client):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    BookingFactory(event=event)
    SalesHour.objects.update(bookings=1, tickets=1)

    assert figures(superuser_client) == [
        "1 event on sale now",
        "1 of 1 ticket held",
        "1 booking today, for 1 ticket",
        "1 booking waiting, for 1 ticket",
    ]


def test_today_begins_at_midnight(superuser_client):
    event, today = EventFactory(), timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for hour, bookings in ((today - timedelta(hours=1), 7), (today, 2)):
        SalesHour.objects.create(event=event, hour=hour, bookings=bookings, tickets=9, held=0, waiting=0)

    assert figures(superuser_client)[2] == "2 bookings today, for 9 tickets"
    assert rows(superuser_client) == [(event.name, "0 of 10 held", "10 left", "9 asked for today")]


def test_today_where_midnight_is_within_an_hour_says_since_when(superuser_client, settings):
    settings.EVENT_TIME_ZONE = "Asia/Kolkata"
    event, now = EventFactory(), timezone.now()
    today = start_of_day(now.astimezone(ZoneInfo("Asia/Kolkata")).date(), UTC) - timedelta(hours=6)
    for hour, bookings in ((today - timedelta(hours=1), 7), (today, 2)):
        SalesHour.objects.create(event=event, hour=hour, bookings=bookings, tickets=9, held=0, waiting=0)

    assert figures(superuser_client)[2] == "2 bookings since 23:30 IST, for 9 tickets"
    assert rows(superuser_client) == [(event.name, "0 of 10 held", "10 left", "9 asked for since 23:30 IST")]


def test_what_is_on_sale_has_the_soonest_first_and_what_has_no_date_last(superuser_client):
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for name, total, held, days in (
        ("No date", 10, 5, None),
        ("Past", 3, 0, -1),
        ("Tomorrow", 100, 99, 1),
        ("Next year", 3, 0, 365),
        ("Today", 4, 4, 0),
    ):
        event = EventFactory(
            name=name, total_tickets=total, date=None if days is None else today + timedelta(days=days), sales_end=None
        )
        if held:
            BookingFactory(event=event, tickets=held)
    BookingFactory(event=Event.objects.get(name="Today"), tickets=2)
    EventFactory(name="Not yet", sales_start=timezone.now() + timedelta(days=2))

    assert rows(superuser_client) == [
        ("Today", "4 of 4 held", "Sold out", "6 asked for today", "1 booking waiting"),
        ("Tomorrow", "99 of 100 held", "1 left", "99 asked for today"),
        ("Next year", "0 of 3 held", "3 left", "0 asked for today"),
        ("Past", "0 of 3 held", "3 left", "0 asked for today"),
        ("No date", "5 of 10 held", "5 left", "5 asked for today"),
    ]
    assert "By date, the soonest first" in superuser_client.get(HOME).content.decode()


def test_event_on_sale_leads_to_its_page_and_to_booking_for_a_caller(superuser_client):
    event = EventFactory(name="<b>Gala</b>", total_tickets=8)
    BookingFactory(event=event, tickets=2)

    page = superuser_client.get(HOME).content.decode()

    assert f'<a href="/admin/events/event/{event.pk}/">&lt;b&gt;Gala&lt;/b&gt;</a>' in page
    assert f'<a class="button small" href="/admin/events/event/{event.pk}/book/">Book for a caller' in page
    # One bar is the event's, and the other that of all events on sale.
    assert page.count('<rect class="held" width="25.0" height="8"/>') == 2
    assert "<b>Gala" not in page


def test_many_events_are_counted_and_twelve_shown(superuser_client):
    for n in range(14):
        EventFactory(name=f"Event {n:02}")

    page = superuser_client.get(HOME)

    assert len(page.context["events"]) == 12
    assert '<a href="/admin/events/event/?state=on_sale">2 more on sale</a>' in page.content.decode()


def test_latest_says_what_happened(superuser_client, admin_user):
    event = EventFactory(name="Gala", total_tickets=2, created_by=admin_user)
    booking = BookingFactory(event=event, tickets=2, user=None)
    cancel_tickets(booking)

    page = superuser_client.get(HOME)

    latest = words(page).partition("Latest ")[2]
    assert re.sub(r"today \d\d:\d\d UTC", "today", latest) == (
        "Ada Lovelace cancelled 2 tickets Gala , today"
        " Ada Lovelace booked 2 tickets Gala , today"
        " staff opened the event with 2 tickets Gala , today"
        " All of the ledger"
    )
    page = page.content.decode()
    assert f'<a href="/admin/bookings/booking/{booking.pk}/">Ada Lovelace cancelled 2 tickets</a>' in page
    assert f'<a href="/admin/events/event/{event.pk}/">Gala</a>, <time' in page


def test_latest_is_no_more_than_ten(superuser_client):
    event = EventFactory()
    for _ in range(10):
        BookingFactory(event=event)

    assert len(superuser_client.get(HOME).context["entries"]) == 10


def test_notices_stand_in_the_page_gravest_first(superuser_client):
    event = EventFactory(name="Gala", total_tickets=1)
    BookingFactory(event=event)
    BookingFactory(event=event)
    EventFactory(name="Soon", sales_start=timezone.now() + timedelta(hours=2))
    broken = EventFactory(name="Broken")
    Event.objects.filter(pk=broken.pk).update(ledger_sequence=9)

    page = superuser_client.get(HOME)

    badges = [notice.badge for notice in page.context["notices"]]
    assert badges == ["Does not verify", "Sold out", "Opens soon"]
    assert "Sold out Gala : 1 booking waiting for 1 ticket" in words(page)


def test_nothing_that_needs_attention_is_said_so(superuser_client):
    EventFactory()

    assert "Needs attention Nothing needs attention." in words(superuser_client.get(HOME))


def test_new_installation_asks_for_its_first_event(superuser_client):
    page = superuser_client.get(HOME)

    assert cards(page) == ["figures", "empty", "notices", "entries"]
    assert (
        '<a class="button primary" href="/admin/events/event/add/">Create your first event</a>' in page.content.decode()
    )
    assert figures(superuser_client)[1] == "0 of 0 tickets held"


def test_new_installation_asks_nobody_who_may_not(client):
    page = somebody_who_may(client, "events.view_event").get(HOME)

    assert "They appear here once a manager has created one." in words(page)
    assert "/admin/events/event/add/" not in page.content.decode()


def test_installation_whose_events_are_all_cancelled_is_not_new(superuser_client, admin_user):
    cancel_event(EventFactory().pk, actor=admin_user)

    page = superuser_client.get(HOME)

    assert cards(page) == ["figures", "notices", "on-sale", "entries"]
    assert "On sale now Nothing is on sale." in words(page)


@pytest.mark.parametrize(
    ("permissions", "shown", "numbers"),
    [
        ((), [], []),
        (("events.view_event",), ["figures", "notices", "on-sale"], ["on sale", "held", "waiting"]),
        (("events.change_event",), ["figures", "notices", "on-sale"], ["on sale", "held", "waiting"]),
        (("bookings.view_booking",), ["figures"], ["today"]),
        (("bookings.view_ledgerentry",), [], []),
        (("bookings.view_booking", "bookings.view_ledgerentry"), ["figures", "entries"], ["today"]),
        (SEES_ALL, ["figures", "notices", "on-sale", "entries"], ["on sale", "held", "today", "waiting"]),
    ],
)
def test_cards_are_for_who_may_see_what_is_in_them(client, permissions, shown, numbers):
    event = EventFactory(name="Gala", total_tickets=1)
    BookingFactory(event=event, first_name="Grace", last_name="Hopper")
    BookingFactory(event=event, first_name="Grace", last_name="Hopper")

    page = somebody_who_may(client, *permissions).get(HOME)

    assert page.status_code == 200
    assert cards(page) == shown
    labels = [figure.label for figure in page.context["figures"]]
    assert len(labels) == len(numbers)
    assert all(number in label for number, label in zip(numbers, labels, strict=True))
    assert ("Gala" in words(page)) is ("on-sale" in shown or "entries" in shown)
    assert ("Grace" in words(page)) is ("entries" in shown)
    assert "Book for a caller" not in words(page)
    assert ("Your account may see nothing here yet." in words(page)) is (not shown)


@pytest.mark.parametrize(("permission", "is_offered"), [("bookings.view_booking", True), ("events.view_event", False)])
def test_search_is_offered_to_who_may_see_bookings(client, permission, is_offered):
    page = somebody_who_may(client, permission).get(HOME).content.decode()

    assert len(re.findall('role="search"', page)) == is_offered
    assert ('action="/admin/bookings/booking/" method="get" role="search"' in page) is is_offered


def test_booking_for_a_caller_is_offered_to_who_may(client):
    EventFactory()

    page = somebody_who_may(client, "events.view_event", "bookings.add_booking").get(HOME)

    assert "Book for a caller" in words(page)
    assert "/admin/events/event/add/" not in page.content.decode()


@pytest.mark.parametrize("is_known", [True, False])
def test_home_without_staff_status_leads_to_login(client, is_known):
    if is_known:
        client.force_login(UserFactory())

    response = client.get(HOME)

    assert response.status_code == 302
    assert response["Location"] == "/admin/login/?next=/admin/"


@pytest.mark.usefixtures("mails_on")
@pytest.mark.parametrize(("events", "bookings"), [(1, 1), (30, 2)])
def test_home_costs_the_same_for_any_number_of_events(superuser_client, events, bookings, django_assert_num_queries):
    soon = timezone.now() + timedelta(hours=1)
    for _ in range(events):
        event = EventFactory(total_tickets=1)
        for _ in range(1 + bookings):
            BookingFactory(event=event)
        EventFactory(sales_start=soon)

    # The queries are the session, user, totals; failed checks, events off their ledgers, eight of what has expired,
    # five of the deliveries, waitlists, openings; 12 events on sale and their day; the day of all events, the ids of
    # the latest entries, the entries, and what staff chose for their mails; and three of webhooks.
    with django_assert_num_queries(29):
        page = superuser_client.get(HOME)
    assert page.context["events"]


def test_home_keeps_to_the_policy_of_pages(superuser_client):
    BookingFactory(event=EventFactory(total_tickets=1))

    page = superuser_client.get(HOME)

    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|<script(?![^>]* src=)|\son\w+=", page.content.decode())
