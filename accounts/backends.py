import logging

from django.contrib.auth.backends import ModelBackend

from accounts.hashers import turn_to_hash
from accounts.models import User, normalise_email, username_key
from accounts.throttles import LoginAttempt

log = logging.getLogger("ticks.logins")


class NameOrEmailBackend(ModelBackend):
    """Finds the account by username or email; an unknown one costs a password hash as well.

    Every login comes through here, so guesses are counted here, by the name that is really looked up.
    """

    def authenticate(self, request, username=None, password=None, email=None, **kwargs):
        """Raises `TooManyRequests`, and `Busy` where many log in at once."""
        if password is None or (username is None and email is None):
            return None
        # The queries belong to the turn: those of many logins at once would delay bookings as their hashes do.
        with turn_to_hash():
            user = find_user(username=username, email=email)
            attempt = LoginAttempt(request, name=email if username is None else username, user=user)
            if not self.is_right(password, user):
                return None
            if attempt.is_refused:
                log.warning("User %d was refused with the right password: too many wrong ones were tried.", user.pk)
                return None
            attempt.forgive()
            return user

    def is_right(self, password: str, user: User | None) -> bool:
        if user is None:
            # As long as a wrong password takes, so that time does not tell which names exist.
            User().set_password(password)
            return False
        return user.check_password(password) and self.user_can_authenticate(user)


def find_user(*, username: str | None, email: str | None) -> User | None:
    if username is not None:
        key = username_key(username)
        # Should two bear it after all, the username counts.
        return min(User.objects.bearing(username), key=lambda user: user.username_key != key, default=None)
    email = normalise_email(email)
    return User.objects.filter(email=email).first() if email else None
