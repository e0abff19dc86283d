"""The bodies of requests, which may come slowly or not at all, read without holding a thread."""

import asyncio
import time
from collections.abc import Awaitable
from io import BytesIO

from django.core.exceptions import BadRequest
from granian.rsgi import ProtocolClosed
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError

# From here on a body counts as slow. Memory is what limits how many of those may wait: 1 MB each.
SLOW_SECONDS = 1
SLOW_BODIES = 64
READ_AWAY_BYTES = 16 * 1024 * 1024


class BodyLate(APIException, BadRequest):
    """For pages of Django's own, the staff's site, a bad request like others."""

    status_code = status.HTTP_408_REQUEST_TIMEOUT
    default_code = "request_timeout"
    default_detail = "The request's body did not arrive in time; nothing was changed. Send it again."


class BodyCutOff(ParseError, BadRequest):
    default_detail = "The body was cut off."


class Failing:
    """A body that is not there. Whoever reads it fails with the reason, in the shape of the address."""

    def __init__(self, reason: APIException):
        self.reason = reason

    def read(self, *_):
        raise self.reason

    readline = read


class Reading:
    """A body on its way, and the task that waits for it."""

    def __init__(self, began: float):
        self.task = asyncio.current_task()
        self.began = began
        self.is_given_up = False

    def give_up(self) -> None:
        if not self.is_given_up:
            self.is_given_up = True
            self.task.cancel()


class Bodies:
    """One worker's. A body has `seconds` to arrive; of too many slow ones, the oldest give way.

    `look` sees to that, now and then: a timer for each body costs more than all else about it.
    """

    def __init__(self, *, limit: int, seconds: float):
        self.limit, self.seconds = limit, seconds
        # In the order in which they began.
        self.readings: dict[Reading, None] = {}

    def look(self) -> None:
        now = time.monotonic()
        slow = [reading for reading in self.readings if now - reading.began >= SLOW_SECONDS]
        for place, reading in enumerate(slow):
            if now - reading.began >= self.seconds or len(slow) - place > SLOW_BODIES:
                reading.give_up()

    def give_all_slow_up(self) -> None:
        now = time.monotonic()
        for reading in list(self.readings):
            if now - reading.began >= SLOW_SECONDS:
                reading.give_up()

    async def read_into(self, environ: dict, protocol) -> bool:
        """Puts the body where WSGI has it. False: it did not come, and this connection should end."""
        return put_body(environ, await excused(self.read(environ, protocol)))

    async def read(self, environ: dict, protocol) -> bytes:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        if not (is_chunked or length):
            return b""
        if not is_chunked and length <= self.limit:
            return await self.patiently(protocol())
        body = await self.patiently(self.read_chunks(protocol))
        # Django takes a body without a length for an empty one.
        environ["CONTENT_LENGTH"] = str(len(body))
        return body

    def read_plain(self, protocol) -> Awaitable["bytes | Failing"]:
        """A body whose length was told, and is allowed; or what stands in for one that did not come."""
        return excused(self.patiently(protocol()))

    async def read_chunks(self, protocol) -> bytes:
        """One byte over the limit is enough for Django to refuse it. The client reads why when it has sent it all."""
        body, sent, empty = bytearray(), 0, 0
        async for chunk in protocol:
            body += chunk[: self.limit + 1 - len(body)]
            sent += len(chunk)
            empty += not chunk
            if sent > READ_AWAY_BYTES:
                return bytes(body)
        if empty > 1:
            # granian ends with an empty chunk, and puts another in the place of an error before it.
            raise BodyCutOff
        return bytes(body)

    async def patiently(self, coming) -> bytes:
        """What comes, unless it is given up: then TimeoutError."""
        reading = Reading(time.monotonic())
        self.readings[reading] = None
        try:
            return await coming
        except asyncio.CancelledError:
            if not reading.is_given_up:
                raise
            reading.task.uncancel()
            raise TimeoutError from None
        finally:
            del self.readings[reading]


async def excused(reading) -> bytes | Failing:
    try:
        return await reading
    except (TimeoutError, BodyCutOff, ProtocolClosed) as error:
        return Failing(BodyLate() if isinstance(error, TimeoutError) else BodyCutOff())


def put_body(environ: dict, body: bytes | Failing) -> bool:
    if isinstance(body, Failing):
        environ["wsgi.input"] = body
        # Django does not read a body without a length: it would go on as if none had been sent.
        environ["CONTENT_LENGTH"] = environ.get("CONTENT_LENGTH") or "1"
        return False
    environ["wsgi.input"] = BytesIO(body)
    return True
