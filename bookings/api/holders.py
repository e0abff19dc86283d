"""Who may see a booking: its account, that of its verified mail address, a guest with its token, admins, and the API
keys that reach its event."""

from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import AllowAny

from accounts.authentication import StatelessWrites
from accounts.models import ApiKey
from accounts.permissions import reaches
from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.own_bookings import finds
from bookings.services.references import is_token_of
from bookings.services.sql import read_booking
from ticks.parsing import parse_id

TOKEN = OpenApiParameter("Booking-Token", location="header", description="A guest's key to the booking.")
TOKEN_QUERY = OpenApiParameter("token", location="query", description="The same, for links.")


class OfHolder(StatelessWrites):
    """Mixin of views of a single booking. They are open to guests, since `get_object` guards the booking."""

    permission_classes = [AllowAny]
    tag = "Bookings"

    def get_object(self) -> Booking:
        """The booking, if the caller may see it. Otherwise raises `BookingNotFound`, also if the booking exists."""
        identity = parse_id(self.kwargs["pk"])
        booking = None if identity is None else read_booking(identity)
        if isinstance(self.request.auth, ApiKey):
            if booking is None or not reaches(self.request, booking.event_id):
                raise BookingNotFound
            return booking
        if booking is not None and self.is_holders(booking):
            return booking
        account = self.account()
        if booking is None or not (account.is_staff or finds(account, booking)):
            raise BookingNotFound
        return booking

    def is_holders(self, booking: Booking) -> bool:
        user = self.request.user
        if user.is_authenticated and booking.user_id == user.pk:
            return True
        token = self.request.headers.get("Booking-Token") or self.request.query_params.get("token", "")
        return is_token_of(booking, token)
