"""One browser and one Penstock for all modules of this folder that run one after another."""

import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support import browser as browsers
from tests.support.front_door import Door
from tests.support.pages import Pages, watched
from tests.support.shared_stack import Service, running_service
from tests.support.upstream import Upstream
from tests.support.web_process import WebProcess, web_process


@dataclass
class Site:
    """A whole Penstock: real workers, a simulated Claude, and the web process that the browsers visit."""

    service: Service
    web: WebProcess

    def newcomer(self, scopes: Sequence[str] = ("admin",)) -> Door:
        """A tenant of the test's own, with a key."""
        return self.service.door.other(f"tenant-{uuid.uuid4().hex[:12]}", scopes)


@pytest.fixture(scope="package")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        Upstream() as claude,
        running_service(request, claude, folder, WEBHOOK_NETWORKS="127.0.0.0/8") as service,
        web_process({}, folder) as web,
    ):
        yield Site(service, web)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with browsers.running() as running:
        yield running


@pytest.fixture
def pages(browser: Browser, site: Site) -> Iterator[Pages]:
    """Browsers of as many people as the test needs; a fault of any page fails it."""
    site.service.upstream.reset()
    with watched(browser, site.web.url) as opened:
        yield opened


@pytest.fixture
def page(pages: Pages) -> Page:
    return pages()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what was on the screen."""
    report = yield
    pages = item.funcargs.get("pages")
    if report.when == "call" and report.failed and isinstance(pages, Pages):
        folder: Path = item.funcargs["request"].getfixturevalue("tmp_path")
        report.sections.append(("on the screen", pages.photograph(folder)))
    return report
