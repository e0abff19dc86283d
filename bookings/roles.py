"""The two roles of the staff's site. Each is a Django group with permissions."""

BOX_OFFICE = "Box office"
MANAGERS = "Managers"
# Each entry is the app, the model and the codename of a permission.
BOX_OFFICE_MAY = [
    ("accounts", "user", "use_staff_site"),
    ("events", "event", "view_event"),
    ("bookings", "booking", "view_booking"),
    ("bookings", "booking", "add_booking"),
    ("bookings", "booking", "cancel_booking"),
    ("bookings", "ledgerentry", "view_ledgerentry"),
]
MANAGERS_MAY = [
    *BOX_OFFICE_MAY,
    ("events", "event", "add_event"),
    ("events", "event", "change_event"),
    ("events", "event", "cancel_event"),
    ("bookings", "booking", "transfer_booking"),
    ("bookings", "booking", "reorder_waitlist"),
    ("bookings", "booking", "export_booking"),
    ("bookings", "announcement", "write_to_holders"),
    ("bookings", "webhook", "view_webhook"),
    ("bookings", "webhook", "manage_webhook"),
    ("accounts", "user", "view_user"),
    ("accounts", "user", "add_user"),
    ("accounts", "user", "change_user"),
    ("accounts", "user", "end_logins"),
]
ROLES = {BOX_OFFICE: BOX_OFFICE_MAY, MANAGERS: MANAGERS_MAY}


def make_roles(apps, roles=ROLES) -> None:
    """Creates the groups, or gives them their permissions again. Other permissions of these groups stay.

    `apps` is a migration's registry or Django's own. Missing permissions are created here, since Django creates them
    only after all migrations; it will then find these.
    """
    Group = apps.get_model("auth", "Group")
    for role, may in roles.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.add(*(permission(apps, *what) for what in may))


def permission(apps, app: str, model: str, codename: str):
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(app_label=app, model=model)
    meta = apps.get_model(app, model)._meta
    # This is how Django names its own permissions.
    name = dict(meta.permissions).get(codename, f"Can {codename.partition('_')[0]} {meta.verbose_name_raw}")
    return apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind, codename=codename, defaults={"name": name}
    )[0]
