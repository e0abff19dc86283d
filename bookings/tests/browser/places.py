"""Every page of the staff's site, and who may see it. A new page is added here."""

from typing import NamedTuple

from accounts.api_keys import make_api_key, revoke_api_key
from accounts.models import ApiKey, Scope
from bookings.management.commands.seed_demo import DEMOS, PEOPLE, make_event, make_person
from bookings.models import Booking, LedgerEntry
from bookings.services.cancellation import cancel_tickets
from bookings.services.webhooks.feed import read_feed
from bookings.services.webhooks.subscriptions import Terms, create_webhook
from bookings.webhooks import Webhook, WebhookAttempt, WebhookMessage
from events.models import Event

ALL = ("superuser", "manager", "box_office")
HEADS = ("superuser", "manager")
SUPERUSER = ("superuser",)
SOLD_OUT = "The Last Lighthouse (premiere)"
STRICT = "Chef's Table"


class Place(NamedTuple):
    name: str
    # The ids of `ids` are filled in.
    path: str
    roles: tuple[str, ...]


PLACES = [
    Place("home", "/admin/", (*ALL, "plain")),
    Place("password", "/admin/password_change/", (*ALL, "plain")),
    Place("events", "/admin/events/event/", ALL),
    Place("events-cancelled", "/admin/events/event/?state=cancelled", ALL),
    Place("event", "/admin/events/event/{event}/", ALL),
    Place("event-new", "/admin/events/event/add/", HEADS),
    Place("event-book", "/admin/events/event/{open}/book/", ALL),
    Place("event-edit", "/admin/events/event/{event}/edit/", HEADS),
    Place("event-capacity", "/admin/events/event/{event}/capacity/", HEADS),
    Place("event-sales", "/admin/events/event/{event}/sales/", HEADS),
    Place("event-cancel", "/admin/events/event/{event}/cancel/", HEADS),
    Place("event-write", "/admin/events/event/{event}/write/", HEADS),
    Place("event-import", "/admin/events/event/import/", HEADS),
    Place("event-history", "/admin/events/event/{event}/history/", ALL),
    Place("bookings", "/admin/bookings/booking/", ALL),
    Place("bookings-none", "/admin/bookings/booking/?q=nobody", ALL),
    Place("booking", "/admin/bookings/booking/{booking}/", ALL),
    Place("booking-holding", "/admin/bookings/booking/{holding}/", ALL),
    Place("booking-cancel", "/admin/bookings/booking/{booking}/cancel/", ALL),
    Place("booking-transfer", "/admin/bookings/booking/{booking}/transfer/", HEADS),
    Place("booking-void", "/admin/bookings/booking/{holding}/void/", HEADS),
    Place("booking-move", "/admin/bookings/booking/{booking}/move/", HEADS),
    Place("booking-serve", "/admin/bookings/booking/{fitting}/serve/", HEADS),
    Place("booking-history", "/admin/bookings/booking/{booking}/history/", ALL),
    Place("ledger", "/admin/bookings/ledgerentry/", ALL),
    Place("ledger-entry", "/admin/bookings/ledgerentry/{entry}/change/", ALL),
    Place("webhooks", "/admin/bookings/webhook/", HEADS),
    Place("webhook", "/admin/bookings/webhook/{webhook}/", HEADS),
    Place("webhook-new", "/admin/bookings/webhook/add/", HEADS),
    Place("webhook-edit", "/admin/bookings/webhook/{webhook}/edit/", HEADS),
    Place("webhook-rotate", "/admin/bookings/webhook/{webhook}/rotate/", HEADS),
    Place("webhook-replay", "/admin/bookings/webhook/{webhook}/replay/", HEADS),
    Place("webhook-message", "/admin/bookings/webhook/message/{message}/", HEADS),
    Place("webhook-message-drop", "/admin/bookings/webhook/message/{message}/drop/", HEADS),
    Place("users", "/admin/accounts/user/", HEADS),
    Place("user", "/admin/accounts/user/{user}/change/", HEADS),
    Place("user-history", "/admin/accounts/user/{user}/history/", HEADS),
    Place("user-new", "/admin/accounts/user/add/", HEADS),
    Place("user-password", "/admin/accounts/user/{user}/password/", HEADS),
    Place("user-end-logins", "/admin/accounts/user/{user}/end-logins/", HEADS),
    Place("api-keys", "/admin/accounts/apikey/", SUPERUSER),
    Place("api-key", "/admin/accounts/apikey/{key}/", SUPERUSER),
    Place("api-key-new", "/admin/accounts/apikey/add/", SUPERUSER),
    Place("api-key-revoke", "/admin/accounts/apikey/{key}/revoke/", SUPERUSER),
    Place("groups", "/admin/auth/group/", SUPERUSER),
    Place("group-new", "/admin/auth/group/add/", SUPERUSER),
]


# These are for everybody who is not logged in.
OUTSIDE = [
    Place("login", "/admin/login/", ()),
    Place("start", "/", ()),
    Place("lost-link", "/my/", ()),
    Place("lost-link-sent", "/my/sent", ()),
    Place("api-docs", "/api/docs", ()),
    Place("api-login", "/api-auth/login/", ()),
    Place("password-reset", "/account/password/reset/", ()),
    Place("password-reset-sent", "/account/password/reset/sent/", ()),
    Place("password-done", "/account/password/new/done/", ()),
    Place("email-verification", "/account/email/verification/", ()),
    Place("email-change-sent", "/account/email/change/sent/", ()),
]


def seed(admin) -> None:
    """The demo's events, with tickets left that are too few for the next waiting booking."""
    people = [make_person(*person) for person in PEOPLE]
    for demo in DEMOS:
        make_event(demo, admin=admin, people=people)
    cancel_tickets(Booking.objects.filter(event__name=STRICT).first(), actor=admin)
    webhook, _ = create_webhook(Terms("Till", "https://till.example.org/hooks", None, []), from_beginning=True)
    read_feed()
    message = WebhookMessage.objects.filter(webhook=webhook, kind="booked").last()
    for status, answer in ((502, "<html><title>Bad gateway</title>"), (None, "No answer within 10 seconds.")):
        WebhookAttempt.objects.create(message=message, milliseconds=120, status=status, answer=answer)
    message.postpone("No answer within 10 seconds.")
    events = [Event.objects.get(name=SOLD_OUT).pk]
    make_api_key(name="Till at the door", scopes=["bookings:read", "checkin"], event_ids=events, actor=admin)
    revoke_api_key(make_api_key(name="Old shop", scopes=Scope.values, actor=admin)[0])


def ids() -> dict[str, int]:
    """The ids for the paths of the places."""
    event = Event.objects.get(name=SOLD_OUT)
    waiting = Booking.objects.filter(event=event, status="waitlisted", user__isnull=False).first()
    return {
        "event": event.pk,
        "open": Event.objects.get(name=DEMOS[0].name).pk,
        "booking": waiting.pk,
        "holding": Booking.objects.filter(event=event, status="completed").first().pk,
        "fitting": Booking.objects.filter(event__name=STRICT, status="waitlisted").last().pk,
        "user": waiting.user_id,
        "webhook": Webhook.objects.get().pk,
        "message": WebhookMessage.objects.exclude(error="").get().pk,
        "key": ApiKey.objects.get(revoked=False).pk,
        "entry": LedgerEntry.objects.filter(booking=waiting).first().pk,
    }
