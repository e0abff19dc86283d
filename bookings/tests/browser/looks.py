"""What is true of every page: it says what it should, fits its width, stands still, and keeps nobody out."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

# What Google's measure calls good; Django's choice of permissions, made by a script, moves by 0.08.
STILL = 0.1
# Inside the choice of permissions, which is Django's script's: an icon with a label that nothing may have.
DJANGOS = [".search-label-icon"]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def see(page: Page, text: str) -> None:
    """Waits until the page shows this text, wherever."""
    expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()


def visit(page: Page, path: str, *, status: int = 200) -> None:
    """Opens a page, and not the one that it would be sent on to."""
    response = page.goto(path)
    assert (page.url.endswith(path), response.status) == (True, status), f"{path}: {response.status} at {page.url}"


def too_wide(page: Page) -> list[str]:
    """What makes the document wider than the window: only what says so may scroll sideways."""
    return page.evaluate(
        """() => {
          const {scrollWidth, clientWidth} = document.documentElement;
          if (scrollWidth <= clientWidth) return [];
          const wide = [...document.querySelectorAll("body *")]
            .filter(({scrollWidth}) => scrollWidth > clientWidth)
            .map(element => `too wide: ${element.outerHTML.slice(0, 120)}`);
          return [`${scrollWidth} pixels wide`, ...wide.slice(-5)];
        }"""
    )


def moved(page: Page) -> list[str]:
    """What moved since the page was opened, other than by what was typed or clicked."""
    shifts = page.evaluate("() => window.ticksShifts")
    if sum(shift["value"] for shift in shifts) <= STILL:
        return []
    return [f"moved by {shift['value']:.3f}: {shift['moved']}" for shift in shifts]


def barriers(page: Page) -> list[str]:
    """What axe finds against WCAG 2.1 A and AA. It comes with the driver, past the page's Content-Security-Policy."""
    page.evaluate(AXE_SCRIPT)
    results = page.evaluate(
        # Not preloaded: it would make style elements, which the Content-Security-Policy reports.
        """([tags, exclude]) =>
          axe.run({exclude}, {runOnly: tags, resultTypes: ["violations"], preload: false})""",
        [WCAG, DJANGOS],
    )
    return [
        f"{violation['id']}: {node['html'][:160]} ({node['failureSummary'].splitlines()[-1].strip()})"
        for violation in results["violations"]
        for node in violation["nodes"]
    ]


def faults(page: Page, *, is_probed: bool = True) -> list[str]:
    """All of that; the probe for barriers takes longer than the page."""
    return too_wide(page) + moved(page) + (barriers(page) if is_probed else [])
