"""What one tenant can take from another: a table of loads, and what the other tenant gets meanwhile.

Each row has a stack of its own, on SQLite with one worker, where nothing but the model `simulated` is asked.
The attackers are a process of their own (`bench.attacks`). With `--base FOLDER`, a second checkout with its
own `.venv` is measured too, row by row in turn with this one: the same hour, the same machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.attacks import ATTACKS
from bench.bystander import Bystander, Refused
from bench.checkout import Checkout

HERE = Path(__file__).parents[1]
READY = 120  # seconds until a load is on
HEAD = (
    "| load by alpha | code | beta's `GET /jobs`: p50 / p99, ms | beta's job of one record | beta's download"
    " | beta's table of 5 kB | the web | alpha was answered |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Sizes:
    """How much of it: in full, or in short to see that it works."""

    seconds: float  # of each row
    longest: float  # seconds that beta waits for its own work
    afterwards: float  # seconds of looking at what the web still does when the attackers have gone
    records: int  # of alpha's large job, or upload
    jobs: int


FULL = Sizes(seconds=30, longest=60, afterwards=5, records=1_000_000, jobs=100_000)
SHORT = Sizes(seconds=6, longest=20, afterwards=2, records=20_000, jobs=2_000)


@contextmanager
def load(name: str, address: str, key: str, records: int) -> Iterator[dict[str, int]]:
    """The attackers at work. Afterwards: how often they got which answer."""
    answers: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.attacks", name, address, str(records)],
        cwd=HERE,
        env={**os.environ, "PENSTOCK_API_KEY": key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", f"{name} did not begin"
        try:
            yield answers
        finally:
            answers |= what_it_got(process)


def what_it_got(process: "subprocess.Popen[str]") -> dict[str, int]:
    """End it; how often it got which answer."""
    try:
        told, _ = process.communicate("", timeout=READY)
        counted: dict[str, int] = json.loads(told)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        process.kill()
        return {}
    return counted


def measured(name: str, checkout: Checkout, sizes: Sizes) -> str:
    """A row of the table."""
    data = checkout.data(
        records=sizes.records if "exports" in name else 0, jobs=sizes.jobs if name == "many-jobs" else 0
    )
    with checkout.running(data) as stack:
        beta = Bystander(stack.address, checkout.beta, sizes.longest)
        before = stack.web()
        with load(name, stack.address, checkout.alpha, sizes.records) as answers:
            beta.works(sizes.seconds)
        spent, began = stack.web_seconds(), time.monotonic()
        time.sleep(sizes.afterwards)
        busy = max(0.0, stack.web_seconds() - spent) / (time.monotonic() - began)
        web = f"{busy:.2f} of a core afterwards" if before <= stack.web() else "was killed"
    latency = f"{beta.gets.milliseconds(0.5)} / {beta.gets.milliseconds(0.99)}"
    if beta.gets.faults:
        latency += f"; {beta.gets.faults.total()} of {beta.gets.tries} without an answer"
    counts = ", ".join(f"{count:,} × {status}" for status, count in sorted(answers.items())) or "–"
    cells = (name, checkout.name, latency, beta.jobs, beta.downloads, beta.tables, web, counts)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="rows:\n" + "\n".join(f"  {name:20} {attack.__doc__}" for name, attack in ATTACKS.items()),
    )
    parser.add_argument("--rows", default=",".join(ATTACKS), help="which, separated by commas; default: all")
    parser.add_argument("--base", type=Path, help="another checkout, measured in turn with this one")
    parser.add_argument("--short", action="store_true", help="small and brief, to see that it works")
    parser.add_argument("--seconds", type=float, help="of each row")
    asked = parser.parse_args()
    sizes = SHORT if asked.short else FULL
    sizes = replace(sizes, seconds=asked.seconds or sizes.seconds)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", ignore_cleanup_errors=True) as name:
        checkouts = [Checkout("before", asked.base, Path(name))] if asked.base else []
        checkouts.append(Checkout("after" if asked.base else "here", HERE, Path(name)))
        print(HEAD, flush=True)
        for row in asked.rows.split(","):
            for checkout in checkouts:
                try:
                    print(measured(row, checkout, sizes), flush=True)
                except (OSError, AssertionError, Refused) as failed:
                    # Its stack did not start, or did not answer beta even before the load.
                    print(f"| {row} | {checkout.name} | not measured: {failed!r} | | | | | |", flush=True)


if __name__ == "__main__":
    main()
