"""A provider to talk to, in a process of its own."""

from collections.abc import Iterator

import pytest

from tests.upstream import Upstream


@pytest.fixture(scope="session")
def upstream_process() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(upstream_process: Upstream) -> Upstream:
    """A provider that behaves well and has empty books."""
    upstream_process.reset()
    return upstream_process
