"""Staff find a booking by what a caller says."""

from itertools import count
from types import SimpleNamespace

import pytest

from accounts.tests.factories import UserFactory
from bookings.admin import lists
from bookings.admin.bookings.admin import BookingAdmin
from bookings.models import Booking
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.db import scanning

pytestmark = pytest.mark.django_db

LIST = "/admin/bookings/booking/"


def listed(client, term, **query):
    return client.get(LIST, {"q": term, **query}).context["cl"]


def found(client, term, **query):
    return list(listed(client, term, **query).result_list)


@pytest.fixture
def booking():
    """A booking of José Núñez Carrión, between bookings of others."""
    BookingFactory(email="ada@example.org")
    user = UserFactory(username="Grace")
    made = BookingFactory(
        event=EventFactory(name="Chamber night"),
        user=user,
        first_name="José Luis",
        last_name="Núñez-Carrión",
        email="jl.nunez_7@example.org",
    )
    Booking.objects.filter(pk=made.pk).update(reference="KQ4M7-X9PDRA")
    BookingFactory(email="ada@example.org")
    return made


WHOLE = ["KQ4M7-X9PDRA", "kq4m7-x9pdra", "kq4m7x9pdra", " KQ4M7 X9PDRA ", "kq4m7", "KQ4M7-", "kq4m7-x9", "KQ4M7X9P"]


@pytest.mark.parametrize("term", [*WHOLE, "{id}", "#{id}"])
def test_one_booking_by_its_reference_or_number_is_led_to(superuser_client, booking, term):
    response = superuser_client.get(LIST, {"q": term.format(id=booking.pk), "status": "cancelled"})

    assert response.status_code == 302
    assert response["Location"] == f"/admin/bookings/booking/{booking.pk}/"


def test_several_bookings_of_one_beginning_are_listed(superuser_client, booking):
    other = BookingFactory()
    Booking.objects.filter(pk=other.pk).update(reference="KQ4M7-AAAAAA")

    assert found(superuser_client, "kq4m7") == [other, booking]


def test_reference_without_permission_leads_nowhere(client, booking):
    client.force_login(UserFactory(is_staff=True))

    assert client.get(LIST, {"q": "KQ4M7-X9PDRA"}).status_code == 403


@pytest.mark.parametrize(
    "term",
    [
        "José",
        "luis",
        "Núñez",
        "carrión",
        "núñez jos",
        "LUIS Núñ",
        "jl.nunez_7@example.org",
        "JL.Nunez_7@EXAMPLE.org",
        "jl.nun",
        "nunez_7",
        "_7@exam",
        "gRACE",
        "gra",
    ],
)
def test_name_address_or_username_finds_its_booking(superuser_client, booking, term):
    assert found(superuser_client, term) == [booking]


@pytest.mark.parametrize(
    "term", ["ouis", "José Nobody", "jlnunez", "example.net", "KQ4M7-X9PDRX", "chamber", "%", "_7x"]
)
def test_what_no_booking_has_finds_none(superuser_client, booking, term):
    assert found(superuser_client, term) == []


def test_search_goes_with_the_filters(superuser_client, booking):
    assert found(superuser_client, "josé", event="chamber", status="completed", least=1) == [booking]
    assert found(superuser_client, "josé", status="cancelled") == []
    assert found(superuser_client, "josé", least=2) == []
    assert found(superuser_client, "gra", since="2000-01-01", until="2000-01-02") == []


def test_search_looks_for_every_word(superuser_client, booking):
    assert found(superuser_client, "josé luis núñez carrión jl nunez 7 example") == [booking]
    assert found(superuser_client, "josé luis núñez carrión jl nunez 7 nowhere") == []


def test_search_for_a_short_word_finds_beginnings_of_words_alone(superuser_client, booking):
    assert found(superuser_client, "jo") == [booking]
    assert found(superuser_client, "os") == []
    assert found(superuser_client, "@") == []


@pytest.fixture
def _slow_scan(monkeypatch):
    """A scan reads two rows, one by one, and then its time is over."""
    monkeypatch.setattr(scanning, "FIRST_WIDTH", 1)
    clock = count(0, 0.06)
    monkeypatch.setattr(lists, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(lists, "STATEMENT_SECONDS", 0)


@pytest.mark.usefixtures("_slow_scan")
def test_search_that_takes_long_tells_how_far_it_got_and_goes_on_from_there(superuser_client):
    old = BookingFactory(first_name="Grace", last_name="", email="")
    for _ in range(3):
        BookingFactory()

    first = listed(superuser_client, "grace")

    assert list(first.result_list) == []
    content = superuser_client.get(LIST, {"q": "grace"}).content.decode()
    assert "Searched as far as <time datetime=" in content
    assert "Search further</a>, or narrow it" in content
    assert first.summary == "0 bookings, 0 tickets found so far"
    page, seen = first, 0
    while not page.result_list and seen < 10:
        page, seen = superuser_client.get(LIST + page.page_links["Older"]).context["cl"], seen + 1
    assert list(page.result_list) == [old]
    assert 0 < seen < 5


@pytest.mark.usefixtures("_slow_scan")
def test_search_that_takes_long_still_finds_what_an_index_leads_to(superuser_client, booking):
    for _ in range(3):
        BookingFactory()

    assert found(superuser_client, "gra") == [booking]
    assert found(superuser_client, "jl.nun") == [booking]


@pytest.mark.usefixtures("_slow_scan")
def test_old_booking_is_found_by_an_address_that_begins_with_the_name(superuser_client):
    old = BookingFactory(first_name="Grace", last_name="Hopper", email="ghopper@example.org")
    other = BookingFactory(first_name="Grace", last_name="Hopper", email="hopper.grace@example.org")
    BookingFactory(first_name="Gina", last_name="Hopper", email="ghopper2@example.org")
    for _ in range(3):
        BookingFactory()

    assert found(superuser_client, "grace hopper") == [other, old]


def test_search_through_pages_finds_each_once(superuser_client, monkeypatch):
    monkeypatch.setattr(BookingAdmin, "list_per_page", 2)
    event = EventFactory()
    expected = [BookingFactory(event=event, email=f"lovelace{n}@example.org").pk for n in range(5)][::-1]

    seen, page = [], listed(superuser_client, "lovelace")
    for _ in range(10):
        seen += [booking.pk for booking in page.result_list]
        if "Older" not in page.page_links:
            break
        page = superuser_client.get(LIST + page.page_links["Older"]).context["cl"]

    assert seen == expected
