"""Idempotency keys. A key is locked while its request is carried out, and its row remembers the answer afterwards."""

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from django.core import serializers
from django.db import Error, IntegrityError, connection
from django.utils import timezone

from accounts.models import User
from bookings.exceptions import KeyInFlight, KeyReused
from bookings.services import sql
from events.models import Event
from ticks.db.transactions import OutcomeUnknown, in_one_transaction, lock_name
from ticks.exceptions import Refusal

# If the COMMIT of a request with a key was not answered, the request is carried out again: once to find what it has
# done, and once more in case that answer is lost too. A caller who has already waited for a time-out gets no
# repetition, since it would take as long again.
REPETITIONS = 2
REPEAT_SECONDS = 0.8
# A lost connection keeps its lock of the key until the server notices the loss. Until then each attempt is refused as
# in flight, and made again after this pause. Such an attempt is no repetition; `REPEAT_SECONDS` ends them.
IN_FLIGHT_PAUSE_SECONDS = 0.02
# A replay answers these columns of an event. The column for searches is as long as all texts of the event.
REPLAYED_COLUMNS = [field.name for field in Event._meta.concrete_fields if field.name != "search_text"]
# `json.dumps` with these options would build an encoder for each booking.
ENCODER = json.JSONEncoder(default=str, sort_keys=True)


def digest_of(key: str, caller: User | None) -> str:
    """A key belongs to its caller. All guests count as one caller: a guest who retries from another address must find
    the answer again, and clients draw keys at random."""
    return sha256(f"{f'user {caller.pk}' if caller else 'guest'}\n{key}".encode()).hexdigest()


def fingerprint_of(asked: Sequence) -> str:
    """The hash of what was asked for. Two requests of one kind differ in a value, and those of two kinds in a word."""
    return sha256(ENCODER.encode(asked).encode()).hexdigest()


@contextmanager
def lock_keys(digests: Collection[str]) -> Iterator[Collection[str]]:
    """Locks each key by name, and yields those that no other request has locked. A lock ends with the connection.

    The unique index alone makes sure that what one key asks for is done once. The lock only saves the second of two
    simultaneous requests the wait. If the lock is not available (some clusters refuse it), the second request waits for
    the first, as on SQLite.
    """
    if not digests or connection.vendor != "mysql":
        yield digests
        return
    names = {digest: lock_name(connection.settings_dict["NAME"], digest) for digest in digests}
    answers = call_for_each("GET_LOCK(%s, 0)", list(names.values()))
    locked = [name for name, answer in zip(names.values(), answers, strict=True) if answer]
    try:
        yield {digest for digest, answer in zip(names, answers, strict=True) if answer != 0}
    finally:
        if locked and connection.connection is not None:
            call_for_each("RELEASE_LOCK(%s)", locked)


def call_for_each(function: str, names: Sequence[str]) -> Sequence[int | None]:
    try:
        [answers] = sql.run(f"SELECT {', '.join([function] * len(names))}", names)
    except Error:
        # The request is carried out or refused without the lock. A lock that was not released ends with the connection.
        connection.close()
        return [None] * len(names)
    return answers


def find_key(digest: str, fingerprint: str) -> sql.KnownKey | None:
    """The key, if it was used before. Raises `KeyReused`."""
    known = sql.read_keys([digest]).get(digest)
    if known:
        refuse_other_request(known, fingerprint)
    return known


def refuse_other_request(known: sql.KnownKey, fingerprint: str) -> None:
    if known.fingerprint != fingerprint:
        raise KeyReused


def find_or_repeat(attempt: Callable[[], Any], unknown: OutcomeUnknown, *, since: float) -> Any:
    """Carries out a request again whose COMMIT was not answered. `since` is when it arrived (`time.monotonic`).

    The request has a key. If it was committed, the key is there: the attempt finds it and changes nothing. While the
    key is locked, it waits, until `REPEAT_SECONDS` have passed. Raises `OutcomeUnknown` if the outcome stays unknown.
    """
    repetitions = 0
    while repetitions < REPETITIONS and time.monotonic() - since <= REPEAT_SECONDS:
        try:
            return attempt()
        except OutcomeUnknown as error:
            repetitions += 1
            unknown = error
        except KeyInFlight:
            time.sleep(IN_FLIGHT_PAUSE_SECONDS)
        except (Refusal, Error):
            # The error is only about this attempt. The first one may have been committed over another node of a
            # cluster, and not be visible here yet.
            break
    raise unknown


class EventReceipt(NamedTuple):
    """Events as a request left them. `is_replayed` is true if its key was known."""

    events: list[Event]
    is_replayed: bool = False

    @property
    def event(self) -> Event:
        return self.events[0]


def once(name: str, service: Callable, *asked, actor: User, key: str | None, **options) -> EventReceipt:
    """Calls a service that writes events: `service(*asked, actor=actor, **options)`.

    `name` says what is asked for. It is stored with the key, so it must not change.
    With an idempotency `key` a repeated request gets the same events, however often it is sent. Raises `KeyReused`,
    `KeyInFlight`, and what the service raises; `OutcomeUnknown` with a key only when the database, or the end of a lost
    connection, takes longer than `REPEAT_SECONDS`.
    """
    if key is None:
        return EventReceipt(events_in(service(*asked, actor=actor, **options)))
    return KeyedRequest.of(name, service, *asked, actor=actor, key=key, **options).carry_out()


class KeyedRequest(NamedTuple):
    """A request with a key for a service that writes events. The key commits with the service's writes."""

    digest: str
    fingerprint: str
    # The service without its own transaction.
    service: Callable

    @classmethod
    def of(cls, name: str, service: Callable, *asked, actor: User, key: str, **options) -> "KeyedRequest":
        # The version says when to refuse, not what is asked for.
        wanted = {name: value for name, value in options.items() if name != "version"}
        return cls(
            digest_of(key, actor),
            fingerprint_of([name, *asked, wanted]),
            partial(service.__wrapped__, *asked, actor=actor, **options),
        )

    def carry_out(self) -> EventReceipt:
        began = time.monotonic()
        try:
            return self.attempt()
        except OutcomeUnknown as unknown:
            return find_or_repeat(self.attempt, unknown, since=began)
        except IntegrityError:
            # Somebody whose lock on the key was not seen has committed the key meanwhile.
            return self.attempt()

    def attempt(self) -> EventReceipt:
        with lock_keys([self.digest]) as free:
            try:
                return in_one_transaction(self.transact)(is_free=self.digest in free)
            except Refusal as refusal:
                # Another node of a cluster may have carried out the same request while this one waited for the event's
                # lock. Then this one may be refused because of it.
                if refusal.status < 500 and (receipt := self.find()):
                    return receipt
                raise

    def transact(self, *, is_free: bool) -> EventReceipt:
        if receipt := self.find():
            return receipt
        if not is_free:
            raise KeyInFlight
        events = events_in(self.service())
        rows = json.loads(serializers.serialize("json", events, fields=REPLAYED_COLUMNS))
        # Whether sales are open is part of the answer, and depends on the clock.
        answer = [{**row, "sales_open": event.sales_open} for row, event in zip(rows, events, strict=True)]
        key = sql.NewKey(self.digest, self.fingerprint, answer)
        sql.run_all(sql.insert_keys([key], {}, timezone.now()))
        return EventReceipt(events)

    def find(self) -> EventReceipt | None:
        """The events of an earlier request with this key; None if there was none. Raises `KeyReused`."""
        known = find_key(self.digest, self.fingerprint)
        if known is None:
            return None
        rows = json.loads(known.answer)
        # An answer from before an upgrade may have columns that are gone.
        events = [kept.object for kept in serializers.deserialize("python", rows, ignorenonexistent=True)]
        for event, row in zip(events, rows, strict=True):
            if "sales_open" in row:
                event.sales_open = row["sales_open"]
        return EventReceipt(events, is_replayed=True)


def events_in(result) -> list[Event]:
    """The events that a service has returned: one, several, or an `EventChange`."""
    if isinstance(result, Event):
        return [result]
    return result if isinstance(result, list) else [result.event]
