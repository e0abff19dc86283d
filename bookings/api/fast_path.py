"""The fast path: bookings and reads of an event's status that need nothing of Django's views or DRF.

It takes only plain, wholly valid requests. If there is any doubt, Django gets the request. It has no rules of its own:
tokens, fields, throttle, service, messages, envelope and log line are those of the viewsets in `bookings.api.views`."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.api_keys import valid_api_keys
from accounts.authentication import caller_of, who_and_login
from accounts.exceptions import ApiKeyRefused, SessionEnded
from accounts.models import ApiKey, Scope
from accounts.services import holders_of_sessions
from accounts.tokens import Caller
from bookings.api.long_polls import LongPolls
from bookings.api.serializers import BOOKING_FIELDS, validated_booking
from bookings.api.views import receipt_answer, status_answer
from bookings.services.batches import queue, repeat_job
from bookings.services.booking import BookingJob, BookingRequest, Receipt
from events.exceptions import EventNotFound
from events.models import counts_of
from ticks.api.envelope import enveloped_success
from ticks.api.errors import describe, enveloped
from ticks.api.idempotency import idempotency_key
from ticks.api.parsers import parse
from ticks.api.throttling import scopes_of, seconds_to_wait, take_back
from ticks.db.outage import drop_if_lost
from ticks.db.transactions import OutcomeUnknown
from ticks.exceptions import Refusal
from ticks.languages import language_of_header
from ticks.logging import request_id
from ticks.parsing import parse_id
from ticks.server.fast_path import Answer, Head, read_head, whole_answer

BOOKING_PATH = "/api/v1/booking"
STATUS_PATH = "/api/v1/booking/status/"
JSON_SENT = {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}
MAX_BODY = 16 * 1024
# Django's `Allow` header lists the methods in this order.
BOOKING_ALLOW = "GET, POST, HEAD, OPTIONS"
STATUS_ALLOW = "GET, HEAD, OPTIONS"


class FastJob(BookingJob):
    """A booking that no thread waits for. The thread that carried it out wakes the coroutine that waits."""

    waiting: asyncio.Future

    def finish(self) -> None:
        self.waiting.get_loop().call_soon_threadsafe(self.hand_over)

    def hand_over(self) -> None:
        # The coroutine that waited may have been cancelled.
        if not self.waiting.done():
            self.waiting.set_result(None)


class Poll(NamedTuple):
    event_id: int
    caller: Caller | ApiKey | None


class FastPath:
    """The fast path of one worker. It belongs to the event loop, where bookings wait for their batch. `threads` read
    the polled counts."""

    def __init__(self, loop, threads):
        self.loop, self.threads = loop, threads
        # These polls are read together in the next round, which begins when the last one has ended.
        self.polls: list[Poll] = []
        self.next_round: asyncio.Task | None = None
        self.reading = asyncio.Lock()
        self.long_polls = LongPolls(loop, threads)

    def find(self, scope) -> Head | None:
        """The head of a request that `answer` may take."""
        path = scope.path
        if not settings.FAST_PATH or not (path == BOOKING_PATH or path.startswith(STATUS_PATH)):
            return None
        head = read_head(scope)
        if head is None:
            return None
        if path == BOOKING_PATH:
            content_type = head.headers.get("content-type", "")
            is_taken = head.method == "POST" and content_type.lower() in JSON_SENT and 0 < head.length <= MAX_BODY
        else:
            is_taken = head.method == "GET" and head.length == 0 and "idempotency-key" not in head.headers
        return head if is_taken else None

    async def answer(self, head: Head, body: bytes) -> Answer | None:
        """The answer; None if nothing was done or counted, so that Django must answer."""
        # The clock starts when the body has arrived, as in Django, since the client decides how long that takes.
        began = time.perf_counter()
        # The request is a task of its own, so the id needs no reset.
        request_id.set(head.identity)
        is_booking = head.path == BOOKING_PATH
        try:
            header = head.headers.get("authorization")
            caller = None if header is None else caller_of(header)
            wanted = parse_booking(head, body, caller) if is_booking else parse_poll(head, caller)
        except Exception:
            # Django will meet the same error, and has a message for it.
            return None
        user = caller.account_id if isinstance(caller, ApiKey) else caller and caller.pk
        meta = {"REMOTE_ADDR": head.address, "HTTP_X_FORWARDED_FOR": head.headers.get("x-forwarded-for")}
        counted = scopes_of(user, meta, is_booking=is_booking, caller=caller)
        # Django answers a caller that is refused here, and counts the request as it does any other.
        if wanted is None or seconds_to_wait(counted) is not None:
            return None
        try:
            if is_booking:
                message, data, headers = receipt_answer(await self.book(wanted))
                status = 201
            else:
                known = head.headers.get("if-none-match")
                message, data, headers = status_answer(await self.poll(wanted), known=known)
                status = 304 if data is None else 200
            content = None if data is None else enveloped_success(message, data)
        except Exception as error:
            if isinstance(error, SessionEnded | ApiKeyRefused) or not isinstance(error, Refusal):
                take_back(counted)
                return None
            failure = describe(error)
            status, headers, content = failure.status, failure.headers, enveloped(failure)
        allowed = BOOKING_ALLOW if is_booking else STATUS_ALLOW
        return whole_answer(head, content, status=status, user=user, headers=headers, allow=allowed, began=began)

    async def book(self, job: FastJob) -> Receipt:
        job.waiting = self.loop.create_future()
        queue().submit(job)
        await job.waiting
        if isinstance(job.result, OutcomeUnknown) and job.digest:
            return await self.loop.run_in_executor(self.threads, repeat_job, job, job.result)
        if isinstance(job.result, Exception):
            raise job.result
        return job.result

    async def poll(self, poll: Poll) -> tuple[int, int]:
        """Returns an event's counts. Raises `SessionEnded`, `ApiKeyRefused`, `EventNotFound`, and what the database
        raises."""
        counts, holders, keys = await self.read_with_others(poll)
        if isinstance(poll.caller, ApiKey):
            if poll.caller.pk not in keys:
                raise ApiKeyRefused
        elif poll.caller and holders.get(poll.caller.session_id) != poll.caller.pk:
            raise SessionEnded
        if poll.event_id not in counts:
            raise EventNotFound
        return counts[poll.event_id]

    async def read_with_others(self, poll: Poll) -> tuple[dict, dict, set]:
        """One round reads for all polls that came while the last one was read."""
        if self.next_round is None:
            self.next_round = self.loop.create_task(self.read_round())
        self.polls.append(poll)
        # If a request is cancelled, it must not end the round of the others.
        return await asyncio.shield(self.next_round)

    async def read_round(self) -> tuple[dict, dict, set]:
        async with self.reading:
            polls, self.polls, self.next_round = self.polls, [], None
            return await self.loop.run_in_executor(self.threads, read_polls, polls)


def parse_booking(head: Head, body: bytes, caller: Caller | ApiKey | None) -> FastJob | None:
    """The booking that the body asks for. None, or any error, means that the request is not for the fast path."""
    # A booking's five names and three texts have sixteen quotation marks. If there are more, a name may stand twice,
    # and only our own parser refuses that.
    fields = msgspec.json.decode(body) if body.count(b'"') == 16 else parse(body.decode())
    # If a name is missing or unknown, Django judges the request.
    if len(body) != head.length or not isinstance(fields, dict) or fields.keys() != BOOKING_FIELDS:
        return None
    key = idempotency_key(head.headers.get("idempotency-key"))
    language = language_of_header(head.headers.get("accept-language", ""))
    who, login = who_and_login(caller, caller)
    request = BookingRequest(**validated_booking(fields), **who, language=language)
    if isinstance(caller, ApiKey) and not may(caller, Scope.BOOKINGS_WRITE, request.event_id):
        return None
    digest = request.key_digest(key) if key else None
    return FastJob(request, digest=digest, **login)


def parse_poll(head: Head, caller: Caller | ApiKey | None) -> Poll | None:
    event_id = parse_id(head.path.removeprefix(STATUS_PATH))
    if event_id is None or (isinstance(caller, ApiKey) and not may(caller, Scope.EVENTS_READ, event_id)):
        return None
    return Poll(event_id, caller)


def may(key: ApiKey, scope: Scope, event_id: int) -> bool:
    return scope in key.scopes and key.reaches(event_id)


def read_polls(polls: Sequence[Poll]) -> tuple[dict[int, tuple[int, int]], dict[int, int], set[int]]:
    """The counts by event, the account by login, and the valid API keys. Raises what Django will meet too."""
    try:
        # Since the thread's last round the connection may have been closed or become too old.
        connection.close_if_unusable_or_obsolete()
        logins = {poll.caller.session_id for poll in polls if isinstance(poll.caller, Caller)}
        keys = {poll.caller.pk for poll in polls if isinstance(poll.caller, ApiKey)}
        now = timezone.now()
        counts = counts_of({poll.event_id for poll in polls})
        return counts, holders_of_sessions(logins, now=now), valid_api_keys(keys, now=now)
    except Exception as error:
        drop_if_lost(error)
        raise
