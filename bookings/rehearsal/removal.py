"""Takes a rehearsal away again, or what a killed one has left."""

from dataclasses import dataclass

from django.db.models import Model, QuerySet

from accounts.models import LoginSession, User
from bookings.models import Booking, InventoryCheck, LedgerEntry, SalesHour
from bookings.rehearsal.scratch import CLERK, MARK, ROWS, accounts_of, copies_of
from bookings.services.events import cancel_event
from events.exceptions import EventNotFound
from events.models import Event
from ticks.db.transactions import in_one_transaction


@dataclass(slots=True)
class Removed:
    events: int = 0
    bookings: int = 0
    accounts: int = 0

    def __str__(self):
        events = "1 copy of an event" if self.events == 1 else f"{self.events} copies of events"
        return f"{events}, its bookings ({self.bookings:,}) and its accounts ({self.accounts:,})"

    def __bool__(self):
        return bool(self.events or self.bookings or self.accounts)


def left_overs(*, kept_too: bool) -> list[str]:
    """The rehearsals that something is left of. The clerk goes last, so whatever else is left has one."""
    clerks = accounts_of().filter(username__endswith=f":{CLERK}")
    if not kept_too:
        clerks = clerks.filter(is_active=True)
    return [name.split(":")[1] for name in clerks.order_by("pk").values_list("username", flat=True)]


def keep(run: str) -> None:
    """Leaves a rehearsal to be looked at: cancelled, and nobody of it can log in."""
    close(run)
    accounts_of(run).update(is_active=False)


def close(run: str) -> None:
    """From here on nobody books: the tokens have ended, the copies are cancelled."""
    LoginSession.objects.filter(user__in=accounts_of(run)).delete()
    for copy in copies_of(run).standing().select_related("created_by"):
        try:
            cancel_event(copy.pk, actor=copy.created_by)
        except EventNotFound:
            # Staff have cancelled it meanwhile.
            continue


def remove(run: str) -> Removed:
    """Deletes all that a rehearsal made, in short transactions: interrupted, the rest is left for the next one."""
    removed = Removed()
    close(run)
    for copy in copies_of(run):
        # Who else has booked on the copy goes with it.
        while page := list(copy.bookings.order_by("pk").values_list("pk", flat=True)[:ROWS]):
            remove_bookings(page)
            removed.bookings += len(page)
        remove_copy(copy)
        removed.events += 1
    clerk = User.objects.filter(username=f"{MARK}{run}:{CLERK}")
    buyers = accounts_of(run).exclude(pk__in=clerk.values("pk")).order_by("username")
    while page := list(buyers.values_list("pk", flat=True)[:ROWS]):
        removed.accounts += wipe(User, pk__in=page)
    # Its login name goes with it, and is none of what is counted.
    removed.accounts += clerk.delete()[1].get(User._meta.label, 0)
    return removed


@in_one_transaction
def remove_bookings(page: list[int]) -> None:
    wipe(LedgerEntry, booking__in=page)
    # And with them their idempotency keys.
    wipe(Booking, pk__in=page)


@in_one_transaction
def remove_copy(copy: Event) -> None:
    wipe(LedgerEntry, event=copy)
    wipe(SalesHour, event=copy)
    wipe(InventoryCheck, event=copy)
    wipe(Event, pk=copy.pk)


def wipe(model: type[Model], **chosen) -> int:
    """Deletes rows of a rehearsal, ledger entries too.

    The ledger's own manager refuses, since the ledger is the proof of what was sold. Nothing was here: the entries
    tell of a copy that is going. A plain QuerySet goes around that, in this place alone.
    """
    return QuerySet(model).filter(**chosen).delete()[0]
