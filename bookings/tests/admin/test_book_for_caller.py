"""Staff book for a caller, by the event's terms, and only once even if the page is confirmed twice."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry

from accounts.tests.factories import UserFactory
from bookings.models import Booking
from bookings.services.events import change_event
from bookings.tests.admin.confirming import CALLER, confirm, counts, errors, fields_of, look, said, url_of
from bookings.tests.factories import EventFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"waitlist_enabled": False}, "Not enough tickets are left, and this event has no waitlist."),
        ({"sales_end": datetime(2020, 1, 1, tzinfo=UTC)}, "Sales for this event are closed."),
        ({"sales_start": datetime(2100, 1, 1, tzinfo=UTC)}, "Sales for this event open on 1 Jan 2100, 00:00 UTC."),
    ],
)
def test_booking_against_the_event_s_terms_is_refused(superuser_client, gala, terms, message):
    change_event(gala.pk, changes=terms, actor=gala.created_by)

    response = look(superuser_client, gala, "book", **CALLER)

    assert errors(response) == {"__all__": [message]}
    assert fields_of(response)["email"] == ["Emmy@Example.org"]
    assert Booking.objects.count() == 3


def confirmed_twice(client, event, **typed):
    """A double click: two answers to the same page."""
    shown = look(client, event, "book", **{**CALLER, **typed})
    return [confirm(client, event, "book", shown) for _ in range(2)]


@pytest.mark.parametrize("account", ["", "caller"])
@pytest.mark.parametrize("waitlist_enabled", [True, False])
def test_last_tickets_confirmed_twice_are_booked_once_and_told_twice(superuser_client, account, waitlist_enabled):
    UserFactory(username="caller")
    event = EventFactory(total_tickets=2, waitlist_enabled=waitlist_enabled)

    first, second = confirmed_twice(superuser_client, event, account=account)

    booking = Booking.objects.get()
    assert said(first) == said(second) == [f"Booked 2 tickets for Emmy Noether. Reference: {booking.reference}."]
    assert first.redirect_chain == second.redirect_chain == [(url_of(booking), 302)]
    assert (booking.email, booking.user and booking.user.username) == ("emmy@example.org", account or None)
    assert counts(event) == (2, 0, 0, 0)
    assert LogEntry.objects.count() == 1


def test_caller_with_one_name_and_no_mail_address_is_booked(superuser_client):
    event = EventFactory(total_tickets=2)
    shown = look(superuser_client, event, "book", **{**CALLER, "last_name": "", "email": ""})

    response = confirm(superuser_client, event, "book", shown)

    booking = Booking.objects.get()
    assert (booking.first_name, booking.last_name, booking.email) == ("Emmy", "", "")
    assert said(response) == [f"Booked 2 tickets for Emmy. Reference: {booking.reference}."]
    assert superuser_client.get(url_of(booking)).status_code == 200
    assert str(booking) == f"{booking.reference} (Emmy)"


def test_page_that_has_booked_books_again_for_other_input_alone(superuser_client):
    event = EventFactory(total_tickets=9)
    shown = look(superuser_client, event, "book", **CALLER)
    confirm(superuser_client, event, "book", shown)

    # The user goes back in the browser, and types another name.
    url = url_of(event, "book")
    other = superuser_client.post(url, fields_of(shown) | {"first_name": "Lise", "last_name": "Meitner"})
    refused = confirm(superuser_client, event, "book", other)

    assert errors(refused) == {
        "__all__": [
            "This page was confirmed already, with other input. Look whether you want this as well, and confirm again."
        ]
    }
    assert Booking.objects.count() == 1
    again = superuser_client.post(url, fields_of(refused))
    confirm(superuser_client, event, "book", again)
    assert list(Booking.objects.order_by("pk").values_list("first_name", flat=True)) == ["Emmy", "Lise"]


@pytest.mark.parametrize("language", ["", "de"])
def test_caller_is_booked_in_a_language(superuser_client, language):
    event = EventFactory(total_tickets=2)

    confirm(superuser_client, event, "book", look(superuser_client, event, "book", **CALLER, language=language))

    assert Booking.objects.get().language == language
