"""Records a second from submitted to stored, beside a bare loop in the same run: `make bench`.

Two slice workers and a control worker on this machine, with the database, Redis and an nginx that answers at
once. Rounds of all runs take turns, so that a machine whose speed drifts is the same for all; the table shows
medians, the ratio to the bare loop of the same round, and the CPU milliseconds that each process spent on a
record.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import cpu, servers

MODEL = "claude-haiku-4-5"
PARTS = ("slices", "control", "database", "redis")


@dataclass(frozen=True)
class Run:
    """One configuration of Penstock."""

    database: str
    per_task: int

    @property
    def name(self) -> str:
        return f"{self.database}, {self.per_task} a task"


RUNS = [*(Run("postgresql", per_task) for per_task in (1, 8, 32, 64)), Run("sqlite", 64)]


@dataclass
class Figures:
    """Of one run, round by round."""

    rates: list[float] = field(default_factory=list)  # records a second
    ratios: list[float] = field(default_factory=list)  # to the bare loop of the same round
    firsts: list[float] = field(default_factory=list)  # seconds from submitted to the first stored answer
    cpu: dict[str, list[float]] = field(default_factory=dict)  # milliseconds a record, by process


def bare(url: str, records: int) -> tuple[float, float]:
    """Records a second of the bare loop, and its CPU milliseconds a record."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.bare", url, str(records)], check=True, capture_output=True, text=True
    )
    rate, milliseconds = map(float, told.stdout.split())
    return rate, milliseconds


@contextmanager
def stack(run: Run, redis_url: str, database_url: str, upstream: str) -> Iterator[Any]:
    """Workers as `penstock up --workers 2` starts them."""
    from tests.stack import Stack, forget_process_state

    forget_process_state()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PENSTOCK_DATA": folder,
            "ANTHROPIC_API_KEY": "bench-key",
            "ANTHROPIC_BASE_URL": upstream,
            "CLAUDE_REQUESTS_PER_MINUTE": "1000000",
            "BATCH_MAX_CONCURRENT_LLM_CALLS": "1000",
            "RECORDS_PER_TASK": str(run.per_task),
            "PENSTOCK_GRACE_SECONDS": "3",
        }
        made = Stack(environment, Path(folder)).start(slice_workers=2)
        try:
            yield made
        finally:
            made.stop()


def measure(made: Any, records: int, figures: Figures) -> float:
    """One job of `records`; returns records a second by the database's clock."""
    processes = cpu.Processes(made)
    bodies = ({"prompt": f"Classify review {number}: great phone, bad battery."} for number in range(records))
    before = processes.spent()
    job = made.submit(bodies, model=MODEL).wait_for("completed", seconds=600)
    for part, seconds in processes.since(before).items():
        figures.cpu.setdefault(part, []).append(seconds / records * 1000)
    row = job.row()
    assert job.counts().succeeded == records
    figures.firsts.append((first_answer(job) - row.created_at).total_seconds())
    rate = records / (row.ended_at - row.started_at).total_seconds()
    figures.rates.append(rate)
    return rate


def first_answer(job: Any) -> Any:
    from sqlalchemy import func, select

    from models import RecordOutput
    from models.session import reading

    with reading() as session:
        return session.scalar(select(func.min(RecordOutput.ended_at)).where(RecordOutput.job_id == job.id))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=20_000, help="of a run of 64 or 32 a task")
    asked = parser.parse_args()
    with ExitStack() as stay:
        upstream = stay.enter_context(servers.nginx())
        redis_url = stay.enter_context(servers.redis())
        found = {run: Figures() for run in RUNS}
        loops: list[tuple[float, float]] = []
        for number in range(asked.rounds):
            loops.append(bare(upstream, min(asked.records, 5_000)))
            print(f"round {number + 1}: bare loop {loops[-1][0]:,.0f} records/s", file=sys.stderr)
            for run in RUNS:
                measure_run(run, redis_url, upstream, asked.records, found[run], loops[-1][0])
    show(found, loops)


def measure_run(
    run: Run, redis_url: str, upstream: str, records: int, figures: Figures, bare_rate: float
) -> None:
    count = max(500, records * min(run.per_task, 32) // 32)
    with servers.database(run.database) as url, stack(run, redis_url, url, upstream) as made:
        measure(made, 300, Figures())  # connections and caches are not what is measured
        rate = measure(made, count, figures)
    figures.ratios.append(rate / bare_rate)
    print(f"  {run.name}: {rate:,.0f} records/s", file=sys.stderr)


def show(found: dict[Run, Figures], loops: list[tuple[float, float]]) -> None:
    parts = " | ".join(f"{part}, CPU ms/record" for part in PARTS)
    print(f"| run | records/s | × bare loop | first answer, s | {parts} |")
    print("|---|---:|---:|---:|" + "---:|" * len(PARTS))
    rate, milliseconds = (statistics.median(values) for values in zip(*loops, strict=True))
    print(f"| bare loop, one process | {rate:,.0f} | 1.00 | | {milliseconds:.2f} (its own) | | | |")
    for run, figures in found.items():
        parts = " | ".join(f"{statistics.median(figures.cpu[part]):.2f}" for part in PARTS)
        told = [f"{statistics.median(figures.rates):,.0f}"]
        told += [f"{statistics.median(values):.2f}" for values in (figures.ratios, figures.firsts)]
        print(f"| {run.name} | {' | '.join(told)} | {parts} |")


if __name__ == "__main__":
    main()
