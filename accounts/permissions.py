from django.conf import settings
from rest_framework.permissions import BasePermission, IsAdminUser


class IsAdmin(IsAdminUser):
    """Allows staff, whom the contract calls admin. It reads the account at each request, not the token."""

    message = "Only an admin may do this."


class IsUserOrPublic(BasePermission):
    """Allows any account; with `PUBLIC_EVENTS` it allows anybody."""

    def has_permission(self, request, view):
        return settings.PUBLIC_EVENTS or request.user.is_authenticated
