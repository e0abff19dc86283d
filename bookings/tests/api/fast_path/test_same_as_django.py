"""The fast path answers, logs, counts and stores what Django would; it takes only plain requests."""

from unittest import mock

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import event, given, settings
from hypothesis import strategies as st

from accounts import api_keys
from bookings.exceptions import KeyInFlight, KeyReused, PersonLimit, SalesClosed, SalesNotOpen, SoldOut, TooManyTickets
from bookings.tests.api.fast_path.requests import BOOKING, CALLERS, JSON, STATUS, Draft, deployments, series
from bookings.tests.api.fast_path.two_ways import deployed, trace_of_django, trace_of_fast_path
from bookings.tests.api.fast_path.world import made_world
from events.exceptions import EventNotFound
from ticks.api.errors import describe, enveloped
from ticks.api.renderers import to_json
from ticks.db.transactions import Busy, OutcomeUnknown, Unavailable, ValueRefused
from ticks.server.fast_path import Head, whole_answer

pytestmark = pytest.mark.django_db

BEHIND = {
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-host": "localhost",
    "x-forwarded-port": "80",
    "x-forwarded-proto": "http",
    "x-real-ip": "10.0.0.1",
    "via": "1.1 proxy",
    "forwarded": "for=10.0.0.1",
}
CLIENT = {
    "user-agent": "app/1",
    "accept": JSON,
    "accept-encoding": "gzip",
    "accept-language": "de",
    "connection": "close",
}
# What a browser sends with a fetch from a page of this host.
BROWSER = {
    "user-agent": "Mozilla/5.0",
    "accept": "*/*",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "de,en;q=0.8",
    "origin": "http://localhost",
    "referer": "http://localhost/shop",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-origin",
    "sec-fetch-user": "?1",
    "sec-gpc": "1",
    "dnt": "1",
    "priority": "u=1, i",
    "cache-control": "no-cache",
    "pragma": "no-cache",
}
OF_ANOTHER_SITE = {**BROWSER, "origin": "https://evil.example.org", "referer": "https://evil.example.org/"}
TAKEN = {
    "guest": Draft(),
    "user": Draft(authorization="good"),
    "admin": Draft(authorization="admin"),
    "scheme in small letters": Draft(authorization="small"),
    "guest with a key": Draft(key="k1"),
    "user with a key": Draft(authorization="good", key='"k1"'),
    "usual client": Draft(headers=CLIENT),
    "browser": Draft(headers=BROWSER),
    "browser of a user": Draft(authorization="good", key="k1", headers=BROWSER),
    "browser that polls": Draft(method="GET", headers={**BROWSER, "if-none-match": '"10-0"'}),
    "page of another site": Draft(headers=OF_ANOTHER_SITE),
    "page without an origin": Draft(headers={"origin": "null"}),
    "axios": Draft(headers={"accept": "application/json, text/plain, */*"}),
    "charset": Draft(headers={"content-type": f"{JSON}; charset=utf-8"}),
    "numbers as texts": Draft(fields={"ticketsReserved": "2"}),
    "name that is put right": Draft(fields={"firstName": " Noël "}, is_escaped=False),
    "waitlisted": Draft(event="full"),
    "sold out": Draft(event="full without waitlist"),
    "too many": Draft(event="two a booking", fields={"ticketsReserved": 3}),
    "too many for a person": Draft(event="two a person", fields={"ticketsReserved": 3}),
    "not yet on sale": Draft(event="not yet"),
    "no event": Draft(event="none"),
    "behind a proxy": Draft(headers=BEHIND),
    "trace": Draft(headers={"traceparent": "00-1-1-01", "tracestate": "a=b"}),
    "status": Draft(method="GET"),
    "status for a user": Draft(method="GET", authorization="good"),
    "program": Draft(authorization="key"),
    "program with a key of its own": Draft(authorization="key", key="k1"),
    "program that waits": Draft(authorization="key", event="full"),
    "program that is refused": Draft(authorization="key", event="full without waitlist"),
    "program and no event": Draft(authorization="key", event="none"),
    "program of an event": Draft(authorization="key of an event"),
    "status for a program": Draft(method="GET", authorization="key"),
    "status for a program of an event": Draft(method="GET", authorization="key of an event"),
    "status that is known": Draft(method="GET", headers={"if-none-match": '"10-0"'}),
    "status that is news": Draft(method="GET", headers={"if-none-match": '"9-0"'}),
    "status of no event": Draft(method="GET", event="none"),
    "status behind a proxy": Draft(method="GET", headers=BEHIND),
}
LEFT = {
    "field that is wrong": Draft(fields={"ticketsReserved": 0}),
    "field that is missing": Draft(fields={"email": ...}),
    "field more": Draft(fields={"userId": 1}),
    "control character": Draft(fields={"firstName": "a\0"}),
    "trailing comma": Draft(wrapping="%s,"),
    "byte order mark": Draft(wrapping="\ufeff%s"),
    "list": Draft(wrapping="[%s]"),
    "no body": Draft(body=b""),
    "deep body": Draft(body=b"[" * 3000),
    "long body": Draft(wrapping=f"%s{' ' * 16_384}"),
    "form": Draft(headers={"content-type": "application/x-www-form-urlencoded"}),
    "no type": Draft(headers={"content-type": None}),
    "chunks": Draft(headers={"content-length": None, "transfer-encoding": "chunked"}),
    "cut off": Draft(headers={"content-length": "9999"}),
    "bad key": Draft(key="a b"),
    "page": Draft(headers={"accept": "text/html"}),
    "cookie": Draft(headers={"cookie": "sessionid=abc"}),
    "query string": Draft(query="a=b"),
    "header of another kind": Draft(headers={"x-http-method-override": "DELETE"}),
    "header twice": Draft(twice=(("x-forwarded-for", "10.0.0.9"),), headers=BEHIND),
    "header beyond ASCII": Draft(twice=(("user-agent", "é"),)),
    "host of others": Draft(headers={"host": "evil.example.org"}),
    "no host": Draft(headers={"host": None}),
    "slash": Draft(path=f"{BOOKING}/"),
    "other method": Draft(method="PUT", path=BOOKING),
    "head": Draft(method="HEAD", path=f"{STATUS}%s"),
    "status below another": Draft(method="GET", path=f"{STATUS}7/%s"),
    "status of what is no id": Draft(method="GET", path=f"{STATUS}-%s"),
}
GOOD = {"good", "admin", "small", "large", "two spaces", "of a clock ahead"}
GOOD_KEYS = {"key", "other key", "key of an event", "key in small", "key with two spaces"}


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        block = transaction.atomic()
        # pytest-django marks its own transactions like this. Services refuse to run inside any other.
        block._from_testcase = True
        with block:
            made = made_world()
            CALLERS[:] = made.headers
            yield made
            transaction.set_rollback(True)


@pytest.mark.drawn
@settings(max_examples=300, deadline=None)
@given(st.data(), deployments, st.sampled_from(["300/min", "2/min"]))
def test_any_request_is_answered_as_by_django(world, data, name, rate):
    sent = data.draw(series(world, name))

    with deployed(name, rate=rate):
        fast, taken = trace_of_fast_path(sent)
        # Requests that the fast path never took need no comparison.
        django = trace_of_django(sent) if any(taken) else fast

    event(f"taken by the fast path: {sum(taken)} of {len(taken)}")
    for ours, theirs in zip(fast.answers, django.answers, strict=True):
        assert ours == theirs
    assert fast == django


def both_ways(world, *drafts, deployment="alone", **rates):
    """Which of the requests the fast path took, after its trace was compared with Django's; and its answers."""
    sent = [draft.sent(world) for draft in drafts]
    with deployed(deployment, **rates):
        fast, taken = trace_of_fast_path(sent)
        assert fast == trace_of_django(sent)
    return taken, [status for status, _, _ in fast.answers]


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("deployment", ["alone", "behind a proxy"])
def test_plain_request_is_taken(world, kind, deployment):
    taken, _ = both_ways(world, TAKEN[kind], deployment=deployment)

    assert taken == [True]


@pytest.mark.parametrize("kind", LEFT)
def test_any_other_request_is_left_to_django(world, kind):
    taken, _ = both_ways(world, LEFT[kind])

    assert taken == [False]


@pytest.mark.parametrize("origin", ["https://shop.example.org", "https://evil.example.org", "http://localhost"])
def test_origin_is_left_to_django_where_a_page_of_another_site_may_call(world, origin):
    with_origin = [Draft(headers={**BROWSER, "origin": origin}), Draft(method="GET", headers={"origin": origin})]
    without = [Draft(), Draft(authorization="good"), Draft(method="GET")]

    taken, statuses = both_ways(world, *with_origin, *without, deployment="open to a shop")

    assert taken == [False, False, True, True, True]
    assert statuses == [201, 200, 201, 201, 200]


def test_token_that_is_not_good_is_left_to_django(world):
    for name in world.headers.keys() - GOOD - GOOD_KEYS - {"key without scopes", "key not looked up"}:
        for draft in (Draft(authorization=name), Draft(method="GET", authorization=name)):
            assert both_ways(world, draft) == ([False], [401])


def test_good_token_is_taken_however_it_is_written(world):
    for name in GOOD | GOOD_KEYS:
        assert both_ways(world, Draft(authorization=name)) == ([True], [201])


@pytest.mark.parametrize(
    ("name", "event", "statuses"),
    [
        ("key without scopes", "open", [403, 403]),
        ("key of an event", "full", [404, 404]),
        # Django looks it up, and then this process knows it.
        ("key not looked up", "open", [201, 200]),
    ],
)
def test_key_that_may_not_or_is_not_known_is_left_to_django(world, name, event, statuses):
    drafts = [Draft(authorization=name, event=event), Draft(method="GET", authorization=name, event=event)]
    for draft, status in zip(drafts, statuses, strict=True):
        with mock.patch.dict(api_keys.known):
            if name == "key not looked up":
                api_keys.known.pop(world.headers[name].removeprefix("Api-Key "), None)
            assert both_ways(world, draft) == ([False], [status])


def test_keys_of_two_programs_are_two(world):
    people = {"key": "ada", "other key": "ada", "good": "grace", None: "grace"}
    drafts = [
        Draft(authorization=name, key="k1", fields={"email": f"{people[name]}@example.org"})
        for name in ("key", "other key", "key", "other key", "good", None)
    ]

    taken, statuses = both_ways(world, *drafts)

    assert (taken, statuses) == ([True] * 6, [201] * 6)


def test_program_over_its_rate_is_left_to_django(world):
    callers = [("key", "ada"), ("key", "ada"), ("key", "ada"), ("other key", "grace")]
    drafts = [Draft(authorization=name, fields={"email": f"{who}@example.org"}) for name, who in callers]

    taken, statuses = both_ways(world, *drafts, rate="2/min")

    assert taken == [True, True, False, True]
    assert statuses == [201, 201, 429, 201]


def test_ended_key_does_not_count_against_its_account(world):
    taken, statuses = both_ways(world, *[Draft(authorization="revoked key")] * 3, rate="2/min")

    assert (taken, statuses) == ([False] * 3, [401] * 3)


def test_key_is_replayed_and_refused_with_another_body(world):
    first = Draft(authorization="good", key="k1")
    other = Draft(authorization="good", key="k1", fields={"ticketsReserved": 2})

    assert both_ways(world, first, first, other) == ([True, True, True], [201, 201, 422])


def test_caller_over_the_rate_is_left_to_django(world):
    guest, user = Draft(), Draft(authorization="good")

    taken, statuses = both_ways(world, guest, guest, guest, user, user, user, rate="2/min")

    assert taken == [True, True, False] * 2
    assert statuses == [201, 201, 429] * 2


def test_guest_over_the_rate_of_bookings_is_left_to_django(world):
    guest, user, status = Draft(), Draft(authorization="good"), Draft(method="GET")

    taken, statuses = both_ways(world, guest, guest, guest, user, status, guest_booking="2/min")

    assert taken == [True, True, False, True, True]
    assert statuses == [201, 201, 429, 201, 200]


def test_ended_login_does_not_count_against_the_account(world):
    taken, statuses = both_ways(world, *[Draft(authorization="ended")] * 3, rate="2/min")

    assert (taken, statuses) == ([False] * 3, [401] * 3)


@pytest.mark.parametrize(
    ("deployment", "scheme", "headers", "taken", "status"),
    [
        ("https", "http", {"x-forwarded-proto": "https"}, True, 201),
        ("https", "http", {"x-forwarded-proto": "http"}, False, 301),
        ("https", "https", {"x-forwarded-proto": "http"}, False, 301),
        ("https", "http", {}, False, 301),
        ("https behind two", "http", {"x-forwarded-proto": "https, http"}, True, 201),
        ("https without a proxy", "http", {"x-forwarded-proto": "https"}, False, 301),
        ("https without a proxy", "https", {}, True, 201),
        ("of one name", "http", {"host": "tickets.example.org:443"}, True, 201),
        ("of one name", "http", {"host": "A.example.COM"}, True, 201),
        ("of one name", "http", {"host": "localhost"}, False, 400),
    ],
)
def test_host_and_scheme_are_those_that_django_believes(world, deployment, scheme, headers, taken, status):
    draft = Draft(scheme=scheme, headers=headers)

    assert both_ways(world, draft, deployment=deployment) == ([taken], [status])


@pytest.mark.parametrize(
    "refusal",
    [
        EventNotFound(),
        TooManyTickets(5),
        PersonLimit(5, 3),
        SalesNotOpen(timezone.now()),
        SalesClosed(),
        SoldOut(),
        KeyReused(),
        KeyInFlight(),
        Busy(),
        Unavailable(),
        OutcomeUnknown(),
        ValueRefused(),
    ],
    ids=lambda refusal: refusal.code,
)
def test_refusal_is_sent_as_by_django(refusal):
    """msgspec writes no lazy sentences, so they must be plain text by then."""
    body = enveloped(describe(refusal))
    head = Head("POST", "/api/v1/booking", "127.0.0.1", "http", {}, 0, "1")

    _, _, sent = whole_answer(head, body, status=409, user=None, headers={}, allow="POST", began=0)

    assert sent == to_json(body)
