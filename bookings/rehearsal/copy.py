"""Makes and removes the objects of a rehearsal: a copy of the event, and accounts that buy. All of them have the
mark."""

import secrets
from collections import Counter
from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.db.models import Model, QuerySet
from django.utils import timezone

from accounts.models import LoginSession, User, hash_of
from accounts.tokens import access_token, new_refresh_id
from bookings.models import Booking, LedgerEntry
from bookings.services.events import open_muted_event
from events.models import EDITABLE_FIELDS, Event
from ticks.db.transactions import in_one_transaction

# No registration, form or command takes a colon in a username, so an account with this mark was made here.
MARK = "rehearsal:"
OWNER = f"{MARK}owner"
ROWS = 1000
# Longer than any rehearsal. Accounts that are left over after that cannot be used.
SESSION_HOURS = 1
# The copy has a name and description of its own, and is on sale at once. Everything else that staff can edit is copied.
NOT_COPIED = ("name", "description", "sales_start", "sales_end")
COPIED = [name for name in EDITABLE_FIELDS if name not in NOT_COPIED]


def marked_accounts() -> QuerySet[User]:
    # A range and not LIKE, which MySQL would look up in every account: a semicolon comes right after a colon.
    return User.objects.filter(username__gte=MARK, username__lt=f"{MARK[:-1]};")


def copies() -> QuerySet[Event]:
    return Event.objects.filter(created_by__in=marked_accounts())


def open_copy(event: Event) -> Event:
    """Makes an event like this one, on sale now, by an account of the rehearsal's own."""
    owner = User.objects.create(username=OWNER, password=make_password(None))
    fields = {name: getattr(event, name) for name in COPIED}
    fields["name"] = f"Rehearsal of {event.name}"[: Event._meta.get_field("name").max_length]
    # The random letters tell the copy from the one of another deployment.
    fields["description"] = (
        "Not for sale. A rehearsal by made-up buyers; what is booked here is deleted when it ends "
        f"({secrets.token_hex(4)})."
    )
    return open_muted_event(fields, actor=owner)


def make_buyers(number: int) -> list[tuple[int, str]]:
    """Makes accounts that are logged in and have no password. Returns the id and the access token of each."""
    names = [f"{MARK}{place}" for place in range(number)]
    accounts = [User(username=name, username_key=name, password=make_password(None)) for name in names]
    User.objects.bulk_create(accounts, batch_size=ROWS)
    # The rows are read back, since MySQL does not return the ids of many.
    buyers = marked_accounts().exclude(username=OWNER)
    terms = {"refresh_hash": hash_of(new_refresh_id()), "expires_at": timezone.now() + timedelta(hours=SESSION_HOURS)}
    sessions = [LoginSession(user=user, auth_hash=user.get_session_auth_hash(), **terms) for user in buyers]
    LoginSession.objects.bulk_create(sessions, batch_size=ROWS)
    stored = LoginSession.objects.filter(user__in=buyers).select_related("user")
    return [(session.user_id, access_token(session)) for session in stored]


def remove_rehearsals() -> Counter[str]:
    """Deletes all that rehearsals made, and counts it. An interruption leaves the rest to the next call."""
    removed: Counter[str] = Counter()
    # First nobody can book any more: the logins end, and sales of the copies end.
    LoginSession.objects.filter(user__in=marked_accounts()).delete()
    copies().update(sales_end=timezone.now())
    for copy in copies():
        while page := list(copy.bookings.order_by("pk").values_list("pk", flat=True)[:ROWS]):
            remove_bookings(page)
            removed["booking"] += len(page)
        remove_copy(copy)
        removed["event"] += 1
    while page := list(marked_accounts().values_list("pk", flat=True)[:ROWS]):
        removed["account"] += User.objects.filter(pk__in=page).delete()[1][User._meta.label]
    return removed


@in_one_transaction
def remove_bookings(page: list[int]) -> None:
    delete_rows(LedgerEntry, booking__in=page)
    # The idempotency keys go with the bookings.
    delete_rows(Booking, pk__in=page)


@in_one_transaction
def remove_copy(copy: Event) -> None:
    # Rows of any table that refer to the event.
    for relation in Event._meta.get_fields(include_hidden=True):
        if relation.auto_created and not relation.concrete:
            delete_rows(relation.related_model, **{relation.field.name: copy})
    delete_rows(Event, pk=copy.pk)


def delete_rows(model: type[Model], **chosen) -> None:
    """Goes around the ledger's manager, which refuses to delete the proof of what was sold: nothing was sold here."""
    QuerySet(model).filter(**chosen).delete()
