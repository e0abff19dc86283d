"""What a person or a guest's client knows a booking by."""

import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest

from django.utils.crypto import salted_hmac

# Without 0 O, 1 I L, 5 S, 8 B, 2 Z, U V: nothing that is misread or misheard.
ALPHABET = "34679ACDEFGHJKMNPQRTWXY"
REFERENCE_LENGTH = 11
REFERENCES = len(ALPHABET) ** REFERENCE_LENGTH
REFERENCE = re.compile(rf"[{ALPHABET}]{{5}}-[{ALPHABET}]{{6}}")


def new_reference() -> str:
    """Such as `KQ4M7-X9PDRA`: 23 letters and digits to the power of 11, 49 bits."""
    # One number, not eleven: each comes from the operating system.
    number = secrets.randbelow(REFERENCES)
    drawn = ""
    for _ in range(REFERENCE_LENGTH):
        number, letter = divmod(number, len(ALPHABET))
        drawn += ALPHABET[letter]
    return f"{drawn[:5]}-{drawn[5:]}"


def is_reference(text: str) -> bool:
    return REFERENCE.fullmatch(text) is not None


def guest_token(nonce: str) -> str:
    """The guest's key to a booking: 256 bits, 43 URL-safe characters.

    Derived from a random nonce, so that a replay can tell it again although only its hash is kept.
    """
    digest = salted_hmac("bookings.guest_token", nonce, algorithm="sha256").digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def hash_token(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()


def is_token_of(booking, token: str) -> bool:
    return booking.token_hash is not None and compare_digest(booking.token_hash, hash_token(token))
