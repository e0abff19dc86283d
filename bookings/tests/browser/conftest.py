"""Fixtures of the browser tests."""

import os
import tempfile
from pathlib import Path

import pytest

from bookings.tests.browser.driver import chromium, driven
from bookings.tests.browser.server import serving
from bookings.tests.browser.staff import login_cookies, person

FAILED = pytest.StashKey[bool]()
# These hold the name of the browser, and how many tests passed in it.
DRIVEN = pytest.StashKey[str]()
PASSED = pytest.StashKey[int]()


def is_here(item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent)


def pytest_collection_modifyitems(config, items):
    """Skips the browser tests if there is no browser. `tools/test.sh` reports it, and fails in CI."""
    here = list(filter(is_here, items))
    if os.environ.get("BROWSER_TESTS") == "off":
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if not is_here(item)]
    elif not chromium():
        for item in here:
            item.add_marker(pytest.mark.skip(reason="no Chromium; tools/setup.sh --browser installs it"))


def pytest_terminal_summary(terminalreporter, config):
    # `.ci/run` looks for this line.
    if config.stash.get(DRIVEN, None):
        terminalreporter.write_line(f"Browser: {config.stash[DRIVEN]}, {config.stash.get(PASSED, 0)} tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if is_here(item):
        item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
        if report.when == "call" and report.passed:
            item.config.stash[PASSED] = item.config.stash.get(PASSED, 0) + 1
    return report


@pytest.fixture(scope="package")
def address(django_db_setup, django_db_blocker, tmp_path_factory):
    """The address of the server. It starts once for all browser tests, and sees the rows that they make."""
    with django_db_blocker.unblock(), serving(tmp_path_factory.mktemp("browser")) as address:
        yield address


@pytest.fixture(scope="package")
def windows(address, request):
    with driven(address) as windows, pytest.MonkeyPatch.context() as patch:
        # The driver has an event loop in this thread for as long as it lives; nothing of ours is asynchronous.
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        request.config.stash[DRIVEN] = f"{windows.browser.browser_type.name} {windows.browser.version}"
        yield windows


@pytest.fixture(autouse=True)
def _committed(transactional_db):
    """Commits the rows, since the server must see them."""


@pytest.fixture
def page_as(windows, request):
    """Gives a function that opens a page, logged in as somebody with a role of `ROLES` or as nobody.

    The test fails for every error on the console, exception, failed request, request to another host, and 5xx.
    """

    def open_page(role: str | None = None, *, width: int = 1440, theme: str = "light"):
        cookies = login_cookies(person(role), windows.origin) if role else []
        return windows.lend(width=width, theme=theme, cookies=cookies)

    yield open_page
    findings = windows.settle()
    if findings or request.node.stash.get(FAILED, False):
        directory = Path(tempfile.mkdtemp(prefix="ticks-browser-"))
        windows.save(directory)
        print(f"How the pages looked: {directory}")  # noqa: T201
    windows.take_back()
    assert not findings, "\n".join(findings)
