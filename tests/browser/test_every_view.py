"""Every view of the page: it is made from the routes, so a new view is in it by itself.

Links are followed from the first page on. A view that no link leads to fails until it is in PARTS.
"""

from collections import Counter, defaultdict, deque
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Page
from werkzeug.exceptions import HTTPException

from app.core.accounts.api_keys import SCOPES
from app.dashboard.blueprint import PREFIX
from app.dashboard.navigation import PLACES
from tests.browser.conftest import Site
from tests.support import sight
from tests.support.front_door import Door
from tests.support.pages import drop, sign_in
from tests.support.shown_tenant import SHEET, something_of_everything

ASKED = 3  # addresses of one view, whose links are followed
# What pages ask for themselves, while they are open.
PARTS = {
    "dashboard.jobs.stream_jobs",
    "dashboard.job.follow_job",
    "dashboard.job_records.follow_records",
    "dashboard.course.stream_course",
    "dashboard.slow.stream_slow",
    "dashboard.new_job.follow_rows",
    "dashboard.new_job.show_quote",
}
# Before one has signed in, and what is not there.
OUTSIDE = {
    "dashboard.sign_in.show_sign_in",
    "dashboard.sign_in.enter",
    "dashboard.assets.send_asset",
    "dashboard.show_nothing",
}


class Links(HTMLParser):
    """The addresses that a document leads to."""

    def __init__(self, base: str, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._base = base
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (target := dict(attrs).get("href")):
            self.found.append(urljoin(self._base, target).partition("#")[0])


class Walk:
    """Follows the links of the page from its first one on; looks at so many addresses of each view."""

    def __init__(self, page: Page, door: Door, looks: int) -> None:
        self._page, self._looks = page, looks
        self._routes = door.app.url_map
        self._asked: Counter[str] = Counter()  # by endpoint
        self.seen: defaultdict[str, list[str]] = defaultdict(list)  # by endpoint

    def follow(self) -> list[str]:
        """What is wrong with the views, by their addresses."""
        waiting, faults = deque([PREFIX]), []
        met = set(waiting)
        while waiting:
            path = waiting.popleft()
            if self._asked[self._endpoint(path)] == ASKED:
                continue
            try:
                found = [link for link in self._ask(path) if link not in met]
            except AssertionError as fault:
                faults.append(f"{path}: {fault}")
            else:
                met.update(found)
                waiting.extend(found)
        return faults

    def left_out(self) -> list[str]:
        """The views that no link has led to."""
        views = {
            rule.endpoint
            for rule in self._routes.iter_rules()
            if rule.rule.startswith(PREFIX) and "GET" in (rule.methods or ())
        }
        return sorted(views - self._asked.keys() - PARTS - OUTSIDE)

    def _ask(self, path: str) -> list[str]:
        """The links of a page of ours, once it was looked at; none of a file."""
        self._asked[self._endpoint(path)] += 1
        answer = self._page.request.get(path)
        assert answer.status == 200, f"{path}: {answer.status}"
        if not answer.headers["content-type"].startswith("text/html"):
            return []
        self._look(urlsplit(answer.url)._replace(scheme="", netloc="").geturl())
        links = map(urlsplit, Links(answer.url, answer.text()).found)
        return [
            link._replace(scheme="", netloc="").geturl()
            for link in links
            if link.netloc == urlsplit(answer.url).netloc and f"{link.path}/".startswith(f"{PREFIX}/")
        ]

    def _look(self, path: str) -> None:
        endpoint = self._endpoint(path)
        seen = self.seen[endpoint]
        if path not in seen and len(seen) < self._looks:
            seen.append(path)
            self._page.goto(path)
            assert self._page.locator("h1").count() == 1
            sight.assert_good(self._page)
            sight.shoot(self._page, f"{endpoint.removeprefix('dashboard.')}-{len(seen)}")

    def _endpoint(self, path: str) -> str:
        try:
            return str(self._routes.bind("").match(urlsplit(path).path)[0])
        except HTTPException as error:
            raise AssertionError(f"a link leads to {path}: {error}") from error


@pytest.mark.timeout(300)  # it sees some thirty views, each of them twice
@pytest.mark.parametrize("looks", [1, pytest.param(ASKED, marks=pytest.mark.long)])
def test_every_view_is_good(page: Page, site: Site, looks: int) -> None:
    # Given an operator whose tenant has something of everything, a draft included
    door = site.newcomer(SCOPES)
    with something_of_everything(site.service, door):
        sign_in(page, door.key)
        drop(page, SHEET)

        # When she follows all links, then each view is accessible and narrow enough
        walk = Walk(page, door, looks)
        assert walk.follow() == []

    # And no view is left out
    assert walk.left_out() == []


def test_every_place_is_good_for_who_has_nothing_yet(page: Page, site: Site) -> None:
    sign_in(page, site.newcomer().key)
    for place in PLACES:
        page.goto(place.path)
        sight.assert_good(page)
        sight.shoot(page, f"empty-{place.title}")
