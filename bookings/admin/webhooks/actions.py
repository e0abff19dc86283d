"""The actions of staff on webhooks and their messages."""

from dataclasses import dataclass

from django.template.response import TemplateResponse
from django.urls import reverse

from bookings.admin.formatting import webhook_url
from bookings.admin.webhooks.forms import AddWebhookForm, RotateForm, SpanForm, SwitchOnForm, TermsForm
from bookings.enums import LedgerKind
from bookings.exceptions import WebhookNameTaken
from bookings.services.webhooks.subscriptions import (
    Terms,
    change_webhook,
    create_webhook,
    give_up,
    messages_of_span,
    ping,
    rotate_secret,
    send_message_again,
    send_span_again,
    switch_off,
    switch_on,
)
from bookings.webhooks import Webhook, WebhookMessage
from ticks.actions import Preview, Report
from ticks.exceptions import Refusal
from ticks.formatting import counted, exact_time
from ticks.staff_actions import StaffAction

# A longer span is sent again in parts.
MOST_REPEATED = 100_000


def message_url(message_id: int) -> str:
    return reverse("admin:bookings_webhook_message", args=[message_id])


def kinds_in_words(kinds: list[str]) -> str:
    return ", ".join(LedgerKind(kind).label for kind in kinds) or "everything"


def terms_in_words(terms: Terms) -> list[str]:
    where = f"at “{terms.event}”" if terms.event else "at all events"
    return [f"Changes {where} are sent to {terms.url}.", f"What is sent: {kinds_in_words(terms.kinds)}."]


@dataclass(slots=True)
class SecretReport(Report):
    """The report with a new secret. Its page is the answer itself, so that no session and no cookie keeps it."""

    secret: str = ""
    webhook: Webhook | None = None


class WebhookAction(StaffAction):
    subjects = Webhook.objects.select_related("event")
    permission = "bookings.manage_webhook"

    def address(self):
        return webhook_url(self.subject.pk)

    def log(self, webhook: Webhook, text: str) -> None:
        self.model_admin.log_change(self.request, webhook, text)

    def finish(self, report):
        if not isinstance(report, SecretReport):
            return super().finish(report)
        context = {
            **self.model_admin.admin_site.each_context(self.request),
            "title": "The secret",
            "opts": self.model_admin.opts,
            "webhook": report.webhook,
            "secret": report.secret,
            "lines": report.lines,
        }
        return TemplateResponse(self.request, "bookings/admin/webhook_secret.html", context)


class AddWebhook(WebhookAction):
    name, title, button = "add", "Add webhook", "Add webhook"
    subjects = None
    form_class = AddWebhookForm

    def address(self):
        return StaffAction.address(self)

    def initial(self):
        return {"start": AddWebhookForm.NOW}

    def preview(self, form):
        if Webhook.objects.filter(name=form.cleaned_data["name"]).exists():
            raise WebhookNameTaken
        is_all = form.cleaned_data["start"] == AddWebhookForm.BEGINNING
        lines = terms_in_words(form.terms())
        lines.append("It begins with the first entry of the ledger." if is_all else "It begins with what happens next.")
        return Preview([*lines, "The next page shows the secret with which messages are signed, and only that page."])

    def carry_out(self, form):
        webhook, secret = create_webhook(
            form.terms(), from_beginning=form.cleaned_data["start"] == AddWebhookForm.BEGINNING
        )
        self.model_admin.log_addition(self.request, webhook, "Added.")
        return SecretReport([f"{webhook} is added, and is told what happens."], secret=secret, webhook=webhook)


class EditWebhook(WebhookAction):
    name, title, button = "edit", "Edit", "Save"
    form_class = TermsForm

    def initial(self):
        webhook = self.subject
        values = {name: getattr(webhook, name) for name in Terms._fields}
        return {**values, "event": webhook.event_id or ""}

    def preview(self, form):
        terms = form.terms()
        if Webhook.objects.filter(name=terms.name).exclude(pk=self.subject.pk).exists():
            raise WebhookNameTaken
        return Preview([*terms_in_words(terms), "Messages that wait are sent to this address as well."])

    def carry_out(self, form):
        change_webhook(self.subject, form.terms())
        self.log(self.subject, f"Edited. {' '.join(terms_in_words(form.terms()))}")
        return Report([f"Saved {self.subject}."])


class RotateSecret(WebhookAction):
    name, title, button = "rotate", "New secret", "Make a new secret"
    form_class = RotateForm

    def initial(self):
        return {"overlap": 24 * 60}

    def preview(self, form):
        length = form.length()
        lines = ["The next page shows a new secret, and only that page."]
        if length:
            lines.append("Messages are signed with both secrets until the former one ends.")
        else:
            lines.append("The receiver refuses all messages until it has the new secret. They wait meanwhile.")
        # A page that is sent twice must not make two secrets, of which the first would be shown to nobody.
        return Preview(lines, fingerprint=self.subject.secret_digest)

    def carry_out(self, form):
        secret = rotate_secret(self.subject, overlap=form.length())
        self.log(self.subject, "Made a new secret.")
        until = self.subject.former_until
        line = f"The former secret ends on {exact_time(until)}." if until else "The former secret has ended."
        return SecretReport([line], secret=secret, webhook=self.subject)


class SendPing(WebhookAction):
    name, title, button = "ping", "Send a test", "Send the test"
    previews_at_once = True

    def preview(self, form):
        return Preview([f"A message of the type “ping” is sent to {self.subject.url}, once."])

    def carry_out(self, form):
        message = ping(self.subject)
        line = "The test is sent within seconds; load this page again to see the answer."
        return Report([line], message_url(message.pk))


class SwitchOn(WebhookAction):
    name, title, button = "on", "Switch on", "Switch on"
    form_class = SwitchOnForm

    def closed_reason(self):
        return "This webhook is on." if self.subject.state == Webhook.State.ON else None

    def initial(self):
        return {"start": SwitchOnForm.WHERE_IT_WAS}

    def preview(self, form):
        if form.cleaned_data["start"] == SwitchOnForm.NOW:
            return Preview(["What has happened since, and what waits, is not sent. The log keeps what waits."])
        return Preview(["It goes on where it was switched off, and misses nothing."])

    def carry_out(self, form):
        switch_on(self.subject, from_now_on=form.cleaned_data["start"] == SwitchOnForm.NOW)
        self.log(self.subject, "Switched on.")
        return Report([f"{self.subject} is on."])


class SwitchOff(WebhookAction):
    name, title, button = "off", "Switch off", "Switch off"
    is_dangerous = True
    previews_at_once = True

    def closed_reason(self):
        return None if self.subject.state == Webhook.State.ON else "This webhook is off."

    def preview(self, form):
        return Preview(["Nothing more is sent. When it is switched on, it can go on where it was."])

    def carry_out(self, form):
        switch_off(self.subject)
        self.log(self.subject, "Switched off.")
        return Report([f"{self.subject} is off."])


class SendSpanAgain(WebhookAction):
    name, title, button = "replay", "Send a span again", "Send them again"
    form_class = SpanForm

    def span(self, form) -> dict:
        return {"since": form.cleaned_data["since"], "until": form.cleaned_data["until"]}

    def preview(self, form):
        number = messages_of_span(self.subject, **self.span(form))[: MOST_REPEATED + 1].count()
        if number > MOST_REPEATED:
            raise Refusal(f"These are more than {MOST_REPEATED:,} messages; choose a shorter span.", field="until")
        if not number:
            raise Refusal("No message was made in this span, or all of them wait already.", field="since")
        lines = [
            f"{counted(number, 'message')} of this span {'is' if number == 1 else 'are'} sent again, in order for each "
            "booking.",
            "Each keeps its webhook-id, by which the receiver can tell that it has it already.",
        ]
        return Preview(lines, fingerprint=number)

    def carry_out(self, form):
        number = send_span_again(self.subject, **self.span(form))
        self.log(self.subject, f"Sent {counted(number, 'message')} again.")
        return Report([f"{counted(number, 'message')} {'is' if number == 1 else 'are'} sent again."])


class MessageAction(WebhookAction):
    subjects = WebhookMessage.objects.select_related("webhook")
    previews_at_once = True

    def address(self):
        return message_url(self.subject.pk)

    def subject_name(self):
        return f"{self.subject.get_kind_display()}, {self.subject.identity}"


class SendMessageAgain(MessageAction):
    name, title, button = "again", "Send again", "Send again"

    def preview(self, form):
        lines = [f"It is sent to {self.subject.webhook.url} at once, with the same webhook-id."]
        if self.subject.webhook.state != Webhook.State.ON:
            lines.append("The webhook is off, so it waits until that is switched on.")
        return Preview(lines)

    def carry_out(self, form):
        send_message_again(self.subject)
        self.log(self.subject.webhook, f"Sent {self.subject.identity} again.")
        return Report(["It is sent within seconds; load this page again to see the answer."])


class GiveUpMessage(MessageAction):
    name, title, button = "drop", "Give up", "Give up"
    is_dangerous = True

    def closed_reason(self):
        return None if self.subject.state == WebhookMessage.State.WAITING else "This message does not wait."

    def preview(self, form):
        return Preview(["It is not sent any more, and later messages of the booking no longer wait for it."])

    def carry_out(self, form):
        give_up(self.subject)
        self.log(self.subject.webhook, f"Gave up {self.subject.identity}.")
        return Report(["The message is given up."])
