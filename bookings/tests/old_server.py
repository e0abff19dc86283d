"""A server of an earlier version, which goes on booking while its database is migrated; and such a database."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

DATABASE = "test_ticks_old"
# The newest migrations of the versions before this one.
VERSIONS = {
    "first": [("bookings", "0002_drop_doubled_checks"), ("events", "0002_drop_doubled_checks")],
    "second": [("bookings", "0003_counts_and_line"), ("events", "0004_booking_counts_hold")],
}
# The second version counts a waitlist in parts of so many numbers.
NUMBERS_A_PART = 256
START = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
# Ids: one with room for all, one that is sold out.
ROOMY, FULL = 1, 2


@contextmanager
def database_of(version, directory):
    """Django's connection leads to a database of an earlier version, on which its server has booked."""
    name = DATABASE
    if connection.vendor == "sqlite":
        name = str(directory / "old.sqlite3")
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
    usual = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        MigrationExecutor(connection).migrate(VERSIONS[version])
        with OldServer(version) as server:
            server.open_events()
            for _ in range(3):
                server.book(ROOMY)
                server.book(FULL)
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual
        if connection.vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {DATABASE}")


class OldServer:
    """One transaction a booking, on a connection of its own; the statements name no newer column."""

    booked = 0
    refused = 0

    def __init__(self, version):
        self.counts = version == "second"

    def __enter__(self):
        self.alias = f"old {id(self)}"
        self.connection = connection.copy(self.alias)
        return self

    def __exit__(self, *failure):
        self.connection.close()

    def open_events(self):
        self.insert("accounts_user", id=1, username="owner", username_key="owner", password="!", is_superuser=True,
                    is_staff=True, is_active=True, first_name="", last_name="", date_joined=START)  # fmt: skip
        for event, total in ((ROOMY, 100_000), (FULL, 2)):
            self.insert("events_event", id=event, name=f"Event {event}", description="", venue="",
                        waitlist_enabled=True, waitlist_policy="first_fit", total_tickets=total,
                        available_tickets=total, waitlisted_count=0, ledger_sequence=1, version=1, created_by_id=1,
                        created_at=START, updated_at=START,
                        **({"booking_count": 0, "completed_count": 0} if self.counts else {}))  # fmt: skip
            self.insert("bookings_ledgerentry", event_id=event, sequence=1, kind="opened", tickets=total,
                        available_after=total, waitlisted_after=0, actor_id=1, created_at=START)  # fmt: skip

    def book(self, event, tickets=2):
        """Books or waits. Raises `DatabaseError` where the newer schema refuses it."""
        self.run("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "BEGIN")
        try:
            self.book_in_transaction(event, tickets)
        except DatabaseError:
            self.run("ROLLBACK")
            self.refused += 1
            raise
        self.run("COMMIT")
        self.booked += 1

    def book_in_transaction(self, event, tickets):
        locking = "" if connection.vendor == "sqlite" else " FOR UPDATE"
        [(left, waiting, last)] = self.run(
            "SELECT available_tickets, waitlisted_count, ledger_sequence FROM events_event WHERE id = %s" + locking,
            event,
        )
        fits, sequence = tickets <= left, last + 1
        # Hours apart, as the counts of hours are to see.
        moment = START + timedelta(minutes=20 * sequence)
        left, waiting = (left - tickets, waiting) if fits else (left, waiting + 1)
        reference = f"OLD{event:03}{sequence:010}"
        self.insert("bookings_booking", reference=reference, first_name="A", last_name="B", email="a@example.org",
                    tickets_reserved=tickets, status="completed" if fits else "waitlisted",
                    waitlist_number=None if fits else sequence, event_id=event, created_at=moment,
                    updated_at=moment)  # fmt: skip
        [(booking,)] = self.run("SELECT id FROM bookings_booking WHERE reference = %s", reference)
        self.insert("bookings_ledgerentry", event_id=event, sequence=sequence, booking_id=booking,
                    kind="booked" if fits else "waitlisted", tickets=tickets, available_after=left,
                    waitlisted_after=waiting, created_at=moment)  # fmt: skip
        counted = ", booking_count = booking_count + 1, completed_count = completed_count + %s" if self.counts else ""
        self.run(
            "UPDATE events_event SET available_tickets = %s, waitlisted_count = %s, ledger_sequence = %s"
            f"{counted} WHERE id = %s",
            *(left, waiting, sequence, *([int(fits)] if self.counts else []), event),
        )
        if self.counts and not fits:
            self.count_in_part(event, sequence - sequence % NUMBERS_A_PART)

    def count_in_part(self, event, part):
        there = self.run("SELECT id FROM bookings_linepart WHERE event_id = %s AND first_number = %s", event, part)
        if there:
            self.run("UPDATE bookings_linepart SET waiting = waiting + 1 WHERE id = %s", there[0][0])
        else:
            self.insert("bookings_linepart", event_id=event, first_number=part, waiting=1)

    def insert(self, table, **values):
        marks = ", ".join(["%s"] * len(values))
        self.run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *values.values())

    def run(self, statement, *values):
        adapt = self.connection.ops.adapt_datetimefield_value
        values = [adapt(value) if isinstance(value, datetime) else value for value in values]
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
