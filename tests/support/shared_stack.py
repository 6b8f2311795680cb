"""A whole Penstock for the tests of one module: real workers, an upstream for Claude, a real front door."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import settings
from tests.conftest import penstock_of_its_own
from tests.support.front_door import Door
from tests.support.stack import Stack
from tests.support.threaded_server import Served, serving
from tests.support.upstream import Upstream


class Service:
    """A caller's view of it, and what its processes logged."""

    def __init__(self, served: Served, stack: Stack, upstream: Upstream) -> None:
        self.served, self.stack, self.upstream = served, stack, upstream

    @property
    def door(self) -> Door:
        return self.served.door

    @contextmanager
    def instance(self, **environment: str) -> Iterator[Door]:
        """Another web process of the same Penstock, with an environment that differs in this."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            settings.current.cache_clear()
            yield Door()
        settings.current.cache_clear()


@contextmanager
def running_service(
    request: pytest.FixtureRequest,
    upstream: Upstream,
    folder: Path,
    kind: str = "postgresql",
    per_minute: int | None = 60_000,
    **more: str,
) -> Iterator[Service]:
    """Two slice workers and a control worker on PostgreSQL; `per_minute` of None is the limit as shipped."""
    environment = {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "LOG_FORMAT": "json",
        **more,
    }
    if per_minute is not None:
        environment["CLAUDE_REQUESTS_PER_MINUTE"] = str(per_minute)
    with penstock_of_its_own(kind, request, folder, **environment) as values:
        stack = Stack(values, folder).start(slice_workers=2)
        try:
            with serving() as served:
                yield Service(served, stack, upstream)
        finally:
            stack.stop()
