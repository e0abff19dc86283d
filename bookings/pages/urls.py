from django.urls import path

from bookings.pages.access import OpenView
from bookings.pages.lost import LostView, SentView
from bookings.pages.views import AddressView, BookingView, CancelView, HolderCalendarView, TicketsView

urlpatterns = [
    path("", LostView.as_view(), name="holder-lost"),
    path("sent", SentView.as_view(), name="holder-sent"),
    path("open/<str:reference>", OpenView.as_view(), name="holder-open"),
    path("<str:reference>/", BookingView.as_view(), name="holder-booking"),
    path("<str:reference>/cancel", CancelView.as_view(), name="holder-cancel"),
    path("<str:reference>/address", AddressView.as_view(), name="holder-address"),
    path("<str:reference>/tickets.pdf", TicketsView.as_view(), name="holder-tickets"),
    path("<str:reference>/calendar.ics", HolderCalendarView.as_view(), name="holder-calendar"),
]
