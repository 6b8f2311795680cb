"""One Penstock for this folder's tests: workers, a provider with books, a web process behind a cable."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from penstock_client import Answer, AsyncPenstock, Job, Penstock

from tests.support.cable import Cable, cable
from tests.support.shared_stack import Service, running_service
from tests.support.upstream import Upstream
from tests.support.web_process import WebProcess, web_process


@dataclass
class Site:
    """Penstock as callers reach it."""

    service: Service
    web: WebProcess
    cable: Cable

    @property
    def url(self) -> str:
        return self.cable.url

    @property
    def key(self) -> str:
        return self.service.door.key


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, upstream_process: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        running_service(request, upstream_process, folder, "sqlite") as service,
        web_process({}, folder) as web,
        cable(web.port) as line,
    ):
        yield Site(service, web, line)


@pytest.fixture
def client(site: Site) -> Iterator[Penstock]:
    with Penstock(site.url, site.key) as made:
        yield made


Doing = Callable[..., tuple[list[Answer], Job]]


@pytest.fixture(params=["sync", "async"])
def done(request: pytest.FixtureRequest, site: Site) -> Doing:
    """Runs an order to its end: its answers as they came, and its job."""
    return _sync(site) if request.param == "sync" else _async(site)


def _sync(site: Site) -> Doing:
    def do(*rows: Any, **asked: Any) -> tuple[list[Answer], Job]:
        with Penstock(site.url, site.key) as client:
            run = client.run(*rows, **asked)
            return list(run), run.job

    return do


def _async(site: Site) -> Doing:
    async def do(*rows: Any, **asked: Any) -> tuple[list[Answer], Job]:
        async with AsyncPenstock(site.url, site.key) as client:
            run = await client.run(*rows, **asked)
            return [answer async for answer in run], run.job

    def at_once(*rows: Any, **asked: Any) -> tuple[list[Answer], Job]:
        work: Awaitable[tuple[list[Answer], Job]] = do(*rows, **asked)
        return asyncio.run(work)  # type: ignore[arg-type]

    return at_once
