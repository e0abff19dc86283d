"""What staff do with webhooks while others do the same, and while messages are being sent."""

from datetime import timedelta

import pytest
from django.utils import timezone

from bookings.exceptions import MessageInFlight
from bookings.services.changes import Cursor
from bookings.services.webhooks.feed import read_feed
from bookings.services.webhooks.sending import lease_drafts
from bookings.services.webhooks.subscriptions import (
    Terms,
    change_webhook,
    create_webhook,
    give_up,
    rotate_secret,
    send_message_again,
    switch_off,
    switch_on,
    switch_on_at,
)
from bookings.tests.factories import EventFactory
from bookings.webhooks import Webhook, WebhookMessage

pytestmark = pytest.mark.django_db(transaction=True)
TERMS = Terms("Till", "https://till.example.org/", None, [])


@pytest.fixture
def webhook(db):
    return create_webhook(TERMS)[0]


@pytest.fixture
def in_flight(webhook) -> WebhookMessage:
    """A message that is being sent while its webhook is switched off, beside one that only waits."""
    EventFactory()
    read_feed()
    [draft] = lease_drafts(webhook, limit=1)
    EventFactory()
    read_feed()
    switch_off(webhook)
    return draft.message


def test_switching_on_a_second_time_does_not_set_back(webhook):
    switch_off(webhook)
    switch_on_at(webhook, Cursor(5, 7))

    switch_on_at(webhook, Cursor(4, 2))

    webhook.refresh_from_db()
    assert (webhook.state, webhook.cursor_number, webhook.cursor_sequence) == ("on", 5, 7)


def test_switching_on_a_second_time_passes_over_nothing(webhook):
    EventFactory()
    read_feed()

    switch_on(webhook, from_now_on=True)

    assert WebhookMessage.objects.get().state == "waiting"


def test_message_that_was_in_flight_when_passed_over_can_be_sent_again(webhook, in_flight):
    switch_on(webhook, from_now_on=True)

    send_message_again(in_flight)
    give_up(in_flight)

    in_flight.refresh_from_db()
    assert (in_flight.state, in_flight.repeats, in_flight.lease) == ("given_up", 1, None)


def test_message_in_flight_stays_with_its_process_when_switched_on(webhook, in_flight):
    WebhookMessage.objects.update(attempts=9)
    WebhookMessage.objects.filter(lease=None).update(due_at=timezone.now() + timedelta(hours=1))
    leased_until = WebhookMessage.objects.get(pk=in_flight.pk).due_at

    switch_on(webhook, from_now_on=False)

    webhook.refresh_from_db()
    [draft] = lease_drafts(webhook, limit=5)
    assert draft.message.pk != in_flight.pk
    in_flight.refresh_from_db()
    assert in_flight.due_at == leased_until
    # A message that is only leased by a process that ended has its attempts again as well.
    assert set(WebhookMessage.objects.values_list("attempts", flat=True)) == {0}
    with pytest.raises(MessageInFlight):
        give_up(in_flight)


def test_new_name_does_not_change_since_when_it_fails(webhook):
    since = timezone.now() - timedelta(hours=1)
    Webhook.objects.update(failing_since=since)

    change_webhook(webhook, TERMS._replace(name="Door"))

    webhook.refresh_from_db()
    assert (webhook.name, webhook.failing_since) == ("Door", since)


def test_new_address_has_not_failed_yet(webhook):
    Webhook.objects.update(failing_since=timezone.now())

    change_webhook(webhook, TERMS._replace(url="https://door.example.org/"))

    webhook.refresh_from_db()
    assert (webhook.url, webhook.failing_since) == ("https://door.example.org/", None)


def test_former_secret_is_the_one_that_was_valid_last(webhook):
    stale = Webhook.objects.get()
    rotate_secret(webhook, overlap=timedelta(hours=1))

    rotate_secret(stale, overlap=timedelta(hours=1))

    assert Webhook.objects.get().former_nonce == webhook.nonce
