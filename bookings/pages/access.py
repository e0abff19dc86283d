"""How the link in a mail opens the pages of one booking, and keeps them open for an hour in one browser."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, override
from django.views import View

from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.links import LINK_KEY_PATTERN, open_by_link
from bookings.services.references import REFERENCE
from ticks.api.throttling import TooManyRequests, scopes_of, seconds_to_wait
from ticks.exceptions import Refusal
from ticks.languages import language_of_browser
from ticks.link_cookies import redirect_to, remember, remembered


def booking_address(reference: str) -> str:
    return reverse("holder-booking", args=[reference])


def refused(request: HttpRequest, refusal: Refusal, *, back: str) -> HttpResponse:
    """A page that says why nothing was done, with a link back."""
    context = {"message": gettext(refusal.message), "back": back}
    response = render(request, "bookings/holder/refused.html", context, status=refusal.status)
    if refusal.retry_after:
        response["Retry-After"] = str(refusal.retry_after)
    return response


class OpenView(View):
    """Where the link in a mail leads. It reads and changes nothing here, since scanners of mails open links too."""

    http_method_names = ["get", "head"]

    def get(self, request, reference):
        address, key = booking_address(reference), request.GET.get("key", "")
        response = redirect_to(address)
        # The reference becomes the cookie's path, and a `;` in it would begin another attribute.
        is_link = LINK_KEY_PATTERN.fullmatch(key) and REFERENCE.fullmatch(reference)
        return remember(response, key, path=address) if is_link else response


class OfLink(View):
    """A page of the booking that a link has opened in this browser.

    Whether there is no such booking, or its link has ended or was never opened, the answer is the same.
    """

    booking: Booking
    # None until the booking is known.
    language: str | None = None

    def dispatch(self, request, reference):
        try:
            # The pages are a guest's requests, as those to the API are.
            seconds = seconds_to_wait(scopes_of(None, request.META, is_booking=False))
            if seconds is not None:
                raise TooManyRequests(seconds)
            self.booking = open_by_link(reference, remembered(request))
            self.language = self.booking.holder_language
            with override(self.language):
                return super().dispatch(request)
        except BookingNotFound:
            with override(language_of_browser(request)):
                return self.closed(request, reference)
        except Refusal as refusal:
            with override(self.language or language_of_browser(request)):
                return refused(request, refusal, back=booking_address(reference))

    def closed(self, request, reference) -> HttpResponse:
        return render(request, "bookings/holder/closed.html", status=404)
