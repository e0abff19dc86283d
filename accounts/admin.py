from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db import IntegrityError
from django.db.models import Q

from accounts.models import User, normalise_email, username_key
from accounts.services import end_sessions

DEACTIVATE = (
    "Accounts are never deleted, since bookings and the ledger name them: take away “Active” instead. "
    "That ends all their logins at once."
)
STAFF = "Manages events and bookings through the API and may log in here; what may be done here, permissions say."
POWERS = ["is_staff", "is_superuser", "groups", "user_permissions"]


class NewAccountForm(AdminUserCreationForm):
    def clean_username(self):
        """Whether it is taken, the account's own `clean` says; Django's look here would pass None on to it."""
        return self.cleaned_data["username"]


@admin.register(User)
class AccountAdmin(UserAdmin):
    list_display = ["username", "email", "is_staff", "is_active", "date_joined"]
    list_filter = ["is_staff", "is_active", "date_joined"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-pk"]
    # Said to be searchable; `get_search_results` knows how.
    search_fields = ["username"]
    search_help_text = "Username, email or name"
    add_form = NewAccountForm
    readonly_fields = ["last_login", "date_joined"]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["username", "email", "usable_password", "password1", "password2"]}),
    ]
    fieldsets = [
        (None, {"fields": ["username", "email", "password"]}),
        ("Person", {"fields": ["first_name", "last_name"]}),
        ("Access", {"fields": ["is_active", *POWERS], "description": DEACTIVATE}),
        ("Record", {"fields": ["last_login", "date_joined"]}),
    ]

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        """Other staff are a superuser's to change, so that nobody takes over an account that may do more."""
        is_others_staff = obj and obj != request.user and (obj.is_staff or obj.is_superuser)
        if is_others_staff and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def get_readonly_fields(self, request, obj=None):
        return self.readonly_fields if request.user.is_superuser else [*self.readonly_fields, *POWERS]

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "is_staff":
            field.help_text = STAFF
        return field

    def get_search_results(self, request, queryset, search_term):
        """Each word must be found somewhere. The exactly collated columns hold one case only."""
        for word in search_term.split():
            queryset = queryset.filter(
                Q(username_key__contains=username_key(word))
                | Q(email__contains=normalise_email(word))
                | Q(first_name__icontains=word)
                | Q(last_name__icontains=word)
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
