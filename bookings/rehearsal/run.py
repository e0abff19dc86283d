"""A rehearsal from its copy to its report."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection
from django.utils import timezone

from bookings.rehearsal import scratch
from bookings.rehearsal.crowd import Connection, Crowd
from bookings.rehearsal.deployment import Deployment, refuse_another_database
from bookings.rehearsal.desk import Desk
from bookings.rehearsal.plan import Plan
from bookings.rehearsal.removal import Removed, keep, left_overs, remove
from bookings.rehearsal.verdict import Verdict, judge
from events.models import Event
from ticks.load import Tally, drive

# Who has come when the time is over may finish: as long as somebody who was throttled is told to wait.
DRAIN_SECONDS = 60
# One request's answer is waited for no longer.
PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    copy: Event
    crowd: Crowd
    tally: Tally
    verdict: Verdict


class Progress:
    """Hears how far it is; the command shows it. What it raises ends the rehearsal, which then cleans up."""

    def step(self, text: str) -> None:
        """A new part begins."""

    def moved(self, text: str) -> None:
        """How far the part is that was begun last."""


def rehearse(plan: Plan, deployment: Deployment, *, run: str, progress: Progress) -> Outcome:
    """Makes the copy and the buyers, sends them, and compares. Who calls this removes them. Raises `Unfit`."""
    progress.step(f"Preparing a copy of the event and {plan.buyers:,} accounts")
    copy = scratch.open_copy(plan.event, run=run)
    desk = Desk(deployment, copy_id=copy.pk, real_id=plan.event.pk)
    buyers = scratch.hire(run, numbers=range(1))
    # Before thousands of them are made.
    refuse_another_database(deployment, copy, buyers[0])
    for first in range(1, plan.buyers, scratch.ROWS):
        buyers += scratch.hire(run, numbers=range(first, min(first + scratch.ROWS, plan.buyers)))
        progress.moved(f"{len(buyers):,}")
    crowd = Crowd(buyers, desk, seconds=plan.seconds, tickets=plan.tickets)
    progress.step(f"On sale for {plan.seconds} s")
    began = timezone.now()
    tally = drive(
        deployment.address,
        [Connection(crowd) for _ in range(plan.connections)],
        seconds=plan.seconds + DRAIN_SECONDS,
        patience=PATIENCE_SECONDS,
        watch=watch(crowd, progress),
    )
    progress.step("Comparing what the buyers were told with the database")
    drop_if_dead()
    return Outcome(copy, crowd, tally, judge(copy, crowd, began=began))


def watch(crowd: Crowd, progress: Progress) -> Callable[[float, Tally], None]:
    def show(seconds: float, tally: Tally) -> None:
        sold = crowd.bookings.statuses[201]
        state = f"{seconds:.0f} s" if seconds < crowd.seconds else f"{seconds:.0f} s, finishing"
        progress.moved(f"{state}: {tally.answered:,} answers, {sold:,} bookings")

    return show


def put_away(plan: Plan, *, run: str) -> Removed | None:
    """Removes what the rehearsal made, or, if asked, keeps it closed: then None."""
    drop_if_dead()
    if plan.keep:
        keep(run)
        return None
    return remove(run)


def drop_if_dead() -> None:
    """The connection has idled all the while; the database may have been started again."""
    if connection.connection is not None and not connection.is_usable():
        connection.close()


def clear_left_overs(*, kept_too: bool) -> Removed:
    """Removes what earlier rehearsals left that were killed; kept ones too, if asked."""
    removed = Removed()
    for run in left_overs(kept_too=kept_too):
        part = remove(run)
        removed.events += part.events
        removed.bookings += part.bookings
        removed.accounts += part.accounts
    return removed
