"""Django's admin site, with bounds on what a query string or a form may make it do."""

from functools import wraps

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import BadRequest
from django.urls import reverse

# As long as the API's: every word is a condition on every searched column.
MAX_SEARCH = 200
# By name, as no app is known here. Whoever has a role there holds it; `is_staff` would make them admins of the API.
ENTRY = "accounts.use_staff_site"


def may_enter(user) -> bool:
    return bool(user.is_active and (user.is_staff or user.has_perm(ENTRY)))


class StaffSite(AdminSite):
    password_change_form = AdminPasswordChangeForm
    # The header leads to all lists.
    enable_nav_sidebar = False
    # A function of the request: what an app adds to the first page's context.
    board = None

    def index(self, request, extra_context=None):
        board = self.board(request) if self.board else {}
        return super().index(request, {**board, **(extra_context or {})})

    def has_permission(self, request):
        return may_enter(request.user)

    def admin_view(self, view, cacheable=False):
        return super().admin_view(bounded(view), cacheable)

    def password_change(self, request, extra_context=None):
        """As Django's, which has no attribute for the form."""
        request.current_app = self.name
        return PasswordChangeView.as_view(
            form_class=self.password_change_form,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)


def bounded(view):
    @wraps(view)
    def run(request, *args, **kwargs):
        if len(request.GET.get("q", "")) > MAX_SEARCH:
            raise BadRequest("The search is too long.")
        if any(name.rpartition("__")[2] in ("regex", "iregex") for name in request.GET):
            # It is the database that would run them, and may take its time.
            raise BadRequest("Lists are not filtered by patterns.")
        if not request.GET.get("_to_field", "id").isidentifier():
            raise BadRequest("There is no such field.")
        try:
            return view(request, *args, **kwargs)
        except OverflowError as error:
            # An id of 30 digits in a form.
            raise BadRequest("A number is too large.") from error
        except ValueError as error:
            # A list of the year 0, or an action on rows whose ids are none. Elsewhere it is a fault of ours.
            if (request.method == "GET" and request.GET) or ACTION_CHECKBOX_NAME in request.POST:
                raise BadRequest("The query string or the selection is wrong.") from error
            raise

    return run
