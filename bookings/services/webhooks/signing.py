"""The secrets of webhooks, and the headers of Standard Webhooks 1.0.0.

A secret is derived from a random nonce and SECRET_KEY, as a guest's token is. So whoever reads the database or a backup
cannot sign in Ticks' name."""

from base64 import b64encode
from datetime import datetime
from hashlib import sha256

from django.utils.crypto import salted_hmac
from standardwebhooks import Webhook as Signer

from bookings.webhooks import Webhook, WebhookMessage

OTHER_KEY = (
    "SECRET_KEY is not the one with which the secret was shown. If this host has a wrong one, correct it; otherwise "
    "rotate the secret."
)


class SecretLost(Exception):
    """The secret that the receiver has cannot be derived any more."""


def secret_of(nonce: str) -> str:
    """256 bits, as the receiver's library takes them."""
    key = salted_hmac("bookings.webhooks", nonce, algorithm="sha256").digest()
    return f"whsec_{b64encode(key).decode()}"


def digest_of_secret(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def secrets_of(webhook: Webhook, *, now: datetime) -> list[str]:
    """The secrets that sign at this moment, the present one first. Raises `SecretLost`."""
    secret = secret_of(webhook.nonce)
    if digest_of_secret(secret) != webhook.secret_digest:
        raise SecretLost(OTHER_KEY)
    is_former_valid = webhook.former_until is not None and now < webhook.former_until
    return [secret, secret_of(webhook.former_nonce)] if is_former_valid else [secret]


def signed_headers(message: WebhookMessage, body: bytes, *, now: datetime) -> dict[str, str]:
    """Raises `SecretLost`."""
    secrets = secrets_of(message.webhook, now=now)
    signatures = [Signer(secret).sign(message.identity, now, body.decode()) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Ticks",
        "webhook-id": message.identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
