"""The tests of the page would see what is wrong with it: each fault is planted once."""

import pytest
from playwright.sync_api import Browser

from tests.support import sight
from tests.support.other_sites import planted
from tests.support.pages import Pages, watched

GOOD = "<main><h1>A page</h1><p>All is well.</p></main>"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<img alt='' src=http://198.51.100.7/x.png>", "a request to somebody else"),
        ("<img alt='' src=/missing.png>", "the status 404"),
        ("<iframe title=x src=/broken></iframe>", "the status 500"),
        ("<p style='color: red'>x</p>", "error in the console: Applying inline style violates"),
        ("<script>alert(1)</script>", "error in the console: Executing inline script violates"),
    ],
)
def test_a_fault_of_a_page_is_noted(browser: Browser, body: str, fault: str) -> None:
    with (
        planted(GOOD + body) as origin,
        pytest.raises(AssertionError, match=fault),
        watched(browser, origin) as pages,
    ):
        pages().goto("/")


def test_an_exception_in_a_script_is_noted(browser: Browser) -> None:
    with planted(GOOD) as origin:
        pages = Pages(browser, origin)
        page = pages()
        page.goto("/")
        with page.expect_event("pageerror"):
            page.evaluate("setTimeout(() => nobody())")
        assert pages.faults == ["an exception: nobody is not defined"]
        pages.close()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (GOOD + "<img src=/favicon.ico>", "image-alt"),
        (GOOD + "<svg width=500 height=10></svg>", "118 pixels too wide"),
        ("<main><h1>A page</h1><font color=#aaaaaa>pale</font></main>", "color-contrast"),
    ],
)
def test_a_page_that_not_everybody_can_read_is_found(browser: Browser, body: str, fault: str) -> None:
    with planted(body) as origin, watched(browser, origin) as pages:
        page = pages()
        page.goto("/")
        with pytest.raises(AssertionError, match=fault):
            sight.assert_good(page)


def test_a_fault_that_is_expected_must_be_there(browser: Browser) -> None:
    with planted(GOOD + "<script>alert(1)</script>") as origin, watched(browser, origin) as pages:
        with pages.expecting("Executing inline script violates"):
            pages().goto("/")
        with pytest.raises(AssertionError, match="no fault was"), pages.expecting("anything"):
            pass


def test_a_good_page_passes(browser: Browser) -> None:
    with planted(GOOD) as origin, watched(browser, origin) as pages:
        page = pages()
        page.goto("/")
        sight.assert_good(page)
