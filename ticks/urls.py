from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from ticks.health import healthz, readyz
from ticks.unknown import no_route

admin.site.site_header = "Ticks"
admin.site.site_title = "Ticks"
admin.site.index_title = "Box office"

handler400 = "ticks.errors.bad_request"
handler500 = "ticks.errors.server_error"

urlpatterns = [
    path("", TemplateView.as_view(template_name="ticks/index.html"), name="index"),
    path("admin/", admin.site.urls),
    path("api-auth/", include("rest_framework.urls")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema", title="Ticks API docs"), name="docs"),
    path("api/v1/auth/", include("accounts.urls")),
    path("api/v1/", include("bookings.urls")),
    path("api/", include("bookings.one_ticket.urls")),
    re_path(r"^api/", no_route()),
]
