"""One running Penstock for all tests of this folder, which break it and mend it."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ONE_IN_SHORT, penstock_of_its_own
from tests.faults.support.breakable_stack import Site
from tests.support.upstream import Upstream


@pytest.fixture(scope="package", params=ONE_IN_SHORT)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two slice workers, a control worker, and an upstream that is Claude."""
    folder = tmp_path_factory.mktemp("site")
    with (
        Upstream() as upstream,
        penstock_of_its_own(request.param, request, folder, **Site.asking(upstream)) as values,
    ):
        made = Site(values, folder, upstream)
        yield made
        made.stop()


@pytest.fixture
def fresh(site: Site) -> Site:
    """The site, whole, with an upstream that behaves well and has empty books."""
    site.mend()
    site.forget()
    return site


@pytest.fixture
def database_pids(request: pytest.FixtureRequest, site: Site) -> Callable[[], list[int]]:
    """The processes of the database server, as of now; SQLite has none."""
    if not site.environment["DATABASE_URL"].startswith("postgresql"):
        return list
    pids: Callable[[], list[int]] = request.getfixturevalue("postgres_server").pids
    return pids
