"""Records a second from submitted to stored, beside a bare loop in the same run: `make bench`.

`penstock up` with two slice workers on this machine, with its database, its Redis and a provider that answers
at once. Rounds of all runs take turns, so that a machine whose speed drifts is the same for all; the table
shows medians, the ratio to the bare loop just before and after, and the CPU milliseconds that each process
spent on a record.
"""

import argparse
import datetime as dt
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench import servers
from bench.service import AS_FAST_AS_IT_CAN, Job, Service, prompts, running
from tests.support.sse_reader import Stream

PARTS = ("slices", "control", "web", "database", "redis")


@dataclass(frozen=True)
class Run:
    """One configuration of Penstock."""

    database: str
    per_task: int

    @property
    def name(self) -> str:
        return f"{self.database}, {self.per_task} per task"

    def records(self, most: int) -> int:
        """Fewer where each takes longer."""
        return max(500, most * min(self.per_task, 32) // 32)


RUNS = [*(Run("postgresql", per_task) for per_task in (1, 8, 32, 64)), Run("sqlite", 64)]


@dataclass
class Figures:
    """Of one run, round by round."""

    rates: list[float] = field(default_factory=list)  # records a second, from started to ended
    ratios: list[float] = field(default_factory=list)  # to the bare loop of the same round
    submits: list[float] = field(default_factory=list)  # seconds from the request to its 202
    firsts: list[float] = field(default_factory=list)  # seconds from the 202 to the first answer's event
    delays: list[float] = field(default_factory=list)  # seconds from an answer's end to its event, median
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # milliseconds a record


ENOUGH = 5_000  # records whose events are looked at


class Watch:
    """A reader of a job's events, and when each came."""

    def __init__(self, service: Service, job: Job) -> None:
        key = service.http.headers["Authorization"].removeprefix("Bearer ")
        self._stream = Stream(service.address, f"/api/v1/jobs/{job['id']}/events", key, last_id=0, timeout=60)
        self._service, self._job = service, job
        self._began = dt.datetime.now(dt.UTC)
        self.came: dict[int, tuple[float, dt.datetime]] = {}  # by index: monotonic, and on the clock
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def first(self) -> float:
        """When the first answer's event came (monotonic)."""
        self._thread.join(120)
        return min(at for at, _ in self.came.values())

    def delays(self) -> list[float]:
        """Seconds from the end of an answer, by its record, to its event; of those that came live."""
        page: dict[str, Any] = {"next_cursor": ""}
        found: list[float] = []
        while page["next_cursor"] is not None and len(found) < ENOUGH:
            asked = {"limit": 500, **({"cursor": page["next_cursor"]} if page["next_cursor"] else {})}
            page = self._service.http.get(f"/jobs/{self._job['id']}/records", params=asked).json()
            for record in page["data"]:
                ended, came = dt.datetime.fromisoformat(record["ended_at"]), self.came[record["index"]][1]
                if ended > self._began:
                    found.append((came - ended).total_seconds())
        return found

    def _read(self) -> None:
        with self._stream as stream:
            for told in stream:
                now = time.monotonic(), dt.datetime.now(dt.UTC)
                if told.kind == "records":
                    self.came |= {index: now for index, *_ in told.data["records"]}


def bare(url: str, records: int) -> tuple[float, float]:
    """Records a second of the bare loop, and its CPU milliseconds a record."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.bare", url, str(records)], check=True, capture_output=True, text=True
    )
    rate, milliseconds = map(float, told.stdout.split())
    return rate, milliseconds


def measure(service: Service, records: int, figures: Figures) -> float:
    """One job of `records`; returns records a second by the database's clock."""
    lines = prompts(records)
    processes = service.processes()
    before, began = processes.spent(), time.monotonic()
    job = service.submit(lines)
    accepted = time.monotonic()
    watch = Watch(service, job)
    ended = service.wait_for(job)
    for part, seconds in processes.since(before).items():
        figures.cpu[part].append(seconds / records * 1000)
    figures.submits.append(accepted - began)
    figures.firsts.append(watch.first() - accepted)
    figures.delays.append(statistics.median(watch.delays() or [0.0]))
    started, end = (dt.datetime.fromisoformat(ended[name]) for name in ("started_at", "ended_at"))
    figures.rates.append(records / (end - started).total_seconds())
    return figures.rates[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=20_000, help="of a run of 64 or 32 per task")
    parser.add_argument("--only", help="a part of the name of the runs that are wanted")
    asked = parser.parse_args()
    runs = [run for run in RUNS if asked.only is None or asked.only in run.name]
    with ExitStack() as stay:
        upstream = stay.enter_context(servers.provider())
        found = {run: Figures() for run in runs}
        loops: list[tuple[float, float]] = []
        for number in range(asked.rounds):
            for run in runs:
                loops.append(bare(upstream, 3_000))
                rate = measure_run(run, upstream, run.records(asked.records), found[run])
                loops.append(bare(upstream, 3_000))
                found[run].ratios.append(rate / statistics.mean(rate for rate, _ in loops[-2:]))
                told = f"{rate:,.0f} records/s, {found[run].ratios[-1]:.2f} times the bare loop"
                print(f"round {number + 1}, {run.name}: {told}", file=sys.stderr)
    show(found, loops)


def measure_run(run: Run, upstream: str, records: int, figures: Figures) -> float:
    wishes = {**AS_FAST_AS_IT_CAN, "RECORDS_PER_TASK": str(run.per_task)}
    with running(upstream, run.database, **wishes) as service:
        measure(service, 300, Figures())  # connections and caches are not what is measured
        return measure(service, records, figures)


def show(found: dict[Run, Figures], loops: list[tuple[float, float]]) -> None:
    parts = " | ".join(PARTS)
    print(f"| run | records/s | × bare loop | submit, s | first, s | event, s | {parts}: CPU ms a record |")
    print("|---|---:|---:|---:|---:|---:|" + "---:|" * len(PARTS))
    rate, milliseconds = (statistics.median(values) for values in zip(*loops, strict=True))
    print(f"| bare loop, one process | {rate:,.0f} | 1.00 | | | | {milliseconds:.2f} (its own) | | | | |")
    for run, figures in found.items():
        told = [f"{statistics.median(figures.rates):,.0f}"]
        for values in (figures.ratios, figures.submits, figures.firsts, figures.delays):
            told.append(f"{statistics.median(values):.2f}")
        told += [f"{statistics.median(figures.cpu[part] or [0.0]):.2f}" for part in PARTS]
        print(f"| {run.name} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
