"""Logins by page, under the same limits as logins by API."""

import math

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts import throttles


class LimitedAttempts:
    def clean(self):
        attempts = [throttle() for throttle in throttles.LOGIN]
        for attempt in attempts:
            if not attempt.allow_request(self.request, view=None):
                raise ValidationError(f"Too many attempts; try again in {math.ceil(attempt.wait())} seconds.")
        cleaned = super().clean()
        for attempt in attempts:
            attempt.forgive()
        return cleaned


class LoginForm(LimitedAttempts, AuthenticationForm):
    error_messages = {**AuthenticationForm.error_messages, "invalid_login": "The name or the password is wrong."}


class StaffLoginForm(LimitedAttempts, AdminAuthenticationForm):
    pass
