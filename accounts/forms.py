"""Passwords and mail addresses by page, under the same limits as by API."""

from collections.abc import Iterator
from contextlib import contextmanager

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.forms import AdminPasswordChangeForm as SetAccountPasswordForm
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm, UsernameField
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.exceptions import EmailNotVerified
from accounts.models import User
from accounts.serializers import MAX_PASSWORD
from accounts.services import refuse_unverified
from accounts.throttles import PASSWORD, limited, limited_login
from ticks.api.throttling import TooManyRequests
from ticks.formatting import plural
from ticks.forms import EmailField
from ticks.staff_site import may_enter
from ticks.text import MAX_NAME


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

    def confirm_login_allowed(self, user):
        super().confirm_login_allowed(user)
        try:
            refuse_unverified(user)
        except EmailNotVerified as error:
            raise ValidationError(error.message, code=error.code) from error


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


class InvitationForm(forms.ModelForm):
    """A new account without a password, whose person chooses one by the link in a mail."""

    class Meta:
        model = User
        fields = ["username", "email"]
        field_classes = {"username": UsernameField}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["email"].required = True

    def save(self, commit=True):
        self.instance.set_unusable_password()
        return super().save(commit)


class StaffPasswordChangeForm(AdminPasswordChangeForm):
    """The form limits guesses, since somebody may find a browser that is logged in."""

    def clean_old_password(self):
        # The attempt is counted by the user, whom the form has as well.
        with as_form_error(), limited(PASSWORD, self, is_guess=True):
            return super().clean_old_password()


class EmailForm(forms.Form):
    """Asks for a mail by an address."""

    email = EmailField(
        max_length=MAX_NAME,
        label=_("Mail address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class CurrentPasswordForm(forms.Form):
    """Asks for the password of the account that a page is about."""

    current = forms.CharField(
        label=_("Your password"),
        strip=False,
        max_length=MAX_PASSWORD,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class EmailChangeForm(CurrentPasswordForm, EmailForm):
    field_order = ["email", "current"]
    email = EmailField(
        max_length=MAX_NAME,
        label=_("New mail address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class NewPasswordForm(SetPasswordForm):
    """Django's form, which checks the two fields. The page's service saves."""

    new_password1 = forms.CharField(
        label=_("New password"),
        strip=False,
        max_length=MAX_PASSWORD,
        help_text=_("8 characters or more; not a common one, not only digits, not like your name or address."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    new_password2 = forms.CharField(
        label=_("New password again"),
        strip=False,
        max_length=MAX_PASSWORD,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
