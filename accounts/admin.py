"""The staff's pages of accounts: their list, their form, and ending their logins."""

import json

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Q
from django.urls import path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join

from accounts.exceptions import LoginsKept
from accounts.forms import AccountPasswordForm, InvitationForm
from accounts.links import invite, undelivered_invitation
from accounts.mails import queue_mail
from accounts.models import AccountMail, User, username_key
from accounts.services import Logins, end_logins, end_sessions, logins_of, may_end_logins, note_new_email
from ticks.actions import Preview, Report
from ticks.db.fields import ExactEmailField
from ticks.formatting import ago, counted
from ticks.forms import EmailField, LineField
from ticks.languages import language_name
from ticks.parsing import find, parse_id
from ticks.staff_actions import SelectionAction, SelectionActions, StaffAction, action_view
from ticks.text import normalise_email

DEACTIVATE = (
    "Accounts are never deleted, since bookings and the ledger name them: take away “Active” instead. "
    "That ends all their logins at once."
)
NEXT = "The person's name and their roles follow once the user is saved."
INVITED = (
    "The person gets a mail with a link, and chooses a password with it. The link is good for an hour, and once; you "
    "can send another one from the user's page. "
) + NEXT
BY_HAND = (
    "This installation sends no mails (EMAIL_URL is not set), so you set a password here, and tell it to the person. "
    "With a mail server you would invite the person by mail. "
) + NEXT
HELP_TEXTS = {
    "language": "The language of mails to the account and about its bookings.",
    "is_active": "If this is off, nobody can log in with this account.",
    "is_staff": (
        "This account manages events and bookings through the API, and may log in here. "
        "Its roles say what it may do here."
    ),
    "groups": "What the account may do on this site. You can give and take roles that can do no more than you can.",
}
# Only a superuser may give these. A manager may give roles.
POWERS = ["is_staff", "is_superuser", "user_permissions"]


class EndLoginsOfSelection(SelectionAction):
    name, title, button = "end_logins", "End all logins", "End all logins"
    choice = "End all logins of selected users …"
    permission = "accounts.end_logins"
    subjects = User.objects.order_by("username_key")
    thing, limit = "user", 100

    def preview(self, form):
        may_end = [may_end_logins(self.request.user, account) for account in self.subject]
        if not any(may_end):
            raise LoginsKept
        logins = logins_of(self.subject)
        lines = [self.described(account, logins[account.pk]) for account in self.subject]
        lines += [
            "All of these end at once, and everybody who uses one must log in again. It cannot be undone.",
            "The password stays: to keep out somebody who knows it, set a new one as well, or take away “Active”.",
        ]
        if self.request.user in self.subject:
            lines.append("This browser is among them: you will have to log in again.")
        # Logins that begin or end in between are no reason to ask again: all of them end.
        return Preview(lines, fingerprint=may_end)

    def described(self, account: User, logins: Logins) -> str:
        if not may_end_logins(self.request.user, account):
            return f"{account} stays logged in: only a superuser may end the logins of a superuser."
        name = f" ({account.get_full_name()})" if account.get_full_name() else ""
        return f"{account}{name}: {logins}"

    def carry_out_on(self, row, form):
        logins = end_logins(row, actor=self.request.user)
        self.model_admin.log_change(self.request, row, f"Ended all logins: {logins}.")
        return row, logins

    def summary(self, results, already):
        if not results:
            return []
        whose = str(results[0][0]) if len(results) == 1 else counted(len(results), self.thing)
        browsers, tokens = (sum(getattr(one, name) for _, one in results) for name in ("browsers", "tokens"))
        return [f"Ended all logins of {whose}: {Logins(browsers=browsers, tokens=tokens)}."]


class EndLogins(EndLoginsOfSelection):
    """The same action for the account of a page."""

    def __init__(self, request, subject, model_admin):
        super().__init__(request, [subject], model_admin)

    def respond(self):
        if not may_end_logins(self.request.user, self.subject[0]):
            raise PermissionDenied
        return super().respond()

    def address(self):
        return reverse("admin:accounts_user_change", args=[self.subject[0].pk])


class InviteAgain(StaffAction):
    name, title, button = "invite", "Send the invitation again", "Send the mail"
    permission = "accounts.change_user"
    subjects = User.objects
    previews_at_once = True

    def respond(self):
        if not self.model_admin.has_change_permission(self.request, self.subject):
            raise PermissionDenied
        return super().respond()

    def address(self):
        return reverse("admin:accounts_user_change", args=[self.subject.pk])

    def closed_reason(self):
        return None if can_be_invited(self.subject) else "Only a user who has an address and no password is invited."

    def preview(self, form):
        text = f"{self.subject.email} gets a mail with a link that sets the password. It is good for an hour, and once."
        return Preview([text], fingerprint=self.subject.email)

    def carry_out(self, form):
        invite(self.subject)
        self.model_admin.log_change(self.request, self.subject, "Invited again.")
        return Report([f"The mail to {self.subject.email} is on its way."])


class RoleFilter(admin.RelatedFieldListFilter):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.title = "role"


@admin.register(User)
class AccountAdmin(SelectionActions, UserAdmin):
    change_form_template = "accounts/admin/account.html"
    selection_actions = [EndLoginsOfSelection]
    list_display = ["username", "full_name", "roles", "email", "last_seen", "is_active", "joined"]
    empty_value_display = ""
    list_filter = [("groups", RoleFilter), "is_staff", "is_active", "date_joined"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-pk"]
    # Django shows its search where there are search fields; `get_search_results` searches.
    search_fields = ["username"]
    search_help_text = "Username, email, name or id"
    filter_horizontal = ["user_permissions"]
    # Django's own form and template offer a user without a password, with whom nobody could log in. This form does not
    # check whether the name is taken, since `User.clean` does.
    add_form, add_form_template = BaseUserCreationForm, None
    formfield_overrides = {ExactEmailField: {"form_class": EmailField}}
    change_password_form = AccountPasswordForm
    readonly_fields = ["roles", "signed_in", "last_seen", "date_joined", "verified"]
    add_fieldsets = [
        (
            None,
            {"classes": ["wide"], "fields": ["username", "email", "password1", "password2"], "description": BY_HAND},
        ),
    ]
    invitation_fieldsets = [(None, {"classes": ["wide"], "fields": ["username", "email"], "description": INVITED})]
    fieldsets = [
        (None, {"fields": ["username", "email", "verified", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "language"]}),
        ("Logins", {"fields": ["signed_in", "last_seen"]}),
        ("Access", {"fields": ["is_active", "groups", "roles", *POWERS], "description": DEACTIVATE}),
        ("Record", {"fields": ["date_joined"]}),
    ]

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        """Nobody may take over an account that can do more than their own. Only a superuser may change other staff."""
        is_others = obj and obj != request.user
        if is_others and not request.user.is_superuser and not may_manage(request.user, obj):
            return False
        return super().has_change_permission(request, obj)

    def get_fieldsets(self, request, obj=None):
        """Fields that are left out here are not in the form either, so that only superusers see and give powers."""
        if obj is None and settings.MAIL_ENABLED:
            return self.invitation_fieldsets
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        if request.user.is_superuser:
            left_out = {"roles"}
        elif not self.has_change_permission(request, obj):
            left_out = {"password", "groups", *POWERS}
        else:
            left_out = {"groups" if obj == request.user else "roles", *POWERS}
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in left_out]})
            for title, options in fieldsets
        ]

    def get_form(self, request, obj=None, **kwargs):
        if obj is None and settings.MAIL_ENABLED:
            kwargs["form"] = InvitationForm
        return super().get_form(request, obj, **kwargs)

    def get_readonly_fields(self, request, obj=None):
        readonly = super().get_readonly_fields(request, obj)
        # Nobody may lock themselves out.
        return [*readonly, "is_active"] if obj and obj == request.user else readonly

    def get_queryset(self, request):
        # The accounts of API keys have pages of their own (`bookings.admin.api_keys`).
        return super().get_queryset(request).filter(api_key=None).prefetch_related("groups")

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        if db_field.name in HELP_TEXTS:
            kwargs["help_text"] = HELP_TEXTS[db_field.name]
        if db_field.name == "language":
            choices = [("", f"As usual here ({language_name('')})"), *settings.LANGUAGES]
            return forms.ChoiceField(choices=choices, required=False, help_text=HELP_TEXTS["language"])
        if db_field.name in ("first_name", "last_name"):
            kwargs["form_class"] = LineField
        if db_field.name != "groups":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        kwargs |= {"label": "Roles", "widget": forms.CheckboxSelectMultiple, "queryset": givable_groups(request.user)}
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        # New roles are made on a page of their own.
        field.widget.can_add_related = False
        return field

    def get_search_results(self, request, queryset, search_term):
        """Each word must be found in some column. The columns with exact collation hold one case only."""
        for word in search_term.split():
            queryset = queryset.filter(
                Q(username_key__contains=username_key(word))
                # A word of invisible characters is an address of nothing, and is found nowhere.
                | Q(email__contains=normalise_email(word) or word)
                | Q(first_name__icontains=word)
                | Q(last_name__icontains=word)
                | Q(pk=parse_id(word))
            )
        return queryset, False

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        account = find(User.objects, object_id or "")
        may_end = bool(account) and may_end_logins(request.user, account)
        may_invite = bool(account) and can_be_invited(account) and self.has_change_permission(request, account)
        if may_invite and request.method == "GET" and (mail := undelivered_invitation(account)):
            text = f"The invitation to {mail.email} could not be delivered. You can send it again. Reason: {mail.error}"
            messages.warning(request, text)
        context = {**(extra_context or {}), "may_end_logins": may_end, "may_invite": may_invite}
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except IntegrityError:
            # Somebody took the name after the form's check and before the write, and all was rolled back. At the second
            # try the form finds the name taken and says so.
            return super().changeform_view(request, object_id, form_url, context)

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if isinstance(form, InvitationForm):
            queue_mail(AccountMail.Kind.INVITATION, email=obj.email)
            messages.info(
                request, f"An invitation to {obj.email} is on its way. Its link is good for an hour, and once."
            )
        else:
            note_new_email(obj, former=form.initial.get("email"))
        if not obj.is_active:
            # If an account is made active again, its old logins must not be valid again.
            end_sessions(obj)

    def construct_change_message(self, request, form, formsets, add=False):
        """Django's record names only the changed fields. This one also has the account's new roles."""
        message = super().construct_change_message(request, form, formsets, add)
        if "groups" not in form.changed_data:
            return message
        text = LogEntry(change_message=json.dumps(message)).get_change_message()
        roles = ", ".join(sorted(group.name for group in form.cleaned_data["groups"])) or "none"
        return f"{text} Roles now: {roles}."

    def get_urls(self):
        wrap = self.admin_site.admin_view
        return [
            path("<str:pk>/end-logins/", wrap(action_view(self, EndLogins)), name="accounts_user_end_logins"),
            path("<str:pk>/invite/", wrap(action_view(self, InviteAgain)), name="accounts_user_invite"),
            *super().get_urls(),
        ]

    @admin.display(description="signed in")
    def signed_in(self, account: User) -> str:
        logins = logins_of([account])[account.pk]
        moments = [("browser", logins.last_browser), ("API login", logins.last_token)]
        last = format_html_join(", ", "last {} {}", [(kind, ago(moment)) for kind, moment in moments if moment])
        return format_html("{}; {}", logins, last) if last else str(logins)

    @admin.display(description="address verified")
    def verified(self, account: User) -> str:
        return ago(account.email_verified_at) if account.has_verified_email else "no"

    @admin.display(description="name", ordering="first_name")
    def full_name(self, account: User) -> str:
        return account.get_full_name()

    @admin.display(description="roles")
    def roles(self, account: User) -> str:
        powers = [("Superuser", account.is_superuser), ("Admin of the API", account.is_staff)]
        return ", ".join([name for name, held in powers if held] + [group.name for group in account.groups.all()])

    @admin.display(description="joined", ordering="date_joined")
    def joined(self, account: User) -> str:
        return date_format(account.date_joined, "j M Y")

    @admin.display(description="last browser login", ordering="last_login")
    def last_seen(self, account: User) -> str:
        return ago(account.last_login) if account.last_login else "never"


def can_be_invited(account: User) -> bool:
    return bool(settings.MAIL_ENABLED and account.email and account.is_active and not account.has_usable_password())


def givable_groups(actor: User):
    """The groups that can do no more than the actor."""
    groups = Group.objects.order_by("name")
    if actor.is_superuser:
        return groups
    return groups.exclude(permissions__in=Permission.objects.exclude(pk__in=actor.powers).order_by())


def may_manage(actor: User, account: User) -> bool:
    """Whether the account, active or not, can do no more than the actor. Staff always can do more, by the API."""
    return not account.is_staff and not account.is_superuser and account.powers <= actor.powers
