from collections.abc import Callable

from bookings.api.fast_path.visits import Visit
from bookings.api.serializers import BOOKING_FIELDS, validated_booking
from bookings.api.views import idempotency_key, receipt_answer
from bookings.services.batches import queue
from bookings.services.booking import BookingJob, BookingRequest, book_or_find
from bookings.services.idempotency import Receipt
from ticks.api.envelope import success
from ticks.api.parsers import parse
from ticks.db.transactions import Busy, OutcomeUnknown
from ticks.exceptions import Refusal
from ticks.server.fast_path import MAX_BODY, Head

JSON_SENT = {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}


class LaneJob(BookingJob):
    """A booking that no thread waits for: `done` is called with it, from the thread that carried it out."""

    done: Callable[["LaneJob"], None]

    def finish(self) -> None:
        self.done(self)


class BookingVisit(Visit):
    has_body = True
    allow = "GET, POST, HEAD, OPTIONS"

    @staticmethod
    def takes(head: Head) -> bool:
        length = head.headers.get("content-length", "")
        return (
            head.method == "POST"
            and head.headers.get("content-type", "").lower() in JSON_SENT
            and length.isascii()
            and length.isdigit()
            and len(length) <= len(str(MAX_BODY))
            and 0 < int(length) <= MAX_BODY
        )

    def read(self, body: bytes) -> LaneJob | None:
        fields = parse(body.decode())
        # One name more, or one that is missing, is Django's to judge.
        if len(body) != int(self.head.headers["content-length"]) or not isinstance(fields, dict):
            return None
        if fields.keys() != BOOKING_FIELDS:
            return None
        key = idempotency_key(self.head.headers.get("idempotency-key"))
        request = BookingRequest(**validated_booking(fields), user=self.caller)
        digest = request.key_digest(key) if key else None
        return LaneJob(request, digest=digest, session_id=self.caller and self.caller.session)

    def put(self, job: LaneJob) -> None:
        try:
            queue().submit(job)
        except Busy as busy:
            # Too many wait.
            job.result = busy
            job.finish()

    def is_unsettled(self, job: LaneJob) -> bool:
        return isinstance(job.result, OutcomeUnknown) and job.digest is not None

    def settle(self, job: LaneJob) -> None:
        """By its key."""
        try:
            job.result = book_or_find(job, job.result)
        except Refusal as refusal:
            job.result = refusal

    def success(self, receipt: Receipt) -> tuple[int, dict[str, str], dict]:
        message, data, headers = receipt_answer(receipt)
        return 201, headers, success(message, data)
