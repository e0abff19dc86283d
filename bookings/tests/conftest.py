import pytest
from django.db import transaction

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
