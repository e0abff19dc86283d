"""Passwords by page, under the same limits as passwords by API."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AdminPasswordChangeForm as SetAccountPasswordForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts.throttles import PASSWORD, limited, limited_login
from ticks.api.throttling import TooManyRequests
from ticks.formatting import plural
from ticks.staff_site import may_enter


@contextmanager
def as_form_error() -> Iterator[None]:
    try:
        yield
    except TooManyRequests as error:
        wait = f"{error.retry_after} {plural(error.retry_after, 'second')}"
        raise ValidationError(f"Too many attempts; try again in {wait}.") from error


class LimitedAttempts:
    def clean(self):
        with as_form_error(), limited_login(self.request):
            return super().clean()


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
        with as_form_error(), limited(PASSWORD, self, is_guess=True):
            return super().clean_old_password()
