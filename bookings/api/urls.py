from django.urls import path

from bookings.api.changes import ChangesViewSet, EventChangesViewSet
from bookings.api.tickets import CalendarView, TicketPdfView, TicketView
from bookings.api.views import BookingViewSet, EventStatusViewSet, EventViewSet

urlpatterns = [
    path("booking", BookingViewSet.as_view({"get": "list", "post": "create"}), name="booking-list"),
    path("booking/status/<str:pk>", EventStatusViewSet.as_view({"get": "retrieve"}), name="event-status"),
    path("booking/<str:pk>", BookingViewSet.as_view({"get": "retrieve", "delete": "destroy"}), name="booking-detail"),
    path("booking/<str:pk>/tickets", TicketView.as_view({"get": "list"}), name="booking-tickets"),
    path("booking/<str:pk>/tickets.pdf", TicketPdfView.as_view({"get": "retrieve"}), name="booking-tickets-pdf"),
    path("booking/<str:pk>/calendar.ics", CalendarView.as_view({"get": "retrieve"}), name="booking-calendar"),
    path("event", EventViewSet.as_view({"get": "list", "post": "create"}), name="event-list"),
    path(
        "event/<str:pk>",
        EventViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="event-detail",
    ),
    path("event/<str:pk>/changes", EventChangesViewSet.as_view({"get": "retrieve"}), name="event-changes"),
    path("changes", ChangesViewSet.as_view({"get": "retrieve"}), name="changes"),
]
