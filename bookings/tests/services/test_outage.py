import os
import socket
import threading
import time

import pytest
from django.db import OperationalError, close_old_connections, connection

from bookings.models import Booking
from bookings.services import batches
from bookings.tests.factories import EventFactory
from bookings.tests.wire import booking_body, failure
from ticks.db import outage as outage_module
from ticks.db.outage import FIRST_PROBE_SECONDS, Outage
from ticks.tests.faults import wait_for_return

pytestmark = pytest.mark.django_db(transaction=True)
NOTHING_CHANGED = failure(
    "The database does not answer; nothing was changed. Try again shortly.", "database_unavailable"
)


@pytest.fixture
def answers(monkeypatch):
    """Gives a switch that decides whether the database answers the probe."""
    switch = threading.Event()
    monkeypatch.setattr(outage_module, "database_answers", switch.is_set)
    monkeypatch.setattr(outage_module, "PAUSE_SECONDS", 0.01)
    yield switch
    # Its probes end before they would ask the real one.
    switch.set()
    for thread in threading.enumerate():
        if thread.name == "outage-probe":
            thread.join()


def test_outage_lasts_until_a_probe_gets_through(answers):
    outage = Outage()
    assert outage.is_over()

    outage.begin()

    assert not outage.is_over()
    answers.set()
    assert outage._is_over.wait(2)
    assert outage.is_over()


def test_outage_gives_its_first_probe_a_moment_and_later_ones_none(answers, monkeypatch):
    waited = []
    outage = Outage()
    outage.begin()
    monkeypatch.setattr(outage._is_over, "wait", waited.append)

    outage.is_over()
    outage._began -= FIRST_PROBE_SECONDS
    outage.is_over()

    assert 0 < waited[0] <= FIRST_PROBE_SECONDS
    assert waited[1] == 0


def test_outage_of_one_connection_is_over_before_anybody_is_refused(answers, monkeypatch):
    monkeypatch.setattr(outage_module, "FIRST_PROBE_SECONDS", 5)
    answers.set()
    outage = Outage()

    outage.begin()

    assert outage.is_over()


def test_outage_that_goes_on_has_one_probe(answers):
    outage = Outage()

    outage.begin()
    prober = outage._prober
    outage.begin()

    assert outage._prober is prober


def test_booking_without_the_database_is_503_and_nothing_is_lost(anonymous, unreachable_database):
    event = EventFactory()
    unreachable_database()

    answers = [anonymous.post("/api/v1/booking", booking_body(event)) for _ in range(3)]

    # SQLite has no connection to lose, so the error of its file is passed on as it is.
    said = failure("The database does not answer; try again shortly.", "database_unavailable")
    said = NOTHING_CHANGED if connection.vendor == "mysql" else said
    assert [answer.status_code for answer in answers] == [503] * 3
    assert [answer["Retry-After"] for answer in answers] == ["2"] * 3
    assert [answer.json() for answer in answers] == [said] * 3


def test_page_without_the_database_is_503_that_a_person_can_read(client, unreachable_database):
    client.cookies["sessionid"] = "s" * 32
    client.raise_request_exception = False
    unreachable_database()

    response = client.get("/admin/")

    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    assert response["Content-Type"].startswith("text/html")
    assert "The database does not answer; try again shortly." in response.content.decode()


@pytest.mark.parametrize("path", ["/", "/api/docs", "/api/schema", "/healthz"])
def test_what_needs_no_database_is_served_without_it(client, unreachable_database, path):
    unreachable_database()

    assert client.get(path).status_code == 200


@pytest.mark.mariadb
def test_connecting_is_refused_while_the_database_is_away(answers):
    connection.close()
    outage_module.outage.begin()

    with pytest.raises(OperationalError, match="The database was lost and is not back yet"):
        connection.ensure_connection()

    answers.set()
    wait_for_return()
    connection.ensure_connection()


@pytest.mark.mariadb
def test_idle_connection_that_the_server_closed_is_replaced(anonymous):
    event = EventFactory()
    anonymous.get(f"/api/v1/booking/status/{event.pk}")
    closed = connection.connection
    kill(closed.thread_id())

    # Every request begins with this, but the test's client leaves it out.
    close_old_connections()
    response = anonymous.get(f"/api/v1/booking/status/{event.pk}")

    assert response.status_code == 200
    assert connection.connection is not closed


@pytest.mark.mariadb
def test_idle_connection_that_the_server_closed_is_seen_before_it_is_used():
    idle = connection.copy()
    idle.ensure_connection()
    assert idle.is_usable()

    kill(idle.connection.thread_id())

    assert not idle.is_usable()
    idle.close()
    wait_for_return()


@pytest.fixture
def older(transactional_db):
    """Gives a good connection of another thread."""
    older = connection.copy()
    older.ensure_connection()
    assert older.is_usable()
    yield older
    older.close()


@pytest.mark.mariadb
def test_connection_from_before_the_database_was_away_is_not_used_again(answers, older):
    outage_module.outage.begin()
    deadline = time.monotonic() + 2
    while older.is_usable() and time.monotonic() < deadline:
        time.sleep(0.01)
    answers.set()
    wait_for_return()

    assert not older.is_usable()


@pytest.mark.mariadb
def test_connection_from_before_a_server_turned_read_only_is_not_used_again(answers, older):
    answers.set()

    outage_module.outage.begin(is_read_only=True)
    wait_for_return()

    assert not older.is_usable()


@pytest.mark.mariadb
def test_one_lost_connection_leaves_the_others_in_use(answers, older):
    answers.set()

    outage_module.outage.begin()
    wait_for_return()

    assert older.is_usable()


@pytest.mark.mariadb
def test_connection_whose_socket_is_gone_is_not_taken_for_another_that_has_its_number():
    lost = connection.copy()
    lost.ensure_connection()
    with socket.socket(socket.AF_UNIX) as other:
        os.dup2(other.fileno(), lost.connection.fileno())
    lost.errors_occurred = True

    assert not lost.is_usable()

    lost.close()


@pytest.mark.mariadb
@pytest.mark.parametrize("when", ["before the lock", "after the lock"])
def test_connection_killed_in_the_middle_books_once_on_another(anonymous, monkeypatch, when):
    event = EventFactory()
    lock_events = batches.lock_events
    killed = []

    def lock_events_and_be_killed(event_ids):
        if killed:
            return lock_events(event_ids)
        killed.append(connection.connection.thread_id())
        locked = lock_events(event_ids) if when == "after the lock" else None
        kill(killed[0])
        return locked or lock_events(event_ids)

    monkeypatch.setattr(batches, "lock_events", lock_events_and_be_killed)

    response = anonymous.post("/api/v1/booking", booking_body(event))

    assert killed
    assert response.status_code == 201
    assert Booking.objects.count() == 1
    wait_for_return()


def kill(connection_id):
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(f"KILL {connection_id}")
    finally:
        other.close()
    # The server closes it in its own time.
    time.sleep(0.05)
