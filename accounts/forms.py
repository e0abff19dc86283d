"""Passwords by page, under the same limits as passwords by API."""

import math

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AdminPasswordChangeForm as SetAccountPasswordForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts import throttles
from ticks.staff_site import may_enter
from ticks.words import plural


def count(attempt: throttles.AttemptThrottle, request) -> None:
    if not attempt.allow_request(request, view=None):
        seconds = math.ceil(attempt.wait())
        raise ValidationError(f"Too many attempts; try again in {seconds} {plural(seconds, 'second')}.")


class LimitedAttempts:
    def clean(self):
        attempts = [throttle() for throttle in throttles.LOGIN]
        for attempt in attempts:
            count(attempt, self.request)
        cleaned = super().clean()
        for attempt in attempts:
            attempt.forgive()
        return cleaned


WRONG = {**AuthenticationForm.error_messages, "invalid_login": "The name or the password is wrong."}


class LoginForm(LimitedAttempts, AuthenticationForm):
    error_messages = WRONG


class StaffLoginForm(LimitedAttempts, AdminAuthenticationForm):
    error_messages = {
        **WRONG,
        "no_entry": "This account may not use the staff's site. If it should, ask a manager to give it a role.",
    }

    def confirm_login_allowed(self, user):
        """Asked once the password was right, so that it tells nobody else what an account may do."""
        # Past Django's own form, which lets in `is_staff` alone.
        AuthenticationForm.confirm_login_allowed(self, user)
        if not may_enter(user):
            raise ValidationError(self.error_messages["no_entry"], code="no_entry")


class AccountPasswordForm(SetAccountPasswordForm):
    """Of somebody else. Without the choice to have none: that is what “Active” is for, which the record names."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields.pop("usable_password", None)


class StaffPasswordChangeForm(AdminPasswordChangeForm):
    """Else who finds a browser logged in could guess the password here without a limit."""

    def clean_old_password(self):
        attempt = throttles.PasswordByAccount()
        # It is counted by its user, whom the form has as well.
        count(attempt, request=self)
        old_password = super().clean_old_password()
        attempt.forgive()
        return old_password
