"""The waitlist in the model: who gets tickets, who waits, and who is next."""

from bookings.tests.model.seen import this_moment
from bookings.tests.model.world import CANCELLED, COMPLETED, WAITLISTED, Booking, Event, Refused, User, World


def take_in(world: World, booking: Booking) -> None:
    """A new booking. It gets all its tickets, or waits, or is refused."""
    event = booking.event
    refuse_closed(event)
    limit = min(event.total, event.limit or event.total)
    if booking.tickets > limit:
        message = f"This event sells at most {limit} ticket{'' if limit == 1 else 's'} a booking."
        raise Refused(400, "too_many_tickets", message, "ticketsReserved")
    refuse_hoarding(world, booking)
    fits = booking.tickets <= event.available
    if fits and event.policy == "strict" and event.waitlist:
        world.note("queued behind the head though it fits")
        fits = False
    if not fits and not event.waitlist_enabled:
        raise Refused(409, "sold_out", "Not enough tickets are left, and this event has no waitlist.")
    if fits and event.waitlist:
        world.note("passed the queue under first_fit")
    booking.status = COMPLETED if fits else WAITLISTED
    world.bookings.append(booking)
    event.bookings.append(booking)
    if not fits:
        event.waitlist.append(booking)


def refuse_closed(event: Event) -> None:
    if event.is_deleted:
        raise Refused(404, "event_not_found", "There is no such event.")
    if not event.has_started:
        raise Refused(409, "sales_not_open", "Sales for this event open on 1 Jan 9000, 00:00 UTC.")
    if event.has_ended:
        raise Refused(409, "sales_closed", "Sales for this event are closed.")


def refuse_hoarding(world: World, booking: Booking) -> None:
    limit = booking.event.limit_of_a_person
    if limit is None:
        return
    has = 0
    for other in booking.event.bookings:
        same = other.user is booking.user if booking.user or other.user else other.email == booking.email
        has += other.tickets if other.is_live and same else 0
    if has + booking.tickets > limit:
        left = max(0, limit - has)
        are_left = "none is" if left == 0 else "1 is" if left == 1 else f"{left} are"
        at_most = f"at most {limit} ticket{'' if limit == 1 else 's'} to a person, waiting ones too"
        message = f"This event gives {at_most}. This person has {has}, so {are_left} left."
        raise Refused(409, "person_limit", message, "ticketsReserved")
    if has:
        world.note("another booking within the limit of a person")


def give_back(world: World, booking: Booking, tickets: int | None, *, by: User | None) -> None:
    if not booking.is_live:
        raise Refused(409, "already_cancelled", "This booking is already cancelled.")
    had = booking.tickets
    if tickets is not None and tickets > had:
        message = f"This booking has {had} ticket{'' if had == 1 else 's'}; cancel at most that many."
        raise Refused(400, "more_than_reserved", message, "ticketsToCancel")
    if tickets is None or tickets == had:
        call_off(booking, by=by)
        why = "cancellation"
    else:
        booking.tickets -= tickets
        booking.updated_at = this_moment()
        why = "part cancellation"
    serve(world, booking.event, because_of=why)


def call_off(booking: Booking, *, by: User | None) -> None:
    booking.status = CANCELLED
    booking.cancelled_by = by
    booking.updated_at = this_moment()
    if booking in booking.event.waitlist:
        booking.event.waitlist.remove(booking)


def serve(world: World, event: Event, *, because_of: str) -> None:
    if event.has_ended:
        if any(booking.tickets <= event.available for booking in event.waitlist):
            world.note("waits though it fits, since sales have ended")
        return
    for booking in list(event.waitlist):
        if booking.tickets <= event.available:
            booking.status = COMPLETED
            booking.updated_at = this_moment()
            event.waitlist.remove(booking)
            world.note(f"promoted by {because_of}")
        elif event.policy == "strict":
            return
        elif event.available:
            world.note("passed over, kept its place")
