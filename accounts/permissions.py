from django.conf import settings
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission, IsAdminUser

from accounts.models import ApiKey
from ticks.api.errors import LIMITED_KEY


class IsAdmin(IsAdminUser):
    """Allows staff, whom the contract calls admin. It reads the account at each request, not the token.

    It allows an API key too, since the authentication has looked for the scope that the request needs.
    """

    message = "Only an admin may do this."

    def has_permission(self, request, view):
        return isinstance(request.auth, ApiKey) or super().has_permission(request, view)


def reached_events(request) -> list[int] | None:
    """The only events that the request's API key reaches; None if it has no limit, and for other callers."""
    return request.auth.event_ids if isinstance(request.auth, ApiKey) else None


def reaches(request, event_id: int | None) -> bool:
    return not isinstance(request.auth, ApiKey) or request.auth.reaches(event_id)


def refuse_limited_key(request) -> None:
    """Raises `PermissionDenied` for an API key that is limited to some events."""
    if reached_events(request) is not None:
        raise PermissionDenied(LIMITED_KEY, code="api_key_limited")


class IsUserOrPublic(BasePermission):
    """Allows any account; with `PUBLIC_EVENTS` it allows anybody."""

    def has_permission(self, request, view):
        return settings.PUBLIC_EVENTS or request.user.is_authenticated
