"""What readers see while a large job runs at full speed.

A job of records that are answered at once keeps both cores at work. Beside it: its state asked for again and
again, pages of its records and of the list of jobs, and 200 readers of its events.
"""

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import psycopg

from bench import servers
from bench.service import AS_FAST_AS_IT_CAN, Job, Service, prompts, running

PAUSE = 0.05  # seconds between two questions


@contextmanager
def crowd(service: Service, job: Job, count: int) -> Iterator[list[list[tuple[int, float]]]]:
    """Readers of a job's events. Afterwards, of each: the last seqs of its events, and when they came."""
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    command = [
        sys.executable,
        "-m",
        "bench.crowd",
        f"{service.address}/api/v1/jobs/{job['id']}/events",
        str(count),
    ]
    came: list[list[tuple[int, float]]] = []
    with subprocess.Popen(
        command,
        env={**os.environ, "PENSTOCK_API_KEY": key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield came
        told, _ = process.communicate("")
        came += json.loads(told)


def delays(came: list[list[tuple[int, float]]], committed: dict[int, float]) -> list[float]:
    """Seconds from the commit of each answer to each event that tells of it."""
    return [
        at - committed[seq]
        for reader in came
        for (before, _), (last, at) in pairwise(reader)
        for seq in range(before + 1, last + 1)
    ]


def times(ask: Callable[[], object], seconds: float) -> list[float]:
    """How long each of many questions takes, one after the other, in seconds."""
    found = []
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        began = time.monotonic()
        ask()
        found.append(time.monotonic() - began)
        time.sleep(PAUSE)
    return found


def commits(service: Service) -> dict[int, float]:
    """When each answer was there for everybody to see, by its seq, on the clock."""
    with psycopg.connect(service.database.replace("postgresql+psycopg", "postgresql")) as connection:
        rows = connection.execute(
            "SELECT seq, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float FROM record_output"
        )
        return dict(rows.fetchall())


def told(what: str, values: Sequence[float]) -> None:
    ranked = sorted(values)
    p99 = ranked[int(0.99 * (len(ranked) - 1))]
    median = statistics.median(ranked)
    print(f"{what}: median {median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ({len(ranked):,})", flush=True)


def beside_a_job(service: Service, records: int, readers: int, seconds: float) -> None:
    job = service.submit(prompts(records))
    name = f"/jobs/{job['id']}"
    while service.ended(job) < records // 20:
        time.sleep(0.1)

    def asked(path: str, **query: object) -> Callable[[], object]:
        return lambda: service.http.get(path, params=query).raise_for_status()  # type: ignore[arg-type]

    told("GET /jobs/{id}", times(asked(name), seconds))
    told("GET /jobs/{id}/records, 100 of them", times(asked(f"{name}/records", limit=100), seconds))
    told("GET /jobs", times(asked("/jobs"), seconds))
    processes = service.processes()
    with crowd(service, job, readers) as came:
        spent, since = processes.spent(), time.monotonic()
        told(f"GET /jobs/{{id}} beside {readers} readers of events", times(asked(name), seconds))
        share = processes.since(spent)["web"] / (time.monotonic() - since)
        assert service.look(job)["status"] == "running", "the job was too short"
    print(f"the web beside them: {share:.2f} of a core", flush=True)
    told(f"events to {readers} readers, from the answer's commit", delays(came, commits(service)))
    before = service.ended(job)
    began = dt.datetime.now(dt.UTC)
    service.wait_for(job)
    passed = dt.datetime.now(dt.UTC) - began
    print(f"the job went on at {(records - before) / passed.total_seconds():,.0f} records/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15, help="of each kind of question")
    asked = parser.parse_args()
    with ExitStack() as stay:
        upstream = stay.enter_context(servers.provider())
        service = stay.enter_context(running(upstream, **AS_FAST_AS_IT_CAN))
        beside_a_job(service, asked.records, asked.readers, asked.seconds)


if __name__ == "__main__":
    main()
