"""One event with one booking of each kind, and everybody who may ask for them."""

from types import SimpleNamespace

from django.contrib.auth.models import Group
from rest_framework.test import APIClient

from accounts import tokens
from accounts.tests.factories import UserFactory, new_api_key
from bookings.services.webhooks.subscriptions import Terms, create_webhook, ping
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import digest_of_all_tables

NAMES = ("anonymous", "other", "wrong_token", "right_token", "owner", "deactivated", "admin", "superuser")


def stage() -> SimpleNamespace:
    event = EventFactory(total_tickets=10)
    people = {name: UserFactory(username=name) for name in ("other", "owner", "deactivated")}
    people["admin"] = UserFactory(username="admin", is_staff=True)
    people["superuser"] = UserFactory(username="superuser", is_staff=True, is_superuser=True)
    bookings = {
        "user's": BookingFactory(event=event, user=people["owner"], tickets=2),
        "guest's": BookingFactory(event=event, user=None, tickets=2),
    }
    clients = {name: client_of(user) for name, user in people.items()}
    clients["anonymous"] = APIClient()
    clients["right_token"] = guest(bookings["guest's"])
    clients["wrong_token"] = guest(BookingFactory(event=event, user=None))
    people["deactivated"].is_active = False
    people["deactivated"].save(update_fields=["is_active"])
    other_event, group = EventFactory(), Group.objects.create(name="Ushers")
    webhook, _ = create_webhook(Terms("Till", "https://till.example.org/", None, []))
    return SimpleNamespace(
        event=event,
        other_event=other_event,
        bookings=bookings,
        people=people,
        clients=clients,
        entry=event.ledger.first().pk,
        group=group.pk,
        webhook=webhook.pk,
        message=ping(webhook).pk,
        api_key=new_api_key("checkin", actor=people["admin"])[0].pk,
        digest=digest_of_all_tables(),
    )


def client_of(user) -> APIClient:
    """A client with a token and a session, since some pages need one and some the other."""
    client = APIClient()
    client.force_login(user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.log_in(user)['token']}")
    return client


def guest(booking) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_BOOKING_TOKEN=booking.token)
    return client
