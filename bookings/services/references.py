"""References, by which people name a booking; tokens, which a guest's client uses for one; and signatures of codes and
keys that are derived from a booking and not stored."""

import os
import re
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest

from django.conf import settings
from django.utils.crypto import salted_hmac

# The alphabet leaves out 0 O, 1 I L, 5 S, 8 B, 2 Z and U V, which people misread or mishear.
ALPHABET = "34679ACDEFGHJKMNPQRTWXY"
REFERENCE_LENGTH = 11
REFERENCE = re.compile(f"[{ALPHABET}]{{5}}-[{ALPHABET}]{{6}}")
# A byte below the largest multiple of 23 stands for a letter; the others would make some letters more frequent.
LETTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
UNEVEN = bytes(range(256 - 256 % len(ALPHABET), 256))
DRAWN_BYTES = 4096


class Randomness:
    """Draws many random bytes from the operating system at once, and keeps them for later.

    Each call of the operating system lets another waiting thread have the interpreter. That takes longer than
    everything else that is drawn for a booking.
    """

    def __init__(self):
        self.forget()
        # Without this a forked process would draw the same bytes as its parent.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.drawing = threading.Lock()
        self.drawn, self.used = b"", 0

    def draw(self, size: int) -> bytes:
        with self.drawing:
            if self.used + size > len(self.drawn):
                self.drawn, self.used = os.urandom(DRAWN_BYTES), 0
            self.used += size
            return self.drawn[self.used - size : self.used]


randomness = Randomness()


def new_nonce() -> str:
    """Draws 256 random bits, in hexadecimal."""
    return randomness.draw(32).hex()


def new_reference() -> str:
    """Draws a reference such as `KQ4M7-X9PDRA`. Eleven characters out of 23 make 49 bits."""
    # The chance that fewer than eleven letters remain of 32 bytes is 10**-35.
    return hyphenated(randomness.draw(32).translate(LETTERS, UNEVEN).decode()[:REFERENCE_LENGTH])


def hyphenated(letters: str) -> str:
    """The letters of a reference, or of its beginning, as they are stored."""
    return f"{letters[:5]}-{letters[5:]}" if len(letters) > 5 else letters


def guest_token(nonce: str) -> str:
    """The guest's key to a booking: 256 bits, 43 URL-safe characters.

    It is derived from a random nonce. So a replay can send it again, although the database keeps only its hash.
    """
    digest = salted_hmac("bookings.guest_token", nonce, algorithm="sha256").digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def hash_token(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()


def is_token_of(booking, token: str) -> bool:
    return booking.token_hash is not None and compare_digest(booking.token_hash, hash_token(token))


def signature_of(named: str, secret: str | None = None) -> bytes:
    """256 bits, by the present `TICKET_SECRET` or another."""
    return hmac_digest((secret or settings.TICKET_SECRET).encode(), named.encode(), "sha256")


def is_signed(text: str, sign: Callable[[str], str]) -> bool:
    """Whether this is the text that `sign` makes with one of our secrets. The text must be ASCII."""
    # Every secret is tried, so that the time does not tell which one has signed.
    secrets = [settings.TICKET_SECRET, *settings.TICKET_SECRET_FALLBACKS]
    matches = [compare_digest(sign(secret), text) for secret in secrets]
    return any(matches)
