"""Django's admin site, with bounds on what a query string or a form may make it do."""

from functools import wraps

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup, DisallowedModelAdminToField
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import BadRequest
from django.db.models import DateField
from django.urls import reverse

from ticks.parsing import MAX_SEARCH

# Everybody with a role has this permission; `is_staff` would make them admins of the API. It is given as text, since
# this module knows no app.
ENTRY = "accounts.use_staff_site"


def may_enter(user) -> bool:
    return bool(user.is_active and (user.is_staff or user.has_perm(ENTRY)))


class DeclaredFilters:
    """A list that is filtered by what its `list_filter` declares, and by nothing else.

    Django's own takes nearly any look-up from a query string, over relations too. The count in the answer tells whether
    the condition holds. So a person could guess, step by step, the value of a column that no page shows.
    """

    def lookup_allowed(self, lookup, value, request):
        declared = {name for one in self.get_list_filter(request) for name in names_of(one, self.model)}
        return lookup in declared and super().lookup_allowed(lookup, value, request)

    def to_field_allowed(self, request, to_field):
        """A popup refers to a row by its key alone."""
        return to_field == self.opts.pk.name


def names_of(list_filter, model) -> list[str]:
    """The parameters that the links of an entry of `list_filter` have in their query strings."""
    if hasattr(list_filter, "parameter_name"):
        return [list_filter.parameter_name]
    path = list_filter if isinstance(list_filter, str) else list_filter[0]
    field = get_fields_from_path(model, path)[-1]
    value = f"{path}__{field.target_field.name}" if field.is_relation else path
    ranges = [f"{path}__gte", f"{path}__lt"] if isinstance(field, DateField) else []
    return [f"{path}__isnull", f"{value}__exact", *ranges]


class StaffSite(AdminSite):
    password_change_form = AdminPasswordChangeForm
    # The header leads to all lists.
    enable_nav_sidebar = False
    # This is a function of the request. An app uses it to add to the first page's context.
    board = None

    def register(self, model_or_iterable, admin_class=None, **options):
        """Puts `DeclaredFilters` in front of every class, Django's own included, so that none can forget it."""
        admin_class = admin_class or ModelAdmin
        declared = type(admin_class.__name__, (DeclaredFilters, admin_class), {"__module__": admin_class.__module__})
        super().register(model_or_iterable, declared, **options)

    def index(self, request, extra_context=None):
        board = self.board(request) if self.board else {}
        return super().index(request, {**board, **(extra_context or {})})

    def has_permission(self, request):
        return may_enter(request.user)

    def admin_view(self, view, cacheable=False):
        return super().admin_view(bounded(view), cacheable)

    def password_change(self, request, extra_context=None):
        """Does the same as Django's method, which has no attribute for the form."""
        request.current_app = self.name
        return PasswordChangeView.as_view(
            form_class=self.password_change_form,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)


def bounded(view):
    @wraps(view)
    def run(request, *args, **kwargs):
        # Django's fields with suggestions send the second name.
        if max(len(request.GET.get(name, "")) for name in ("q", "term")) > MAX_SEARCH:
            raise BadRequest("The search is too long.")
        try:
            return view(request, *args, **kwargs)
        except (DisallowedModelAdminLookup, DisallowedModelAdminToField) as error:
            # If it is not caught, each such request logs a traceback as long as the query string.
            raise BadRequest("There is no such filter or field.") from error
        except OverflowError as error:
            # An id in a form has too many digits, for example 30.
            raise BadRequest("A number is too large.") from error
        except ValueError as error:
            # The cause is a list of the year 0, or an action on rows whose ids are none. In any other request it is a
            # fault of ours.
            if (request.method == "GET" and request.GET) or ACTION_CHECKBOX_NAME in request.POST:
                raise BadRequest("The query string or the selection is wrong.") from error
            raise

    return run
