"""Takes a picture of every page of the staff's site, wide and narrow, light and dark.

python -m tools.screenshots DIRECTORY [NAME ...]     names as in bookings/tests/browser/places.py; none: all
"""

import os
import sys
import tempfile
from pathlib import Path

import django

WIDTHS = (1440, 390)
THEMES = ("light", "dark")


def main(directory: str, *names: str) -> None:
    with tempfile.TemporaryDirectory(prefix="ticks-screenshots-") as home:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "ticks.settings",
            "TICKS_ENV_FILE": "",
            "DATABASE_URL": f"sqlite:///{home}/pictured.sqlite3",
            "LOG_DIR": f"{home}/logs",
            "LOCAL_DIR": f"{home}/.local",
            # The browser's driver has an event loop in this thread, but no code of ours is asynchronous.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        }
        django.setup()
        take_all(Path(directory), Path(home), names)


def take_all(directory: Path, home: Path, names: tuple[str, ...]) -> None:
    from django.core.management import call_command

    from bookings.tests.browser.driver import driven
    from bookings.tests.browser.places import OUTSIDE, PLACES, ids, seed
    from bookings.tests.browser.server import serving
    from bookings.tests.browser.staff import login_cookies, person

    call_command("migrate", verbosity=0)
    admin = person("superuser")
    seed(admin)
    known = ids()
    directory.mkdir(parents=True, exist_ok=True)
    with serving(home) as address, driven(address) as windows:
        for width in WIDTHS:
            for theme in THEMES:
                for place in (*OUTSIDE, *PLACES):
                    if names and place.name not in names:
                        continue
                    page = windows.lend(
                        width=width, theme=theme, cookies=login_cookies(admin, address) if place.roles else []
                    )
                    page.goto(place.path.format(**known))
                    page.screenshot(path=directory / f"{place.name}-{width}-{theme}.png", full_page=True)
                    windows.take_back()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
