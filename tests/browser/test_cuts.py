"""Whatever happens between a page and its server: it shows what is, by itself, or says that it does not."""

from collections.abc import Iterator
from functools import partial

import psutil
import pytest
from playwright.sync_api import Browser, expect

from app.core.accounts import api_keys
from models.session import in_transaction
from tests.browser.conftest import Site
from tests.support.cable import Cable, cable
from tests.support.front_door import JOBS, Door
from tests.support.pages import Pages, sign_in, watched
from tests.support.servers import wait_until

SLOW = {"simulate": {"latency_ms": 600_000}}  # no answer while a test lasts
CUT = "The connection is gone"
HIDE = "hidden => Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden}) \
    && document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def line(site: Site) -> Iterator[Cable]:
    with cable(site.web.port) as line:
        yield line


@pytest.fixture
def pages(browser: Browser, line: Cable) -> Iterator[Pages]:
    with watched(browser, line.url) as opened:
        yield opened


def restart(site: Site) -> None:
    """End the process that serves the pages; another one takes its place."""
    old = site.web.worker
    old.terminate()

    def is_new() -> bool:
        found = psutil.Process(site.web.process.pid).children()
        return old not in found and len(found) == 1 and site.web.answers()

    wait_until(is_new, what="another process serves")


def test_what_is_live_is_right_again_whatever_cut_it(pages: Pages, line: Cable, site: Site) -> None:
    # Given a job that runs, looked at in the list and on its page
    door, page = site.newcomer(), pages()
    page.context.clock.install()
    sign_in(page, door.key)
    listed = page.context.new_page()
    job = door.submit(3, params=SLOW, name="Pots of spring")
    wait_until(lambda: door.job(job)["status"] == "running", what="the job runs")
    seen = [(page, f"/ui/jobs/{job['id']}", "#job-state"), (listed, "/ui/jobs", "tbody tr")]
    for one, path, _ in seen:
        one.goto(path)
        one.evaluate("window.sameDocument = true")

    def becomes(word: str) -> None:
        for one, _, place in seen:
            expect(one.locator(f"{place} .status")).to_have_text(word)
            expect(one.get_by_text(CUT)).to_be_hidden()
            assert one.evaluate("window.sameDocument")

    becomes("running")

    # When the web process is replaced, then what comes next is shown
    restart(site)
    change(door, job, "pause")
    becomes("paused")

    # When the line is broken, then both say so, and know what happened when it is mended
    with pages.expecting("htmx:sse:error"):
        line.cut()
        for one, _, _ in seen:
            expect(one.get_by_text(CUT)).to_be_visible()
        change(door, job, "resume")
        line.mend()
        becomes("running")

    # When it falls silent as by a laptop's sleep, then that is noticed after a while
    line.silence()
    change(door, job, "pause")
    page.context.clock.fast_forward(16_000)
    becomes("paused")

    # When the tabs are hidden, then they hold no stream; and shown again, they know what happened
    streams = len(line.connections)
    for one, _, _ in seen:
        one.evaluate(HIDE, True)
    wait_until(lambda: len(line.connections) <= streams - len(seen), what="the streams have ended")
    change(door, job, "cancel")
    for one, _, _ in seen:
        one.evaluate(HIDE, False)
    becomes("cancelled")


def change(door: Door, job: dict[str, str], verb: str) -> None:
    assert door.post(f"{JOBS}/{job['id']}/{verb}").status_code in (200, 202)


def test_who_looks_on_when_her_key_is_revoked_is_led_to_the_door(pages: Pages, site: Site) -> None:
    door, page = site.newcomer(), pages()
    sign_in(page, door.key)
    job = door.submit(1, params=SLOW)
    with page.expect_response("**/live"):
        page.goto(f"/ui/jobs/{job['id']}")
    pages.pardon("htmx:sse:error")
    in_transaction(partial(api_keys.revoke, prefix=door.prefix))
    expect(page.get_by_label("API key")).to_be_focused()


def test_a_stream_that_could_not_begin_does_so_later_unless_nobody_looks(pages: Pages, site: Site) -> None:
    # Given a page whose first stream fails
    door, page = site.newcomer(), pages()
    page.context.clock.install()
    sign_in(page, door.key)
    job = f"/ui/jobs/{door.submit(1, params=SLOW)['id']}"
    page.route("**/live", lambda route: route.abort(), times=1)
    with pages.expecting("htmx:error"):
        with page.expect_event("requestfailed"):
            page.goto(job)

        # When a few seconds have passed, then it is asked for again
        with page.expect_response(f"**{job}/live"):
            page.context.clock.fast_forward(4_000)

    # And a tab that is opened behind others gives its stream back
    behind = page.context.new_page()
    behind.add_init_script("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
    with behind.expect_event("requestfailed", lambda request: request.url.endswith("/live")):
        behind.goto(job)
    with behind.expect_response("**/live"):
        behind.evaluate(HIDE, False)
