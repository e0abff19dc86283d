"""The staff's pages of accounts."""

from accounts.admin.accounts import AccountAdmin

__all__ = ["AccountAdmin"]
