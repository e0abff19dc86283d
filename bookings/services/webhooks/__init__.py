"""Webhooks: `feed` makes messages of changes, `delivery` sends them, `subscriptions` is what staff do with them."""
