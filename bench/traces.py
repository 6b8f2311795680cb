"""What tracing costs: its seams by themselves, off and on, and the processor time of a record either way.

Seams are measured in this process; a record in `penstock up` with two slice workers, on PostgreSQL, asking a
provider that answers at once. Rounds take turns.
"""

import argparse
import asyncio
import os
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, cast

from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.tracing import traces
from app.providers.client import Reply, Usage
from bench import servers
from bench.service import AS_FAST_AS_IT_CAN, MODEL, running
from bench.throughput import Figures, measure
from tests.support.collector import collecting

TIMES = 5_000
TOTAL = 1_000_000  # records of the job: every ten-thousandth has a span
WINDOW = (1, 1)
PARTS = ("slices", "web", "control")


class Job:
    """What a span says of a job."""

    job_id, total, provider, uid = 1, TOTAL, "anthropic", uuid.uuid4()
    facts = {"tenant": "bench"}  # noqa: RUF012


JOB = cast(JobContext, Job)
REPLY = Reply(b"{}", Usage(10, 5), "req_1", "", stop_reason="end_turn")


async def answered() -> Reply:
    return REPLY


def microseconds(work: Callable[[], Awaitable[Any]]) -> float:
    """Processor time of this thread for `work`, the least of seven rounds."""

    async def round_of() -> float:
        began = time.thread_time()
        for _ in range(TIMES):
            await work()
        return (time.thread_time() - began) / TIMES * 1e6

    return min(asyncio.run(round_of()) for _ in range(7))


def a_call(index: int) -> Callable[[], Awaitable[Reply]]:
    claim = Claim(1, index, 1, 1, 0, 100, None, None)
    return lambda: traces.call(answered(), JOB, claim, MODEL)


async def a_window() -> None:
    with traces.open_window(Job.uid, WINDOW, 24, None):
        pass


async def a_request() -> None:
    if traces.is_on():
        found = traces.begin_request("GET", "/api/v1/jobs", ("http", "/api/v1/jobs"), {})
        assert found is not None
        found.end(200, {})


def seams() -> None:
    bare = microseconds(answered)
    print("| seam | off, µs | on, µs |\n|---|---:|---:|")
    works = {
        "a record whose call has no span": a_call(1),
        "a record whose call has one": a_call(0),
        "a window": a_window,
        "a request": a_request,
    }
    off = {name: microseconds(work) - bare for name, work in works.items()}
    with collecting() as collector:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        traces.start("bench")
        assert traces.is_on()
        with traces.open_window(Job.uid, WINDOW, 24, None):  # that calls have a parent
            on = {name: microseconds(work) - bare for name, work in works.items()}
        traces.stop()
    for name in works:
        print(f"| {name} | {off[name]:.2f} | {on[name]:.1f} |")


def records(count: int, rounds: int) -> None:
    with servers.provider() as upstream, collecting() as collector:
        kinds: dict[str, dict[str, str]] = {"off": {}, "on": {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}}
        spent: dict[str, list[float]] = defaultdict(list)
        for number in range(rounds):
            for kind, environment in kinds.items():
                with running(upstream, "postgresql", 2, **AS_FAST_AS_IT_CAN, **environment) as service:
                    measure(service, 300, Figures())  # connections and caches are not what is measured
                    figures, before = Figures(), len(collector.spans)
                    rate = measure(service, count, figures)
                spent[kind].append(sum(figures.cpu[part][0] for part in PARTS))
                told = f"{spent[kind][-1]:.3f} ms a record, {rate:,.0f} records/s"
                print(
                    f"round {number + 1}, {kind}: {told}, {len(collector.spans) - before} spans", flush=True
                )
    for kind, milliseconds in spent.items():
        print(f"{kind}: {statistics.median(milliseconds):.3f} ms of processor time a record (median)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=20_000)
    asked = parser.parse_args()
    seams()
    if asked.rounds:
        records(asked.records, asked.rounds)


if __name__ == "__main__":
    main()
