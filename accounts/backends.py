from django.contrib.auth.backends import ModelBackend

from accounts.models import User, normalise_email, username_key


class NameOrEmailBackend(ModelBackend):
    """Finds the account by username, or by email; both at the price of one password hash.

    A username wins over the same text as an email, so nobody's account hides behind the other.
    """

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
        by_name = User.objects.filter(username_key=username_key(username)).first()
        if by_name or "@" not in username:
            return by_name
        email = username
    email = normalise_email(email)
    return User.objects.filter(email=email).first() if email else None
