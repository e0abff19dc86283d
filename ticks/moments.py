from datetime import UTC, datetime
from functools import lru_cache

# What every database and every time zone can hold.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)


def iso_milliseconds(moment: datetime) -> str:
    return utc_milliseconds(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=256)
def utc_milliseconds(moment: datetime) -> str:
    """Kept, since a group's bookings are all of one moment. Of UTC alone: elsewhere two hours a year are equal."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
