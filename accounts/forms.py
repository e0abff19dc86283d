"""Passwords by page, under the same limits as passwords by API."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AdminPasswordChangeForm as SetAccountPasswordForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts import throttles
from ticks.api.throttling import TooManyRequests
from ticks.db.transactions import Busy
from ticks.formatting import plural
from ticks.staff_site import may_enter


@contextmanager
def limited(throttle_classes: Iterable[type], request) -> Iterator[None]:
    """Counts an attempt. It is uncounted if the block raises no error, or raises `Busy`, since then no password was
    tried."""
    counted = [throttle() for throttle in throttle_classes]
    for throttle in counted:
        if not throttle.allow_request(request, view=None):
            raise too_many(math.ceil(throttle.wait()))
    try:
        yield
    except Busy:
        forgive(counted)
        raise
    forgive(counted)


def forgive(counted: Iterable) -> None:
    for throttle in counted:
        throttle.forgive()


def too_many(seconds: int) -> ValidationError:
    return ValidationError(f"Too many attempts; try again in {seconds} {plural(seconds, 'second')}.")


class LimitedAttempts:
    def clean(self):
        with limited(throttles.LOGIN, self.request):
            try:
                return super().clean()
            except TooManyRequests as error:
                raise too_many(error.retry_after) from error


WRONG = {**AuthenticationForm.error_messages, "invalid_login": "The name or the password is wrong."}


class LoginForm(LimitedAttempts, AuthenticationForm):
    error_messages = WRONG


class StaffLoginForm(LimitedAttempts, AdminAuthenticationForm):
    error_messages = {
        **WRONG,
        "no_entry": "This account may not use the staff's site. If it should, ask a manager to give it a role.",
    }

    def confirm_login_allowed(self, user):
        """Runs only after the password was right, so that nobody else learns what an account may do."""
        # This does not call `super()`, the form of Django's admin, which accepts only `is_staff`.
        AuthenticationForm.confirm_login_allowed(self, user)
        if not may_enter(user):
            raise ValidationError(self.error_messages["no_entry"], code="no_entry")


class AccountPasswordForm(SetAccountPasswordForm):
    """Sets another person's password. It cannot remove it: “Active” is for that, and that change is recorded."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields.pop("usable_password", None)


class StaffPasswordChangeForm(AdminPasswordChangeForm):
    """The form limits guesses, since somebody may find a browser that is logged in."""

    def clean_old_password(self):
        # The attempt is counted by the user, whom the form has as well.
        with limited(throttles.PASSWORD, self):
            return super().clean_old_password()
