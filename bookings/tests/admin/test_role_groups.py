"""The permissions of the two roles of the staff's site."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission

from bookings.roles import BOX_OFFICE, MANAGERS, make_roles

pytestmark = pytest.mark.django_db

SEE_AND_SELL = {
    "accounts.use_staff_site",
    "bookings.add_booking",
    "bookings.cancel_booking",
    "bookings.view_booking",
    "bookings.view_ledgerentry",
    "events.view_event",
}
RUN = {
    "accounts.add_user",
    "accounts.change_user",
    "accounts.end_logins",
    "accounts.view_user",
    "bookings.export_booking",
    "bookings.manage_webhook",
    "bookings.reorder_waitlist",
    "bookings.transfer_booking",
    "bookings.view_webhook",
    "bookings.write_to_holders",
    "events.add_event",
    "events.cancel_event",
    "events.change_event",
}


def may(role):
    found = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    return {".".join(permission) for permission in found}


def test_roles_may_what_they_are_for():
    make_roles(apps)

    assert may(BOX_OFFICE) == SEE_AND_SELL
    assert may(MANAGERS) == SEE_AND_SELL | RUN


def test_roles_that_are_there_keep_what_they_were_given_besides():
    make_roles(apps)
    [extra] = Permission.objects.filter(codename="delete_user")
    box_office = Group.objects.get(name=BOX_OFFICE)
    box_office.permissions.set([extra])

    make_roles(apps)

    assert may(BOX_OFFICE) == SEE_AND_SELL | {"accounts.delete_user"}
    assert Group.objects.filter(name=BOX_OFFICE).count() == 1


def test_roles_make_permissions_that_django_finds_again():
    Permission.objects.filter(codename="cancel_event").delete()

    make_roles(apps)

    assert Permission.objects.get(codename="cancel_event").name == "Can cancel event"
    assert "events.cancel_event" in may(MANAGERS)


def test_roles_name_permissions_as_django_does():
    named = dict(Permission.objects.values_list("codename", "name"))
    Permission.objects.filter(codename__in=["view_ledgerentry", "add_booking", "view_user"]).delete()

    make_roles(apps)

    assert dict(Permission.objects.values_list("codename", "name")) == named
