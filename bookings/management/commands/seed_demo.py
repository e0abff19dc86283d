import os
import secrets
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from django.conf import settings
from django.core.management import BaseCommand
from django.utils import timezone

from accounts.models import User
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.events import change_event, open_muted_event
from bookings.services.notifications import skip_to_end
from events.models import Event
from ticks.db.migrations import refuse_other_schema
from ticks.formatting import usual_zone
from ticks.zones import moment_in

PASSWORD_FILE = settings.LOCAL_DIR / "demo_admin_password"
PEOPLE = [
    ("ada", "Ada", "Lovelace"),
    ("grace", "Grace", "Hopper"),
    ("alan", "Alan", "Turing"),
    ("katherine", "Katherine", "Johnson"),
    ("edsger", "Edsger", "Dijkstra"),
    ("barbara", "Barbara", "Liskov"),
    ("donald", "Donald", "Knuth"),
    ("margaret", "Margaret", "Hamilton"),
]


class Demo(NamedTuple):
    """One event of the demo. Times are in days from today; `bookings` are their tickets in order."""

    name: str
    venue: str
    description: str
    day: int
    tickets: int
    bookings: tuple[int, ...] = ()
    terms: dict = {}
    sales: dict = {}


WORKSHOP = "A workshop; at most two tickets a booking."
NO_WAITLIST = "Sold out, without a waitlist."
SOLD_OUT = "Sold out; groups wait, the earliest that fits is promoted."
STRICT = "Sold out; strictly in line, nobody passes the head of the queue."
DEMOS = [
    Demo("Night of the Cellos", "Philharmonic Hall", "Eight cellos, no conductor.", 30, 400, (2, 4, 1, 2, 6, 3, 2)),
    Demo("Open Air Cinema: Metropolis", "Harbour Lawn", "Live score by the city orchestra.", 45, 1200, (2, 2, 5, 4)),
    Demo("Street Food Sunday", "Old Market", "Forty kitchens, one ticket.", 12, 2500, (4, 2, 8, 1, 1, 3)),
    Demo("Improv for Beginners", "Studio 3", WORKSHOP, 9, 24, (2, 2, 2, 1, 2), {"max_tickets_per_booking": 2}),
    Demo("Winter Jazz Trio", "Blue Cellar", "Nearly gone: three seats left.", 6, 60, (8, 10, 6, 9, 4, 12, 8)),
    Demo("Planetarium Late Show", "Science Museum", "Nearly gone: one seat left.", 4, 80, (20, 20, 20, 10, 5, 4)),
    Demo("The Last Lighthouse (premiere)", "Grand Theatre", SOLD_OUT, 21, 50, (10, 10, 8, 12, 10, 4, 2, 6, 3, 1)),
    Demo("Chef's Table", "Restaurant Nord", STRICT, 15, 12, (4, 4, 4, 6, 2, 2), {"waitlist_policy": "strict"}),
    Demo("Members' Rehearsal", "Philharmonic Hall", NO_WAITLIST, 18, 20, (10, 10), {"waitlist_enabled": False}),
    Demo("Summer Festival, early birds", "Airfield", "Sales open in two weeks.", 200, 5000, sales={"sales_start": 14}),
    Demo("New Year's Gala", "Grand Hotel", "Sales open in a month.", 90, 300, sales={"sales_start": 30}),
    Demo("Autumn Poetry Slam", "Blue Cellar", "Over.", -20, 70, (2, 3, 1, 1, 4, 2, 6), sales={"sales_end": -20}),
]


class Command(BaseCommand):
    help = "Makes an admin, users and a dozen events in every state. What is there already stays as it is."

    def add_arguments(self, parser):
        parser.add_argument("--if-empty", action="store_true", help="only where there is neither a user nor an event")

    def handle(self, *args, if_empty, **options):
        refuse_other_schema()
        if not if_empty or not (User.objects.exists() or Event.objects.exists()):
            admin = make_admin()
            people = [make_person(*person) for person in PEOPLE]
            made = sum(make_event(demo, admin=admin, people=people) for demo in DEMOS)
            self.stdout.write(f"Demo data: {made} events made, {len(DEMOS) - made} were there.")
        admin = User.objects.bearing("admin").filter(is_superuser=True).first()
        if admin and PASSWORD_FILE.exists() and admin.check_password(PASSWORD_FILE.read_text()):
            self.stdout.write(f"Demo admin: admin, password {PASSWORD_FILE.read_text()}")


def make_admin() -> User:
    admin = User.objects.bearing("admin").first()
    return admin or User.objects.create_superuser("admin", "admin@example.org", demo_password())


def demo_password() -> str:
    """One password for the demo admins of all databases that are filled from this folder."""
    if not PASSWORD_FILE.exists():
        PASSWORD_FILE.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(PASSWORD_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(12))
    return PASSWORD_FILE.read_text()


def make_person(username: str, first_name: str, last_name: str) -> User:
    names = {"first_name": first_name, "last_name": last_name}
    user = User.objects.bearing(username).first()
    # This account has no password, so that nobody logs in as it.
    return user or User.objects.create_user(username, f"{username}@example.org", None, **names)


def make_event(demo: Demo, *, admin: User, people: list[User]) -> bool:
    if Event.objects.filter(name=demo.name).exists():
        return False
    today = timezone.now().astimezone(usual_zone()).date()
    begin = evening_of(today + timedelta(days=demo.day), hour=19)
    fields = {
        "name": demo.name,
        "venue": demo.venue,
        "description": demo.description,
        "date": begin,
        "default_sales_end": begin,
        "total_tickets": demo.tickets,
        **demo.terms,
    }
    # The people who book are made up, and so are their addresses.
    event = open_muted_event(fields, actor=admin)
    for number, tickets in enumerate(demo.bookings):
        person = people[number % len(people)]
        names = person.first_name, person.last_name, person.email
        is_guest = number % 3 == 2
        book_tickets(BookingRequest(event.pk, tickets, *names, user=None if is_guest else person))
    # This comes after the bookings, since closed sales would refuse them.
    changes = {name: evening_of(today + timedelta(days=day), hour=18) for name, day in demo.sales.items()}
    change_event(event.pk, changes=changes, actor=admin)
    skip_to_end(event.pk)
    return True


def evening_of(day: date, *, hour: int) -> datetime:
    return moment_in(usual_zone(), datetime.combine(day, time(hour)))
