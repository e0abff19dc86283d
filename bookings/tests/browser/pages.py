"""The browser's pages, and everything that goes wrong on them."""

from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

HEIGHT = 900
TIMEOUT_SECONDS = 15
# The script counts from the first paint on, and names the elements that moved.
WATCH_SHIFTS = """
window.ticksShifts = [];
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    const moved = entry.sources.map(({node}) => node?.outerHTML?.slice(0, 120) ?? node?.nodeName);
    window.ticksShifts.push({value: entry.value, moved});
  }
}).observe({type: "layout-shift", buffered: true});
"""


class Window:
    """One person's browser: a page, the tabs that it opens, and the faults of all of them."""

    def __init__(self, browser: Browser, origin: str):
        self.origin = origin
        self.context: BrowserContext = browser.new_context(base_url=origin)
        self.context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        # The driver runs this past the pages' Content-Security-Policy.
        self.context.add_init_script(WATCH_SHIFTS)
        self.findings: list[str] = []
        self.visited: set[str] = set()
        self.context.on("console", self.on_console)
        self.context.on("weberror", lambda error: self.findings.append(f"uncaught: {error.error}"))
        self.context.on("request", self.on_request)
        self.context.on("requestfailed", self.on_request_failed)
        self.context.on("response", self.on_response)
        self.page: Page = self.context.new_page()

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        address = message.location.get("url", "")
        # Chromium reports this for pages as well, but the status of a page is checked by the test.
        if message.text.startswith("Failed to load resource: the server responded") and address in self.visited:
            return
        self.findings.append(f"console {message.type}: {message.text} ({address})")

    def on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:", "about:")):
            self.findings.append(f"asks another host: {request.url}")

    def on_request_failed(self, request: Request) -> None:
        # Chromium aborts requests that are under way when a page is left, and a page that turns out to be a download.
        if request.failure != "net::ERR_ABORTED":
            self.findings.append(f"failed: {request.method} {request.url}: {request.failure}")

    def on_response(self, response: Response) -> None:
        if response.request.is_navigation_request():
            self.visited.add(response.url)
        if response.status >= 500:
            self.findings.append(f"answered with {response.status}: {response.request.method} {response.url}")

    def set_up(self, *, width: int, theme: str, cookies: list[dict]) -> None:
        self.page.set_viewport_size({"width": width, "height": HEIGHT})
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.context.add_cookies(cookies)

    def forget(self) -> None:
        """Forgets everything except the cache of static files."""
        self.context.clear_cookies()
        session = self.context.new_cdp_session(self.page)
        session.send("Storage.clearDataForOrigin", {"origin": self.origin, "storageTypes": "all"})
        session.detach()
        self.findings.clear()
        self.visited.clear()


class Windows:
    """The windows are lent to one test after the other, since a new one takes longer than most tests."""

    def __init__(self, browser: Browser, origin: str):
        self.browser, self.origin = browser, origin
        self.idle: list[Window] = []
        self.lent: list[Window] = []

    def lend(self, **setting) -> Page:
        window = self.idle.pop() if self.idle else Window(self.browser, self.origin)
        self.lent.append(window)
        window.set_up(**setting)
        return window.page

    def settle(self) -> list[str]:
        """The faults of this test, including those that are still being reported."""
        for window in self.lent:
            if not window.page.is_closed():
                window.page.evaluate("() => new Promise(requestAnimationFrame)")
        return [finding for window in self.lent for finding in window.findings]

    def take_back(self) -> None:
        while self.lent:
            window = self.lent.pop()
            if window.page.is_closed() or len(window.context.pages) > 1:
                window.context.close()
                continue
            window.page.goto("about:blank")
            window.forget()
            self.idle.append(window)

    def save(self, directory: Path) -> None:
        """Saves pictures and sources of the pages, which help to find out why a test failed."""
        for number, window in enumerate(self.lent, 1):
            for tab, page in enumerate(window.context.pages, 1):
                name = f"{number}-{tab}"
                page.screenshot(path=directory / f"{name}.png", full_page=True)
                (directory / f"{name}.html").write_text(f"<!-- {page.url} -->\n{page.content()}")
