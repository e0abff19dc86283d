from django.contrib.auth.backends import ModelBackend

from accounts.models import User, normalise_email, username_key


class NameOrEmailBackend(ModelBackend):
    """Finds the account by username or email; an unknown one costs a password hash as well."""

    def authenticate(self, request, username=None, password=None, email=None, **kwargs):
        if password is None or (username is None and email is None):
            return None
        user = find_user(username=username, email=email)
        if user is None:
            # As long as a wrong password takes, so that time does not tell which names exist.
            User().set_password(password)
            return None
        if user.check_password(password) and self.user_can_authenticate(user):
            return user
        return None


def find_user(*, username: str | None, email: str | None) -> User | None:
    if username is not None:
        key = username_key(username)
        # Should two bear it after all, the username counts.
        return min(User.objects.bearing(username), key=lambda user: user.username_key != key, default=None)
    email = normalise_email(email)
    return User.objects.filter(email=email).first() if email else None
