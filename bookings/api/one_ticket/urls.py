from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from bookings.api.one_ticket.views import OneTicketViewSet, PlainEventViewSet, UserViewSet
from ticks.api.unknown import no_route

events = SimpleRouter(trailing_slash=False)
events.register("", PlainEventViewSet, basename="one-ticket-event")
users = SimpleRouter(trailing_slash=False)
users.register("", UserViewSet, basename="one-ticket-user")

urlpatterns = [
    path("events/", include(events.urls)),
    path("users/", include(users.urls)),
    re_path("^(?:events|users)(?:/|$)", no_route(OneTicketViewSet)),
]
