"""References, by which people know a booking, and tokens, by which a guest's client does."""

import os
import re
import threading
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest

from django.utils.crypto import salted_hmac

# Without 0 O, 1 I L, 5 S, 8 B, 2 Z, U V: nothing that is misread or misheard.
ALPHABET = "34679ACDEFGHJKMNPQRTWXY"
REFERENCE_LENGTH = 11
PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
DRAWN_BYTES = 4096
REFERENCES = len(ALPHABET) ** REFERENCE_LENGTH
REFERENCE = re.compile(rf"[{ALPHABET}]{{5}}-[{ALPHABET}]{{6}}")


class Randomness:
    """Random bytes of the operating system, drawn many at a time.

    Each call of it hands the interpreter to whichever thread waits for it, and so takes longer than all else
    that is drawn for a booking.
    """

    def __init__(self):
        self.forget()
        # Without it two processes would draw the same.
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
    """256 bits."""
    return randomness.draw(32).hex()


def new_reference() -> str:
    """Such as `KQ4M7-X9PDRA`: 23 letters and digits to the power of 11, 49 bits."""
    # Of 128 bits the rest is as good as even: one in 2**79 too many of some.
    number, letter = divmod(int.from_bytes(randomness.draw(16)) % REFERENCES, len(ALPHABET))
    drawn = ALPHABET[letter]
    # By pairs, since a division takes longer than the rest.
    for _ in range(REFERENCE_LENGTH // 2):
        number, pair = divmod(number, len(PAIRS))
        drawn += PAIRS[pair]
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
