"""A server of an earlier version, which goes on while its database is migrated; and such a database."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_hex

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from accounts.models import login_key

DATABASE = "test_ticks_old"
# The newest migrations of the versions before this one.
VERSIONS = {
    "first": [("bookings", "0002_drop_doubled_checks"), ("events", "0002_drop_doubled_checks")],
    "second": [("bookings", "0003_counts_and_line"), ("events", "0004_booking_counts_hold")],
    "third": [
        ("bookings", "0007_roles"),
        ("events", "0006_waitlisted_tickets_hold"),
        ("accounts", "0002_roles_and_browser_sessions"),
        ("ticks", "0001_initial"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ],
    "fourth": [
        ("bookings", "0007_roles"),
        ("events", "0006_waitlisted_tickets_hold"),
        ("accounts", "0003_hashed_sessions_and_login_names"),
        ("ticks", "0002_delete_refusalminute"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ],
}
# A part of a waitlist has this many numbers in the second version.
NUMBERS_A_PART = 256
# The third leaves room between two numbers, and its parts are larger accordingly.
ROOM = 2**20
START = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
# These are the ids of an event with room for all, and of one that is sold out.
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
        with old_server(version) as server:
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


def old_server(version):
    servers = {"third": ThirdServer, "fourth": FourthServer}
    return servers.get(version, OldServer)(version)


class OldServer:
    """Books in a transaction each, on a connection of its own. Its statements name no newer column."""

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
                        created_at=START, updated_at=START, **self.first_counts())  # fmt: skip
            self.insert("bookings_ledgerentry", event_id=event, sequence=1, kind="opened", tickets=total,
                        available_after=total, waitlisted_after=0, actor_id=1, created_at=START)  # fmt: skip

    def first_counts(self):
        return {"booking_count": 0, "completed_count": 0} if self.counts else {}

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
        # The times spread over several hours, for the counts of hours.
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
        columns = ", ".join(map(self.connection.ops.quote_name, values))
        with self.executed(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values.values()) as cursor:
            return cursor.lastrowid

    def run(self, statement, *values):
        with self.executed(statement, values) as cursor:
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def executed(self, statement, values):
        adapt = self.connection.ops.adapt_datetimefield_value
        with self.connection.cursor() as cursor:
            cursor.execute(statement, [adapt(value) if isinstance(value, datetime) else value for value in values])
            yield cursor


class ThirdServer(OldServer):
    """It also registers accounts, without login names, and stores the ids of refresh tokens as they are."""

    def __init__(self, version):
        super().__init__(version)
        # Usernames, and the plain ids by login, of what was committed.
        self.registered = []
        self.refresh_ids = {}

    def first_counts(self):
        return {"booking_count": 0, "completed_count": 0, "waitlisted_tickets": 0}

    def book_in_transaction(self, event, tickets):
        locking = "" if connection.vendor == "sqlite" else " FOR UPDATE"
        [(total, left, bookings, completed, waiting, wanted, last)] = self.run(
            "SELECT total_tickets, available_tickets, booking_count, completed_count, waitlisted_count,"
            f" waitlisted_tickets, ledger_sequence FROM events_event WHERE id IN (%s) ORDER BY id ASC{locking}",
            event,
        )
        fits, sequence = tickets <= left, last + 1
        moment = START + timedelta(minutes=20 * sequence)
        number = None if fits else sequence * ROOM
        if fits:
            left, completed = left - tickets, completed + 1
        else:
            waiting, wanted = waiting + 1, wanted + tickets
        reference = f"OLD{event:03}{sequence:010}"
        self.insert("bookings_booking", reference=reference, event_id=event, user_id=None, first_name="A",
                    last_name="B", email="a@example.org", tickets_reserved=tickets,
                    status="completed" if fits else "waitlisted", waitlist_number=number, token_hash=None,
                    one_ticket_holder_id=None, created_at=moment, updated_at=moment)  # fmt: skip
        [(booking,)] = self.run("SELECT id FROM bookings_booking WHERE reference IN (%s)", reference)
        self.insert("bookings_ledgerentry", event_id=event, sequence=sequence,
                    kind="booked" if fits else "waitlisted", tickets=tickets, available_after=left,
                    waitlisted_after=waiting, actor_id=None, booking_id=booking, created_at=moment)  # fmt: skip
        counts = {
            "available_tickets": left, "booking_count": bookings + 1, "completed_count": completed,
            "waitlisted_count": waiting, "waitlisted_tickets": wanted, "ledger_sequence": sequence,
        }  # fmt: skip
        self.run(
            f"UPDATE events_event SET {', '.join(f'{name} = CASE id WHEN %s THEN %s END' for name in counts)}"
            " WHERE id IN (%s)",
            *(value for count in counts.values() for value in (event, count)),
            event,
        )
        if not fits:
            part = number - number % (NUMBERS_A_PART * ROOM)
            self.upsert("bookings_linepart", ("event_id", "first_number"), {"waiting": "waiting + {new}"},
                        event_id=event, first_number=part, waiting=1)  # fmt: skip
        added = {name: name + " + {new}" for name in ("bookings", "tickets")}
        hour = moment.replace(minute=0, second=0, microsecond=0)
        self.upsert("bookings_saleshour", ("event_id", "hour"), {**added, "held": "{new}", "waiting": "{new}"},
                    event_id=event, hour=hour, bookings=1, tickets=tickets, held=total - left,
                    waiting=waiting)  # fmt: skip

    def upsert(self, table, key, assignments, **values):
        is_mysql = connection.vendor == "mysql"
        on = "ON DUPLICATE KEY UPDATE" if is_mysql else f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET"
        new = "VALUES({})" if is_mysql else "excluded.{}"
        changes = ", ".join(f"{name} = {to.format(new=new.format(name))}" for name, to in assignments.items())
        marks = ", ".join(["%s"] * len(values))
        self.run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks}) {on} {changes}", *values.values())

    def register(self):
        name = f"user-{id(self)}-{len(self.registered)}"
        self.insert("accounts_user", password="!", last_login=None, is_superuser=False, first_name="", last_name="",
                    is_staff=False, is_active=True, date_joined=START, username=name, username_key=name,
                    email=f"{name}@example.org")  # fmt: skip
        self.registered.append(name)

    def stored(self, plain):
        """What the table has of a refresh token's id."""
        return plain

    def log_in(self):
        """Opens a login of the account that registered last."""
        plain = token_hex(16)
        [(user,)] = self.run("SELECT id FROM accounts_user WHERE username_key = %s", self.registered[-1])
        login = self.insert("accounts_loginsession", user_id=user, refresh_id=self.stored(plain), auth_hash="0" * 64,
                            created_at=START, expires_at=START)  # fmt: skip
        self.refresh_ids[login] = plain

    def refresh(self, login):
        """Exchanges the refresh token. The login ends if another one is stored, as after a token was used twice."""
        renewed = token_hex(16)
        exchange = "UPDATE accounts_loginsession SET refresh_id = %s, expires_at = %s WHERE id = %s AND refresh_id = %s"
        with self.executed(
            exchange, (self.stored(renewed), START, login, self.stored(self.refresh_ids[login]))
        ) as cursor:
            is_won = cursor.rowcount == 1
        if is_won:
            self.refresh_ids[login] = renewed
        else:
            self.run("DELETE FROM accounts_loginsession WHERE id = %s", login)
            del self.refresh_ids[login]


class FourthServer(ThirdServer):
    """It hashes the ids of refresh tokens, and gives each login name to one account. It can go on beside the next
    version."""

    def replay(self, digest):
        """Answers a booking's key again. Its own model refuses a name that it does not know."""
        [(answer, pk)] = self.run("SELECT answer, booking_id FROM bookings_idempotencykey WHERE digest = %s", digest)
        answer = json.loads(answer)
        position, created = answer.pop("position"), datetime.fromisoformat(answer.pop("created_at"))
        model = MigrationLoader(None).project_state(VERSIONS["fourth"]).apps.get_model("bookings", "Booking")
        return model(pk=pk, created_at=created, updated_at=created, **answer), position

    def stored(self, plain):
        return sha256(plain.encode()).hexdigest()

    def register(self):
        super().register()
        name = self.registered[-1]
        [(user,)] = self.run("SELECT id FROM accounts_user WHERE username_key = %s", name)
        for login_name in (name, f"{name}@example.org"):
            self.insert("accounts_loginname", key=login_key(login_name), user_id=user)
