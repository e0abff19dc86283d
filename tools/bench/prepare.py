"""Accounts that are logged in already, and an admin. Run as a program, it prints their tokens as JSON."""

import json
import os
import sys

import django


def prepare(accounts: int, *, password: str) -> dict:
    """Makes the accounts in a few statements: logging them in one by one would take longer than the benchmark."""
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from accounts.models import LoginSession, User, hash_of, username_key
    from accounts.tokens import LIFETIME, access_token, new_refresh_id

    # One hash for all, since it takes a while on purpose.
    stored = make_password(password)
    admin = User.objects.create_superuser("bench", "bench@example.org", None)
    names = [f"buyer{number}" for number in range(accounts)]
    User.objects.bulk_create(
        User(username=name, username_key=username_key(name), email=f"{name}@example.org", password=stored)
        for name in names
    )
    users = [admin, *User.objects.exclude(pk=admin.pk).order_by("pk")]
    LoginSession.objects.bulk_create(
        LoginSession(
            user=user,
            refresh_hash=hash_of(new_refresh_id()),
            auth_hash=user.get_session_auth_hash(),
            expires_at=timezone.now() + LIFETIME,
        )
        for user in users
    )
    sessions = LoginSession.objects.select_related("user").order_by("user_id")
    admin_token, *tokens = [access_token(session) for session in sessions]
    return {"admin": admin_token, "tokens": tokens, "names": names, "ids": [user.pk for user in users[1:]]}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")
    django.setup()
    print(json.dumps(prepare(int(sys.argv[1]), password=sys.argv[2])))
