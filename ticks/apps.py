from django.apps import AppConfig
from django.core.cache import close_caches
from django.core.signals import request_finished
from django.db import close_old_connections


class TicksConfig(AppConfig):
    name = "ticks"
    verbose_name = "Ticks"

    def ready(self):
        # Django looks for connections that are of no more use before and after each request. Before it is when it
        # matters: a thread serves one after the other. And nothing is cached.
        request_finished.disconnect(close_old_connections)
        request_finished.disconnect(close_caches)
