"""What the fault tests share: how long they run, stacks to break, and the figures that they print.

Each test has a short form, which the whole suite runs, and a long one (`make faults`): more records, more
rounds at other moments, both databases. `FAULT_ROUNDS` is the number of rounds, `FAULT_SEED` repeats a run.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import penstock_of_its_own
from tests.faults.figures import Figures
from tests.faults.site import Site
from tests.upstream import Upstream

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
LONG = ROUNDS > 1

BOTH = ("postgresql", pytest.param("sqlite", marks=pytest.mark.long))

_figures = Figures()


@pytest.fixture(scope="session")
def records() -> int:
    """Of a job that something is done to."""
    return 2000 if LONG else 400


@pytest.fixture
def moments(request: pytest.FixtureRequest, records: int) -> Iterator[int]:
    """When to strike, once a round: after so many records of a job have ended."""
    chance = random.Random(f"{SEED}{request.node.nodeid}")
    chosen = [chance.randrange(records * 3 // 4) for _ in range(ROUNDS)]
    print(f"FAULT_SEED={SEED}: after {chosen} of {records} records")
    return iter(chosen)


@pytest.fixture
def figures() -> Figures:
    """Takes down what a fault cost, for docs/reliability.md."""
    return _figures


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """What the site's processes are told besides."""
    return {}


@pytest.fixture(scope="module", params=BOTH)
def site(
    request: pytest.FixtureRequest,
    upstream_process: Upstream,
    variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A running Penstock to break: two slice workers, a control worker, and Claude is the upstream.

    Each test leaves it whole again (`site.mend()`), so that one serves a module.
    """
    folder = tmp_path_factory.mktemp("site")
    with penstock_of_its_own(
        request.param, request, folder, **(Site.asking(upstream_process) | variables)
    ) as values:
        made = Site(values, folder, upstream_process)
        made.start(slice_workers=2)
        yield made
        made.stop()


@pytest.fixture
def fresh(site: Site) -> Site:
    """The site, whole, with an upstream that behaves well and has empty books."""
    site.mend()
    site.upstream.reset()
    return site


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _figures.lines():
        terminalreporter.write_line(line)
    path = os.environ.get("FAULT_FIGURES")
    if path and _figures.rows:
        with Path(path).open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in _figures.rows)
