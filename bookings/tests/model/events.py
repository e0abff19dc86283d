from bookings.tests.model.accounts import admin_of, authenticate, user_of
from bookings.tests.model.seen import this_moment
from bookings.tests.model.waitlist import call_off, serve
from bookings.tests.model.world import Answer, Event, Login, Refused, World, said

# These are the API's names, each with the model's.
NAMES = {
    "totalTickets": "total",
    "timeZone": "zone",
    "waitlistPolicy": "policy",
    "waitlistEnabled": "waitlist_enabled",
    "maxTicketsPerBooking": "limit",
    "maxTicketsPerPerson": "limit_of_a_person",
    "salesStart": "sales_start",
    "salesEnd": "sales_end",
}
ANOTHER = -1


def standing(event: Event | None) -> Event:
    if event is None or event.is_deleted:
        raise Refused(404, "event_not_found", "There is no such event.")
    return event


def standing_events(world: World) -> list[Event]:
    return [event for event in world.events if not event.is_deleted]


def create_event(world: World, login: Login | None, name: str, date: str, terms: dict) -> Answer:
    admin = admin_of(world, login)
    # Dates lie in the far past or future only.
    is_day, is_past = len(date) == len("2026-12-01"), date.startswith("20")
    end = f"{date}T23:59:59.000Z" if is_day else date
    fields = {"sales_end": None if is_past else end, **{NAMES[name]: value for name, value in terms.items()}}
    event = Event(name, created_by=admin, date=f"{date}T00:00:00.000Z" if is_day else date, **fields)
    world.events.append(event)
    return said("Event created successfully.", event.body(), status=201)


def change_event(world: World, login: Login | None, event: Event, changes: dict, version: int | None) -> Answer:
    """`version` is the one that If-Match asks for; None if there is no such header."""
    admin_of(world, login)
    standing(event)
    refuse_stale(event, version)
    wanted = {NAMES[name]: value for name, value in changes.items() if getattr(event, NAMES[name]) != value}
    if not wanted:
        return said("Event updated successfully.", event.body())
    if wanted.get("total", event.total) < event.held:
        message = f"{event.held} tickets are held; the total cannot be lower. Cancel bookings first."
        raise Refused(409, "capacity_below_held", message, "totalTickets")
    terms = {"sales_start": event.sales_start, "sales_end": event.sales_end, **wanted}
    if terms["sales_start"] and terms["sales_end"] and terms["sales_end"] <= terms["sales_start"]:
        raise Refused(400, "invalid", "Sales must end after they start.", "salesEnd")
    for name, value in wanted.items():
        setattr(event, name, value)
    event.version += 1
    event.updated_at = this_moment()
    causes = {"policy": "new policy", "total": "new capacity", "sales_end": "sales that go on"}
    serve(world, event, because_of=next((why for name, why in causes.items() if name in wanted), "other terms"))
    return said("Event updated successfully.", event.body())


def refuse_stale(event: Event, version: int | None) -> None:
    if version not in (None, event.version):
        message = "Somebody changed this event in the meantime; read it again and repeat your change."
        raise Refused(412, "stale_version", message)


def delete_event(world: World, login: Login | None, event: Event, version: int | None) -> Answer:
    admin = admin_of(world, login)
    standing(event)
    refuse_stale(event, version)
    event.is_deleted = True
    event.version += 1
    event.updated_at = this_moment()
    for booking in event.bookings:
        if booking.is_live:
            world.note(f"{booking.status}, cancelled with its event")
            call_off(booking, by=admin)
    return said("Event deleted successfully.")


def read_event(world: World, login: Login | None, event: Event) -> Answer:
    user_of(world, login)
    return said("Event retrieved successfully.", standing(event).body())


def list_events(world: World, login: Login | None) -> Answer:
    user_of(world, login)
    events = [event.body() for event in standing_events(world)]
    pages = {"count": len(events), "next": None, "previous": None}
    return said("Events retrieved successfully.", events, pagination=pages)


def read_status(world: World, login: Login | None, event: Event) -> Answer:
    authenticate(world, login)
    standing(event)
    data = {"availableTickets": event.available, "waitlistedCount": len(event.waitlist)}
    return said("Event status retrieved successfully.", data)
