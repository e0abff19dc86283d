# ruff: noqa: RUF001 (the tests are about such characters)
"""The API's lists and those of the staff's site find what a caller says, however it is written."""

import unicodedata

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import UserFactory
from bookings.models import Booking
from bookings.services.events import change_event
from bookings.services.search import address_in, number_in, reference_letters
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event
from ticks.db import migrations
from ticks.db.migrations import fill_search_text

pytestmark = pytest.mark.django_db
PLACES = ["api", "staff"]
REFERENCE = "KQ4M7-X9PDRA"
HOLDERS = {
    "brien": ("Seán", "O'Brien", "sean.obrien@example.org"),
    "neill": ("Tip", "O’Neill", "tip@example.org"),
    "müller": ("Jean-Luc", "Müller–Weiß", "jl.mueller@example.org"),
    "nfd": (unicodedata.normalize("NFD", "Žofia"), unicodedata.normalize("NFD", "Núñez"), "zofia@example.org"),
    "łódź": ("ŁUKASZ", "Øster", "lukasz@example.org"),
    "yamada": ("太郎", "山田", "taro@example.org"),
    "cyrillic": ("ЮЛИЯ", "Чёрная", "julia@example.org"),
}


@pytest.fixture
def bookings():
    """A booking of each holder; the one of O'Brien has the reference."""
    event = EventFactory(total_tickets=100)
    made = {
        name: BookingFactory(event=event, first_name=first, last_name=last, email=email)
        for name, (first, last, email) in HOLDERS.items()
    }
    Booking.objects.filter(pk=made["brien"].pk).update(reference=REFERENCE)
    return made


@pytest.fixture(params=PLACES)
def find(request, staff, superuser_client):
    """Searches for a text, and returns the ids that are found in one of the two places."""

    def find_in_api(text):
        response = staff.get("/api/v1/booking", {"search": text})
        assert response.status_code == 200
        return [booking["id"] for booking in response.json()["data"]]

    def find_on_site(text):
        response = superuser_client.get("/admin/bookings/booking/", {"q": text})
        if response.status_code == 302:
            return [int(response["Location"].split("/")[-2])]
        return [booking.pk for booking in response.context["cl"].result_list]

    return find_in_api if request.param == "api" else find_on_site


@pytest.mark.parametrize(
    ("holder", "text"),
    [
        ("brien", "SEÁN"),
        ("brien", "sean o'brien"),
        ("brien", "Sean O’Brien"),
        ("brien", "obrien"),
        ("brien", "o brien"),
        ("brien", "O'Brien, Seán"),
        ("brien", "Sean O'Brien <sean.obrien@example.org>"),
        ("brien", "Somebody Else <SEAN.OBRIEN@example.org>"),
        ("brien", "mailto:sean.obrien@example.org?subject=Tickets"),
        ("brien", "sean.obrien@example.org."),
        ("brien", "sean.obrien@example.org,"),
        ("brien", "<sean.obrien@example.org>;"),
        ("brien", "obrien@exa"),
        ("neill", "O'Neill"),
        ("neill", "O´NEILL."),
        ("müller", "jean luc"),
        ("müller", "Jean-Luc"),
        ("müller", "jean–luc müller-weiss"),
        ("müller", "Muller‑Weiß"),
        ("müller", "WEISS"),
        ("müller", "Müller Weiß, Jean Luc"),
        ("nfd", "Žofia"),
        ("nfd", unicodedata.normalize("NFD", "ŽOFIA")),
        ("nfd", "zofia nunez"),
        ("łódź", "łukasz"),
        ("łódź", "Lukasz oster"),
        ("yamada", "山田"),
        ("yamada", "太郎"),
        ("yamada", "郎"),
        ("cyrillic", "юлия черная"),
    ],
)
def test_booking_is_found_by_name_or_address(find, bookings, holder, text):
    assert find(text) == [bookings[holder].pk]


@pytest.mark.parametrize(
    "text",
    [
        "KQ4M7-X9PDRA",
        "#KQ4M7-X9PDRA",
        "Ref: KQ4M7-X9PDRA",
        "ref kq4m7 x9pdra",
        "Reference: kq4m7x9pdra.",
        "Booking KQ4M7.X9PDRA",
        "KQ4M7–X9PDRA",
        "KQ4M7 – X9PDRA",
        "K Q 4 M 7 X 9 P D R A",
        "K.Q.4.M.7-X.9.P.D.R.A",
        "ＫＱ４Ｍ７-X9PDRA",
        " <KQ4M7_X9PDRA>, ",
    ],
)
def test_booking_is_found_by_its_reference_in_any_spelling(find, bookings, text):
    assert find(text) == [bookings["brien"].pk]


@pytest.mark.parametrize("text", ["KQ4M7-X9PDRC", "brien neill", "%", "*", '"', "+-", "___", "nobody@example.org", "@"])
def test_what_no_booking_has_finds_none(find, bookings, text):
    assert find(text) == []


def test_name_of_eleven_letters_of_references_is_found(find):
    booking = BookingFactory(first_name="Harry", last_name="Macken")

    assert find("Harry Macken") == [booking.pk]


def test_user_finds_their_own_bookings_alone(owner, user, bookings):
    mine = BookingFactory(user=user, first_name="Seán", last_name="O’Brien", email="sean.obrien@example.org")

    for text in ("sean", "sean.obrien@example.org"):
        assert [booking["id"] for booking in owner.get("/api/v1/booking", {"search": text}).json()["data"]] == [mine.pk]
    assert owner.get("/api/v1/booking", {"search": REFERENCE}).json()["data"] == []


def test_transferred_booking_is_found_by_its_new_name_alone(find, bookings):
    holder = Holder("Zoë", "Quill", "zoe@example.com")

    transfer_booking(bookings["brien"], holder=holder, actor=UserFactory())

    assert find("zoe quill") == find("example.com") == [bookings["brien"].pk]
    assert find("obrien") == []


def test_booking_that_is_not_filled_yet_is_found_by_its_columns(find, bookings):
    Booking.objects.update(search_text=None)

    assert find("luc jean") == [bookings["müller"].pk]
    assert find("tip@example.org") == find("tip@exam") == [bookings["neill"].pk]
    assert find("jean nowhere") == []


@pytest.mark.parametrize("rows", [2, 500])
def test_fill_makes_of_old_rows_what_services_write(monkeypatch, bookings, rows):
    monkeypatch.setattr(migrations, "ROWS_A_FILL", rows)
    written = list(Booking.objects.order_by("pk").values_list("search_text", flat=True))
    Booking.objects.filter(pk__gt=bookings["neill"].pk).update(search_text=None)
    Booking.objects.filter(pk=bookings["brien"].pk).update(search_text=" what it was before")

    fill_search_text(Booking, ("first_name", "last_name", "email"))
    fill_search_text(Booking, ("first_name", "last_name", "email"))

    assert list(Booking.objects.order_by("pk").values_list("search_text", flat=True)) == written
    assert written[0] == " sean obrien sean obrien example org"


def test_search_for_many_words_is_one_condition_of_one_query(staff, bookings):
    with CaptureQueriesContext(connection) as queries:
        response = staff.get("/api/v1/booking", {"search": "a " * 100})

    assert response.status_code == 200
    assert sum("search_text" in query["sql"] and "WHERE" in query["sql"] for query in queries) <= 2


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", ["cafe d'ete", "CAFÉ D’ÉTÉ", "d'été, café", "nimes", "Café-d'été"])
def test_event_is_found_by_what_a_caller_says(staff, superuser_client, place, text):
    event = EventFactory(name="Café d'été", venue=unicodedata.normalize("NFD", "Nîmes"))
    EventFactory(name="Other")

    if place == "api":
        found = [row["id"] for row in staff.get("/api/v1/event", {"search": text}).json()["data"]]
    else:
        found = [row.pk for row in superuser_client.get("/admin/events/event/", {"q": text}).context["cl"].result_list]

    assert found == [event.pk]


@pytest.mark.parametrize("text", ["{id}", "#{id}", "No. {id}."])
def test_event_is_found_by_its_number_on_the_site(superuser_client, text):
    event = EventFactory(name="Concert")
    EventFactory(name="Other")

    listed = superuser_client.get("/admin/events/event/", {"q": text.format(id=event.pk)}).context["cl"]

    assert list(listed.result_list) == [event]


def test_changed_event_is_found_by_its_new_name_alone(staff):
    event = EventFactory(name="Old name", venue="Hall")

    change_event(event.pk, changes={"name": "Nový název"}, actor=event.created_by)

    for text, found in (("novy nazev", [event.pk]), ("old", []), ("hall", [event.pk])):
        assert [row["id"] for row in staff.get("/api/v1/event", {"search": text}).json()["data"]] == found
    stored = Event.objects.get().search_text
    fill_search_text(Event, ("name", "venue", "description"))
    assert Event.objects.get().search_text == stored == " novy nazev hall"


def test_filter_by_event_takes_any_spelling_of_its_name(superuser_client):
    event = EventFactory(name="Café d'été", description="With Other")
    booking = BookingFactory(event=event)
    BookingFactory(event=EventFactory(name="Other"))

    for text in ("cafe d’ete", f"No. {event.pk}", "ÉTÉ"):
        assert list(superuser_client.get("/admin/bookings/booking/", {"event": text}).context["cl"].result_list) == [
            booking
        ]
    assert booking not in superuser_client.get("/admin/bookings/booking/", {"event": "other"}).context["cl"].result_list


@pytest.mark.parametrize(
    ("text", "letters", "number", "address"),
    [
        ("No. 12", "", 12, None),
        ("12,", "", 12, None),
        ("1,234", "", None, None),
        ("Ref", "REF", None, None),
        ("#KQ4M", "KQ4M", None, None),
        ("Ref: ref", "REF", None, None),
        ("Ada <ada@example.org>, Bob <bob@example.org>", "", None, "ada@example.org"),
        ("'ada@example.org'", "", None, "ada@example.org"),
    ],
)
def test_what_a_text_can_be(text, letters, number, address):
    assert (reference_letters(text), number_in(text), address_in(text)) == (letters, number, address)
