"""Checks of every page: it has its text, fits its width, does not move, and has no barriers for anybody."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

# Google's measure calls this good. Django's choice of permissions is made by a script, and moves by 0.08.
STILL = 0.1
# Django's script puts this icon into the choice of permissions, with a label that such an element may not have.
DJANGOS = [".search-label-icon"]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def see(page: Page, text: str) -> None:
    """Waits until the page shows this text anywhere."""
    expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()


def visit(page: Page, path: str, *, status: int = 200) -> None:
    """Opens a page, which must not redirect to another."""
    response = page.goto(path)
    assert (page.url.endswith(path), response.status) == (True, status), f"{path}: {response.status} at {page.url}"


def too_wide(page: Page) -> list[str]:
    """The elements that make the document wider than the window. Those that scroll by themselves do not."""
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
    """The elements that have moved since the page was opened, except after typing or clicking."""
    shifts = page.evaluate("() => window.ticksShifts")
    if sum(shift["value"] for shift in shifts) <= STILL:
        return []
    return [f"moved by {shift['value']:.3f}: {shift['moved']}" for shift in shifts]


def barriers(page: Page) -> list[str]:
    """The faults that axe finds by WCAG 2.1 A and AA. The driver runs it past the page's Content-Security-Policy."""
    page.evaluate(AXE_SCRIPT)
    results = page.evaluate(
        # axe must not preload: it would make style elements, which the Content-Security-Policy reports.
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
    """All of these checks. The one for barriers takes longer than the page."""
    return too_wide(page) + moved(page) + (barriers(page) if is_probed else [])
