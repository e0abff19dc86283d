"""The staff's pages of accounts: who they are, what they may do, and ending their logins."""

import json

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Q
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join

from accounts.forms import AccountPasswordForm
from accounts.models import User, normalise_email, username_key
from accounts.services import Logins, end_logins, end_sessions, logins_of, may_end_logins
from ticks.exceptions import Refusal
from ticks.formatting import ago, counted
from ticks.parsing import find, parse_id

MAX_ACCOUNTS_AT_ONCE = 100
TOO_MANY = f"Nothing was ended: select at most {MAX_ACCOUNTS_AT_ONCE} users at once."
DEACTIVATE = (
    "Accounts are never deleted, since bookings and the ledger name them: take away “Active” instead. "
    "That ends all their logins at once."
)
HELP = {
    "is_active": "Without it nobody logs in with this account.",
    "is_staff": "Manages events and bookings through the API and may log in here; what it may do here, roles say.",
}
ROLES = "What the account may do on this site. You can give and take roles that can do no more than yourself."
# A superuser's to give; the roles are a manager's as well.
POWERS = ["is_staff", "is_superuser", "user_permissions"]


class RoleFilter(admin.RelatedFieldListFilter):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.title = "role"


class NewAccountForm(AdminUserCreationForm):
    def clean_username(self):
        """Whether it is taken, the account's own `clean` says; Django's look here would pass None on to it."""
        return self.cleaned_data["username"]


class LoginsAdmin(admin.ModelAdmin):
    actions = ["end_logins"]

    def has_end_logins_permission(self, request, obj=None):
        return may_end_logins(request.user, obj) if obj else request.user.has_perm("accounts.end_logins")

    def get_urls(self):
        page = self.admin_site.admin_view(self.end_logins_view)
        return [path("<id>/end-logins/", page, name="accounts_user_end_logins"), *super().get_urls()]

    def change_view(self, request, object_id, form_url="", extra_context=None):
        account = find(User.objects, object_id)
        may_end = bool(account) and self.has_end_logins_permission(request, account)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "may_end_logins": may_end})

    @admin.display(description="signed in")
    def signed_in(self, account: User) -> str:
        logins = logins_of([account])[account.pk]
        lasts = [("browser", logins.last_browser), ("API login", logins.last_token)]
        latest = format_html_join(", ", "last {} {}", [(thing, ago(moment)) for thing, moment in lasts if moment])
        return format_html("{}; {}", logins, latest) if latest else str(logins)

    def end_logins_view(self, request, id):
        account = find(User.objects, id)
        if not self.has_end_logins_permission(request, account):
            raise PermissionDenied
        if account is None:
            raise Http404
        if request.method != "POST":
            return self.confirmation(request, [account])
        self.end_each(request, [account])
        return HttpResponseRedirect(reverse("admin:accounts_user_change", args=[account.pk]))

    @admin.action(description="End all logins of selected users …", permissions=["end_logins"])
    def end_logins(self, request, queryset):
        if "confirmed" in request.POST:
            # Those of the page that was confirmed, whatever the list's filters leave out by now.
            selected = map(parse_id, request.POST.getlist(ACTION_CHECKBOX_NAME))
            ids = {pk for pk in selected if pk is not None}
        else:
            ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MAX_ACCOUNTS_AT_ONCE + 1])
        if len(ids) > MAX_ACCOUNTS_AT_ONCE:
            self.message_user(request, TOO_MANY, level=messages.WARNING)
            return None
        accounts = list(User.objects.filter(pk__in=ids).order_by("username_key"))
        if "confirmed" not in request.POST:
            return self.confirmation(request, accounts, action="end_logins")
        self.end_each(request, accounts)
        return None

    def confirmation(self, request, accounts: list[User], *, action: str | None = None) -> TemplateResponse:
        """Shows what would end. `action` is the list's action, if the page came from there."""
        logins = logins_of(accounts)
        ending = [account for account in accounts if self.has_end_logins_permission(request, account)]
        context = {
            **self.admin_site.each_context(request),
            "title": "End all logins",
            "opts": self.opts,
            "account": None if action else accounts[0],
            "rows": [(account, logins[account.pk]) for account in ending],
            "kept": [account for account in accounts if account not in ending],
            "is_own": request.user in ending,
            "action": action,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "accounts/admin/end_logins.html", context)

    def end_each(self, request, accounts: list[User]) -> None:
        ended: dict[User, Logins] = {}
        for account in accounts:
            try:
                ended[account] = end_logins(account, actor=request.user)
            except Refusal as refusal:
                self.message_user(request, f"{account}: {refusal}", level=messages.ERROR)
            else:
                self.log_change(request, account, f"Ended all logins: {ended[account]}.")
        if ended:
            total = Logins(
                browsers=sum(logins.browsers for logins in ended.values()),
                tokens=sum(logins.tokens for logins in ended.values()),
            )
            whose = str(*ended) if len(ended) == 1 else counted(len(ended), "user")
            self.message_user(request, f"Ended all logins of {whose}: {total}.", level=messages.SUCCESS)


@admin.register(User)
class AccountAdmin(LoginsAdmin, UserAdmin):
    change_form_template = "accounts/admin/account.html"
    list_display = ["username", "full_name", "roles", "email", "last_seen", "is_active", "joined"]
    list_filter = [("groups", RoleFilter), "is_staff", "is_active", "date_joined"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-pk"]
    # Said to be searchable; `get_search_results` knows how.
    search_fields = ["username"]
    search_help_text = "Username, email, name or id"
    filter_horizontal = ["user_permissions"]
    add_form = NewAccountForm
    change_password_form = AccountPasswordForm
    readonly_fields = ["roles", "signed_in", "last_seen", "date_joined"]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["username", "email", "usable_password", "password1", "password2"]}),
    ]
    fieldsets = [
        (None, {"fields": ["username", "email", "password"]}),
        ("Person", {"fields": ["first_name", "last_name"]}),
        ("Logins", {"fields": ["signed_in", "last_seen"]}),
        ("Access", {"fields": ["is_active", "groups", *POWERS], "description": DEACTIVATE}),
        ("Record", {"fields": ["date_joined"]}),
    ]

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        """Nobody takes over an account that may do more; other staff are a superuser's to change."""
        is_others = obj and obj != request.user
        if is_others and not request.user.is_superuser and not may_manage(request.user, obj):
            return False
        return super().has_change_permission(request, obj)

    def get_fieldsets(self, request, obj=None):
        """What is not in here is no field of the form either: powers are a superuser's to see and to give."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or request.user.is_superuser:
            return fieldsets
        may_change = self.has_change_permission(request, obj)
        roles = "groups" if may_change and obj != request.user else "roles"
        password = "password" if may_change else None
        fields = {"groups": roles, "password": password, **dict.fromkeys(POWERS)}
        return [
            (
                title,
                {**options, "fields": [fields.get(name, name) for name in options["fields"] if fields.get(name, name)]},
            )
            for title, options in fieldsets
        ]

    def get_readonly_fields(self, request, obj=None):
        readonly = super().get_readonly_fields(request, obj)
        # Nobody locks themselves out.
        return [*readonly, "is_active"] if obj and obj == request.user else readonly

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("groups")

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name in HELP:
            field.help_text = HELP[db_field.name]
        if db_field.name == "groups":
            # New ones are for a page of their own.
            field.widget.can_add_related = False
        return field

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        if db_field.name == "groups":
            kwargs["queryset"] = givable_groups(request.user)
            kwargs["widget"] = forms.CheckboxSelectMultiple
            kwargs.update(label="Roles", help_text=ROLES)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_search_results(self, request, queryset, search_term):
        """Each word must be found somewhere. The exactly collated columns hold one case only."""
        for word in search_term.split():
            queryset = queryset.filter(
                Q(username_key__contains=username_key(word))
                | Q(email__contains=normalise_email(word))
                | Q(first_name__icontains=word)
                | Q(last_name__icontains=word)
                | Q(pk=parse_id(word))
            )
        return queryset, False

    def add_view(self, request, *args, **kwargs):
        return self.retried_once(super().add_view, request, *args, **kwargs)

    def change_view(self, request, *args, **kwargs):
        return self.retried_once(super().change_view, request, *args, **kwargs)

    def retried_once(self, view, *args, **kwargs):
        try:
            return view(*args, **kwargs)
        except IntegrityError:
            # Somebody took the name between the form's look and the write, and all was rolled back.
            # The second time the form sees it, and says so.
            return view(*args, **kwargs)

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        if not obj.is_active:
            # An account that is made active again starts without its old logins.
            end_sessions(obj)

    def construct_change_message(self, request, form, formsets, add=False):
        """Django's names the fields alone; of roles the record says which they are from now on."""
        message = super().construct_change_message(request, form, formsets, add)
        if "groups" not in form.changed_data:
            return message
        summary = LogEntry(change_message=json.dumps(message)).get_change_message()
        roles = ", ".join(sorted(group.name for group in form.cleaned_data["groups"])) or "none"
        return f"{summary} Roles now: {roles}."

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


def givable_groups(actor: User):
    """The groups that can do no more than the actor."""
    groups = Group.objects.order_by("name")
    if actor.is_superuser:
        return groups
    return groups.exclude(permissions__in=Permission.objects.exclude(pk__in=actor.powers).order_by())


def may_manage(actor: User, account: User) -> bool:
    """Whether the account can do no more than the actor, be it active or not. Staff always might, by the API."""
    return not account.is_staff and not account.is_superuser and account.powers <= actor.powers
