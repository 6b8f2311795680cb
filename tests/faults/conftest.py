"""What the fault tests share: how long they run, when they strike, and the figures that they print.

Each test has a short form, which the whole suite runs, and a long one (`make faults`): more records, more
rounds at other moments, both databases. `FAULT_ROUNDS` is the number of rounds, `FAULT_SEED` repeats a run.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.support.fault_costs import Figures
from tests.faults.support.rounds import LONG, ROUNDS

SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)

_figures = Figures()


@pytest.fixture(scope="session")
def records() -> int:
    """Of a job that something is done to."""
    return 2000 if LONG else 300


@pytest.fixture
def moments(request: pytest.FixtureRequest, records: int) -> Iterator[int]:
    """When to strike, once a round: after so many records of a job have ended."""
    chance = random.Random(f"{SEED}{request.node.nodeid}")
    chosen = [chance.randrange(records // 2) for _ in range(ROUNDS)]
    print(f"FAULT_SEED={SEED}: after {chosen} of {records} records")
    return iter(chosen)


@pytest.fixture
def figures() -> Figures:
    """Takes down what a fault cost, for docs/reliability.md."""
    return _figures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _figures.lines():
        terminalreporter.write_line(line)
    path = os.environ.get("FAULT_FIGURES")
    if path and _figures.rows:
        with Path(path).open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in _figures.rows)
