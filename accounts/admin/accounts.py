import json

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db import IntegrityError
from django.db.models import Q
from django.utils.formats import date_format

from accounts.admin.logins import LoginsAdmin
from accounts.forms import AccountPasswordForm
from accounts.models import User, normalise_email, username_key
from accounts.powers import givable_groups, is_within
from accounts.services import end_sessions
from ticks.api.ids import parse_id
from ticks.formatting import ago

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
        if is_others and not request.user.is_superuser and not is_within(request.user, obj):
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
        shown = {"groups": roles, "password": password, **dict.fromkeys(POWERS)}
        return [(title, {**options, "fields": replaced(options["fields"], shown)}) for title, options in fieldsets]

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
        return self.tried_twice(super().add_view, request, *args, **kwargs)

    def change_view(self, request, *args, **kwargs):
        return self.tried_twice(super().change_view, request, *args, **kwargs)

    def tried_twice(self, view, *args, **kwargs):
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
        said = LogEntry(change_message=json.dumps(message)).get_change_message()
        return f"{said} Roles now: {named(form.cleaned_data['groups'])}."

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


def replaced(names: list[str], by: dict[str, str | None]) -> list[str]:
    """The names with some replaced, by None left out."""
    return [name for name in (by.get(name, name) for name in names) if name]


def named(groups: list[Group]) -> str:
    return ", ".join(sorted(group.name for group in groups)) or "none"
