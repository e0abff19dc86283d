"""The list of webhooks, the page of one with its messages, and the page of a message with the attempts at it."""

import json

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone

from bookings.admin.formatting import MAIL_TONES
from bookings.admin.webhooks.actions import (
    AddWebhook,
    EditWebhook,
    GiveUpMessage,
    RotateSecret,
    SendMessageAgain,
    SendPing,
    SendSpanAgain,
    SwitchOff,
    SwitchOn,
    kinds_in_words,
)
from bookings.models import Booking
from bookings.services.webhooks.feed import bodies_of
from bookings.webhooks import Webhook, WebhookMessage
from events.models import Event
from ticks.db.scanning import beside
from ticks.formatting import badge
from ticks.parsing import parse_id
from ticks.staff_actions import PageAdmin, action_view

PAGE_SIZE = 50
# A larger number of waiting messages is not counted.
MOST_COUNTED = 10_000
WEBHOOK_TONES = {Webhook.State.ON: "good", Webhook.State.OFF: "quiet", Webhook.State.FAILED: "bad"}


@admin.display(description="state")
def webhook_badge(webhook: Webhook) -> str:
    if webhook.state == Webhook.State.ON and webhook.failing_since:
        return badge("Failing", "bad")
    return badge(webhook.get_state_display(), WEBHOOK_TONES[webhook.state])


def message_badge(message: WebhookMessage) -> str:
    if message.state == WebhookMessage.State.WAITING and message.error:
        return badge("Failing", "bad")
    return badge(message.get_state_display(), MAIL_TONES[message.state])


@admin.register(Webhook)
class WebhookAdmin(PageAdmin):
    """All changes are actions of staff; Django's own form of a webhook is never shown."""

    page_prefix, page_template = "bookings_webhook", "bookings/admin/webhook.html"
    page_subjects = Webhook.objects.select_related("event")
    page_actions = [SendPing, EditWebhook, RotateSecret, SendSpanAgain, SwitchOn, SwitchOff]
    message_actions = [SendMessageAgain, GiveUpMessage]
    list_display = ["name", webhook_badge, "url", "of_event", "of_kinds"]
    list_select_related = ["event"]
    sortable_by = ()
    show_full_result_count = False

    def get_urls(self):
        wrap = self.admin_site.admin_view
        actions = [
            path(
                f"message/<str:pk>/{one.name}/",
                wrap(action_view(self, one)),
                name=f"bookings_webhook_message_{one.name}",
            )
            for one in self.message_actions
        ]
        return [
            path("add/", wrap(action_view(self, AddWebhook)), name="bookings_webhook_add"),
            *actions,
            path("message/<str:pk>/", wrap(self.message_view), name="bookings_webhook_message"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request):
        return request.user.has_perm(AddWebhook.permission)

    def has_change_permission(self, request, obj=None):
        return False

    def page_context(self, request, webhook):
        chosen = request.GET.get("state", "")
        chosen = chosen if chosen in WebhookMessage.State else ""
        messages, older = page_of(webhook, state=chosen, before=parse_id(request.GET.get("before", "")))
        waiting = webhook.messages.filter(state=WebhookMessage.State.WAITING)[: MOST_COUNTED + 1].count()
        is_former_valid = webhook.former_until is not None and timezone.now() < webhook.former_until
        return {
            "title": webhook.name,
            "webhook": webhook,
            "state": webhook_badge(webhook),
            "kinds": kinds_in_words(webhook.kinds),
            "waiting": f"more than {MOST_COUNTED:,}" if waiting > MOST_COUNTED else f"{waiting:,}",
            "former_until": webhook.former_until if is_former_valid else None,
            "rows": [(message, message_badge(message)) for message in messages],
            "older": older,
            "chosen": chosen,
            "states": [("", "All"), *WebhookMessage.State.choices],
        }

    def message_view(self, request, pk):
        """One message: what it says, and each attempt at it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        message = get_object_or_404(WebhookMessage.objects.select_related("webhook"), pk=parse_id(pk))
        is_booking = message.lane > 0
        # A body has the note of staff.
        body = bodies_of([message]).get(message.pk) if request.user.has_perm("bookings.view_ledgerentry") else None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": message.get_kind_display(),
            "message": message,
            "state": message_badge(message),
            "event": Event.objects.filter(pk=message.event_id).first(),
            "booking": Booking.objects.filter(pk=message.lane).first() if is_booking else None,
            "body": body and json.dumps(json.loads(body), indent=2, ensure_ascii=False),
            "attempts": message.log.order_by("-pk")[:PAGE_SIZE],
            "actions": [
                action
                for action in self.message_actions
                if request.user.has_perm(action.permission) and not action(request, message, self).closed_reason()
            ],
        }
        return TemplateResponse(request, "bookings/admin/webhook_message.html", context)

    @admin.display(description="event")
    def of_event(self, webhook: Webhook) -> str:
        return str(webhook.event or "all events")

    @admin.display(description="what is sent")
    def of_kinds(self, webhook: Webhook) -> str:
        return kinds_in_words(webhook.kinds)


def page_of(webhook: Webhook, *, state: str, before: int | None) -> tuple[list[WebhookMessage], WebhookMessage | None]:
    """The messages that were made last, or of one state those that were due last; with the one before which the next
    page begins. Each order is one of an index."""
    fixed, columns = (["-webhook_id", "-state"], ["-due_at", "-pk"]) if state else (["-webhook_id"], ["-pk"])
    # Each filter has a second value that no row has, so that MariaDB reads the index from the position on
    # (`BookingQuerySet`). What has one value in all rows stands first in the order, as in the index.
    rows = WebhookMessage.objects.filter(webhook__in=[webhook.pk, -1]).order_by(*fixed, *columns)
    rows = rows.filter(state__in=[state, ""]) if state else rows
    last = webhook.messages.filter(pk=before).first()
    at = last and [getattr(last, column.removeprefix("-")) for column in columns]
    found = list(beside(rows, columns, at, is_before=False)[: PAGE_SIZE + 1])
    return found[:PAGE_SIZE], found[PAGE_SIZE - 1] if len(found) > PAGE_SIZE else None
