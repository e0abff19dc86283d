"""Requests that wait for the next change of an event (`?wait=`), in the event loop: without a thread or a connection.

A request only waits here. Then Django answers it, as it answers any other: it knows who may ask, counts the request,
and reads the entries. So there is nothing here that could differ from the view (`bookings.api.changes`). A request that
is unusual in the least, or for which there is no room, does not wait."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from accounts.api_keys import valid_api_keys
from accounts.authentication import caller_of
from accounts.models import ApiKey, Scope
from accounts.services import admins_of_sessions
from accounts.tokens import Caller
from bookings.api.serializers import DEFAULT_LIMIT, MOST_WAIT_SECONDS
from bookings.services.changes import MOST_ENTRIES, latest_changes
from ticks.db.outage import drop_if_lost
from ticks.parsing import parse_id
from ticks.server import stopping
from ticks.server.fast_path import read_head

PATH = re.compile(r"/api/v1/event/(\d{1,19})/changes", re.ASCII)
# One parameter of a plain query string.
NUMBER = re.compile(r"(after|limit|wait)=(\d{1,19})", re.ASCII)
MAX_QUERY = 100
# All that wait share one poll of the database. It is made this often, and at once for a new request.
POLL_SECONDS = 0.5
# A worker lets so many requests wait. When the server stops, Django has to answer all of them within a second or two.
MOST_WAITING = 250


@dataclass(eq=False, slots=True)
class LongPoll:
    event_id: int
    after: int
    caller: Caller | ApiKey
    seconds: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class LongPolls:
    """The requests of one worker that wait. It belongs to the event loop; `threads` look for changes."""

    def __init__(self, loop, threads):
        self.loop, self.threads = loop, threads
        self.waiting: set[LongPoll] = set()
        self.has_new = asyncio.Event()
        self.poller: asyncio.Task | None = None

    async def wait_for_change(self, scope, protocol) -> None:
        """Returns when the request should be answered: at once, unless it is one that waits."""
        poll = read_long_poll(scope)
        if poll is None or len(self.waiting) >= MOST_WAITING or stopping.has_begun():
            return
        self.waiting.add(poll)
        self.has_new.set()
        if self.poller is None:
            self.poller = self.loop.create_task(self.poll_database())
        ends = [asyncio.ensure_future(poll.ended.wait()), asyncio.ensure_future(protocol.client_disconnect())]
        try:
            await asyncio.wait(ends, timeout=poll.seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.waiting.discard(poll)
            for end in ends:
                end.cancel()

    def end(self) -> None:
        """Ends all waits, since the server stops."""
        for poll in self.waiting:
            poll.ended.set()

    async def poll_database(self) -> None:
        """Looks for changes as long as anybody waits."""
        try:
            while self.waiting:
                self.has_new.clear()
                polls = tuple(self.waiting)
                for poll in await self.loop.run_in_executor(self.threads, finished_polls, polls):
                    self.waiting.discard(poll)
                    poll.ended.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.has_new.wait(), POLL_SECONDS)
        except Exception:
            # Django meets the same error, and reports it.
            self.end()
        finally:
            self.poller = None


def read_long_poll(scope) -> LongPoll | None:
    """What a request waits for; None if it does not wait. Django judges whatever is wrong with it."""
    path = PATH.fullmatch(scope.path) if settings.FAST_PATH else None
    head = read_head(scope, takes_query=True) if path else None
    if head is None or head.method != "GET" or head.length or "idempotency-key" in head.headers:
        return None
    sent = scope.query_string.split("&") if len(scope.query_string) <= MAX_QUERY else []
    found = [match.groups() for match in map(NUMBER.fullmatch, sent) if match]
    values = {name: parse_id(value) for name, value in found}
    event_id, after, seconds = parse_id(path[1]), values.get("after", 0), values.get("wait", 0)
    limit = values.get("limit", DEFAULT_LIMIT)
    is_plain = len(values) == len(sent) and None not in (event_id, after, seconds, limit)
    if not is_plain or not 0 < seconds <= MOST_WAIT_SECONDS or not 0 < limit <= MOST_ENTRIES:
        return None
    try:
        caller = caller_of(head.headers.get("authorization", ""))
    except AuthenticationFailed:
        return None
    if isinstance(caller, ApiKey) and not (Scope.CHANGES_READ in caller.scopes and caller.reaches(event_id)):
        return None
    return LongPoll(event_id, after, caller, seconds)


def finished_polls(polls: Sequence[LongPoll]) -> list[LongPoll]:
    """The polls that end now: there is a change, or the caller may not wait for it. Raises what Django will meet."""
    try:
        # Since the thread's last work the connection may have been closed or become too old.
        connection.close_if_unusable_or_obsolete()
        latest, now = latest_changes({poll.event_id for poll in polls}), timezone.now()
        sessions = {poll.caller.session_id for poll in polls if isinstance(poll.caller, Caller)}
        admins = admins_of_sessions(sessions, now=now)
        keys = valid_api_keys({poll.caller.pk for poll in polls if isinstance(poll.caller, ApiKey)}, now=now)
    except Exception as error:
        drop_if_lost(error)
        raise
    return [
        poll
        for poll in polls
        # An event that does not exist is a 404.
        if latest.get(poll.event_id, poll.after + 1) > poll.after or not may_wait(poll.caller, admins, keys)
    ]


def may_wait(caller: Caller | ApiKey, admins: Mapping[int, int], keys: Collection[int]) -> bool:
    if isinstance(caller, ApiKey):
        return caller.pk in keys
    return admins.get(caller.session_id) == caller.pk
