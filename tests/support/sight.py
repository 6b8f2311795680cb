"""How a page looks to those who read it: with assistive technology, on a telephone, in the dark."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

WIDTHS = (1440, 390)  # pixels: a desk, a telephone
THEMES = ("light", "dark")

# Run from outside: the page's own policy would not let it in.
AXE = (Path(__file__).parents[1] / "browser" / "vendor" / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """async () => (await axe.run({
    resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
})).violations"""

# What is wider than the window, and no box that may be scrolled holds it.
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(element => {
    if (element.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
    for (let box = element.parentElement; box; box = box.parentElement)
        if (getComputedStyle(box).overflowX !== 'visible') return false;
    return true;
}).map(element => element.outerHTML.slice(0, 120))"""

# What a finger has to hit, and what is lower than it needs; a link within a text is a word of it.
MOST_LOW = """() => [...document.querySelectorAll(
    'button, .button, summary, select, nav a, .pills a, .brand, input:not([type=checkbox], [type=radio])'
)].filter(element => {
    const {width, height} = element.getBoundingClientRect();
    return width > 1 && height < 40 && element.checkVisibility() && !element.closest('.visually-hidden');
}).map(element => `${element.outerHTML.slice(0, 120)}: ${element.getBoundingClientRect().height}`)"""

# Where one is, as the navigation says it: left or right of what is shown.
OUT_OF_SIGHT = """() => [...document.querySelectorAll('nav [aria-current]')].filter(element => {
    const {left, right} = element.getBoundingClientRect();
    return left < 0 || right > document.documentElement.clientWidth;
}).map(element => element.textContent)"""


def show(page: Page, width: int, theme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)


def assert_accessible(page: Page) -> None:
    """What axe finds is told by rule and element, with what it says of mending it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)  # half a megabyte, once for each document
    found: list[dict[str, Any]] = page.evaluate(RUN_AXE)
    assert not found, f"{page.url}\n" + "\n".join(_told(found))


def assert_fits(page: Page) -> None:
    """Nobody has to scroll sideways to read it."""
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{page.url} is {over} pixels too wide:\n" + "\n".join(page.evaluate(TOO_WIDE))


def assert_in_reach(page: Page) -> None:
    """What one taps is large enough, and one sees where one is."""
    for what, look in (("too low to tap", MOST_LOW), ("out of sight", OUT_OF_SIGHT)):
        found = page.evaluate(look)
        assert not found, f"{page.url}: {what}:\n" + "\n".join(found)


def assert_good(page: Page) -> None:
    """Accessible in both themes; no wider than a telephone, and for fingers there."""
    for width, theme in zip(WIDTHS, THEMES, strict=True):
        show(page, width, theme)
        assert_accessible(page)
    assert_fits(page)
    assert_in_reach(page)
    show(page, WIDTHS[0], THEMES[0])


def shoot(page: Page, name: str) -> None:
    """Write pictures of the page into the folder that `SCREENSHOTS` names, if it names one."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        for width in WIDTHS:
            for theme in THEMES:
                show(page, width, theme)
                page.screenshot(path=Path(folder, f"{name}-{width}-{theme}.png"), full_page=True)
        show(page, WIDTHS[0], THEMES[0])


def _told(found: list[dict[str, Any]]) -> Iterator[str]:
    for rule in found:
        for node in rule["nodes"]:
            yield f"{rule['id']}: {node['html'][:200]}\n    {node['failureSummary']}"
