"""Requests as Hypothesis draws them: plain ones, in which up to three things are odd."""

import json
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from bookings.tests.api.fast_path.two_ways import DEPLOYMENTS, Sent
from ticks.parsing import MAX_ID, MAX_TICKETS

BOOKING = "/api/v1/booking"
STATUS = "/api/v1/booking/status/"
JSON = "application/json"
NAMES = st.text(max_size=12) | st.sampled_from(
    ["Noël", " Ada ", "Ada\u0000", "Ada\u0007", "\ud800", "a" * 100, "a" * 101, "李", "\U0001f680", "", "\u202eadA"]
)
EMAILS = st.sampled_from(
    ["ADA@EXAMPLE.ORG", " ada@example.org", "ada", "ada@", f"{'a' * 250}@b.co", "ada@exämple.org", "ada@b.co\n"]
)
LARGE = [MAX_TICKETS, MAX_TICKETS + 1, MAX_ID, MAX_ID + 1, 10**99, 10**101]
NUMBERS = st.integers(-1, 12) | st.sampled_from(["1", " 2 ", "0", "-1", "1.0", "1e0", "٢", 1.0, 1.5, *LARGE])
ODD = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just([1]) | st.just({"a": 1})
PLAIN = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "ticketsReserved": 1}
VALUES = {"eventId": NUMBERS, "firstName": NAMES, "lastName": NAMES, "email": EMAILS, "ticketsReserved": NUMBERS}
KEYS = ["k1", '"k1"', " k1 ", "", '""', '"', "a b", "k" * 255, "k" * 256, "ключ", '"k1', "k1,k2"]
ADDRESSES = ["10.0.0.1", "10.0.0.1, 10.0.0.2", "::1", "nonsense", "", ",", "2001:db8::1, 10.0.0.9", "[::1]:9"]
HOSTS = ["testserver", "localhost", "LOCALHOST:8000", "tickets.example.org", "a.example.com", "evil.example.org",
         "localhost:x", "localhost,localhost", "", "[::1]", "[::1", "localhost.", "user@localhost"]  # fmt: skip
# These values may take the place of one header's plain value. None leaves the header out.
HEADERS = {
    "host": [None, *HOSTS],
    "accept": [JSON, "application/json, text/plain, */*", "text/html", "application/json;q=0.5", "image/png", "", "*"],
    "content-type": [None, "", f"{JSON}; charset=utf-8", f"{JSON};charset=UTF-8", f"{JSON}; charset=latin-1",
                     "text/plain", "application/x-www-form-urlencoded", "APPLICATION/JSON", f"{JSON}; charset=hex"],
    "content-length": [None, "0", "1", "-1", "+20", "x", "99999", "1e3", " 7", "٣"],
    "cookie": ["sessionid=abc", "a=b", ""],
    "x-request-id": ["mine-1", "a b", "", "x" * 128, "x" * 129, None],
    "user-agent": ["curl/8", ""],
    "accept-encoding": ["gzip"],
    "accept-language": ["de", "de-AT,en;q=0.5", "fr", "de;q=0", "*", "", "de;q=x"],
    "x-http-method-override": ["DELETE"],
    "booking-token": ["abc"],
    "origin": ["https://evil.example.org", "https://shop.example.org", "null", ""],
    "referer": ["https://evil.example.org/a", ""],
    "cache-control": ["no-cache", "max-age=0", "only-if-cached"],
    "pragma": ["no-cache"],
    "sec-fetch-site": ["cross-site", "same-origin", "none"],
    "sec-fetch-mode": ["cors", "navigate"],
    "sec-ch-ua": ['"Chromium";v="140", "Not=A?Brand";v="24"'],
    "access-control-request-method": ["POST"],
    "expect": ["100-continue"],
    "content-encoding": ["gzip"],
    "transfer-encoding": ["chunked"],
    "if-match": ['"1"'],
    "x_forwarded_proto": ["https"],
    "x-forwarded-host": ["evil.example.org"],
    "if-none-match": ['"10-0"', 'W/"10-0"', '"10-0', "10-0", "*", '"0-1", "10-0"', '"9-9"', "", '"0-0"', '"10-0"x'],
}  # fmt: skip


@dataclass
class Draft:
    """A request that is not complete yet."""

    method: str = "POST"
    event: str = "open"
    authorization: str | None = None
    key: str | None = None
    fields: dict = field(default_factory=dict)
    is_escaped: bool = True
    wrapping: str = "%s"
    body: bytes | None = None
    path: str | None = None
    headers: dict = field(default_factory=dict)
    twice: tuple[tuple[str, str], ...] = ()
    query: str = ""
    client: str = "127.0.0.1:40000"
    scheme: str = "http"

    def sent(self, world) -> Sent:
        event = world.events[self.event]
        body = self.body_for(event)
        headers = {"host": "localhost", "x-request-id": "of-a-test"}
        if self.method == "POST":
            headers |= {"content-type": JSON, "content-length": str(len(body))}
        if self.authorization is not None:
            headers["authorization"] = world.headers[self.authorization]
        if self.key is not None:
            headers["idempotency-key"] = self.key
        headers = {name: value for name, value in (headers | self.headers).items() if value is not None}
        path = self.path or (BOOKING if self.method == "POST" else f"{STATUS}%s")
        path = path.replace("%s", str(event))
        return Sent(self.method, path, (*headers.items(), *self.twice), body, self.query, self.client, self.scheme)

    def body_for(self, event: int) -> bytes:
        if self.method == "GET" or self.body is not None:
            return self.body or b""
        fields = {"eventId": event, **PLAIN, **self.fields}
        wanted = {name: value for name, value in fields.items() if value is not ...}
        text = json.dumps(wanted, ensure_ascii=self.is_escaped)
        return (self.wrapping % text).encode(errors="surrogatepass")


def odd_field(draft: Draft):
    one = st.sampled_from(sorted(VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), VALUES[name] | VALUES[name] | ODD | st.just(...))
    )
    more = st.tuples(st.sampled_from(["userId", "", "eventid", "token", "bookingToken"]), ODD)
    return (one | one | more).map(lambda pair: replace(draft, fields={**draft.fields, pair[0]: pair[1]}))


def odd_header(draft: Draft):
    one = st.sampled_from(sorted(HEADERS)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(HEADERS[name]))
    )
    forwarded = st.fixed_dictionaries(
        {},
        optional={
            "x-forwarded-for": st.sampled_from(ADDRESSES),
            "x-forwarded-proto": st.sampled_from(["https", "http", "https, http", " https", "HTTPS", ""]),
        },
    )
    return (one.map(lambda pair: dict([pair])) | forwarded).map(
        lambda headers: replace(draft, headers={**draft.headers, **headers})
    )


def odd_wrapping(draft: Draft):
    wrappings = ["%s ", "\n%s\r\n", "\ufeff%s", "[%s]", "%s,", "{\"a\": %s}", "%s%s"[:2], "%s}", "\0%s", "x=%s",
                 "%s" + " " * 17_000]  # fmt: skip
    bodies = [b"", b"null", b"[" * 3000, b'{"a":' * 3000, b'"\xff"', "{}".encode("utf-16"), b"{}", b"NaN"]
    named = [
        b'{"eventId": 1, "eventId": 1, "firstName": "a", "lastName": "b", "email": "a@b.co", "ticketsReserved": 1}',
        b'{"eventId": 1, "firstName": "a", "lastName": "b", "email": "a@b.co", "ticketsReserved": 1,}',
    ]
    return st.sampled_from(wrappings).map(lambda wrapping: replace(draft, wrapping=wrapping)) | st.sampled_from(
        bodies + named
    ).map(lambda body: replace(draft, body=body))


def odd_address(draft: Draft):
    paths = [f"{BOOKING}/", "/API/v1/booking", f"{BOOKING}/%s", f"{STATUS}%s/", f"{STATUS}0%s", f"{STATUS}x/%s",
             f"{STATUS}/%s", STATUS, STATUS[:-1], f"{STATUS}%s.json", f"{STATUS}-%s", f"{STATUS}+%s", f"{STATUS} %s",
             f"{STATUS}٣", f"{STATUS}{MAX_ID}", f"{STATUS}{MAX_ID + 1}", f"{STATUS}{'9' * 5000}", f"/{STATUS}%s",
             f"{STATUS}%s\n", f"{STATUS}%s/x"]  # fmt: skip
    return (
        st.sampled_from(paths).map(lambda path: replace(draft, path=path))
        | st.sampled_from(["a=b", "format=json", "token=x", "format=api"]).map(
            lambda query: replace(draft, query=query)
        )
        | st.sampled_from(["HEAD", "PUT", "DELETE", "OPTIONS", "post", "PATCH"]).map(
            lambda method: replace(draft, path=BOOKING if draft.method == "POST" else f"{STATUS}%s", method=method)
        )
    )


def odd_sender(draft: Draft):
    return st.sampled_from(["[2001:db8::1]:7", "10.1.2.3:9", "[::ffff:10.1.2.3]:9"]).map(
        lambda client: replace(draft, client=client)
    ) | st.just(replace(draft, scheme="https"))


def odd_double(draft: Draft):
    again = [("host", "localhost"), ("idempotency-key", "k2"), ("authorization", "Bearer x"), ("accept", "text/html"),
             ("x-forwarded-for", "::1"), ("user-agent", "é"), ("x-request-id", "é"),
             ("authorization", "Bearer é")]  # fmt: skip
    return st.sampled_from(again).map(lambda header: replace(draft, twice=(header,)))


def odd_caller(draft: Draft):
    return st.sampled_from(CALLERS).map(lambda name: replace(draft, authorization=name))


def odd_key(draft: Draft):
    return st.sampled_from(KEYS).map(lambda key: replace(draft, key=key))


# Every request that such a deployment answers has these values.
THROUGH_TLS = {"headers": {"x-forwarded-proto": "https", "x-forwarded-for": "10.0.0.1"}}
USUAL = {
    "behind a proxy": {"headers": {"x-forwarded-proto": "http", "x-forwarded-for": "10.0.0.1"}},
    "https": THROUGH_TLS,
    "https behind two": THROUGH_TLS,
    "https without a proxy": {"scheme": "https"},
    "of one name": {"headers": {"host": "tickets.example.org"}},
}
# The world fills this with the names that it has.
CALLERS: list[str] = []
ODDITIES = [odd_field, odd_field, odd_header, odd_header, odd_wrapping, odd_address, odd_sender, odd_double, odd_caller,
            odd_caller, odd_key]  # fmt: skip


@st.composite
def drafts(draw, events, usual):
    draft = Draft(
        **usual,
        method=draw(st.sampled_from(["POST", "POST", "GET"])),
        event=draw(st.sampled_from(events)),
        authorization=draw(st.sampled_from([None, "good", "good"])),
        key=draw(st.sampled_from([None, "k1"])),
        is_escaped=draw(st.booleans()),
    )
    for odd in draw(st.lists(st.sampled_from(ODDITIES), max_size=2)):
        draft = draw(odd(draft))
    return draft


@st.composite
def series(draw, world, deployment):
    """One request, and what may follow it: the same again, nearly the same, or another."""
    fitting = drafts(sorted(world.events), USUAL.get(deployment, {}))
    draft = draw(fitting)
    all_of_them = [draft]
    for _ in range(draw(st.integers(0, 2))):
        again = st.just(draft) | st.just(replace(draft, fields={**draft.fields, "ticketsReserved": 2}))
        all_of_them.append(draw(again | fitting))
    return [draft.sent(world) for draft in all_of_them]


deployments = st.sampled_from(list(DEPLOYMENTS))
