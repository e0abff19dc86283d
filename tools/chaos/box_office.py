"""What the run sells, and to whom: made once, before anything breaks."""

import json

from tools.chaos.clients import Stalls
from tools.chaos.service import Service

# Two of three bookings go to events that never sell out; the others meet a waitlist or a closed door.
SETUP = """
import json
from accounts.models import User
from accounts import tokens
from bookings.services.events import open_event
admin = User.objects.create_superuser("chaos", "chaos@example.org", None)
def people(name, many):
    users = [User.objects.create_user(f"{name}{n}", f"{name}{n}@example.org", None) for n in range(many)]
    return [(user.pk, tokens.log_in(user)["token"]) for user in users]
def opened(name, tickets, **terms):
    return [open_event({"name": name, "total_tickets": tickets, **terms}, actor=admin).pk for _ in range(COPIES)]
hall = opened("Hall", 2_000_000)
arena = opened("Arena", 2_000_000, waitlist_policy="strict")
club = opened("Club", 2_000_000, waitlist_enabled=False)
theatre = opened("Theatre", SIZE)
cellar = opened("Cellar", 60)
attic = opened("Attic", 40, waitlist_policy="strict")
closet = opened("Closet", 30, waitlist_enabled=False)
print(json.dumps({
    "events": hall * 6 + arena * 4 + club * 4 + theatre * 3 + cellar * 2 + attic * 2 + closet,
    "open_events": hall + arena + club + theatre + cellar + attic,
    "buyers": people("buyer", BUYERS),
    "seats": people("seat", SEATS),
}))
"""
BUYERS = 100


def open_box_office(service: Service, *, bookings: int, copies: int = 1) -> Stalls:
    """`copies`: how many events there are of each kind."""
    service.manage("migrate", "-v0")
    script = SETUP
    # The theatre sells out half way; each seat's account can have one booking an event.
    for name, value in (
        ("SIZE", bookings // 7),
        ("COPIES", copies),
        ("BUYERS", BUYERS),
        ("SEATS", max(40, bookings // 40)),
    ):
        script = script.replace(name, str(value))
    return Stalls(**json.loads(service.manage("shell", "--no-imports", "-c", script).splitlines()[-1]))
