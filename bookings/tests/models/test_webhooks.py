"""The tables of webhooks: what the database refuses, and the plan of what is asked all the time."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from bookings.admin.webhooks.admin import page_of
from bookings.services.webhooks.sending import lease_drafts, webhooks_with_due
from bookings.services.webhooks.subscriptions import Terms, create_webhook, ping
from bookings.tests.factories import EventFactory
from bookings.webhooks import Webhook, WebhookMessage

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook(db):
    return create_webhook(Terms("Till", "https://till.example.org/", None, []))[0]


def refused(act, match):
    with pytest.raises(IntegrityError, match=match), transaction.atomic():
        act()


def test_entry_is_told_to_a_webhook_once(webhook):
    message = ping(webhook)
    message.pk = None
    refused(message.save, "webhook_message_unique|UNIQUE constraint failed: bookings_webhookmessage")

    message.lane = 7
    message.save()


@pytest.mark.parametrize("values", [{"state": "sent"}, {"sent_at": timezone.now()}, {"state": "lost"}])
def test_message_was_sent_at_a_time_and_no_other_has_one(webhook, values):
    ping(webhook)

    refused(lambda: WebhookMessage.objects.update(**values), "webhookmessage_sent_has_time")


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"state": "lost"}, "webhook_state_known"),
        ({"former_nonce": "0" * 64}, "webhook_former_secret_ends"),
        ({"former_until": timezone.now()}, "webhook_former_secret_ends"),
    ],
)
def test_webhook_that_cannot_be_is_refused(webhook, values, constraint):
    refused(lambda: Webhook.objects.update(**values), constraint)


def analyze() -> None:
    """Renews the statistics, which commits."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE bookings_webhookmessage")
        cursor.fetchall()


def fill(webhook, *, waiting: int) -> None:
    """600 messages, of which the last ones wait."""
    event, now = EventFactory(), timezone.now()
    messages = [
        WebhookMessage(
            webhook=webhook,
            lane=number,
            event_id=event.pk,
            sequence=1,
            kind="booked",
            state="waiting" if number > 600 - waiting else "sent",
            sent_at=None if number > 600 - waiting else now,
            due_at=now - timedelta(seconds=601 - number),
            give_up_at=now,
        )
        for number in range(1, 601)
    ]
    WebhookMessage.objects.bulk_create(messages)


def rows_read_by(act) -> int:
    with connection.cursor() as cursor:
        cursor.execute("FLUSH STATUS")
    act()
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read_%'")
        return sum(int(number) for name, number in cursor.fetchall() if name != "Handler_read_rnd_deleted")


@pytest.mark.django_db(transaction=True)
@pytest.mark.mariadb
def test_lease_reads_the_due_messages_and_not_the_sent_ones(webhook):
    fill(webhook, waiting=10)
    analyze()
    leased = []

    def lease():
        [found] = webhooks_with_due(now=timezone.now())
        leased.extend(lease_drafts(found, limit=50))

    # A few rows for each message that is due, and not all that are stored.
    assert rows_read_by(lease) < 120
    assert len(leased) == 10


@pytest.fixture
def old_statistics(transactional_db):
    """The statistics of the empty table, which are not renewed as it grows. It usually takes a while until they are."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE bookings_webhookmessage STATS_AUTO_RECALC=0")
        analyze()
        yield
        cursor.execute("ALTER TABLE bookings_webhookmessage STATS_AUTO_RECALC=DEFAULT")


@pytest.mark.mariadb
@pytest.mark.usefixtures("old_statistics")
def test_lease_reads_no_other_messages_while_the_statistics_know_of_none(webhook):
    fill(webhook, waiting=600)

    assert rows_read_by(lambda: lease_drafts(webhook, limit=8)) < 120


@pytest.mark.django_db(transaction=True)
@pytest.mark.mariadb
@pytest.mark.parametrize("state", ["", "sent"])
def test_page_of_messages_reads_no_other_page(webhook, state):
    fill(webhook, waiting=0)
    analyze()
    [middle] = WebhookMessage.objects.filter(lane=300).values_list("pk", flat=True)

    for before in (None, middle):
        assert rows_read_by(lambda before=before: page_of(webhook, state=state, before=before)) < 70
