from django.conf import settings
from rest_framework.permissions import BasePermission


class IsAdmin(BasePermission):
    """Staff, in the contract's word admin. Read from the account at each request, not from the token."""

    message = "Only an admin may do this."

    def has_permission(self, request, view):
        return bool(request.user.is_authenticated and request.user.is_staff)


class IsUserOrPublic(BasePermission):
    """Any account; anybody where `PUBLIC_EVENTS` is on."""

    def has_permission(self, request, view):
        return settings.PUBLIC_EVENTS or request.user.is_authenticated
