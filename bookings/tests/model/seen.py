"""Values that only Ticks can choose. They are remembered when they first appear, and compared from then on."""

import re
from datetime import UTC, datetime, timedelta

UNSEEN = object()


class Seen:
    """Equals the first value that it is compared with, if that one `fits`; then nothing else."""

    def __init__(self, kind: str, fits):
        self.kind = kind
        self.fits = fits
        self.value = UNSEEN

    def __eq__(self, told):
        if self.value is UNSEEN and self.fits(told):
            self.value = told
        return self.value == told

    __hash__ = None

    def __repr__(self):
        return f"<any {self.kind}>" if self.value is UNSEEN else repr(self.value)


def an_id():
    return Seen("id", lambda told: type(told) is int and told > 0)


def a_token():
    return Seen("token", lambda told: isinstance(told, str) and len(told) > 100 and told.count(".") == 2)


def a_guest_token():
    return Seen("booking token", lambda told: isinstance(told, str) and re.fullmatch(r"[\w-]{43}", told))


def a_reference():
    return Seen("reference", lambda told: isinstance(told, str) and re.fullmatch(r"[A-Z0-9]{5}-[A-Z0-9]{6}", told))


def this_moment():
    """The time of the request that is about to be sent."""
    now = datetime.now(UTC)
    # Times leave with whole milliseconds.
    earliest = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return Seen("time from now on", lambda told: earliest <= moment(told) <= datetime.now(UTC) + timedelta(seconds=1))


def moment(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text):
        raise AssertionError(f"{text!r} is no time in UTC with milliseconds")
    return datetime.fromisoformat(text)
