"""What a rehearsal makes: a copy of the event, and accounts that buy. All of it bears the mark."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import LoginSession, User, hash_of
from accounts.tokens import access_token, new_refresh_id
from bookings.services.events import open_event
from events.models import Event

# No registration, form or command takes a colon in a username: whoever has one was made here. What they
# made (`created_by`) and what hangs on it is the rehearsal's too.
MARK = "rehearsal:"
CLERK = "clerk"
ROWS = 1000
# Longer than any rehearsal; whoever is left over after that cannot log in.
SESSION_HOURS = 1
COPIED = (
    "venue",
    "date",
    "max_tickets_per_booking",
    "waitlist_enabled",
    "waitlist_policy",
    "total_tickets",
)


@dataclass(frozen=True, slots=True)
class Buyer:
    user_id: int
    token: str


def accounts_of(run: str = "") -> QuerySet[User]:
    """The accounts of one rehearsal, or of all there ever were."""
    mark = f"{MARK}{run}:" if run else MARK
    # A range and not LIKE, which MySQL would look up in every account: a semicolon comes right after a colon.
    return User.objects.filter(username__gte=mark, username__lt=f"{mark[:-1]};")


def copies_of(run: str = "") -> QuerySet[Event]:
    return Event.objects.filter(created_by__in=accounts_of(run))


def new_run() -> str:
    return secrets.token_hex(4)


def open_copy(event: Event, *, run: str) -> Event:
    """An event like this one, on sale now, made by an account of the rehearsal's own."""
    clerk = User.objects.create(username=f"{MARK}{run}:{CLERK}", password=make_password(None))
    fields = {name: getattr(event, name) for name in COPIED}
    fields["name"] = f"Rehearsal of {event.name}"[: Event._meta.get_field("name").max_length]
    fields["description"] = (
        f"Not for sale. A rehearsal by made-up buyers; what is booked here is deleted when it ends ({run})."
    )
    return open_event(fields, actor=clerk)


def hire(run: str, *, numbers: range) -> list[Buyer]:
    """Accounts that are logged in, each with a token of its own; none has a password."""
    names = [f"{MARK}{run}:{number}" for number in numbers]
    User.objects.bulk_create(User(username=name, username_key=name, password=make_password(None)) for name in names)
    # Read back, since MySQL does not tell the ids of many rows.
    users = User.objects.in_bulk(User.objects.filter(username__in=names).values_list("pk", flat=True))
    expiry = timezone.now() + timedelta(hours=SESSION_HOURS)
    LoginSession.objects.bulk_create(
        LoginSession(
            user=user,
            refresh_hash=hash_of(new_refresh_id()),
            auth_hash=user.get_session_auth_hash(),
            expires_at=expiry,
        )
        for user in users.values()
    )
    hired = []
    for session in LoginSession.objects.filter(user__in=list(users)):
        session.user = users[session.user_id]
        hired.append(Buyer(session.user_id, access_token(session)))
    return hired
