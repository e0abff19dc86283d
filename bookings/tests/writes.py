"""Every request of both contracts that writes: its sender, its address, and a body that it accepts."""

from bookings.tests.wire import booking_body

PASSWORD = "a new pass 4711"

WRITES = {
    "register": ("anonymous", "POST", "/api/v1/auth/register"),
    "login": ("anonymous", "POST", "/api/v1/auth/login"),
    "refresh": ("anonymous", "POST", "/api/v1/auth/refresh"),
    "logout": ("anonymous", "POST", "/api/v1/auth/logout"),
    "profile": ("owner", "PATCH", "/api/v1/auth/me"),
    "password": ("owner", "POST", "/api/v1/auth/password"),
    "event": ("admin", "POST", "/api/v1/event"),
    "change": ("admin", "PATCH", "/api/v1/event/{event}"),
    "book": ("owner", "POST", "/api/v1/booking"),
    "guest": ("anonymous", "POST", "/api/v1/booking"),
    "cancel": ("owner", "DELETE", "/api/v1/booking/{booking}"),
    "plain register": ("anonymous", "POST", "/api/users/register"),
    "plain login": ("anonymous", "POST", "/api/users/login"),
    "plain event": ("admin", "POST", "/api/events/initialize"),
    "plain book": ("owner", "POST", "/api/events/book"),
    "plain cancel": ("owner", "POST", "/api/events/cancel"),
}


def path_of(world, name: str) -> str:
    return WRITES[name][2].format(event=world.event.pk, booking=world.bookings["user's"].pk)


def body_of(world, name: str) -> dict:
    seat = {"eventId": world.other_event.pk, "userId": world.people["owner"].pk}
    account = {"username": "new", "password": PASSWORD}
    return {
        "register": {**account, "email": "new@example.org"},
        "login": account,
        "refresh": {"refreshToken": "x"},
        "logout": {"refreshToken": "x"},
        "profile": {"email": "new@example.org"},
        "password": {"currentPassword": "wrong", "newPassword": PASSWORD},
        "event": {"name": "New", "date": "2080-01-01", "totalTickets": 5},
        "change": {"name": "Changed"},
        "book": booking_body(world.event),
        "guest": booking_body(world.event),
        "cancel": {"ticketsToCancel": 1},
        "plain register": account,
        "plain login": account,
        "plain event": {"name": "New", "totalTickets": 5},
        "plain book": seat,
        "plain cancel": {**seat, "eventId": world.event.pk},
    }[name]
