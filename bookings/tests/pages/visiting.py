"""Opens a booking's page by the link in a mail, and goes through its forms as a browser does."""

from html import unescape

from django.test import Client

from bookings.models import Booking
from bookings.services.epochs import with_epochs
from bookings.services.links import link_to
from bookings.tests.admin.confirming import SentFields

SITE = "http://127.0.0.1:8000"


def link_of(booking) -> str:
    """The path and query string of the link in a mail."""
    return link_to(with_epochs().get(pk=booking.pk)).removeprefix(SITE)


def visitor(booking, **options) -> Client:
    """A browser in which the link was opened just now."""
    client = Client(**options)
    response = client.get(link_of(booking))
    assert response.status_code == 303
    return client


def address(booking, page: str = "") -> str:
    return f"/my/{booking.reference}/{page}"


def fields_of(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    return SentFields(response.content.decode()).fields


def look(client, booking, page: str, **typed):
    """Opens a form, types, and asks what will happen."""
    url = address(booking, page)
    return client.post(url, fields_of(client.get(url)) | typed)


def confirm(client, booking, page: str, shown, **typed):
    """Confirms what a page showed, and follows the redirect."""
    return client.post(address(booking, page), fields_of(shown) | typed | {"confirm": "yes"}, follow=True)


def lines(response) -> list[str]:
    """What the page says will happen; empty if nothing can be confirmed."""
    shown = response.context["lines"]
    assert ('name="confirm"' in response.content.decode()) == bool(shown)
    return shown


def said(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def text_of(response) -> str:
    return unescape(response.content.decode())


def tickets_and_status(booking) -> tuple[int, str]:
    return Booking.objects.values_list("tickets_reserved", "status").get(pk=booking.pk)
