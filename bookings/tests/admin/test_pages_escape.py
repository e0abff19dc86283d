"""Names, venues and reasons are text on the staff's pages, whatever people have written into them."""

import re

import pytest

from accounts.tests.factories import UserFactory
from bookings.models import Booking
from bookings.tests.admin.confirming import said, url_of
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

ACTIONS = ["book", "capacity", "sales", "edit", "cancel"]
NASTY = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}"]


@pytest.mark.parametrize("nasty", NASTY)
def test_what_people_wrote_is_text_on_every_page(superuser_client, nasty):
    event = EventFactory(name=nasty, venue=nasty, description=nasty, total_tickets=1)
    BookingFactory(event=event, user=None)
    account = UserFactory(username=nasty)
    waiting = BookingFactory(event=event, first_name=nasty, last_name=nasty, user=account)
    typed = {"first_name": nasty, "last_name": nasty, "email": nasty, "account": nasty, "venue": nasty, "reason": nasty}

    pages = [superuser_client.get(url_of(event)), superuser_client.get(url_of(waiting))]
    for subject, names in ((event, ACTIONS), (waiting, ["cancel", "transfer", "move", "serve"])):
        for name in names:
            pages += [superuser_client.get(url_of(subject, name)), superuser_client.post(url_of(subject, name), typed)]
    chosen = {"action": "cancel_bookings", "_selected_action": [waiting.pk]}
    pages += [
        superuser_client.post("/admin/bookings/booking/", chosen),
        superuser_client.post("/admin/bookings/booking/", chosen | {"confirm": "yes"}, follow=True),
        superuser_client.post("/admin/events/event/", {"action": "cancel_events", "_selected_action": [event.pk]}),
    ]

    assert [page.status_code for page in pages] == [200] * len(pages)
    for page in pages:
        content = page.content.decode()
        assert "<script>alert" not in content
        assert "<img src=x" not in content
        assert "14" not in re.findall(r"<h1>(.*?)<", content)


@pytest.mark.parametrize("nasty", NASTY[:2])
def test_what_people_wrote_is_text_in_messages(superuser_client, nasty):
    event = EventFactory(name=nasty, total_tickets=5)
    shown = superuser_client.post(url_of(event, "capacity"), {"total": 6, "version": 1})

    response = superuser_client.post(
        url_of(event, "capacity"),
        {"total": 6, "version": 1, "confirm": "yes", "stamp": shown.context["form"].data["stamp"]},
        follow=True,
    )

    assert said(response) == [f"{nasty} now has 6 tickets, 6 tickets available, nobody waiting."]
    assert nasty not in response.content.decode()


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200f", "\u200b", "\ufeff"])
def test_name_does_not_turn_the_text_around_it(hidden):
    booking = Booking(reference="KQ4M7-X9PDRA", first_name=f"{hidden}Anna", last_name=f"Lee{hidden}")

    assert booking.full_name == "Anna Lee"


def test_name_that_shows_nothing_is_told_by_its_reference():
    assert Booking(reference="KQ4M7-X9PDRA", first_name="\u200b", last_name="\u202e").full_name == "KQ4M7-X9PDRA"


def test_name_keeps_the_joiners_of_its_letters():
    assert Booking(first_name="a\u200cb", last_name="c\u200dd").full_name == "a\u200cb c\u200dd"
