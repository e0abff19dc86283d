from django.contrib.admin.apps import AdminConfig


class StaffSiteConfig(AdminConfig):
    """The admin with our site; apart from it, since settings name this before models can be imported."""

    default_site = "ticks.staff_site.StaffSite"
