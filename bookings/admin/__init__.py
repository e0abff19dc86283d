"""The staff's pages of whatever moves tickets."""

from bookings.admin import bookings, events, ledger

__all__ = ["bookings", "events", "ledger"]
