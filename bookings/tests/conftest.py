import pytest
from django.db import transaction

from accounts.tests.factories import UserFactory
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.personas import stage


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """The stage of `personas`, set once a module: whatever a test does to it must be `undone`."""
    with django_db_blocker.unblock():
        block = transaction.atomic()
        block._from_testcase = True
        with block:
            yield stage()
            transaction.set_rollback(True)


@pytest.fixture
def line(db):
    """The bookings by first name. Ada holds 4 of 5 tickets, Grace wants 2, Alan 3, and Kurt 1."""
    event = EventFactory(name="Gala", total_tickets=5, waitlist_policy="strict")
    users = {"Ada": UserFactory(username="ada")}
    return {
        name: BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, user=users.get(name))
        for name, tickets in (("Ada", 4), ("Grace", 2), ("Alan", 3), ("Kurt", 1))
    }


@pytest.fixture
def gala(db):
    """The event is sold out: Ada holds 4 tickets, Grace wants 2, and Alan 3."""
    event = EventFactory(name="Gala", total_tickets=4)
    for name, tickets in (("Ada", 4), ("Grace", 2), ("Alan", 3)):
        BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, user=None)
    event.refresh_from_db()
    return event
