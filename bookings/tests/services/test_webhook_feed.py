"""Webhooks are moved on in the change feed: by one process at a time, and none waits for another."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from bookings.services.changes import BEGINNING, Cursor, end_of_feed
from bookings.services.webhooks import feed
from bookings.services.webhooks.feed import read_feed
from bookings.services.webhooks.subscriptions import Terms, create_webhook
from bookings.tests.factories import EventFactory
from bookings.webhooks import Webhook, WebhookMessage

pytestmark = pytest.mark.django_db(transaction=True)


def subscribed(name="Till", **options) -> Webhook:
    return create_webhook(Terms(name, "https://till.example.org/", None, []), **options)[0]


def place_of(webhook) -> Cursor:
    webhook.refresh_from_db()
    return Cursor(webhook.cursor_number, webhook.cursor_sequence)


def test_only_webhooks_that_are_still_there_are_moved_on():
    webhook = subscribed(from_beginning=True)
    EventFactory.create_batch(2)
    assert read_feed() is True
    end = place_of(webhook)

    # As if another process had read only the first part meanwhile.
    assert feed.store(BEGINNING, Cursor(1, 1), [], now=timezone.now()) is False

    assert place_of(webhook) == end
    assert read_feed() is False


def test_webhook_whose_place_was_set_back_goes_on():
    webhook = subscribed(from_beginning=True)
    EventFactory.create_batch(2)
    read_feed()
    end = place_of(webhook)
    Webhook.objects.update(cursor_number=0, cursor_sequence=0)

    assert read_feed() is True

    assert place_of(webhook) == end
    assert WebhookMessage.objects.count() == 2


def test_place_that_cannot_be_read_holds_up_no_other(monkeypatch):
    EventFactory()
    broken, fine = subscribed("Broken", from_beginning=True), subscribed("Fine")
    EventFactory()
    changes_after = feed.changes_after

    def fail_at_the_beginning(cursor, **options):
        if cursor == BEGINNING:
            raise RuntimeError
        return changes_after(cursor, **options)

    monkeypatch.setattr(feed, "changes_after", fail_at_the_beginning)
    assert read_feed() is True

    assert (place_of(broken), place_of(fine)) == (BEGINNING, end_of_feed())
    assert WebhookMessage.objects.get().webhook == fine


@pytest.mark.mariadb
@pytest.mark.parametrize("is_locked", [True, False])
def test_who_reads_beside_another_does_nothing(monkeypatch, is_locked):
    """Without the lock, which is the control, it moves the webhook on, and the other one sets it back."""
    webhook = subscribed(from_beginning=True)
    EventFactory()
    muted_events, beside = feed.muted_events, []

    def read_beside():
        try:
            EventFactory()
            return read_feed(), place_of(Webhook.objects.get())
        finally:
            connection.close()

    def read_beside_first(event_ids):
        # Here the first one has the lock.
        if not beside:
            beside.append(None)
            with ThreadPoolExecutor(1) as pool:
                beside[0] = pool.submit(read_beside).result()
        return muted_events(event_ids)

    monkeypatch.setattr(feed, "muted_events", read_beside_first)
    if not is_locked:
        monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **options: rows.all())
    assert read_feed() is True

    [(has_moved, place)] = beside
    assert has_moved is not is_locked
    assert (place_of(webhook) < place) is not is_locked
