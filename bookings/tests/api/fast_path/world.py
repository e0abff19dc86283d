"""Events of each kind, and users and programs with valid and invalid tokens and keys."""

from datetime import timedelta
from types import SimpleNamespace

from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts import api_keys, tokens
from accounts.api_keys import revoke_api_key
from accounts.models import ApiKey, LoginSession
from accounts.services import open_session
from accounts.tests.factories import UserFactory, new_api_key
from bookings.services.events import cancel_event
from bookings.tests.factories import BookingFactory, EventFactory
from ticks.parsing import MAX_ID

DAY = timedelta(days=1)


def made_world() -> SimpleNamespace:
    now = timezone.now()
    admin = UserFactory(username="admin", is_staff=True)
    events = {
        "open": EventFactory(created_by=admin, total_tickets=10),
        "nearly full": EventFactory(created_by=admin, total_tickets=2),
        "full": EventFactory(created_by=admin, total_tickets=1),
        "strict": EventFactory(created_by=admin, total_tickets=1, waitlist_policy="strict"),
        "full without waitlist": EventFactory(created_by=admin, total_tickets=1, waitlist_enabled=False),
        "two a booking": EventFactory(created_by=admin, max_tickets_per_booking=2),
        "two a person": EventFactory(created_by=admin, max_tickets_per_person=2),
        "not yet": EventFactory(created_by=admin, sales_start=now + DAY),
        "over": EventFactory(created_by=admin, sales_end=now - DAY),
        "deleted": EventFactory(created_by=admin),
    }
    for name in ("full", "strict", "full without waitlist"):
        BookingFactory(event=events[name], user=None)
    BookingFactory(event=events["full"], user=None)
    cancel_event(events["deleted"].pk, actor=admin)
    ids = {name: event.pk for name, event in events.items()}
    headers = {**authorizations(admin), **keys(admin, only=ids["open"])}
    return SimpleNamespace(events={**ids, "none": 999_999}, headers=headers)


def keys(admin, *, only: int) -> dict[str, str]:
    """Values of the header `Authorization` with API keys."""
    now, may = timezone.now(), ["bookings:write", "events:read"]
    made = {
        "key": new_api_key(*may, actor=admin),
        "other key": new_api_key(*may, actor=admin),
        "key of an event": new_api_key(*may, actor=admin, event_ids=[only]),
        "key without scopes": new_api_key(actor=admin),
        "revoked key": new_api_key(*may, actor=admin),
        "expired key": new_api_key(*may, actor=admin, expires_at=now),
    }
    for key, text in made.values():
        # The process has looked them up, and forgets none of them during these tests.
        api_keys.known[text] = float("inf"), ApiKey.objects.select_related("account").get(pk=key.pk)
    revoke_api_key(made["revoked key"][0])
    _, unknown = new_api_key(*may, actor=admin)
    good = made["key"][1]
    return {name: f"Api-Key {text}" for name, (_, text) in made.items()} | {
        "key not looked up": f"Api-Key {unknown}",
        "key in small": f"api-key {good}",
        "key with two spaces": f"Api-Key  {good}",
        "wrong key": f"Api-Key {good[::-1]}",
        "no key": "Api-Key ",
        "key of another scheme": f"Bearer {good}",
    }


def authorizations(admin) -> dict[str, str]:
    """Values of the header `Authorization`, by the fault that they have."""
    user, other = UserFactory(username="user"), UserFactory(username="other")
    good = claims_of(user)
    signed = {
        "good": good,
        "admin": claims_of(admin),
        "ended": ended(UserFactory(username="ended")),
        "deactivated": deactivated(UserFactory(username="deactivated")),
        "login expired": expired_login(UserFactory(username="expired")),
        "new password": new_password(UserFactory(username="renewed")),
        "no login": {**good, "sid": None},
        "unknown login": {**good, "sid": MAX_ID},
        "login beyond": {**good, "sid": MAX_ID + 1},
        "login as text": {**good, "sid": str(good["sid"])},
        "login is true": {**good, "sid": True},
        "other's login": {**good, "sid": claims_of(other)["sid"]},
        "other's name": {**good, "sub": str(other.pk)},
        "number for a name": {**good, "sub": user.pk},
        "zero before": {**good, "sub": f"0{user.pk}"},
        "space before": {**good, "sub": f" {user.pk}"},
        "plus before": {**good, "sub": f"+{user.pk}"},
        "Arabic digits": {**good, "sub": "".join(chr(0x660 + int(digit)) for digit in str(user.pk))},
        "long name": {**good, "sub": "9" * 5000},
        "no name": {**good, "sub": None},
        "empty name": {**good, "sub": ""},
        "expired": {**good, "exp": good["iat"] - 11},
        "of a clock ahead": {**good, "iat": good["iat"] + 9},
        "not yet": {**good, "iat": good["iat"] + 3600},
        "not before": {**good, "nbf": good["iat"] + 3600},
        "refresh": {**good, "token_type": "refresh"},
    }
    values = {name: f"Bearer {sign(claims)}" for name, claims in signed.items()}
    token = sign(good)
    head, payload, signature = token.split(".")
    return values | {
        "small": f"bearer {token}",
        "large": f"BEARER {token}",
        "two spaces": f"Bearer  {token}",
        "tab": f"Bearer\t{token}",
        "forged": f"Bearer {head}.{payload}.{signature[::-1]}",
        "unsigned": f"Bearer {head}.{payload}.",
        "nonsense": "Bearer a.b.c",
        "two": f"Bearer {token} {token}",
        "without a scheme": token,
        "scheme alone": "Bearer",
        "scheme and space": "Bearer ",
        "empty": "",
        "of another scheme": f"Token {token}",
        "basic": "Basic dXNlcjpwYXNzd29yZA==",
        "beyond ASCII": "Bearer é",
    }


def sign(claims: dict) -> str:
    token = AccessToken()
    token.payload = {name: value for name, value in claims.items() if value is not None}
    return str(token)


def claims_of(user, session: LoginSession | None = None) -> dict:
    session = session or open_session(user, refresh_id="r", lifetime=tokens.LIFETIME)
    return AccessToken(tokens.access_token(session)).payload


def ended(user) -> dict:
    session = open_session(user, refresh_id="r", lifetime=tokens.LIFETIME)
    claims = claims_of(user, session)
    session.delete()
    return claims


def deactivated(user) -> dict:
    claims = claims_of(user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    return claims


def expired_login(user) -> dict:
    session = open_session(user, refresh_id="r", lifetime=tokens.LIFETIME)
    LoginSession.objects.filter(pk=session.pk).update(expires_at=timezone.now() - DAY)
    return claims_of(user, session)


def new_password(user) -> dict:
    claims = claims_of(user)
    user.set_password("a password of later 4711")
    user.save(update_fields=["password"])
    return claims
