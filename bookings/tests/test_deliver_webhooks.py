"""Webhooks sent by `manage.py deliver`, started as an operator starts it, to a real receiver."""

import os
import signal
import ssl
import subprocess
import threading
from collections import defaultdict

import pytest
from django.utils import timezone

from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import by_mail
from bookings.tests.receiver import Receiver, slow, subscribe
from bookings.tests.test_deliver import output_of
from bookings.webhooks import WebhookMessage
from ticks.public_urls import PRIVATE
from ticks.tests.served import TIMEOUT_SECONDS, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
# In these tests nobody is told by mail.
ALLOWED = {"WEBHOOK_ALLOW_PRIVATE": "on", "EMAIL_URL": ""}


def are_sent(count):
    return lambda: WebhookMessage.objects.filter(state="sent").count() == count


def sequences_by_lane(receiver) -> dict[tuple, list[int]]:
    """The sequences of each booking in the order in which they came for the first time."""
    lanes = defaultdict(list)
    for request in receiver.requests:
        content = request.content["data"]
        lane = lanes[content["eventId"], content["bookingId"]]
        if content["sequence"] not in lane:
            lane.append(content["sequence"])
    return lanes


def certificate(folder, *, name: str):
    """A certificate of its own for this name, with its key."""
    files = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-out", str(files[0]), "-keyout", str(files[1]), *subject]
    subprocess.run(command, check=True, capture_output=True)
    return files


def test_deliver_tells_webhooks_until_it_is_stopped(deliver, receiver):
    _, secret = subscribe(receiver)
    process = deliver(**ALLOWED)
    booking = BookingFactory(event=EventFactory(), tickets=2)
    cancel_tickets(booking, tickets=1, actor=booking.user)
    wait_until(are_sent(3))
    process.send_signal(signal.SIGTERM)

    assert output_of(process)[0] == 0
    assert sorted(told[0] for told in receiver.told()) == ["booking.booked", "booking.reduced", "event.opened"]
    assert all(request.is_signed_with(secret) for request in receiver.requests)


def test_once_sends_what_there_is_and_ends(deliver, receiver):
    subscribe(receiver)
    BookingFactory(event=EventFactory())

    code, said = output_of(deliver("--once", **ALLOWED))

    assert code == 0
    assert said.endswith("Sent 2 messages to webhooks.\n")


def test_nothing_goes_to_private_addresses_without_the_setting(deliver, receiver, tmp_path):
    receiver.url = receiver.url.replace("http:", "https:")
    webhook, _ = subscribe(receiver)
    EventFactory()

    assert output_of(deliver("--once", EMAIL_URL=""))[0] == 0

    assert receiver.requests == []
    assert WebhookMessage.objects.get().error == PRIVATE
    logged = (tmp_path / "logs" / "combined.log").read_text()
    assert receiver.url not in logged
    assert webhook.nonce not in logged


@pytest.mark.parametrize(("name", "is_right"), [("localhost", True), ("other.example.org", False)])
def test_certificate_must_be_the_names_own(deliver, receiver, tmp_path, name, is_right):
    files = certificate(tmp_path, name=name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    secure = Receiver(context)
    subscribe(secure)
    EventFactory()

    code, _ = output_of(deliver("--once", SSL_CERT_FILE=str(files[0]), **ALLOWED))
    secure.stop()

    assert code == 0
    assert len(secure.requests) == int(is_right)
    message = WebhookMessage.objects.get()
    assert message.state == ("sent" if is_right else "waiting")
    assert ("certificate" in message.error) is not is_right


def test_mail_server_that_hangs_holds_up_no_webhook(deliver, receiver, mail_server):
    mail_server.on_mail = lambda: threading.Event().wait(4)
    subscribe(receiver)
    process = deliver(**{**ALLOWED, **by_mail(mail_server)})
    BookingFactory(event=EventFactory())
    wait_until(lambda: mail_server.mails)
    mails = len(mail_server.mails)
    EventFactory()
    wait_until(are_sent(3), seconds=3)

    assert len(mail_server.mails) == mails
    process.kill()


def test_receiver_that_hangs_holds_up_no_mail(deliver, receiver, mail_server):
    receiver.answer = slow(30)
    subscribe(receiver)
    process = deliver(**{**ALLOWED, **by_mail(mail_server)})
    for _ in range(3):
        BookingFactory()
    wait_until(lambda: len(mail_server.mails) == 3, seconds=8)

    assert not WebhookMessage.objects.filter(state="sent").exists()
    process.kill()


@pytest.mark.mariadb
def test_two_processes_at_once_send_nothing_twice(deliver, receiver):
    subscribe(receiver)
    event = EventFactory(total_tickets=1000)
    processes = [deliver(**ALLOWED) for _ in range(2)]
    bookings = [BookingFactory(event=event, tickets=2) for _ in range(60)]
    for booking in bookings:
        cancel_tickets(booking, tickets=1, actor=booking.user)
    wait_until(are_sent(121), seconds=60)
    for process in processes:
        process.send_signal(signal.SIGTERM)

    assert [output_of(process)[0] for process in processes] == [0, 0]
    assert len(receiver.requests) == 121
    assert all(lane == sorted(lane) for lane in sequences_by_lane(receiver).values())


def test_killed_before_it_records_sends_again_under_the_same_identity(deliver, receiver):
    event = EventFactory(total_tickets=100)
    subscribe(receiver)
    bookings = [BookingFactory(event=event, tickets=2) for _ in range(10)]
    for booking in bookings:
        cancel_tickets(booking, tickets=1, actor=booking.user)
    killed = threading.Event()

    def answer(received):
        # The message is taken, and the process learns of it no more.
        if len(receiver.requests) >= 5 and not killed.is_set():
            killed.set()
            os.kill(process.pid, signal.SIGKILL)
        return 200

    receiver.answer = answer
    process = deliver(**ALLOWED)
    assert killed.wait(TIMEOUT_SECONDS)
    process.wait(TIMEOUT_SECONDS)
    # The leases of the dead process end.
    WebhookMessage.objects.filter(state="waiting").update(due_at=timezone.now())

    assert output_of(deliver("--once", **ALLOWED))[0] == 0

    identities = [request.identity for request in receiver.requests]
    assert len(set(identities)) == 20
    assert 20 < len(identities) <= 20 + 8
    assert all(len(lane) == 2 and lane == sorted(lane) for lane in sequences_by_lane(receiver).values())
