"""Passwords by page, under the same limits as passwords by API."""

import math

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts import throttles


def count(attempt: throttles.AttemptThrottle, request) -> None:
    if not attempt.allow_request(request, view=None):
        raise ValidationError(f"Too many attempts; try again in {math.ceil(attempt.wait())} seconds.")


class LimitedAttempts:
    def clean(self):
        attempts = [throttle() for throttle in throttles.LOGIN]
        for attempt in attempts:
            count(attempt, self.request)
        cleaned = super().clean()
        for attempt in attempts:
            attempt.forgive()
        return cleaned


class LoginForm(LimitedAttempts, AuthenticationForm):
    error_messages = {**AuthenticationForm.error_messages, "invalid_login": "The name or the password is wrong."}


class StaffLoginForm(LimitedAttempts, AdminAuthenticationForm):
    pass


class StaffPasswordChangeForm(AdminPasswordChangeForm):
    """Else who finds a browser logged in could guess the password here without a limit."""

    def clean_old_password(self):
        attempt = throttles.PasswordByAccount()
        # It is counted by its user, whom the form has as well.
        count(attempt, request=self)
        old_password = super().clean_old_password()
        attempt.forgive()
        return old_password
