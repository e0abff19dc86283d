"""Access tokens like the ones that were handed out, made as fast as a load generator needs them."""

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

MINUTES = 30


class Mint:
    """Signs a login's token anew: the same account and login, another token that lasts from now on."""

    def __init__(self, secret: str):
        self.secret = secret.encode()
        self.made = 0

    def another(self, token: str) -> str:
        head, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        now = int(time.time())
        self.made += 1
        claims.update(iat=now, exp=now + MINUTES * 60, jti=f"{self.made:032x}")
        signed = f"{head}.{encoded(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{encoded(hmac.digest(self.secret, signed.encode(), sha256))}"


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
