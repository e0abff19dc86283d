from django.apps import AppConfig
from django.contrib.admin import apps
from django.core.cache import close_caches
from django.core.signals import request_finished
from django.db import close_old_connections


class TicksConfig(AppConfig):
    name = "ticks"
    verbose_name = "Ticks"

    def ready(self):
        # Django looks for stale connections before and after each request. Once is enough: a thread serves one request
        # after the other. And nothing is cached.
        request_finished.disconnect(close_old_connections)
        request_finished.disconnect(close_caches)


class ApiKeyLibraryConfig(AppConfig):
    """The library of API keys. `accounts.models.ApiKey` builds on its abstract model. Its own model is left out: it
    gets no table, no permissions and no pages."""

    name = "rest_framework_api_key"

    def get_models(self, include_auto_created=False, include_swapped=False):
        return []


class StaffSiteConfig(apps.AdminConfig):
    """Django's admin with our site. It is named by its path, since settings are read before models can be imported."""

    default_site = "ticks.staff_site.StaffSite"
