"""How the link in a mail opens a booking, and keeps it open for an hour in one browser.

The link's key stands in its query string, which no log of ours has. It leads to an address without the key, and the
browser keeps the key in a cookie for the pages of this one booking."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, override
from django.views import View

from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.links import KEY, open_by_link
from bookings.services.references import REFERENCE
from ticks.api.throttling import TooManyRequests, scopes_of, seconds_to_wait
from ticks.exceptions import Refusal
from ticks.languages import language_of_header

OPEN_SECONDS = 3600
SALT = "bookings.pages"


def cookie_name() -> str:
    # Browsers take a cookie with this prefix only over TLS. `__Host-` would not let it have a path.
    return "__Secure-ticks_booking" if settings.HTTPS else "ticks_booking"


def language_of(request: HttpRequest) -> str:
    """The language of a page that is about no booking."""
    return language_of_header(request.headers.get("Accept-Language", "")) or settings.DEFAULT_LANGUAGE


def booking_address(reference: str) -> str:
    return reverse("holder-booking", args=[reference])


def remember(response: HttpResponse, reference: str, key: str) -> HttpResponse:
    """Has the browser keep the key of a booking for the pages of this booking."""
    response.set_signed_cookie(
        cookie_name(),
        key,
        salt=SALT,
        max_age=OPEN_SECONDS,
        path=booking_address(reference),
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


def remembered(request: HttpRequest) -> str:
    """The key that the browser keeps for this booking; empty if there is none, or if it is older than an hour."""
    return request.get_signed_cookie(cookie_name(), default="", salt=SALT, max_age=OPEN_SECONDS)


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
        response = HttpResponseRedirect(booking_address(reference), status=303)
        # A stylesheet of this site must not be asked for with the key in the Referer.
        response["Referrer-Policy"] = "no-referrer"
        key = request.GET.get("key", "")
        # The reference becomes the cookie's path, and a `;` in it would begin another attribute.
        is_link = KEY.fullmatch(key) and REFERENCE.fullmatch(reference)
        return remember(response, reference, key) if is_link else response


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
            with override(language_of(request)):
                return self.closed(request, reference)
        except Refusal as refusal:
            with override(self.language or language_of(request)):
                return refused(request, refusal, back=booking_address(reference))

    def closed(self, request, reference) -> HttpResponse:
        return render(request, "bookings/holder/closed.html", status=404)
