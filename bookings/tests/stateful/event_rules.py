from hypothesis import strategies as st

from bookings.tests.model.events import (
    ANOTHER,
    change_event,
    delete_event,
    list_events,
    read_event,
    read_status,
    standing_events,
)
from bookings.tests.model.one_ticket import initialize, read_event_plainly
from bookings.tests.model.world import Event
from bookings.tests.stateful.comparison import compare
from bookings.tests.stateful.machine import CALLERS, CHOICES, DATE, EDITORS, MOSTLY, Machine, Sent, latest
from bookings.tests.stateful.moves import move

TOTALS = st.integers(2, 6)
POLICIES = st.sampled_from(["first_fit", "strict"])
PERSON_LIMITS = st.sampled_from([*[None] * 9, 2, 3, 4])
LIMITS = st.sampled_from([None, None, None, None, 1, 2, 3])
PAST, FUTURE = "2020-01-01T00:00:00.000Z", "9000-01-01T00:00:00.000Z"
DATES = st.sampled_from([*[DATE] * 5, "9000-12-01", "2020-12-01", "2020-12-01T19:30:00.000Z"])
SALES = st.sampled_from(
    [
        {"salesEnd": None},
        {"salesEnd": PAST},
        {"salesEnd": PAST},
        {"salesStart": FUTURE},
        {"salesStart": PAST, "salesEnd": FUTURE},
    ]
)
IF_MATCH = st.sampled_from([None] * 8 + ["current", "current", "first", "foreign", "*"])


def could_serve(event: Event) -> bool:
    return any(booking.tickets <= event.available for booking in event.waitlist)


class EventRules(Machine):
    def event_of(self, number: int) -> Event:
        """Chooses an event, mostly one that is not deleted: deleted ones come last."""
        deleted = [event for event in self.world.events if event.is_deleted]
        return latest(deleted[-1:] + standing_events(self.world), number)

    @move(
        2,
        who=EDITORS,
        total=TOTALS,
        policy=POLICIES,
        enabled=st.sampled_from([True, True, False]),
        limit=LIMITS,
        each=PERSON_LIMITS,
        date=DATES,
    )
    def create_an_event(self, who, total, policy, enabled, limit, each, date):
        if len(standing_events(self.world)) > 2:
            return
        terms = {"totalTickets": total, "waitlistPolicy": policy, "waitlistEnabled": enabled}
        self.create_event(who, {**terms, "maxTicketsPerBooking": limit, "maxTicketsPerPerson": each}, date)

    @move(1, who=EDITORS, total=TOTALS)
    def create_an_event_plainly(self, who, total):
        if len(standing_events(self.world)) > 2:
            return
        login = self.login_of(who)
        body = {"name": f"Plain concert {len(self.world.events)}", "totalTickets": total}
        sent = Sent("create event plainly", "post", "/api/events/initialize", body)
        self.ask_to_write(sent, login, initialize, login, *body.values())

    @move(2, who=EDITORS, event=CHOICES, if_match=IF_MATCH, total=TOTALS)
    def change_capacity(self, who, event, if_match, total):
        self.change("change capacity", who, self.event_of(event), if_match, {"totalTickets": total})

    def queue_of(self, number: int) -> Event:
        """Chooses an event with waiting bookings if there is one, preferably one whose tickets fit a later booking."""
        queues = [event for event in standing_events(self.world) if event.waitlist]
        return latest(sorted(queues, key=could_serve), number) or self.event_of(number)

    @move(5, who=EDITORS, event=CHOICES, if_match=IF_MATCH, more=st.sampled_from([1, 1, 1, 2, 2, -1, -2]))
    def shift_capacity(self, who, event, if_match, more):
        event = self.queue_of(event)
        total = max(1, event.total + more)
        self.change("change capacity", who, event, if_match, {"totalTickets": total})

    @move(9, who=EDITORS, event=CHOICES, if_match=IF_MATCH)
    def change_policy(self, who, event, if_match):
        event = self.queue_of(event)
        policy = "first_fit" if event.policy == "strict" else "strict"
        self.change("change policy", who, event, if_match, {"waitlistPolicy": policy})

    @move(
        3,
        who=EDITORS,
        event=CHOICES,
        if_match=IF_MATCH,
        terms=st.sampled_from(["waitlist", "limit", "waitlist", "limit", "limit of a person"]),
        limit=LIMITS,
    )
    def change_terms(self, who, event, if_match, terms, limit):
        changes = {
            "waitlist": {"waitlistEnabled": limit is None},
            "limit": {"maxTicketsPerBooking": limit},
            "limit of a person": {"maxTicketsPerPerson": limit and limit + 1},
        }
        event = self.event_of(event)
        self.change(f"change {terms}", who, event, if_match, changes[terms])
        if not event.waitlist_enabled:
            self.book("book without a waitlist", None, event, event.available + 1, "late@example.org")

    @move(3, who=EDITORS, event=CHOICES, if_match=IF_MATCH, sales=SALES, is_brief=MOSTLY)
    def change_sales(self, who, event, if_match, sales, is_brief):
        event = self.queue_of(event)
        self.change("change sales", who, event, if_match, sales)
        self.book("book while sales change", None, event, 1, "late@example.org")
        if event.has_ended:
            self.change("larger after the end of sales", who, event, None, {"totalTickets": event.total + 1})
        if is_brief:
            self.change("change sales", who, event, None, {"salesStart": None, "salesEnd": None})

    def change(self, name, who, event, if_match, changes):
        login = self.login_of(who)
        headers, version = self.precondition_of(event, if_match)
        sent = Sent(name, "patch", f"/api/v1/event/{event.id.value}", changes, headers)
        response = self.ask_to_write(sent, login, change_event, login, event, changes, version)
        if response.status_code == 200:
            self.note_tag(event, response)

    @move(3, who=EDITORS, event=CHOICES, if_match=IF_MATCH)
    def delete_an_event(self, who, event, if_match):
        if len(standing_events(self.world)) < 2:
            self.create_event(who, {"totalTickets": 2})
        event, login = self.queue_of(event), self.login_of(who)
        headers, version = self.precondition_of(event, if_match)
        sent = Sent("delete event", "delete", f"/api/v1/event/{event.id.value}", None, headers)
        self.ask_to_write(sent, login, delete_event, login, event, version)

    def precondition_of(self, event: Event, if_match: str | None) -> tuple[dict, int | None]:
        """The If-Match header, and the version that it asks for."""
        if if_match in (None, "*"):
            return ({"If-Match": "*"} if if_match else {}), None
        tags = list(event.tags)
        if if_match == "foreign" or not tags:
            return {"If-Match": '"none-of-ours"'}, ANOTHER
        tag = tags[-1] if if_match == "current" else tags[0]
        return {"If-Match": tag}, event.tags[tag]["version"]

    def note_tag(self, event: Event, response):
        """One tag must always stand for one state."""
        data = response.json()["data"]
        compare(f"what the tag {response['ETag']} stands for", data, event.tags.setdefault(response["ETag"], data))

    @move(1, who=CALLERS, event=CHOICES)
    def read_an_event(self, who, event):
        event, login = self.event_of(event), self.login_of(who)
        sent = Sent("read event", "get", f"/api/v1/event/{event.id.value}")
        response = self.ask(sent, login, read_event, login, event)
        if response.status_code == 200:
            self.note_tag(event, response)
        sent = Sent("read event plainly", "get", f"/api/events/{event.id.value}")
        self.ask(sent, login, read_event_plainly, login, event)

    @move(1, who=CALLERS)
    def list_all_events(self, who):
        login = self.login_of(who)
        self.ask(Sent("list events", "get", "/api/v1/event"), login, list_events, login)

    @move(2, who=CALLERS, event=CHOICES)
    def poll_status(self, who, event):
        event, login = self.event_of(event), self.login_of(who)
        path = f"/api/v1/booking/status/{event.id.value}"
        response = self.ask(Sent("read status", "get", path), login, read_status, login, event)
        if response.status_code == 200:
            again = self.client.get(path, headers={"If-None-Match": response["ETag"]})
            compare("the same status again", [again.status_code, again.content.decode()], [304, ""])
            counts = event.available, len(event.waitlist)
            tags = self.status_tags.setdefault(event, {})
            compare("what the status' tag stands for", list(tags.setdefault(response["ETag"], counts)), list(counts))
