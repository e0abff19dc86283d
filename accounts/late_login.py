"""For views whose service confirms the caller's login with its own writes: a query less for each request."""

from django.db import DatabaseError
from rest_framework.exceptions import Throttled

from accounts.authentication import BearerAuthentication, login_ended
from accounts.callers import Caller, caller_of
from accounts.exceptions import SessionEnded
from ticks.api.throttling import take_back
from ticks.exceptions import Refusal
from ticks.programs import is_program


class LateBearerAuthentication(BearerAuthentication):
    """Looks at the token alone: the user is a `Caller`."""

    def get_user(self, validated_token):
        caller = caller_of(validated_token)
        if caller is None:
            raise login_ended()
        return caller


class LateLogin:
    """Mixin for viewsets. An action of `late_actions` succeeds only by a service that was given `login_to_confirm`.

    Where it is refused, the login is looked up before anything else is said: who is logged in no longer is told
    that, and is not counted by the throttle.
    """

    late_actions = frozenset()

    def get_authenticators(self):
        authenticators = super().get_authenticators()
        # To the schema it is one like the other.
        if getattr(self, "swagger_fake_view", False) or not self.is_late(self.request):
            return authenticators
        return [LateBearerAuthentication() if type(one) is BearerAuthentication else one for one in authenticators]

    def is_late(self, request) -> bool:
        action = self.action_map.get(request.method.lower())
        return action in self.late_actions and is_program(request)

    @property
    def login_to_confirm(self) -> int | None:
        """Its id; None where the caller has been looked up already, or is a guest."""
        user = self.request.user
        return user.session if isinstance(user, Caller) else None

    def handle_exception(self, exc):
        # Not `request.user`, which would identify the caller once more where that has failed.
        caller = getattr(self.request, "_user", None)
        is_late = isinstance(caller, Caller) and not is_trouble(exc)
        if is_late and (isinstance(exc, SessionEnded) or caller.account is None):
            if not isinstance(exc, Throttled):
                take_back("user", str(caller.pk))
            self.request._not_authenticated()
            exc = login_ended()
        return super().handle_exception(exc)


def is_trouble(exc: Exception) -> bool:
    """Of the server's own. A COMMIT without an answer may have been done, and then the login stood."""
    status = exc.status if isinstance(exc, Refusal) else getattr(exc, "status_code", 400)
    return status >= 500 or isinstance(exc, DatabaseError)
