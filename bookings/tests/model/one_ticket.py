"""The other contract: one ticket for one account, plain JSON."""

from bookings.tests.model.accounts import admin_of, check_password, found, register, user_of
from bookings.tests.model.events import standing
from bookings.tests.model.seen import a_token
from bookings.tests.model.waitlist import give_back, take_in
from bookings.tests.model.world import COMPLETED, Answer, Booking, Event, Login, Refused, User, World


def register_plainly(world: World, username: str, password: str) -> Answer:
    user = register(world, username, None, password)
    return Answer(201, {"message": "User created successfully", "id": user.id})


def log_in_plainly(world: World, username: str, password: str) -> Answer:
    login = Login(check_password(found(world, username), password), [a_token()])
    world.logins.append(login)
    return Answer(200, {"token": login.tokens[0]})


def body_of(event: Event) -> dict:
    return {
        "id": event.id,
        "name": event.name,
        "totalTickets": event.total,
        "availableTickets": event.available,
        "waitingListCount": len(event.waitlist),
        "version": event.version,
    }


def initialize(world: World, login: Login | None, name: str, total: int) -> Answer:
    event = Event(name, total, admin_of(world, login))
    world.events.append(event)
    return Answer(201, body_of(event))


def read_event_plainly(world: World, login: Login | None, event: Event) -> Answer:
    user_of(world, login)
    return Answer(200, body_of(standing(event)))


def holder(world: World, login: Login | None, user: User | None) -> User:
    """The account of the ticket: the caller's own, or any for an admin. `user` is None if no account has that id."""
    caller = user_of(world, login)
    if caller is user:
        return caller
    if not caller.is_admin:
        raise Refused(403, "permission_denied", "userId must be your own.")
    if user is None:
        raise Refused(404, "user_not_found", "There is no such user.")
    return user


def live_bookings(event: Event, user: User) -> list[Booking]:
    return [booking for booking in event.bookings if booking.user is user and booking.is_live]


def book_seat(world: World, login: Login | None, event: Event, user: User | None) -> Answer:
    user = holder(world, login, user)
    if live_bookings(event, user):
        raise Refused(409, "already_booked", "This user already has a booking for this event.")
    booking = Booking(event, user, user.username, "", user.email or "", tickets=1, is_seat=True)
    take_in(world, booking)
    is_held = booking.status == COMPLETED
    body = {
        "id": booking.id,
        "eventId": event.id,
        "userId": user.id,
        "status": "booked" if is_held else "waiting",
    }
    return Answer(201 if is_held else 200, body)


def cancel_seat(world: World, login: Login | None, event: Event, user: User | None) -> Answer:
    user = holder(world, login, user)
    live = live_bookings(standing(event), user)
    if not live:
        raise Refused(404, "booking_not_found", "This user has no booking for this event.")
    seats = [booking for booking in live if booking.is_seat]
    give_back(world, (seats or live)[0], None, by=user_of(world, login))
    return Answer(200, {"message": "Booking cancelled, next in line assigned if applicable"})
