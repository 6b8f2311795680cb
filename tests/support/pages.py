"""Pages as people have them open, each in a browser with cookies of its own; what goes wrong is noted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    expect,
)

MILLISECONDS = 10_000  # until an element must be there
HASTE = 3_000  # the same, when something has failed already
USUAL = {"viewport": {"width": 1440, "height": 900}, "locale": "en-GB", "reduced_motion": "reduce"}
# What a page is made of; a document's own status is for the test to judge.
PARTS = {"stylesheet", "script", "image", "font", "manifest"}
WITHIN = {"data", "blob", "about"}  # addresses that no server is asked for

expect.set_options(timeout=MILLISECONDS)


class Pages:
    """`pages()` opens a page in a browser of its own. No page may ask any but `origins`."""

    def __init__(self, browser: Browser, origin: str) -> None:
        self.origins = {origin}
        self.faults: list[str] = []
        self._browser, self._origin = browser, origin
        self._pardoned: list[str] = []
        self._contexts: list[BrowserContext] = []

    def __call__(self, **options: Any) -> Page:
        """A page of somebody who is not signed in; `options` are those of Playwright's `new_context`."""
        context = self._browser.new_context(**{"base_url": self._origin, **USUAL, **options})
        context.set_default_timeout(MILLISECONDS)
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self._note("an exception", error.error))
        self._contexts.append(context)
        return context.new_page()

    @contextmanager
    def expecting(self, fault: str) -> Iterator[None]:
        """A fault that the block must lead to, and which then is none; it may be told a little later."""
        yield
        over = time.monotonic() + HASTE / 1000
        while not (found := [one for one in self.faults if fault in one]) and time.monotonic() < over:
            self.open_now()[0].wait_for_timeout(50)
        assert found, f"no fault was {fault!r}: {self.faults}"
        self.faults = [one for one in self.faults if fault not in one]

    def pardon(self, fault: str) -> None:
        """From now on this is no fault; a page that leads elsewhere may be gone before it tells of it."""
        self._pardoned.append(fault)

    def open_now(self) -> list[Page]:
        return [page for context in self._contexts for page in context.pages]

    def photograph(self, folder: Path) -> str:
        """What is on every screen, in words and as files in `folder`."""
        lines = list(self.faults)
        for number, page in enumerate(self.open_now()):
            picture = folder / f"page-{number}.png"
            try:
                page.screenshot(path=picture, full_page=True, timeout=HASTE)
                lines += [f"{page.url}: {picture}", page.locator("body").inner_text(timeout=HASTE)]
            except Error as error:  # it may be what the test has failed for
                lines.append(f"{page.url}: {error}")
        return "\n".join(lines)

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _on_request(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in WITHIN and f"{asked.scheme}://{asked.netloc}" not in self.origins:
            self._note("a request to somebody else", request.url)

    def _on_response(self, response: Response) -> None:
        if response.status >= 500 or (response.status >= 400 and response.request.resource_type in PARTS):
            self._note(f"the status {response.status}", response.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        """What a page has written itself, htmx among others, or what its policy has stopped."""
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self._note(f"{message.type} in the console", message.text)

    def _note(self, what: str, detail: object) -> None:
        fault = f"{what}: {detail}"
        if not any(pardoned in fault for pardoned in self._pardoned):
            self.faults.append(fault)


@contextmanager
def watched(browser: Browser, origin: str) -> Iterator[Pages]:
    """Pages whose faults fail the block."""
    pages = Pages(browser, origin)
    try:
        yield pages
        assert not pages.faults, "\n".join(pages.faults)
    finally:
        pages.close()


def sign_in(page: Page, key: str) -> None:
    """As somebody does who has the key in her hand."""
    page.goto("/ui/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").wait_for()


def drop(page: Page, content: str, name: str = "reviews.csv") -> None:
    """Drop a file on the page, and see what it holds."""
    page.goto("/ui/new")
    page.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    )
    page.wait_for_url("**/ui/new/*")
