"""The pages that the links in mails open, and those where people ask for such mails. They work without JavaScript."""

import re

from django.contrib.auth.mixins import LoginRequiredMixin
from django.shortcuts import render
from django.utils.translation import gettext, override
from django.views.generic import FormView, TemplateView

from accounts import links
from accounts.exceptions import LinkNotValid
from accounts.forms import CurrentPasswordForm, EmailChangeForm, EmailForm, NewPasswordForm
from accounts.link_tokens import Purpose, read_token
from accounts.throttles import CHANGE_EMAIL, LINK, MAIL, PASSWORD, limited
from ticks.exceptions import Refusal
from ticks.languages import language_of_browser
from ticks.link_cookies import forget, redirect_to, remember, remembered

TOKEN = re.compile(r"[\w.-]{1,1000}", re.ASCII)


class TranslatedMixin:
    """A page in the language of the browser."""

    def dispatch(self, request, *args, **kwargs):
        with override(language_of_browser(request)):
            response = super().dispatch(request, *args, **kwargs)
            return response.render() if hasattr(response, "render") else response


class Page(TranslatedMixin, TemplateView):
    http_method_names = ["get", "head"]


class LimitedPage(TranslatedMixin, FormView):
    """A form whose service may refuse, under limits on attempts."""

    http_method_names = ["get", "head", "post"]
    limits = MAIL

    def post(self, request, *args, **kwargs):
        form = self.get_form()
        try:
            with limited(self.limits, request):
                if form.is_valid():
                    return self.form_valid(form)
        except Refusal as error:
            # A database that is away has a page of its own.
            if error.status >= 500:
                raise
            form.add_error(None, gettext(error.message))
            response = self.form_invalid(form)
            if error.retry_after:
                response.status_code, response["Retry-After"] = error.status, str(error.retry_after)
            return response
        return self.form_invalid(form)

    def form_valid(self, form):
        self.carry_out(form)
        return super().form_valid(form)


class PasswordResetPage(LimitedPage):
    form_class = EmailForm
    template_name = "accounts/password_reset.html"
    success_url = "sent/"

    def carry_out(self, form):
        links.ask_for_new_password(form.cleaned_data["email"])


class VerificationPage(LimitedPage):
    form_class = EmailForm
    template_name = "accounts/verification.html"
    success_url = "sent/"

    def carry_out(self, form):
        links.ask_for_verification(form.cleaned_data["email"])


class EmailChangePage(LoginRequiredMixin, LimitedPage):
    form_class = EmailChangeForm
    template_name = "accounts/email_change.html"
    limits = CHANGE_EMAIL
    success_url = "sent/"

    def carry_out(self, form):
        with limited(PASSWORD, self.request, is_guess=True):
            fields = form.cleaned_data
            links.ask_for_change(self.request.user, email=fields["email"], current=fields["current"])


class LinkPage(LimitedPage):
    """The page of a link. To open it changes nothing, since programs that look for harmful mails open links too."""

    purpose: Purpose
    limits = LINK
    form_class = CurrentPasswordForm
    success_url = "done/"

    def get(self, request, *args, **kwargs):
        if "token" in request.GET:
            return self.moved(request.GET["token"])
        return super().get(request, *args, **kwargs) if self.find_link() else self.refuse()

    def post(self, request, *args, **kwargs):
        return super().post(request, *args, **kwargs) if self.find_link() else self.refuse()

    def find_link(self) -> bool:
        self.token = remembered(self.request)
        try:
            self.link = read_token(self.purpose, self.token)
        except LinkNotValid:
            return False
        return True

    def refuse(self):
        return render(self.request, "accounts/link_not_valid.html", {"purpose": self.purpose}, status=400)

    def moved(self, token: str):
        path = self.request.path
        response = redirect_to(path)
        # What is no token must not open the page with the token of an earlier link.
        return remember(response, token, path=path) if TOKEN.fullmatch(token) else forget(response, path=path)

    def form_valid(self, form):
        return forget(super().form_valid(form), path=self.request.path)


class NewPasswordPage(LinkPage):
    purpose = Purpose.RESET
    form_class = NewPasswordForm
    template_name = "accounts/new_password.html"

    def get_form_kwargs(self):
        return {**super().get_form_kwargs(), "user": self.link.user}

    def carry_out(self, form):
        links.set_password_by_link(self.token, new=form.cleaned_data["new_password1"])


class VerifyPage(LinkPage):
    purpose = Purpose.VERIFY
    template_name = "accounts/verify.html"

    def carry_out(self, form):
        with limited(PASSWORD, self.link, is_guess=True):
            links.verify_email(self.token, current=form.cleaned_data["current"])


class ConfirmChangePage(LinkPage):
    purpose = Purpose.CHANGE
    template_name = "accounts/confirm_change.html"

    def carry_out(self, form):
        with limited(PASSWORD, self.link, is_guess=True):
            links.confirm_change(self.token, current=form.cleaned_data["current"])
