from bookings.tests.model.accounts import authenticate, user_of
from bookings.tests.model.seen import a_guest_token
from bookings.tests.model.waitlist import give_back, take_in
from bookings.tests.model.world import Answer, Booking, Event, Invalid, Key, Login, Refused, User, World, said


def book(world: World, login: Login | None, event: Event | None, asked: dict, key: str | None) -> Answer:
    caller = authenticate(world, login)
    if event is None:
        raise Refused(404, "event_not_found", "There is no such event.")
    asked = {**asked, "event": event, "email": asked["email"].strip().lower()}
    known = find_key(world, caller, key)
    if known:
        return replay(world, known, asked)
    booking = Booking(user=caller, **asked)
    take_in(world, booking)
    data = booking.body()
    if caller is None:
        data["bookingToken"] = booking.token = a_guest_token()
    answer = said("Booking created successfully.", data, status=201)
    if key is not None:
        world.keys.append(Key(caller, key, asked, answer, booking))
    return answer


def find_key(world: World, caller: User | None, key: str | None) -> Key | None:
    """A key is the caller's own; all guests are one caller."""
    for known in world.keys:
        if key is not None and (known.caller, known.key) == (caller, key):
            return known
    return None


def replay(world: World, known: Key, asked: dict) -> Answer:
    if known.asked != asked:
        message = "This Idempotency-Key was used with another request; use a new key for a new request."
        raise Refused(422, "idempotency_key_reused", message)
    world.note("replayed")
    if known.is_past:
        world.note("replayed after the booking changed")
    return Answer(201, known.answer.body, {"Idempotent-Replayed": "true"})


def visible(world: World, login: Login | None, booking: Booking | None, token: str | None) -> Booking:
    """The booking, for its owner, an admin and a holder of its token. Anybody else finds none."""
    caller = authenticate(world, login)
    if booking is not None:
        if caller and (caller.is_admin or caller is booking.user):
            return booking
        if token and booking.token and booking.token.value == token:
            return booking
    raise Refused(404, "booking_not_found", "There is no such booking.")


def read_booking(world: World, login: Login | None, booking: Booking | None, token: str | None) -> Answer:
    return said("Booking retrieved successfully.", visible(world, login, booking, token).body())


def cancel(
    world: World, login: Login | None, booking: Booking | None, token: str | None, tickets: int | None, named_id: int
) -> Answer:
    """`named_id`: the `bookingId` of the body, or the URL's id."""
    visible(world, login, booking, token)
    if named_id != booking.id.value:
        raise Invalid("bookingId", "Must be the id in the URL, or be left out.")
    give_back(world, booking, tickets, by=authenticate(world, login))
    return said("Booking cancelled successfully.")


def list_bookings(
    world: World,
    login: Login | None,
    *,
    event: Event | None = None,
    status: str | None = None,
) -> Answer:
    user = user_of(world, login)
    listed = [
        booking.body()
        for booking in reversed(world.bookings)
        if (user.is_admin or booking.user is user)
        and (event is None or booking.event is event)
        and (status is None or booking.status == status)
    ]
    pages = {"count": len(listed), "next": None, "previous": None}
    return said("Bookings retrieved successfully.", listed, pagination=pages)
