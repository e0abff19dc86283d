"""The staff's pages for everything that moves tickets."""

from bookings.admin import api_keys, home, ledger
from bookings.admin.bookings import admin as bookings_admin
from bookings.admin.events import admin as events_admin
from bookings.admin.webhooks import admin as webhooks_admin

__all__ = ["api_keys", "bookings_admin", "events_admin", "home", "ledger", "webhooks_admin"]
