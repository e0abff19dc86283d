"""Webhooks from the ledger to a real receiver."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import tokens
from accounts.tests.factories import UserFactory
from bookings.services.cancellation import cancel_tickets
from bookings.services.changes import end_of_feed
from bookings.services.notifications import mute_event
from bookings.services.upkeep import has_expired, prune
from bookings.services.webhooks import delivery, feed, sending
from bookings.services.webhooks.delivery import Receiver
from bookings.services.webhooks.feed import read_feed
from bookings.services.webhooks.lag import webhook_lag, webhook_warnings, webhooks_in_trouble
from bookings.services.webhooks.subscriptions import (
    ping,
    rotate_secret,
    send_message_again,
    send_span_again,
    switch_off,
    switch_on,
)
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.receiver import Receiver as HttpReceiver
from bookings.tests.receiver import deliver_webhooks, slow, subscribe
from bookings.webhooks import Webhook, WebhookAttempt, WebhookMessage
from ticks.db.outgoing import LEAST_ATTEMPTS

pytestmark = pytest.mark.django_db(transaction=True)


def make_due() -> None:
    """The pauses after failures have passed."""
    WebhookMessage.objects.filter(state="waiting").update(due_at=timezone.now())


def states() -> list[tuple[str, int]]:
    return list(WebhookMessage.objects.order_by("pk").values_list("state", "attempts"))


def test_changes_are_told_signed_and_in_order(receiver):
    event = EventFactory(total_tickets=10)
    webhook, secret = subscribe(receiver)
    booking = BookingFactory(event=event, tickets=2, email="ada@example.org")
    cancel_tickets(booking, tickets=1, actor=booking.user)

    deliver_webhooks()

    first, second = receiver.requests
    assert first.content == {
        "type": "booking.booked",
        "timestamp": first.content["data"]["createdAt"],
        "data": {
            "eventId": event.pk,
            "sequence": 2,
            "kind": "booked",
            "tickets": 2,
            "availableAfter": 8,
            "waitlistedAfter": 0,
            "bookingId": booking.pk,
            "actorId": booking.user_id,
            "note": "",
            "createdAt": first.content["timestamp"],
        },
    }
    assert (second.content["type"], second.content["data"]["sequence"]) == ("booking.reduced", 3)
    assert first.identity == f"msg_{webhook.pk}_{event.pk}_2"
    assert first.headers["content-type"] == "application/json"
    assert all(request.is_signed_with(secret) for request in receiver.requests)
    assert not first.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert states() == [("sent", 1), ("sent", 1)]
    assert list(WebhookAttempt.objects.values_list("status", "answer")) == [(204, ""), (204, "")]


def test_body_is_what_the_change_feed_shows(receiver, client):
    event = EventFactory()
    subscribe(receiver)
    BookingFactory(event=event)
    token = tokens.log_in(UserFactory(is_staff=True))["token"]

    deliver_webhooks()

    shown = client.get(f"/api/v1/event/{event.pk}/changes?after=1", headers={"Authorization": f"Bearer {token}"})
    assert [request.content["data"] for request in receiver.requests] == shown.json()["data"]


def test_webhook_of_one_event_and_kind_is_told_nothing_else(receiver):
    event, other = EventFactory(), EventFactory()
    subscribe(receiver, event=event, kinds=["cancelled"])
    bookings = [BookingFactory(event=one) for one in (event, other)]
    for booking in bookings:
        cancel_tickets(booking, actor=booking.user)

    deliver_webhooks()

    assert receiver.told() == [("booking.cancelled", event.pk, 3)]


def test_new_webhook_is_told_what_happens_next(receiver):
    BookingFactory()
    subscribe(receiver)
    later = BookingFactory()

    deliver_webhooks()

    assert [told for told in receiver.told() if told[0] == "booking.booked"] == [("booking.booked", later.event_id, 2)]


def test_webhook_from_the_beginning_is_told_everything(receiver):
    event = BookingFactory().event

    subscribe(receiver, from_beginning=True)
    deliver_webhooks()

    # The event's own changes and those of a booking do not wait for each other.
    assert sorted(receiver.told()) == [("booking.booked", event.pk, 2), ("event.opened", event.pk, 1)]


def test_nobody_is_told_of_a_rehearsal(receiver):
    event = EventFactory()
    mute_event(event.pk)
    subscribe(receiver, from_beginning=True)
    BookingFactory(event=event)

    deliver_webhooks()

    assert receiver.requests == []


def test_failing_message_holds_up_only_its_own_booking(receiver):
    event = EventFactory(total_tickets=100)
    webhook, _ = subscribe(receiver)
    broken, fine = BookingFactory(event=event, tickets=2), BookingFactory(event=event, tickets=2)
    for booking in (broken, fine):
        cancel_tickets(booking, tickets=1, actor=booking.user)
    receiver.answer = lambda received: 500 if received.content["data"]["bookingId"] == broken.pk else 200

    deliver_webhooks()

    assert sorted((kind, sequence) for kind, _, sequence in receiver.told()) == [
        ("booking.booked", 2),
        ("booking.booked", 3),
        ("booking.reduced", 5),
    ]
    receiver.answer = lambda received: 200
    make_due()
    deliver_webhooks()
    assert [sequence for _, _, sequence in receiver.told()][3:] == [2, 4]
    assert len({request.identity for request in receiver.requests}) == 4
    webhook.refresh_from_db()
    assert (webhook.state, webhook.failing_since) == ("on", None)


def test_failed_attempt_is_logged_and_tried_again_later(receiver):
    webhook, _ = subscribe(receiver)
    BookingFactory(event=EventFactory())
    receiver.answer = lambda received: (503, {"Content-Type": "text/plain"}, b"<closed>" + b"." * 5000)

    before = timezone.now()
    deliver_webhooks()

    message = WebhookMessage.objects.filter(kind="booked").get()
    assert (message.state, message.attempts, message.error) == ("waiting", 1, "Answer 503")
    assert timedelta(seconds=15) <= message.due_at - before < timedelta(seconds=60)
    attempt = message.log.get()
    assert (attempt.status, attempt.answer[:10], len(attempt.answer)) == (503, "<closed>..", 1000)
    webhook.refresh_from_db()
    assert before < webhook.failing_since < timezone.now()


def test_redirect_is_not_followed(receiver):
    subscribe(receiver)
    EventFactory()
    receiver.answer = lambda received: (307, {"Location": f"{receiver.url}/elsewhere"}, b"")

    deliver_webhooks()

    assert [request.path for request in receiver.requests] == ["/hooks"]
    assert states() == [("waiting", 1)]


def test_message_that_fails_for_a_day_switches_its_webhook_off(receiver):
    webhook, _ = subscribe(receiver)
    EventFactory()
    receiver.answer = lambda received: 400
    deliver_webhooks()
    now = timezone.now()
    WebhookMessage.objects.update(due_at=now, give_up_at=now, attempts=LEAST_ATTEMPTS - 2)
    deliver_webhooks()
    webhook.refresh_from_db()
    assert webhook.state == "on"
    make_due()

    deliver_webhooks()
    make_due()
    deliver_webhooks()

    webhook.refresh_from_db()
    assert (webhook.state, webhook.off_reason) == ("failed", sending.MESSAGE_FAILED)
    assert len(receiver.requests) == 3
    assert states() == [("waiting", LEAST_ATTEMPTS)]


def test_webhook_that_takes_nothing_for_a_day_is_switched_off(receiver):
    webhook, _ = subscribe(receiver)
    EventFactory()
    Webhook.objects.update(failing_since=timezone.now() - timedelta(days=1))
    receiver.answer = lambda received: 500

    deliver_webhooks()

    webhook.refresh_from_db()
    assert (webhook.state, webhook.off_reason) == ("failed", sending.ALL_FAILED)


def test_receiver_that_is_gone_is_switched_off_at_once(receiver):
    webhook, _ = subscribe(receiver)
    EventFactory()
    receiver.answer = lambda received: 410

    deliver_webhooks()

    webhook.refresh_from_db()
    assert (webhook.state, webhook.off_reason) == ("failed", sending.WANTS_NO_MORE)


def test_webhook_that_was_off_goes_on_where_it_was(receiver):
    webhook, _ = subscribe(receiver)
    first = EventFactory()
    receiver.answer = lambda received: 500
    deliver_webhooks()
    switch_off(webhook)
    second = EventFactory()
    receiver.answer = lambda received: 200
    deliver_webhooks()
    assert len(receiver.requests) == 1

    switch_on(webhook, from_now_on=False)
    deliver_webhooks()

    # The changes of one event do not wait for those of another.
    assert sorted(receiver.told()[1:]) == [("event.opened", first.pk, 1), ("event.opened", second.pk, 1)]


def test_webhook_that_is_switched_on_from_now_on_passes_over_what_was(receiver):
    webhook, _ = subscribe(receiver)
    EventFactory()
    read_feed()
    switch_off(webhook)
    EventFactory()

    switch_on(webhook, from_now_on=True)
    later = EventFactory()
    deliver_webhooks()

    assert receiver.told() == [("event.opened", later.pk, 1)]
    assert states() == [("given_up", 0), ("sent", 1)]


def test_both_secrets_sign_until_the_former_one_ends(receiver):
    webhook, former = subscribe(receiver)
    secret = rotate_secret(webhook, overlap=timedelta(hours=1))
    EventFactory()
    deliver_webhooks()
    Webhook.objects.update(former_until=timezone.now())
    EventFactory()
    deliver_webhooks()

    both, one = receiver.requests
    assert both.headers["webhook-signature"].count("v1,") == 2
    assert both.is_signed_with(secret)
    assert both.is_signed_with(former)
    assert one.is_signed_with(secret)
    assert not one.is_signed_with(former)


def test_nothing_is_signed_with_another_secret_key(receiver, settings):
    subscribe(receiver)
    EventFactory()
    settings.SECRET_KEY = "another" * 8

    deliver_webhooks()

    assert receiver.requests == []
    assert WebhookMessage.objects.get().error.startswith("SECRET_KEY is not the one")


def test_ping_is_sent_once_also_to_a_webhook_that_is_off(receiver):
    webhook, secret = subscribe(receiver)
    switch_off(webhook)
    receiver.answer = lambda received: 500

    message = ping(webhook)
    deliver_webhooks()
    make_due()
    deliver_webhooks()

    [request] = receiver.requests
    assert request.content == {
        "type": "ping",
        "timestamp": request.content["timestamp"],
        "data": {"webhook": "Till"},
    }
    assert request.is_signed_with(secret)
    assert states() == [("given_up", 1)]
    assert message.log.get().status == 500
    webhook.refresh_from_db()
    assert (webhook.state, webhook.failing_since) == ("off", None)


def test_message_and_span_are_sent_again_under_the_same_identity(receiver):
    webhook, _ = subscribe(receiver)
    began = timezone.now()
    event = EventFactory()
    BookingFactory(event=event)
    deliver_webhooks()

    send_message_again(WebhookMessage.objects.get(kind="opened"))
    deliver_webhooks()
    number = send_span_again(webhook, since=began, until=timezone.now())
    before = send_span_again(webhook, since=began - timedelta(hours=1), until=began)
    deliver_webhooks()

    assert (number, before) == (2, 0)
    identities = [request.identity for request in receiver.requests]
    opened, booked = f"msg_{webhook.pk}_{event.pk}_1", f"msg_{webhook.pk}_{event.pk}_2"
    assert sorted(identities) == sorted([opened] * 3 + [booked] * 2)
    assert list(WebhookMessage.objects.order_by("pk").values_list("repeats", flat=True)) == [2, 1]


def test_receiver_that_hangs_holds_up_no_other(receiver):
    other = HttpReceiver()
    try:
        other.answer = slow(3)
        subscribe(other, name="Slow")
        subscribe(receiver, name="Fast")
        for _ in range(20):
            EventFactory()
        times = []
        receiver.answer = lambda received: times.append(time.monotonic()) or 200
        began = time.monotonic()

        deliver_webhooks()
    finally:
        other.stop()

    assert len(receiver.requests) == 20
    assert max(times) - began < 2.5


def test_two_that_read_at_once_make_each_message_once(receiver):
    subscribe(receiver)
    for _ in range(5):
        EventFactory()

    def read(_):
        try:
            return read_feed()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(8)))

    assert WebhookMessage.objects.count() == 5


def test_reading_that_is_interrupted_is_done_again_whole(receiver, monkeypatch):
    subscribe(receiver)
    for _ in range(3):
        EventFactory()
    moved = Webhook.objects.filter

    def fail(**chosen):
        if "pk__in" in chosen:
            raise RuntimeError
        return moved(**chosen)

    with monkeypatch.context() as patch:
        patch.setattr(Webhook.objects, "filter", fail)
        assert read_feed() is False
    assert WebhookMessage.objects.count() == 0

    deliver_webhooks()

    assert len(receiver.requests) == 3


def test_place_that_is_unknown_switches_off_and_tells_why(receiver):
    webhook, _ = subscribe(receiver)
    Webhook.objects.update(cursor_number=10**6)

    deliver_webhooks()

    webhook.refresh_from_db()
    assert (webhook.state, webhook.off_reason) == ("failed", feed.LOST_PLACE)


@pytest.mark.parametrize(
    ("status", "attempts", "reason"),
    [(410, 0, sending.WANTS_NO_MORE), (500, LEAST_ATTEMPTS - 1, sending.MESSAGE_FAILED), (500, 0, "")],
)
def test_failure_counts_although_another_message_is_taken_at_once(receiver, status, attempts, reason):
    webhook, _ = subscribe(receiver)
    EventFactory.create_batch(2)
    read_feed()
    now = timezone.now()
    WebhookMessage.objects.update(give_up_at=now, attempts=attempts)
    failed, taken = (draft.message for draft in sending.lease_drafts(webhook, limit=2))

    sending.record_outcomes(
        [sending.AttemptOutcome(failed, now, 1, status, ""), sending.AttemptOutcome(taken, now, 1, 200, "")]
    )

    webhook.refresh_from_db()
    assert (webhook.state, webhook.off_reason) == ("failed" if reason else "on", reason)


def test_ping_goes_before_what_waits(receiver):
    webhook, _ = subscribe(receiver)
    EventFactory.create_batch(2)
    read_feed()
    message = ping(webhook)

    leased = [draft.message for draft in sending.lease_drafts(webhook, limit=2)]

    assert leased[0] == message
    assert [one.kind for one in leased] == ["ping", "opened"]


def test_nothing_stays_leased_while_the_feed_cannot_be_read(receiver, monkeypatch):
    subscribe(receiver)
    EventFactory()
    read_feed()

    def fail():
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "read_feed", fail)
        deliver_webhooks()
    assert WebhookMessage.objects.get().lease is None

    deliver_webhooks()
    assert states() == [("sent", 1)]


def test_webhook_whose_messages_cannot_be_leased_holds_up_no_other(receiver, monkeypatch):
    webhooks = [subscribe(receiver, name=name)[0] for name in ("Till", "Door", "Hall")]
    EventFactory()
    lease_drafts = sending.lease_drafts

    def fail_for_one(webhook, **options):
        if webhook == webhooks[1]:
            raise RuntimeError
        return lease_drafts(webhook, **options)

    monkeypatch.setattr(delivery, "lease_drafts", fail_for_one)
    deliver_webhooks()

    assert len(receiver.requests) == 2
    assert WebhookMessage.objects.get(state="waiting").webhook == webhooks[1]


def test_receiver_that_fails_gets_fewer_messages():
    receiver = Receiver()
    assert receiver.room() == 8
    receiver.in_flight = 3
    assert receiver.room() == 5
    for _ in range(3):
        receiver.note(has_taken=False)
    receiver.in_flight = 0
    assert receiver.room() == 0
    receiver.paused_until = 0
    assert receiver.room() == 1
    receiver.in_flight = 1
    assert receiver.room() == 0
    receiver.note(has_taken=True)
    assert receiver.room() == 7


def test_draft_whose_lease_may_have_ended_is_not_sent(receiver):
    webhook, _ = subscribe(receiver)
    EventFactory()
    read_feed()
    [draft] = sending.lease_drafts(webhook, limit=5)

    assert asyncio.run(sending.send_draft(None, draft._replace(until=time.monotonic() - 1))) is None


def test_old_messages_are_pruned_with_their_attempts(receiver, settings):
    subscribe(receiver)
    EventFactory()
    deliver_webhooks()
    EventFactory()
    read_feed()
    assert has_expired(timezone.now()) is False
    WebhookMessage.objects.update(due_at=timezone.now() - timedelta(days=settings.WEBHOOK_DAYS))
    assert has_expired(timezone.now()) is True

    # The message and the attempt at it.
    assert prune()[2] == 2

    assert states() == [("waiting", 0)]
    assert not WebhookAttempt.objects.exists()


def test_webhooks_that_are_late_or_off_are_told(receiver):
    webhook, _ = subscribe(receiver)
    event = EventFactory()
    now = timezone.now()
    assert webhook_warnings() == []
    assert webhook_lag(now + timedelta(minutes=6)).unread_since == event.ledger.get().created_at

    read_feed()
    late = webhook_lag(now + timedelta(minutes=6))
    assert (late.unread_since, late.unsent_since) == (None, WebhookMessage.objects.get().due_at)

    Webhook.objects.update(state="failed")
    assert webhook_warnings() == ["webhooks: 1 webhook switched off after failures"]
    assert [one.pk for one in webhooks_in_trouble(5)] == [webhook.pk]


def test_webhook_that_is_behind_other_parts_of_the_feed_is_late(receiver):
    event = EventFactory()
    subscribe(receiver, from_beginning=True)
    BookingFactory(event=event)
    end_of_feed()

    lag = webhook_lag(timezone.now() + timedelta(minutes=6))

    assert lag.unread_since == event.ledger.get(sequence=1).created_at


def test_webhook_that_failed_for_a_while_needs_attention(receiver):
    webhook, _ = subscribe(receiver)
    Webhook.objects.update(failing_since=timezone.now() - timedelta(minutes=4))
    assert webhooks_in_trouble(5) == []
    Webhook.objects.update(failing_since=timezone.now() - timedelta(minutes=6))
    assert webhooks_in_trouble(5) == [webhook]
