"""Requests that wait for a change, in a real event loop; Django's part is in `test_event_changes`."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from django.db import connection

from accounts import tokens
from accounts.api_keys import find_api_key, revoke_api_key
from accounts.tests.factories import UserFactory, new_api_key
from bookings.api import long_polls
from bookings.api.long_polls import LongPolls, read_long_poll
from bookings.services.events import cancel_event
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.server import stopping
from ticks.tests.server.test_app import Headers, scope

pytestmark = pytest.mark.django_db(transaction=True)
TIMEOUT_SECONDS = 20
# Less than a request of these tests waits if nothing ends its wait, however busy the machine is.
SOON = 10


class Protocol:
    """Stands in for granian's protocol object of a request."""

    def __init__(self):
        self.left = asyncio.Event()

    async def client_disconnect(self):
        await self.left.wait()


class Threads(ThreadPoolExecutor):
    """It counts what it is given to do."""

    given = 0

    def submit(self, *call):
        self.given += 1
        return super().submit(*call)


@pytest.fixture
def event():
    return EventFactory(total_tickets=10)


@pytest.fixture
def admin():
    return UserFactory(is_staff=True)


@pytest.fixture
def token(admin):
    return tokens.log_in(admin)["token"]


@pytest.fixture(autouse=True)
def _fast_path(settings):
    settings.FAST_PATH = True


def asked(event, token, query="after=1&wait=25", **changes):
    headers = {"host": "localhost", "authorization": f"Bearer {token}", **changes.pop("headers", {})}
    named = Headers([(name, value) for name, value in headers.items() if value is not None])
    pk = getattr(event, "pk", event)
    return scope(**{"path": f"/api/v1/event/{pk}/changes", "query_string": query, "headers": named, **changes})


@asynccontextmanager
async def polls():
    waits = LongPolls(asyncio.get_running_loop(), Threads(1))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            yield waits
    finally:
        waits.end()
        await asyncio.to_thread(waits.threads.submit(lambda: connection.close()).result)
        waits.threads.shutdown()


async def seconds_of(waits, scope, protocol=None) -> float:
    began = time.monotonic()
    await waits.wait_for_change(scope, protocol or Protocol())
    return time.monotonic() - began


def waited(*scopes, meanwhile=None, after=0.2, left=None):
    """How long each request waited. `meanwhile` runs in a thread some time after they have begun."""

    async def wait():
        async with polls() as waits:
            protocols = [Protocol() for _ in scopes]
            tasks = [
                asyncio.ensure_future(seconds_of(waits, one, protocol))
                for one, protocol in zip(scopes, protocols, strict=True)
            ]
            await asyncio.sleep(after)
            if meanwhile:
                await asyncio.to_thread(lambda: (meanwhile(), connection.close()))
            if left is not None:
                protocols[left].left.set()
            seconds = await asyncio.gather(*tasks)
            assert waits.waiting == set()
            return seconds, waits.threads.given

    return asyncio.run(wait())


def test_request_waits_for_the_next_entry(event, token):
    [seconds], looks = waited(asked(event, token), meanwhile=lambda: BookingFactory(event=event), after=1.2)

    assert 1.2 <= seconds < SOON
    assert looks <= 5


def test_request_with_something_to_read_does_not_wait(event, token):
    BookingFactory(event=event)

    [seconds], looks = waited(asked(event, token))

    assert seconds < SOON
    assert looks == 1


def test_request_waits_no_longer_than_it_wants(event, token):
    [seconds], _ = waited(asked(event, token, "after=1&wait=1"))

    assert 1 <= seconds < SOON


def test_end_of_an_event_ends_the_wait(event, admin, token):
    [seconds], _ = waited(asked(event, token), meanwhile=lambda: cancel_event(event.pk, actor=admin))

    assert seconds < SOON


def test_request_that_waits_far_ahead_goes_on_waiting(event, token):
    [seconds], _ = waited(asked(event, token, "after=2&wait=1"), meanwhile=lambda: BookingFactory(event=event))

    assert seconds >= 1


def test_all_that_wait_share_one_look(event, token):
    others = EventFactory.create_batch(20)
    scopes = [asked(one, token, "after=1&wait=1") for one in [event, *others] * 3]

    seconds, looks = waited(*scopes)

    assert all(1 <= one < SOON for one in seconds)
    # The first one looks alone; then all do, twice a second.
    assert looks <= 8


def test_one_event_that_moves_wakes_its_own_alone(event, token):
    other = EventFactory()

    (woken, waits), _ = waited(
        asked(event, token, "after=1&wait=2"),
        asked(other, token, "after=1&wait=2"),
        meanwhile=lambda: BookingFactory(event=event),
    )

    assert woken < 2 <= waits


def test_events_that_move_all_the_time_starve_nobody(event, token):
    busy = EventFactory(total_tickets=100)

    async def wait():
        async with polls() as waits:
            patient = asyncio.ensure_future(seconds_of(waits, asked(event, token)))
            for _ in range(20):
                await asyncio.to_thread(lambda: (BookingFactory(event=busy), connection.close()))
                await seconds_of(waits, asked(busy, token, "after=0&wait=25"))
            await asyncio.to_thread(lambda: (BookingFactory(event=event), connection.close()))
            began = time.monotonic()
            await patient
            return time.monotonic() - began

    assert asyncio.run(wait()) < SOON


def test_missing_event_is_told_at_once(event, token):
    [seconds], _ = waited(asked(event.pk + 1, token))

    assert seconds < SOON


def test_only_admins_wait(event, admin, token):
    user = tokens.log_in(UserFactory())["token"]
    seconds, _ = waited(
        asked(event, user), asked(event, "no.token.this"), asked(event, token, headers={"authorization": None})
    )
    assert all(one < SOON for one in seconds)

    [ended], _ = waited(asked(event, token), meanwhile=lambda: admin.login_sessions.all().delete())
    assert ended < SOON


def asked_by_key(event, text, query="after=1&wait=25"):
    find_api_key(text)
    return asked(event, "", query, headers={"authorization": f"Api-Key {text}"})


def test_api_key_waits_until_it_is_revoked(event):
    key, text = new_api_key("changes:read", event_ids=[event.pk])
    scope = asked_by_key(event, text)

    [moved], _ = waited(scope, meanwhile=lambda: BookingFactory(event=event), after=1.2)
    [ended], _ = waited(asked_by_key(event, text, "after=2&wait=25"), meanwhile=lambda: revoke_api_key(key), after=1.2)

    assert 1.2 <= moved < SOON
    assert 1.2 <= ended < SOON


def test_api_key_that_may_not_read_the_changes_does_not_wait(event):
    other = EventFactory()
    lacking = [new_api_key("events:read"), new_api_key("changes:read", event_ids=[other.pk])]

    assert [read_long_poll(asked_by_key(event, text)) for _, text in lacking] == [None, None]


def test_api_key_that_was_not_looked_up_is_left_to_django(event):
    _, text = new_api_key("changes:read")

    assert read_long_poll(asked(event, "", headers={"authorization": f"Api-Key {text}"})) is None


def test_client_that_leaves_waits_no_longer(event, token):
    (left, stays), _ = waited(asked(event, token), asked(event, token, "after=1&wait=2"), left=0)

    assert left < 2 <= stays


def test_request_beyond_the_limit_does_not_wait(event, token, monkeypatch):
    monkeypatch.setattr(long_polls, "MOST_WAITING", 2)

    seconds, _ = waited(*[asked(event, token, "after=1&wait=1")] * 3)

    assert [one >= 1 for one in seconds] == [True, True, False]


def test_stop_ends_all_waits(event, token):
    async def wait():
        async with polls() as waits:
            tasks = [asyncio.ensure_future(seconds_of(waits, asked(event, token))) for _ in range(5)]
            await asyncio.sleep(0.2)
            waits.end()
            return await asyncio.gather(*tasks)

    assert all(one < SOON for one in asyncio.run(wait()))


def test_nobody_begins_to_wait_during_a_stop(event, token, monkeypatch):
    monkeypatch.setattr(stopping, "stage", bytearray([stopping.DRAINING]))

    [seconds], looks = waited(asked(event, token))

    assert seconds < SOON
    assert looks == 0


def test_request_whose_task_is_cancelled_leaves_its_place(event, token):
    async def wait():
        async with polls() as waits:
            task = asyncio.ensure_future(seconds_of(waits, asked(event, token)))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            return len(waits.waiting)

    assert asyncio.run(wait()) == 0


def test_waits_without_their_database_end(event, token, unreachable_database):
    scopes = [asked(event, token)] * 3
    unreachable_database()

    seconds, _ = waited(*scopes)

    assert all(one < SOON for one in seconds)


@pytest.mark.parametrize(
    ("query", "changes"),
    [
        ("", {}),
        ("after=1", {}),
        ("wait=0", {}),
        ("wait=26", {}),
        ("wait=x", {}),
        ("wait=-1", {}),
        ("wait=1&wait=2", {}),
        ("wait=1&more=1", {}),
        ("wait=1&", {}),
        ("wait=%31", {}),
        ("wait=1&after=99999999999999999999", {}),
        (f"wait=1&after={2**63}", {}),
        ("wait=1&limit=" + "0" * 100, {}),
        ("wait=1", {"method": "POST"}),
        ("wait=1", {"method": "HEAD"}),
        ("wait=1&limit=0", {}),
        ("wait=1&limit=1001", {}),
        (f"wait=1&limit={2**63}", {}),
        ("wait=1", {"headers": {"idempotency-key": "k"}}),
        ("wait=1", {"headers": {"content-length": "2"}}),
        ("wait=1", {"headers": {"cookie": "sessionid=1"}}),
        ("wait=1", {"headers": {"accept": "text/html"}}),
        ("wait=1", {"headers": {"host": "evil.example.org"}}),
        ("wait=1", {"path": "/api/v1/event/x/changes"}),
        ("wait=1", {"path": "/api/v1/event/1/changes/"}),
        ("wait=1", {"path": f"/api/v1/event/{2**63}/changes"}),
        ("wait=1", {"path": "/api/v1/changes"}),
    ],
)
def test_unusual_request_does_not_wait(event, token, query, changes):
    assert read_long_poll(asked(event, token, query, **changes)) is None


@pytest.mark.parametrize("query", ["wait=25", "wait=1&after=7", "after=7&limit=5&wait=25"])
def test_plain_request_waits(event, token, query):
    poll = read_long_poll(asked(event, token, query))

    assert (poll.event_id, poll.after) == (event.pk, 7 if "after" in query else 0)


def test_without_the_fast_path_nobody_waits(event, token, settings):
    settings.FAST_PATH = False

    assert read_long_poll(asked(event, token)) is None
