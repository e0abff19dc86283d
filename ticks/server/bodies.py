"""The bodies of requests, which may come slowly or not at all, read without holding a thread."""

import asyncio
import time

from django.core.exceptions import BadRequest
from granian.rsgi import ProtocolClosed
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError

from ticks.server import stopping

# A body counts as slow after this time. Memory limits how many slow bodies may wait: 1 MB each.
SLOW_SECONDS = 1
SLOW_BODIES = 64
READ_AWAY_BYTES = 16 * 1024 * 1024


class BodyLate(APIException, BadRequest):
    """A body that did not arrive in time. Django's own pages, such as the staff's site, answer it as a bad request."""

    status_code = status.HTTP_408_REQUEST_TIMEOUT
    default_code = "request_timeout"
    default_detail = "The request's body did not arrive in time; nothing was changed. Send it again."


class BodyCutOff(ParseError, BadRequest):
    default_detail = "The body was cut off."


class MissingBody:
    """Stands for a body that did not come. A view that reads it fails, in the shape of its other errors."""

    def __init__(self, reason: APIException):
        self.reason = reason

    def read(self, *_):
        raise self.reason

    readline = read


class Bodies:
    """The request bodies that one worker reads. A body has `seconds` to arrive. Of too many slow ones, the oldest are
    given up.

    The worker calls `give_up_late` now and then: a timer for each body would cost more than everything else about it.
    """

    def __init__(self, *, limit: int, seconds: float):
        self.limit, self.seconds = limit, seconds
        # These are the tasks that read a body, in the order in which they began. The value is when they began.
        self.reading: dict[asyncio.Task, float] = {}

    async def read(self, protocol, length: int, *, is_chunked: bool = False) -> bytes | MissingBody:
        if not (length or is_chunked):
            return b""
        task = asyncio.current_task()
        self.reading[task] = time.monotonic()
        try:
            if is_chunked or length > self.limit:
                return await self.read_chunks(protocol)
            return await protocol()
        except asyncio.CancelledError:
            if task in self.reading:
                raise
            # `give_up_late` has cancelled the task.
            task.uncancel()
            return MissingBody(BodyLate())
        except (BodyCutOff, ProtocolClosed):
            return MissingBody(BodyCutOff())
        finally:
            self.reading.pop(task, None)

    async def read_chunks(self, protocol) -> bytes:
        """Keeps one byte over the limit at most, enough for Django to refuse it. The client gets that after sending
        all."""
        body, received, empty = bytearray(), 0, 0
        async for chunk in protocol:
            body += chunk[: self.limit + 1 - len(body)]
            received += len(chunk)
            empty += not chunk
            if received > READ_AWAY_BYTES:
                return bytes(body)
        if empty > 1:
            # granian ends a body with an empty chunk. If the body failed, it puts another empty chunk before that.
            raise BodyCutOff
        return bytes(body)

    def give_up_late(self) -> None:
        now = time.monotonic()
        allowed = SLOW_SECONDS if stopping.has_begun() else self.seconds
        slow = [(task, now - began) for task, began in self.reading.items() if now - began >= SLOW_SECONDS]
        for place, (task, seconds) in enumerate(slow):
            if seconds >= allowed or len(slow) - place > SLOW_BODIES:
                del self.reading[task]
                task.cancel()
