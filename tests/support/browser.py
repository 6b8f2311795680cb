"""The browser of the tests: Chromium without a screen, driven by Playwright.

It is the program that `TEST_BROWSER` names, or the machine's own, or else one from npm.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.support import npm_chromium

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--no-sandbox",  # which cannot be had as root in a container; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No request leaves this machine, whoever makes it.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def installed() -> Path | None:
    """The Chromium of this machine, if there is one."""
    named = os.environ.get("TEST_BROWSER")
    return Path(named) if named else next(map(Path, filter(None, map(shutil.which, NAMES))), None)


@contextmanager
def running() -> Iterator[Browser]:
    """A browser, until the end of the block.

    In its thread no other event loop can run meanwhile: `asyncio.run` fails there.
    """
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        try:
            yield browser
        finally:
            browser.close()


def _launch(playwright: Playwright) -> Browser:
    own = installed()
    if own is not None:
        return playwright.chromium.launch(executable_path=own, args=FLAGS)
    return playwright.chromium.launch(
        executable_path=npm_chromium.executable(), env=npm_chromium.environment(), args=FLAGS
    )
