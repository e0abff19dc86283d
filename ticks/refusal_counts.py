"""How many requests the API refused, by minute and code: counted in memory, written by one thread a worker.

Who is refused pays for one append. A thread adds up every few seconds what has gathered, and adds it to the rows that
all workers share; where nothing was refused it asks the database for nothing. A database that is away loses nothing:
it is tried again. One that is lost in the moment in which it saves may have it added twice, and kill -9 loses those
seconds: they are numbers to look at, not to settle by.
"""

import logging
import multiprocessing.util
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from ticks.db.deletion import delete_in_batches
from ticks.models import RefusalMinute

log = logging.getLogger("ticks.refusal_counts")
WRITE_SECONDS = 5
# Of both the oldest go. The first are more than a worker refuses meanwhile, the second several hours without database.
MAX_GATHERED = 100_000
MAX_ROWS = 2000
CODE_LENGTH = RefusalMinute._meta.get_field("code").max_length
# What scanners are answered all day, and nobody who wants something of bookings.
UNCOUNTED = {"not_found", "bad_host"}
KEPT = timedelta(days=7)


class Tally:
    """One process's: the refusals that are not written yet, and the thread that writes them."""

    def __init__(self):
        self.start_anew()

    def start_anew(self) -> None:
        """In a new process too: what has gathered is the parent's to write, and the parent's thread is not here."""
        # Appending to it takes no lock.
        self.gathered: deque[str] = deque(maxlen=MAX_GATHERED)
        self.unwritten: Counter[tuple[datetime, str]] = Counter()
        self.writing = threading.Lock()
        self.is_failing = False

    def count(self, code: str) -> None:
        if code not in UNCOUNTED:
            self.gathered.append(code)

    def start(self) -> None:
        """For the server alone: what tests and commands gather is bounded, and goes with them."""
        threading.Thread(target=self.run, name="refusal-writer", daemon=True).start()
        # Workers are multiprocessing's, which end without what `atexit` would do. Below zero, so that the log is
        # written first: a worker that waits here for a database that hangs is killed after a second.
        multiprocessing.util.Finalize(None, self.write_if_possible, exitpriority=-1)

    def run(self) -> None:
        while True:
            time.sleep(WRITE_SECONDS)
            self.write_if_possible()

    def write_if_possible(self) -> None:
        try:
            self.write()
            self.is_failing = False
        except Exception as error:
            if not self.is_failing:
                log.warning("What was refused is not written, and will be tried again: %s", error)
            self.is_failing = True
        finally:
            # Of use once in a while, to few workers: no connection is kept from others for it.
            with suppress(Exception):
                connection.close()

    def write(self) -> None:
        with self.writing:
            self.add_up()
            if self.unwritten:
                # In the same order everywhere, as each row is locked until all are written.
                add_to_rows(sorted(self.unwritten.items()))
                self.unwritten.clear()

    def add_up(self) -> None:
        """Under the minute in which it is done, which is that of the refusal or, for seconds, the next."""
        minute = minute_of(timezone.now())
        codes = Counter(self.gathered.popleft()[:CODE_LENGTH] for _ in range(len(self.gathered)))
        self.unwritten.update({(minute, code): count for code, count in codes.items()})
        for row in sorted(self.unwritten)[:-MAX_ROWS]:
            del self.unwritten[row]


tally = Tally()
os.register_at_fork(after_in_child=tally.start_anew)


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def add_to_rows(counts: Sequence[tuple[tuple[datetime, str], int]]) -> None:
    """In one statement: workers that meet on a row both count."""
    adapted = connection.ops.adapt_datetimefield_value
    values = [value for (minute, code), count in counts for value in (adapted(minute), code, count)]
    rows = ", ".join(["(%s, %s, %s)"] * len(counts))
    insertion = f"INSERT INTO {RefusalMinute._meta.db_table} (minute, code, count) VALUES {rows}"  # noqa: S608
    if connection.vendor == "mysql":
        statement = f"{insertion} ON DUPLICATE KEY UPDATE count = count + VALUES(count)"
    else:
        statement = f"{insertion} ON CONFLICT (minute, code) DO UPDATE SET count = count + excluded.count"
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def prune_refusals() -> int:
    """Deletes what nobody asks for any more. Returns how many rows."""
    return delete_in_batches(RefusalMinute.objects.filter(minute__lt=timezone.now() - KEPT))
