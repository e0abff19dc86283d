"""The staff's pages of webhooks."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from bookings.services.webhooks.signing import secret_of, secrets_of
from bookings.services.webhooks.subscriptions import Terms, create_webhook, switch_off
from bookings.tests.admin.confirming import PERSONAS, as_persona, confirm, errors, fields_of, lines, look, said, url_of
from bookings.tests.factories import EventFactory
from bookings.webhooks import Webhook, WebhookAttempt, WebhookMessage

pytestmark = pytest.mark.django_db
ADD = "/admin/bookings/webhook/add/"
TYPED = {"name": "Till", "url": "https://till.example.org/hooks"}


@pytest.fixture
def webhook(db):
    return create_webhook(Terms("Till", "https://till.example.org/hooks", None, []))[0]


def make_message(webhook, **values):
    now = timezone.now()
    defaults = {"lane": 5, "event_id": 1, "sequence": 2, "kind": "booked", "due_at": now, "give_up_at": now}
    return WebhookMessage.objects.create(webhook=webhook, **{**defaults, **values})


def message_url(message, action=""):
    return f"/admin/bookings/webhook/message/{message.pk}/{f'{action}/' if action else ''}"


def preview_of_new(client, **typed):
    return client.post(ADD, fields_of(client.get(ADD)) | TYPED | typed)


def test_webhook_is_added_and_its_secret_shown_once(superuser_client):
    event = EventFactory(name="Gala")

    shown = preview_of_new(superuser_client, event="gala", kinds=["booked", "promoted"])
    assert lines(shown) == [
        "Changes at “Gala” are sent to https://till.example.org/hooks.",
        "What is sent: Booked, Promoted.",
        "It begins with what happens next.",
        "The next page shows the secret with which messages are signed, and only that page.",
    ]
    assert not Webhook.objects.exists()
    response = superuser_client.post(ADD, fields_of(shown) | {"kinds": ["booked", "promoted"], "confirm": "yes"})

    webhook = Webhook.objects.get()
    assert (webhook.name, webhook.url, webhook.event, webhook.kinds) == (
        "Till",
        "https://till.example.org/hooks",
        event,
        ["booked", "promoted"],
    )
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert re.findall(r"<pre>(whsec_[A-Za-z0-9+/]{43}=)</pre>", response.content.decode()) == [secret_of(webhook.nonce)]
    page = superuser_client.get(url_of(webhook))
    assert "whsec_" not in page.content.decode()
    assert secret_of(webhook.nonce) not in str(Webhook.objects.values())
    assert LogEntry.objects.get().change_message == "Added."


@pytest.mark.parametrize(
    ("typed", "field", "fault"),
    [
        ({"url": "http://till.example.org/"}, "url", "Write an address that begins with https://."),
        ({"url": "https://10.0.0.1/"}, "url", "This address is not public"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "url", "This address is not public"),
        ({"url": "https://user:word@till.example.org/"}, "url", "Leave the user and the password out"),
        ({"url": "https://till.example.org/#top"}, "url", "Leave out what follows the #."),
        ({"url": "https://"}, "url", "Write a whole address"),
        ({"url": "https://till.example.org:99999/"}, "url", "Write a whole address"),
        ({"name": ""}, "name", "This field is required."),
        ({"event": "Nothing"}, "event", "No event has this number"),
        ({"kinds": ["sold"]}, "kinds", "Select a valid choice."),
    ],
)
def test_wrong_webhook_is_refused(superuser_client, typed, field, fault):
    refused = errors(preview_of_new(superuser_client, **typed))

    assert list(refused) == [field]
    assert refused[field][0].startswith(fault)
    assert not Webhook.objects.exists()


def test_name_of_several_events_is_refused_with_their_numbers(superuser_client):
    first, second = (EventFactory(name=name) for name in ("Gala 100%s", "Late gala"))

    assert errors(preview_of_new(superuser_client, event="gala")) == {
        "event": [
            "Several events have this in their names; type the number of one: "
            f"{second.pk} (Late gala), {first.pk} (Gala 100%s)."
        ]
    }


def test_name_is_taken_once(superuser_client, webhook):
    assert errors(preview_of_new(superuser_client)) == {
        "name": ["There is a webhook of this name already; choose another name."]
    }


def test_page_shows_messages_and_what_was_answered(superuser_client, webhook):
    message = make_message(webhook, error="Answer 500")
    WebhookAttempt.objects.create(message=message, milliseconds=12, status=500, answer="<b>closed</b>")

    page = superuser_client.get(url_of(webhook)).content.decode()
    detail = superuser_client.get(message_url(message)).content.decode()

    assert "Answer 500" in page
    assert message_url(message) in page
    assert "&lt;b&gt;closed&lt;/b&gt;" in detail
    assert "12 ms" in detail


def test_long_list_of_messages_has_pages(superuser_client, webhook):
    for number in range(60):
        make_message(webhook, sequence=number + 1)

    first = superuser_client.get(url_of(webhook))
    older = superuser_client.get(f"{url_of(webhook)}?before={first.context['older'].pk}")
    waiting = superuser_client.get(f"{url_of(webhook)}?state=waiting")
    older_waiting = superuser_client.get(f"{url_of(webhook)}?state=waiting&before={waiting.context['older'].pk}")

    for page, rest in ((first, older), (waiting, older_waiting)):
        shown = [message.sequence for response in (page, rest) for message, _ in response.context["rows"]]
        assert shown == list(range(60, 0, -1))
        assert rest.context["older"] is None
    assert list(superuser_client.get(f"{url_of(webhook)}?state=sent").context["rows"]) == []


def test_edit_changes_what_is_told(superuser_client, webhook):
    shown = look(superuser_client, webhook, "edit", url="https://other.example.org/")
    confirm(superuser_client, webhook, "edit", shown)

    webhook.refresh_from_db()
    assert webhook.url == "https://other.example.org/"


def test_new_secret_leaves_the_former_one_for_a_while(superuser_client, webhook):
    former = secret_of(webhook.nonce)
    shown = look(superuser_client, webhook, "rotate")

    response = superuser_client.post(url_of(webhook, "rotate"), fields_of(shown) | {"confirm": "yes"})

    webhook.refresh_from_db()
    now = timezone.now()
    assert secrets_of(webhook, now=now) == [secret_of(webhook.nonce), former]
    assert secrets_of(webhook, now=now + timedelta(days=1)) == [secret_of(webhook.nonce)]
    assert secret_of(webhook.nonce) in response.content.decode()
    assert former not in response.content.decode()
    # The same page a second time makes no other secret.
    again = superuser_client.post(url_of(webhook, "rotate"), fields_of(shown) | {"confirm": "yes"})
    assert "whsec_" not in again.content.decode()
    assert lines(again)


def test_new_secret_at_once_ends_the_former_one(superuser_client, webhook):
    shown = look(superuser_client, webhook, "rotate", overlap="0")
    superuser_client.post(url_of(webhook, "rotate"), fields_of(shown) | {"confirm": "yes"})

    webhook.refresh_from_db()
    assert secrets_of(webhook, now=timezone.now()) == [secret_of(webhook.nonce)]


def test_webhook_is_switched_off_and_on(superuser_client, webhook):
    make_message(webhook)
    confirm(superuser_client, webhook, "off", superuser_client.get(url_of(webhook, "off")))
    webhook.refresh_from_db()
    assert webhook.state == "off"

    shown = look(superuser_client, webhook, "on", start="now")
    report = confirm(superuser_client, webhook, "on", shown)

    webhook.refresh_from_db()
    assert said(report) == ["Till is on."]
    assert webhook.state == "on"
    assert WebhookMessage.objects.get().state == "given_up"


def test_test_message_waits_to_be_sent(superuser_client, webhook):
    report = confirm(superuser_client, webhook, "ping", superuser_client.get(url_of(webhook, "ping")))

    message = WebhookMessage.objects.get()
    assert (message.kind, message.state) == ("ping", "waiting")
    assert report.redirect_chain[-1][0] == message_url(message)


def test_messages_are_sent_again(superuser_client, webhook):
    message = make_message(webhook, state="sent", sent_at=timezone.now())
    span = {"since": "2020-01-01T00:00", "until": "2090-01-01T00:00"}

    shown = look(superuser_client, webhook, "replay", **span)
    assert lines(shown)[0] == "1 message of this span is sent again, in order for each booking."
    confirm(superuser_client, webhook, "replay", shown)

    message.refresh_from_db()
    assert (message.state, message.sent_at, message.repeats) == ("waiting", None, 1)
    refused = errors(look(superuser_client, webhook, "replay", **span))
    assert refused == {"since": ["No message was made in this span, or all of them wait already."]}


def test_one_message_is_given_up_and_sent_again(superuser_client, webhook):
    message = make_message(webhook)
    for action, state in (("drop", "given_up"), ("again", "waiting")):
        shown = superuser_client.get(message_url(message, action))
        superuser_client.post(message_url(message, action), fields_of(shown) | {"confirm": "yes"})
        message.refresh_from_db()
        assert message.state == state


def test_message_that_is_being_sent_is_left_alone(superuser_client, webhook):
    message = make_message(webhook, lease="0" * 32)
    shown = superuser_client.get(message_url(message, "again"))

    refused = superuser_client.post(message_url(message, "again"), fields_of(shown) | {"confirm": "yes"})

    assert errors(refused) == {"__all__": ["This message is being sent at the moment; look again in a few seconds."]}


def test_first_page_names_webhooks_that_were_switched_off(superuser_client, webhook):
    switch_off(webhook)
    assert "Webhook off" not in superuser_client.get("/admin/").content.decode()
    Webhook.objects.update(state="failed", off_reason="One message failed for a day.")

    page = superuser_client.get("/admin/").content.decode()

    assert "Webhook off" in page
    assert f'<a href="{url_of(webhook)}">Till</a>: One message failed for a day.' in page


@pytest.mark.parametrize("name", PERSONAS)
def test_only_managers_see_and_change_webhooks(client, webhook, name):
    message = make_message(webhook)
    may = name in ("superuser", "manager")
    client = as_persona(client, name)
    addresses = [
        "/admin/bookings/webhook/",
        ADD,
        url_of(webhook),
        *(url_of(webhook, action) for action in ("edit", "rotate", "off", "ping", "replay")),
        *(message_url(message, action) for action in ("", "again", "drop")),
    ]

    statuses = {client.get(address).status_code for address in addresses}

    assert statuses == {200} if may else statuses <= {302, 403}
