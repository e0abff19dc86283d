"""API keys on the staff's site: their list, making one, and revoking it.

They stand here and not in `accounts`, since a key may be limited to events."""

from datetime import timedelta

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from rest_framework_api_key.models import APIKey

from accounts.api_keys import draw_prefix, make_api_key, revoke_api_key
from accounts.exceptions import ApiKeyRevoked
from accounts.models import ApiKey, Scope, User
from bookings.admin.fields import MomentField
from events.models import Event
from ticks.actions import ActionForm, Preview, Report
from ticks.formatting import ago, badge, counted, exact_time, time_tag, usual_zone
from ticks.forms import LineField
from ticks.parsing import parse_id
from ticks.staff_actions import PageAdmin, StaffAction, action_view

MAX_EVENTS = 100
PROPOSED_DAYS = 365
EVENTS_HELP = (
    f"The numbers of the only events that the key reaches, with commas, at most {MAX_EVENTS}. An event's number is in "
    "the address of its page. Empty: all events, later ones too."
)
# The library's page would make keys that nothing knows.
admin.site.unregister(APIKey)


def key_url(key: ApiKey) -> str:
    return reverse("admin:accounts_apikey_page", args=[key.pk])


def may_make_keys(user: User) -> bool:
    """Keys may do what admins of the API may, so only those may give them away."""
    return user.has_perm("accounts.add_apikey") and (user.is_staff or user.is_superuser)


class MakeKeyForm(ActionForm):
    # It is drawn with the page, so that a page that is sent twice makes one key.
    prefix = forms.CharField(min_length=8, max_length=8, widget=forms.HiddenInput)
    name = LineField(label="Name", max_length=50, help_text="Whose key it is, such as “Till at the door”.")
    scopes = forms.MultipleChoiceField(
        label="What it may do", choices=Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    events = forms.CharField(label="Only these events", max_length=2000, required=False, help_text=EVENTS_HELP)
    expires = MomentField(label="Expires", required=False)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        expires, zone = self.fields["expires"], usual_zone()
        expires.zone, expires.help_text = zone, f"As clocks in {zone} show it. Empty: it never expires."

    def clean_prefix(self) -> str:
        prefix = self.cleaned_data["prefix"]
        if not (prefix.isascii() and prefix.isalnum()):
            raise ValidationError("Load this page again.")
        return prefix

    def clean_events(self) -> list[Event] | None:
        texts = self.cleaned_data["events"].replace(",", " ").split()
        if not texts:
            return None
        ids = {parse_id(text.removeprefix("#")) for text in texts}
        if len(ids) > MAX_EVENTS:
            raise ValidationError(f"Name at most {MAX_EVENTS} events.")
        events = list(Event.objects.standing().filter(pk__in=ids - {None}).order_by("pk"))
        if len(events) < len(ids):
            known = {event.pk for event in events}
            unknown = next(text for text in texts if parse_id(text.removeprefix("#")) not in known)
            raise ValidationError(f"No event has the number {unknown}.")
        return events

    def clean_expires(self):
        expires = self.cleaned_data["expires"]
        if expires and expires <= timezone.now():
            raise ValidationError("Choose a time that lies ahead, or leave it empty.")
        return expires


class MakeKey(StaffAction):
    name, title, button = "add", "Add API key", "Add the key"
    permission = "accounts.add_apikey"
    form_class = MakeKeyForm
    # The key and its text, once it is made.
    made: tuple[ApiKey, str] | None = None

    def respond(self):
        if not may_make_keys(self.request.user):
            raise PermissionDenied
        return super().respond()

    def initial(self):
        return {"prefix": draw_prefix(), "expires": timezone.now() + timedelta(days=PROPOSED_DAYS)}

    def earlier_report(self, form):
        key = ApiKey.objects.filter(prefix=form.cleaned_data["prefix"]).first()
        if key is None:
            return None
        line = (
            f"This page has made the key {key} already, and showed it then. If it is lost, revoke it and make another."
        )
        return Report([line], key_url(key), messages.WARNING)

    def preview(self, form):
        fields = form.cleaned_data
        events, expires = fields["events"], fields["expires"]
        lines = [f"“{fields['name']}” may: {Scope(scope).label}." for scope in fields["scopes"]]
        if events is None:
            lines.append("It reaches all events, and those that are made later.")
        else:
            names = ", ".join(f"{event} ({event.pk})" for event in events)
            lines.append(f"It reaches only {counted(len(events), 'event')}: {names}.")
            if Scope.EVENTS_WRITE in fields["scopes"]:
                lines.append("It cannot create events, since it is limited to some.")
        lines.append(f"It expires on {exact_time(expires)}." if expires else "It never expires.")
        lines.append("The next page shows the key once. Ticks stores only its hash.")
        return Preview(lines)

    def carry_out(self, form):
        fields = form.cleaned_data
        event_ids = None if fields["events"] is None else [event.pk for event in fields["events"]]
        try:
            self.made = make_api_key(
                name=fields["name"],
                scopes=fields["scopes"],
                event_ids=event_ids,
                expires_at=fields["expires"],
                prefix=fields["prefix"],
                actor=self.request.user,
            )
        except IntegrityError:
            # The same page was confirmed twice at one moment.
            if report := self.earlier_report(form):
                return report
            raise
        LogEntry.objects.log_actions(self.request.user.pk, [self.made[0]], ADDITION, "Made.")
        return Report()

    def finish(self, report):
        if self.made is None:
            return super().finish(report)
        # There is no redirect, since the text would have to be stored for the next request.
        key, text = self.made
        context = {
            **self.model_admin.admin_site.each_context(self.request),
            "opts": self.model_admin.opts,
            "title": f"API key {key}",
            "key": key,
            "text": text,
            "address": key_url(key),
        }
        return TemplateResponse(self.request, "bookings/admin/api_key_made.html", context)


class RevokeKey(StaffAction):
    name, title, button = "revoke", "Revoke", "Revoke the key"
    permission = "accounts.revoke_apikey"
    subjects = ApiKey.objects.select_related("account")
    is_dangerous = True
    previews_at_once = True

    def address(self):
        return key_url(self.subject)

    def closed_reason(self):
        return ApiKeyRevoked.message if self.subject.revoked else None

    def preview(self, form):
        used = self.subject.last_used_at
        return Preview(
            [
                f"{self.subject} ends for good. Requests with it are refused from then on (401).",
                f"It was last used on {exact_time(used)}." if used else "It was never used.",
                "What was done with it stays as it is.",
            ]
        )

    def carry_out(self, form):
        revoke_api_key(self.subject)
        self.model_admin.log_change(self.request, self.subject, "Revoked.")
        return Report([f"{self.subject} is revoked."])


@admin.register(ApiKey)
class ApiKeyAdmin(PageAdmin):
    """What a key may do never changes, so there is no form for that."""

    page_prefix, page_template = "accounts_apikey", "bookings/admin/api_key.html"
    page_subjects = ApiKey.objects.select_related("account", "created_by")
    page_actions = [RevokeKey]
    list_display = ["name", "beginning", "state", "may", "reach", "last_used", "expires"]
    list_display_links = ["name"]
    sortable_by = ()
    search_fields = ["name", "prefix"]
    search_help_text = "Name or start of key"
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request):
        return may_make_keys(request.user)

    def has_change_permission(self, request, obj=None):
        return False

    def get_urls(self):
        add = self.admin_site.admin_view(action_view(self, MakeKey))
        return [path("add/", add, name="accounts_apikey_add"), *super().get_urls()]

    def page_context(self, request, key):
        events = Event.objects.filter(pk__in=key.event_ids or []).order_by("pk")
        scopes = [(scope, Scope(scope).label) for scope in key.scopes]
        return {"title": f"API key {key}", "key": key, "state": self.state(key), "scopes": scopes, "events": events}

    @admin.display(description="begins with")
    def beginning(self, key: ApiKey) -> str:
        return key.prefix

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked:
            return badge("Revoked", "bad")
        return badge("Expired", "warn") if key.has_expired else badge("Valid", "good")

    @admin.display(description="may")
    def may(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="events")
    def reach(self, key: ApiKey) -> str:
        return "all events" if key.event_ids is None else counted(len(key.event_ids), "event")

    @admin.display(description="last used")
    def last_used(self, key: ApiKey) -> str:
        return format_html("used {}", ago(key.last_used_at)) if key.last_used_at else "never used"

    @admin.display(description="expires")
    def expires(self, key: ApiKey) -> str:
        return format_html("until {}", time_tag(key.expiry_date)) if key.expiry_date else "never expires"
