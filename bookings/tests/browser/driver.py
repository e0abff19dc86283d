"""The browser: Debian's Chromium; see `tools/setup.sh --browser`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from bookings.tests.browser.pages import Windows

CHROMIUM = ("chromium", "google-chrome")
# In containers, whose root may not make sandboxes; every page is ours. And no name leads anywhere else.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def driven(origin: str) -> Iterator[Windows]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        yield Windows(browser, origin)
        browser.close()
