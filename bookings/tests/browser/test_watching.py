"""Everything that is wrong on a page is noticed. The other tests rely on this."""

import pytest

from bookings.tests.browser.looks import barriers, faults, moved, too_wide
from ticks.api.headers import PAGE_POLICY

POLICY = {"Content-Security-Policy": PAGE_POLICY, "Content-Type": "text/html"}
START = '<!doctype html><html lang="en"><title>Made up</title><meta name="viewport" content="width=device-width">'


@pytest.fixture
def show(windows):
    """Gives a function that opens a page with this content at the server's address."""

    def open_page(content="", *, status=200, width=1440):
        page = windows.lend(width=width, theme="light", cookies=[])
        page.route("**/made-up/", lambda route: route.fulfill(status=status, body=START + content, headers=POLICY))
        page.goto("/made-up/")
        return page

    yield open_page
    for window in windows.lent:
        window.page.unroute_all()
    windows.take_back()


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("<script>alert(1)</script>", "console error: Executing inline script violates"),
        ('<p style="color: red">Red</p>', "console error: Applying inline style violates"),
        ('<script src="https://example.org/a.js"></script>', "console error: Loading the script 'https://example.org"),
        ('<img src="/static/missing.png" alt="">', "console error: Failed to load resource: the server responded"),
        # The browser checks a handler only when its event comes.
        (
            '<img src="/static/ticks/favicon.svg" alt="" onload="alert(1)">',
            "console error: Executing inline event handler violates",
        ),
    ],
)
def test_content_that_is_refused_is_noted(show, windows, content, finding):
    show(content)

    assert any(noted.startswith(finding) for noted in windows.settle()), windows.settle()


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        ("console.error('oh')", "console error: oh"),
        ("console.warn('oh')", "console warning: oh"),
        ("setTimeout(() => { throw new Error('oh'); })", "uncaught: oh"),
        ("Promise.reject(new Error('oh')); 0", "uncaught: oh"),
        ("fetch('/readyz').then(answer => answer.status)", None),
        ("navigator.sendBeacon('https://example.org/')", "console error: Connecting to 'https://example.org"),
    ],
)
def test_script_that_goes_wrong_is_noted(show, windows, script, finding):
    page = show()

    page.evaluate(script)

    noted = windows.settle()
    assert [note for note in noted if finding and note.startswith(finding)] == noted


def test_answer_of_a_server_in_trouble_is_noted(show, windows):
    show(status=500)

    assert windows.settle() == [f"answered with 500: GET {windows.origin}/made-up/"]


def test_page_that_is_refused_is_for_the_test_to_look_at(show, windows):
    show(status=404)

    assert windows.settle() == []


def test_other_host_is_noted_and_not_reached(show, windows):
    page = show()
    page.goto("about:blank")

    page.evaluate("() => fetch('http://example.org/').catch(() => null)")

    asked, refused, failed = sorted(windows.settle())
    assert asked == "asks another host: http://example.org/"
    assert refused.startswith("console error: ")
    assert failed == "failed: GET http://example.org/: net::ERR_NAME_NOT_RESOLVED"


def test_good_page_has_no_fault(show, windows):
    page = show("<main><h1>Good</h1></main>", width=390)

    assert (faults(page), windows.settle()) == ([], [])


def test_page_that_is_too_wide_is_noted(show):
    page = show(f"<main><h1>{'Wide' * 50}</h1></main>", width=390)

    assert too_wide(page)[-1].startswith("too wide: <h1>WideWide")


def test_page_that_moves_is_noted(show):
    page = show(f"<main><p id='late' hidden>{'Late<br>' * 20}</p><h1>Pushed<br>down</h1></main>", width=390)

    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("() => { document.getElementById('late').hidden = false; }")
    page.evaluate("() => new Promise(done => setTimeout(done, 100))")

    (shift,) = moved(page)
    assert shift.startswith("moved by 0.")


def test_page_that_keeps_people_out_is_noted(show):
    page = show('<main><h1>Form</h1><input name="name"></main>')

    assert [barrier.partition(":")[0] for barrier in barriers(page)] == ["label"]
