from dataclasses import astuple, dataclass
from io import StringIO

from django.core.management import call_command
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from rest_framework.test import APIClient

from accounts import tokens
from accounts.tests.factories import UserFactory
from bookings.services.verification import verify_events
from bookings.tests.model.accounts import log_in, register_with_email
from bookings.tests.model.bookings import book
from bookings.tests.model.events import create_event
from bookings.tests.model.one_ticket import log_in_plainly, register_plainly
from bookings.tests.model.world import Answer, Login, Refused, User, World
from bookings.tests.state import digest_of_all_tables, undone
from bookings.tests.stateful.comparison import compare, compare_rows
from bookings.tests.stateful.tally import Tally
from bookings.tests.wire import CHALLENGE

PASSWORD = "photograph 51"
# Few people and small events: sold out, waitlists and promotions come about all the time.
PEOPLE = ["ada", "bob", "chief", "dora"]
CALLERS = st.sampled_from(["ada", "ada", "bob", "bob", "dora", "chief", "guest", "guest"])
# The chief is drawn most often, since the chief may edit events.
EDITORS = st.sampled_from(["chief"] * 12 + ["ada", "bob", "guest"])
# This chooses one of several; 0 is the latest.
CHOICES = st.integers(0, 7)
TICKETS = st.sampled_from([1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 7])
MOSTLY = st.sampled_from([True, True, True, False])
NO_ID = 999_999_999
DATE = "9000-12-01T19:30:00.000Z"


@dataclass
class Sent:
    """A request as one rule sends it."""

    rule: str
    method: str
    path: str
    body: dict | None = None
    headers: dict | None = None


def latest(items: list, number: int):
    return items[-1 - number % len(items)] if items else None


class Machine(RuleBasedStateMachine):
    """Sends each request to Ticks and to the model, and holds what they say and what they are against each other."""

    tally: Tally

    def __init__(self):
        super().__init__()
        # MariaDB undoes an example like this in 2 ms. Committing its steps and emptying the tables takes a second more.
        self.around = undone()
        self.around.__enter__()
        self.world = World()
        self.client = APIClient()
        self.is_sound = False
        self.requests_sent = 0
        self.writes = 0

    def teardown(self):
        try:
            if self.is_sound:
                findings = [finding for report in verify_events() for finding in report.findings]
                compare("verify_events", findings, [])
                if not self.tally.examples:
                    call_command("verify_inventory", stdout=StringIO())
                self.tally.examples += 1
                self.tally.happened += self.world.happened
        finally:
            self.around.__exit__(None, None, None)

    @initialize(total=st.integers(2, 5), policy=st.sampled_from(["first_fit", "strict"]))
    def open_the_doors(self, total, policy):
        """The auditor looks on and is never changed; the chief is an admin, Ada and Bob have accounts."""
        self.auditor = self.add_admin("auditor")
        self.add_admin("chief")
        self.digest = digest_of_all_tables()
        self.told_counts, self.status_tags = {}, {}
        self.register("ada", "ada@example.org", PASSWORD)
        self.register_plainly("bob", PASSWORD)
        self.log_in("email", "chief@example.org", PASSWORD)
        self.create_event("chief", {"totalTickets": total, "waitlistPolicy": policy})

    def add_admin(self, name: str) -> str:
        user = User(name, f"{name}@example.org", PASSWORD, is_admin=True)
        stored = UserFactory(username=name, is_staff=True, password=PASSWORD)
        compare("id", stored.pk, user.id)
        self.world.users.append(user)
        return tokens.log_in(stored)["token"] if name == "auditor" else ""

    # Several rules send the following requests.

    def register(self, username, email, password):
        body = {"username": username, "email": email, "password": password}
        self.ask(Sent("register", "post", "/api/v1/auth/register", body), None, register_with_email, *body.values())

    def register_plainly(self, username, password):
        body = {"username": username, "password": password}
        sent = Sent("register plainly", "post", "/api/users/register", body)
        self.ask(sent, None, register_plainly, *body.values())

    def log_in(self, by, name, password):
        body = {by: name, "password": password}
        self.ask(Sent("log in", "post", "/api/v1/auth/login", body), None, log_in, by, name, password)

    def log_in_plainly(self, username, password):
        body = {"username": username, "password": password}
        self.ask(Sent("log in plainly", "post", "/api/users/login", body), None, log_in_plainly, *body.values())

    def create_event(self, who, terms, date=DATE):
        login = self.login_of(who)
        name = f"Concert {len(self.world.events)}"
        body = {"name": name, "date": date, **terms}
        sent = Sent("create event", "post", "/api/v1/event", body)
        self.ask_to_write(sent, login, create_event, login, name, date, terms)

    def book(self, name, login, event, tickets, email, key=None):
        asked = {"first_name": "Ada", "last_name": "Lovelace", "email": email, "tickets": tickets}
        self.send_booking(name, login, event, asked, key)

    def send_booking(self, name, login, event, asked, key):
        body = {
            "eventId": event.id.value if event else NO_ID,
            "firstName": asked["first_name"],
            "lastName": asked["last_name"],
            "email": asked["email"],
            "ticketsReserved": asked["tickets"],
        }
        headers = {"Idempotency-Key": key} if key else {}
        bare = key and key.strip('"')
        response = self.ask(
            Sent(name, "post", "/api/v1/booking", body, headers), login, book, login, event, asked, bare
        )
        if key and response.status_code == 201:
            self.compare_bytes(response, bare, login)

    def compare_bytes(self, response, key, login):
        caller = login.user if login else None
        known = next(known for known in self.world.keys if (known.caller, known.key) == (caller, key))
        known.content = known.content or response.content
        if known.content != response.content:
            raise AssertionError(f"replayed {response.content!r}\n  first    {known.content!r}")

    # The following methods choose the caller.

    def user_called(self, name: str) -> User | None:
        return next((user for user in self.world.users if user.username.lower() == name.lower()), None)

    def login_of(self, name: str) -> Login | None:
        """The person's latest login that is good, opened if need be; None for guests.

        For an inactive account it is the latest login that was valid. Ended logins have steps of their own; otherwise
        nearly every request would be refused.
        """
        user = self.user_called(name)
        if user is None:
            return None
        if user.is_active and not self.logins_of(user):
            self.log_in("username", name, user.password)
        ended = [login for login in self.world.logins if login.user is user]
        return latest(self.logins_of(user), 0) or latest(ended, 0)

    def logins_of(self, user: User) -> list[Login]:
        return [login for login in self.world.logins if login.user is user and login.is_good]

    # These methods ask both, and compare everything.

    def ask(self, sent: Sent, login: Login | None, request, *args, **wanted):
        """Sends a request and compares: answer, what refusals leave behind, state."""
        self.is_sound = False
        answer = self.foretell(sent, request, *args, **wanted)
        response = self.send(sent, login)
        compare(f"status of {astuple(sent)}: {response.content!r}", response.status_code, answer.status)
        compare(f"body of {astuple(sent)}", response.json(), answer.body)
        for header in ("Idempotent-Replayed", "WWW-Authenticate"):
            challenge = CHALLENGE if header == "WWW-Authenticate" and answer.status == 401 else None
            compare(header, response.headers.get(header), answer.headers.get(header, challenge))
        self.tally.count(sent.rule, response.status_code, answer.body.get("code", ""))
        is_still = (answer.status >= 400 and not answer.changes) or sent.method == "get" or answer.headers
        self.compare_state(sent, is_still=is_still)
        return response

    def ask_to_write(self, sent: Sent, login: Login | None, request, *args):
        """Every second time the request has a key, and is sent once more when it was carried out."""
        self.writes += 1
        if self.writes % 2:
            return self.ask(sent, login, request, *args)

        def request_with_key(world, *args):
            answer = request(world, *args)
            world.keyed_writes += 1
            return answer

        sent.headers = {**(sent.headers or {}), "Idempotency-Key": f"write-{self.writes}"}
        first = self.ask(sent, login, request_with_key, *args)
        if first.status_code < 400:
            self.compare_replay(sent, login, first)
        return first

    def compare_replay(self, sent: Sent, login: Login | None, first):
        self.is_sound = False
        again = self.send(sent, login)
        told, expected = ([one.status_code, one.content.decode(), one.headers.get("ETag")] for one in (again, first))
        compare(f"replay of {astuple(sent)}", told, expected)
        compare(f"replay of {astuple(sent)}", again.headers.get("Idempotent-Replayed"), "true")
        self.world.note("replayed another write")
        self.compare_state(sent, is_still=True)

    def foretell(self, sent: Sent, request, *args, **wanted) -> Answer:
        try:
            return request(self.world, *args, **wanted)
        except Refused as refused:
            return refused.enveloped() if sent.path.startswith("/api/v1/") else refused.plain()

    def send(self, sent: Sent, login: Login | None):
        headers = dict(sent.headers or {})
        if login:
            # Access tokens that were issued before a refresh are as good as those that the refresh issued.
            self.requests_sent += 1
            headers["Authorization"] = f"Bearer {login.tokens[self.requests_sent % len(login.tokens)].value}"
        return getattr(self.client, sent.method)(sent.path, sent.body, headers=headers)

    def compare_state(self, sent: Sent, *, is_still: bool):
        before, self.digest = self.digest, digest_of_all_tables()
        if is_still:
            compare(f"digest of all tables after {astuple(sent)}", self.digest, before)
        compare_rows(self.world)
        if self.digest != before and not sent.path.startswith(("/api/v1/auth/", "/api/users/")):
            self.compare_reads()
        self.is_sound = True

    def compare_reads(self):
        """The answers to an admin and to a guest."""
        bookings = [booking.body() for booking in reversed(self.world.bookings)]
        compare("list of bookings", self.audit("/api/v1/booking?pageSize=100")["data"], bookings)
        standing = [event for event in self.world.events if not event.is_deleted]
        compare(
            "list of events", self.audit("/api/v1/event?pageSize=100")["data"], [event.body() for event in standing]
        )
        for event in standing:
            counts = {"availableTickets": event.available, "waitlistedCount": len(event.waitlist)}
            if self.told_counts.get(event) != counts:
                status = self.client.get(f"/api/v1/booking/status/{event.id.value}").json()
                compare(f"status of {event.name}", status["data"], counts)
                self.told_counts[event] = counts

    def audit(self, path):
        return self.client.get(path, headers={"Authorization": f"Bearer {self.auditor}"}).json()
