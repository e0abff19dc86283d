"""The staff's pages of whatever moves tickets."""

from bookings.admin import bookings, events, home, ledger

__all__ = ["bookings", "events", "home", "ledger"]
