"""The frame of the staff's pages: the header by what somebody may see, lists with their filters, the login."""

import re

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import Permission

from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

SECTION = re.compile(r'<li><a href="([^"]+)"( aria-current="\w+")?>([^<]+)</a></li>')


@pytest.fixture
def door(client, django_user_model):
    """A browser of somebody who may enter, and has no permission yet."""
    client.force_login(django_user_model.objects.create_user("door", password="nine lovely engines", is_staff=True))
    return client


def allow(client, codes: list[str]) -> None:
    user = get_user(client)
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))


def page(client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def sections(content: str) -> list[str]:
    nav = content.partition('<nav id="sections"')[2].partition("</nav>")[0]
    return [name for _, _, name in SECTION.findall(nav)]


def test_header_leads_to_all_that_may_be_seen(superuser_client):
    content = page(superuser_client, "/admin/")

    assert sections(content) == ["Home", "Events", "Bookings", "Ledger", "Webhooks", "Users", "API keys", "Groups"]
    assert '<form id="site-search-form" action="/admin/bookings/booking/" method="get"' in content


@pytest.mark.parametrize(
    ("codes", "shown"),
    [
        ([], ["Home"]),
        (["view_event"], ["Home", "Events"]),
        (["view_booking", "view_ledgerentry"], ["Home", "Bookings", "Ledger"]),
        (["view_webhook"], ["Home", "Webhooks"]),
        (["view_user"], ["Home", "Users"]),
        (["view_apikey"], ["Home", "API keys"]),
    ],
)
def test_header_leads_nowhere_that_is_refused(door, codes, shown):
    allow(door, codes)

    content = page(door, "/admin/")

    assert sections(content) == shown
    assert ('id="site-search"' in content) == ("Bookings" in shown)


@pytest.mark.parametrize(
    ("path", "here"),
    [
        ("/admin/", ("/admin/", "page")),
        ("/admin/events/event/", ("/admin/events/event/", "page")),
        ("/admin/events/event/add/", ("/admin/events/event/", "true")),
    ],
)
def test_header_says_where_one_is(superuser_client, path, here):
    content = page(superuser_client, path)

    assert re.findall(r'<li><a href="([^"]+)" aria-current="(\w+)">', content) == [here]


@pytest.mark.parametrize("path", ["/admin/", "/admin/events/event/", "/admin/events/event/add/"])
def test_page_is_named_and_can_be_skipped_into(superuser_client, path):
    content = page(superuser_client, path)

    assert re.search(r"<title>[^<]*Ticks\s*</title>", content)
    assert content.index('href="#content-start"') < content.index("<header")
    assert len(re.findall("<h1>", content)) == 1
    assert '<link rel="icon" href="/static/ticks/favicon.svg">' in content


def test_list_is_filtered_before_its_rows_are_read(superuser_client):
    content = page(superuser_client, "/admin/accounts/user/?is_active__exact=0")

    assert content.index('id="changelist-filter"') < content.index('id="changelist-form"')
    assert "Nothing found. " in content


def test_empty_list_says_so(superuser_client):
    assert '<p class="none">Nothing found yet.</p>' in page(superuser_client, "/admin/bookings/booking/")


def test_menu_has_the_account(door):
    menu = page(door, "/admin/").partition('<details id="user-menu">')[2].partition("</details>")[0]

    assert "<summary><span>door</span></summary>" in menu
    assert 'href="/admin/password_change/"' in menu
    assert '<form id="logout-form" method="post" action="/admin/logout/">' in menu


def test_login_tells_nothing_of_the_site(client):
    content = page(client, "/admin/login/")

    assert '<nav id="sections"' not in content
    assert "site-search" not in content
    assert '<label for="id_username">Username or email</label>' in content


def test_login_that_failed_says_so_aloud_and_keeps_the_name(client):
    content = client.post("/admin/login/", {"username": "nobody", "password": "wrong"}).content.decode()

    assert '<div role="alert">' in content
    assert 'value="nobody"' in content
    assert "<title>Error: " in content


def test_logout_is_said(superuser_client):
    content = superuser_client.post("/admin/logout/").content.decode()

    assert "<h1>Logged out</h1>" in content
    assert '<nav id="sections"' not in content
    assert superuser_client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    ("codes", "is_named"),
    [
        (["view_event"], False),
        (["view_event", "view_ledgerentry"], False),
        (["view_event", "view_booking"], True),
    ],
)
def test_event_page_names_who_booked_to_whom_bookings_may_be_shown(door, codes, is_named):
    event = EventFactory(total_tickets=1)
    BookingFactory.create_batch(2, event=event)
    allow(door, codes)

    content = page(door, f"/admin/events/event/{event.pk}/")

    assert ("Lovelace" in content) is is_named
    assert (f'href="/admin/bookings/booking/?event={event.pk}"' in content) is is_named
    assert "waiting, for 1 ticket<" in content


def test_event_page_of_a_line_that_got_shorter_meanwhile(superuser_client, monkeypatch):
    event = EventFactory(total_tickets=1)
    BookingFactory.create_batch(2, event=event)
    monkeypatch.setattr("bookings.admin.events.admin.first_place", lambda request, event: 26)

    content = page(superuser_client, f"/admin/events/event/{event.pk}/?place=26")

    assert "needs 1, 0 available" in content


@pytest.mark.parametrize("may_edit", [False, True])
def test_serving_out_of_turn_adds_capacity_for_who_may_change_the_event(door, may_edit):
    event = EventFactory(total_tickets=1)
    _, waiting = BookingFactory.create_batch(2, event=event)
    allow(door, ["view_booking", "reorder_waitlist", *(["change_event"] if may_edit else [])])
    address = f"/admin/bookings/booking/{waiting.pk}/serve/"

    content = door.post(address, {"reason": "Why", "adds": "on"}).content.decode()

    assert ("The capacity changes from 1 to 2." in content) is may_edit
    assert ("It needs 1 ticket and 0 are available" in content) is not may_edit
    assert ('name="adds"' in content) is may_edit
