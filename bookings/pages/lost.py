"""A page for guests who have lost the mail with the link. Its answer is the same for every address."""

from django import forms
from django.conf import settings
from django.http import HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy, override
from django.views import View

from accounts.throttles import HOUR, CountedAttempt, Limit, by_address, limited
from bookings.pages.access import refused
from bookings.services.link_mails import request_links
from ticks.exceptions import Refusal
from ticks.forms import EmailField
from ticks.languages import language_of_browser
from ticks.text import MAX_NAME

LIMITS = [Limit("links-address", by_address, 30, HOUR)]
# So many mails an hour go to one address, whoever asks for them. More requests are answered the same.
MAILS_AN_HOUR = 3


class SentView(View):
    http_method_names = ["get", "head"]

    def get(self, request):
        with override(language_of_browser(request)):
            return render(request, "bookings/holder/sent.html")


class LostForm(forms.Form):
    email = EmailField(
        max_length=MAX_NAME,
        label=gettext_lazy("Mail address"),
        help_text=gettext_lazy("The one that you gave when you booked."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class LostView(View):
    http_method_names = ["get", "head", "post"]

    def dispatch(self, request):
        with override(language_of_browser(request)):
            return super().dispatch(request)

    def get(self, request):
        return self.page(LostForm())

    def post(self, request):
        form = LostForm(request.POST)
        if not settings.MAIL_ENABLED or not form.is_valid():
            return self.page(form)
        try:
            with limited(LIMITS, request):
                ask(form.cleaned_data["email"])
        except Refusal as refusal:
            return refused(request, refusal, back=reverse("holder-lost"))
        return HttpResponseRedirect(reverse("holder-sent"), status=303)

    def page(self, form):
        context = {"form": form, "is_mailing": settings.MAIL_ENABLED}
        return render(self.request, "bookings/holder/lost.html", context)


def ask(email: str) -> None:
    if settings.THROTTLE_ENABLED:
        attempt = CountedAttempt("links-mail", email, limit=MAILS_AN_HOUR, seconds=HOUR)
        if not attempt.is_allowed:
            return
    request_links(email)
