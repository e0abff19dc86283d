from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from django.views.generic import TemplateView

from accounts.forms import LoginForm, StaffLoginForm, StaffPasswordChangeForm
from accounts.urls import page_patterns
from ticks.api.views import Docs, Index, SchemaView, UnknownRoute

admin.site.site_header = "Ticks"
admin.site.site_title = "Ticks"
admin.site.index_title = "Box office"
admin.site.login_form = StaffLoginForm
admin.site.password_change_form = StaffPasswordChangeForm

handler400 = "ticks.api.errors.bad_request"
handler500 = "ticks.api.errors.server_error"

# DRF's two pages, under the names by which its templates link to them.
browser_login = [
    path(
        "login/",
        LoginView.as_view(template_name="rest_framework/login.html", authentication_form=LoginForm),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]

urlpatterns = [
    # This route is first, since many clients ask for it, and Django tries one pattern after the other.
    path("api/v1/", include("bookings.api.urls")),
    path("", TemplateView.as_view(template_name="ticks/index.html"), name="index"),
    path("my/", include("bookings.pages.urls")),
    path("account/", include((page_patterns, "account"))),
    path("admin/", admin.site.urls),
    path("api-auth/", include((browser_login, "rest_framework"))),
    *(path(address, Index.as_view()) for address in ("api", "api/", "api/v1", "api/v1/")),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs", Docs.as_view(url_name="schema", title="Ticks API docs"), name="docs"),
    path("api/v1/auth/", include("accounts.urls")),
    path("api/", include("bookings.api.one_ticket")),
    re_path(r"^api/.+", UnknownRoute.as_view()),
]
