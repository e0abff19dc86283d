"""What accounts may do compared: nobody gives, takes or takes over what goes beyond their own."""

from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

from accounts.models import User


def givable_groups(actor: User) -> QuerySet[Group]:
    """The groups that can do no more than the actor."""
    groups = Group.objects.order_by("name")
    if actor.is_superuser:
        return groups
    return groups.exclude(permissions__in=Permission.objects.exclude(pk__in=actor.powers).order_by())


def is_within(actor: User, account: User) -> bool:
    """Whether the account can do no more than the actor, be it active or not; staff always might, by the API."""
    return not account.is_staff and not account.is_superuser and account.powers <= actor.powers
