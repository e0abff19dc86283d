"""The browser's cookies: how they are set, and what HTTPS changes."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.test import Client

NAMES = ["SESSION_COOKIE", "CSRF_COOKIE"]
SHOW = f"""
import json
from django.conf import settings
print(json.dumps({{name: getattr(settings, name) for start in {NAMES} for name in
    [start + end for end in ("_NAME", "_SECURE", "_HTTPONLY", "_SAMESITE", "_PATH", "_DOMAIN")]}}))
"""


def settings_with(tmp_path, **given):
    environment = {
        "PATH": os.environ["PATH"],
        "TICKS_ENV_FILE": "",
        "DJANGO_SETTINGS_MODULE": "ticks.settings",
        "LOG_DIR": str(tmp_path),
        "SECRET_KEY": "one secret of more than 32 bytes, 4711",
        "JWT_SECRET": "another secret of more than 32 bytes, 4711",
        **given,
    }
    run = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=django_settings.BASE_DIR, env=environment, capture_output=True, timeout=60
    )
    return json.loads(run.stdout)


@pytest.mark.embedded
@pytest.mark.parametrize(("https", "prefix"), [("on", "__Host-"), ("off", "")])
def test_cookies_are_secure_with_https(tmp_path, https, prefix):
    found = settings_with(tmp_path, HTTPS=https)

    assert found == {
        "SESSION_COOKIE_NAME": f"{prefix}sessionid",
        "CSRF_COOKIE_NAME": f"{prefix}csrftoken",
        **{
            f"{name}{end}": value
            for name in NAMES
            for end, value in {
                "_SECURE": https == "on",
                "_HTTPONLY": True,
                "_SAMESITE": "Lax",
                # A __Host- cookie is one of this host and all its paths.
                "_PATH": "/",
                "_DOMAIN": None,
            }.items()
        },
    }


@pytest.mark.django_db
def test_login_gives_a_new_session_of_a_working_day(superuser_client, django_user_model):
    staff = django_user_model.objects.get()
    staff.set_password("photograph 51")
    staff.save(update_fields=["password"])
    browser = Client()
    browser.get("/admin/login/")
    session = browser.session
    session["planted"] = True
    session.save()
    planted = browser.cookies["sessionid"] = session.session_key
    token = browser.cookies["csrftoken"].value

    response = browser.post("/admin/login/", {"username": "superuser", "password": "photograph 51"})

    assert response.status_code == 302
    cookie = response.cookies["sessionid"]
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (43200, True, "Lax", "/")
    assert cookie.value != planted
    assert response.cookies["csrftoken"].value != token
    # The session from before the login is gone with its key.
    planted_browser = Client()
    planted_browser.cookies["sessionid"] = planted
    assert planted_browser.get("/admin/").status_code == 302
