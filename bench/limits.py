"""How much of a provider's limits four worker processes use, beside a bare loop: `make bench-limits`.

The provider is a real HTTP server with limits and books of its own (`tests/support/upstream.py`), from which
every figure is taken. The bare loop is what many write first: asyncio, the official SDK, a semaphore, and a
pause between two starts.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import servers

MODEL = "claude-haiku-4-5"
WORKERS = 4
EDGE = 3.0  # seconds
STRAGGLING = 0.897  # of a lognormal latency whose 99.9th percentile is 16 times its median
HEADINGS = ("run", "used", "steadily", "429s", "densest minute")


@contextmanager
def stack(redis_url: str, database_url: str, upstream: Any, **limits: str) -> Iterator[Any]:
    """Workers on real servers; leaves nothing behind."""
    from tests.support.stack import Stack

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PENSTOCK_DATA": folder,
            "ANTHROPIC_API_KEY": "bench-key",
            "ANTHROPIC_BASE_URL": upstream.url,
            "BATCH_MAX_CONCURRENT_LLM_CALLS": "1000",
            "PENSTOCK_GRACE_SECONDS": "3",
            **limits,
        }
        made = Stack(environment, Path(folder)).start(slice_workers=WORKERS)
        try:
            yield made
        finally:
            made.stop()


def penstock(made: Any, records: int, characters: int = 20) -> None:
    bodies = ({"prompt": f"Prompt {number} ".ljust(characters, "x")} for number in range(records))
    made.submit(bodies, model=MODEL).wait_for("completed", seconds=1_000)


async def bare_loop(url: str, records: int, per_minute: int, at_once: int = 100) -> None:
    from anthropic import AsyncAnthropic, DefaultAioHttpClient, RateLimitError

    client = AsyncAnthropic(
        api_key="bench-key", base_url=url, max_retries=0, http_client=DefaultAioHttpClient()
    )
    seats = asyncio.Semaphore(at_once)

    async def ask(number: int) -> None:
        async with seats:
            while True:
                try:
                    await client.messages.create(
                        model=MODEL,
                        max_tokens=100,
                        messages=[{"role": "user", "content": f"Prompt {number}"}],
                    )
                except RateLimitError as refused:
                    await asyncio.sleep(float(refused.response.headers.get("retry-after", 1)))
                else:
                    return

    async with asyncio.TaskGroup() as tasks:
        for number in range(records):
            tasks.create_task(ask(number))
            await asyncio.sleep(60 / per_minute)
    await client.close()


def row(name: str, upstream: Any, allowed: int, unit: str = "requests") -> tuple[str, ...]:
    """What the provider's books say of a run: of all of it, and without its first and last seconds."""
    books = sorted(upstream.books(), key=lambda seen: seen["at"])
    admitted = [seen for seen in books if seen["outcome"] == "answered"]
    sizes = [1 if unit == "requests" else seen["input_tokens"] for seen in admitted]
    used = use(admitted, sizes, allowed)
    steady = [place for place, seen in enumerate(admitted) if is_steady(seen, admitted)]
    inner = slice(steady[0], steady[-1] + 1)
    used_steadily = use(admitted[inner], sizes[inner], allowed)
    most = total = first = 0
    for place, seen in enumerate(admitted):
        total += sizes[place]
        while admitted[first]["at"] <= seen["at"] - 60:
            total -= sizes[first]
            first += 1
        most = max(most, total)
    refused = Counter(seen["outcome"] for seen in books)["429"]
    return name, f"{used:.1%}", f"{used_steadily:.1%}", str(refused), f"{most:,} of {allowed:,} {unit}"


def use(admitted: list[dict[str, Any]], sizes: list[int], allowed: int) -> float:
    """The part of the limit that was used between the first and the last of these."""
    return sum(sizes[1:]) / (admitted[-1]["at"] - admitted[0]["at"]) * 60 / allowed


def is_steady(seen: dict[str, Any], admitted: list[dict[str, Any]]) -> bool:
    """Not of the seconds in which a job begins or ends."""
    return admitted[0]["at"] + EDGE <= seen["at"] <= admitted[-1]["at"] - EDGE


def waits_of_light(made: Any, upstream: Any) -> tuple[float, float]:
    """Median and last of the seconds until ten records of a light job arrived."""
    began = time.monotonic()
    bodies = [{"prompt": f"Light {number}"} for number in range(10)]
    made.submit(bodies, model=MODEL).wait_for("completed", seconds=300)
    at = sorted(seen["at"] - began for seen in upstream.books() if seen["text"].startswith("Light"))
    return statistics.median(at), at[-1]


@dataclass(frozen=True)
class Site:
    """What a run needs; `stack` brings workers."""

    redis_url: str
    database_url: str
    upstream: Any
    seconds: int
    heavy: int

    def stack(self, **limits: str) -> AbstractContextManager[Any]:
        return stack(self.redis_url, self.database_url, self.upstream, **limits)

    def begin(self, **behaviour: float) -> None:
        """Empty books, and a provider that behaves so."""
        self.upstream.reset()
        self.upstream.configure(**behaviour)


def requests(site: Site) -> Iterator[tuple[str, ...]]:
    for per_minute in (300, 3_000):
        records = per_minute * site.seconds // 60
        behaviour = {"requests_per_minute": per_minute, "latency_ms": 1_000, "latency_sigma": 0.4}
        site.begin(**behaviour)
        with site.stack(CLAUDE_REQUESTS_PER_MINUTE=str(per_minute)) as made:
            penstock(made, records)
            yield row(f"penstock, {per_minute:,} requests per minute", site.upstream, per_minute)
        site.begin(**behaviour)
        asyncio.run(bare_loop(site.upstream.url, records, per_minute))
        yield row(f"bare loop, {per_minute:,} requests per minute", site.upstream, per_minute)


def stragglers(site: Site) -> Iterator[tuple[str, ...]]:
    site.begin(requests_per_minute=3_000, latency_ms=3_000, latency_sigma=STRAGGLING)
    with site.stack(CLAUDE_REQUESTS_PER_MINUTE="3000") as made:
        penstock(made, 50 * site.seconds)
        yield row("penstock, 3,000 a minute, one answer of 1,000 after 48 s", site.upstream, 3_000)


def tokens(site: Site) -> Iterator[tuple[str, ...]]:
    site.begin(latency_ms=500, latency_sigma=0.4)
    limits = {"CLAUDE_REQUESTS_PER_MINUTE": "6000", "CLAUDE_INPUT_TOKENS_PER_MINUTE": "300000"}
    with site.stack(**limits) as made:
        penstock(made, 5 * site.seconds, characters=4_000)
        yield row("penstock, 300,000 input tokens per minute", site.upstream, 300_000, "input tokens")


def small(site: Site) -> Iterator[tuple[str, ...]]:
    """A batch that fits into a minute, at the limits as shipped."""
    site.begin(latency_ms=200)
    limits = {"CLAUDE_REQUESTS_PER_MINUTE": "50", "BATCH_MAX_CONCURRENT_LLM_CALLS": "5"}
    with site.stack(**limits) as made:
        began = time.monotonic()
        penstock(made, 50)
        took = time.monotonic() - began
        yield "50 records, 50 a minute, 5 at a time, 0.2 s each", "", "", "", f"{took:.1f} s"


def fairness(site: Site) -> Iterator[tuple[str, ...]]:
    behaviour = {"latency_ms": 500, "latency_sigma": 0.4}
    site.begin(**behaviour)
    with site.stack(CLAUDE_REQUESTS_PER_MINUTE="300") as made:
        median, last = waits_of_light(made, site.upstream)
        yield "10 records alone", "", "", "", f"median {median:.1f} s, last {last:.1f} s"
        made.submit(({"prompt": f"Heavy {number}"} for number in range(site.heavy)), model=MODEL)
        servers.wait_until(
            lambda: site.upstream.summary()["requests"] > 60, seconds=120, what="the heavy job runs"
        )
        site.begin(**behaviour)
        median, last = waits_of_light(made, site.upstream)
        yield f"10 records beside {site.heavy:,}", "", "", "", f"median {median:.1f} s, last {last:.1f} s"


RUNS = {run.__name__: run for run in (requests, stragglers, tokens, small, fairness)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=150, help="of each run; a job of up to 120 s would leave at once"
    )
    parser.add_argument("--heavy", type=int, default=100_000, help="records of the job beside the light one")
    parser.add_argument("--only", choices=RUNS, help="one kind of run")
    asked = parser.parse_args()

    redis = servers.RedisServer()
    os.environ["REDIS_URL"] = redis.url
    redis.start()
    with servers.postgres() as database_url:
        os.environ["DATABASE_URL"] = database_url
        from models import migrate
        from tests.support.upstream import Upstream

        migrate.upgrade(database_url)
        with Upstream() as upstream:
            site = Site(redis.url, database_url, upstream, asked.seconds, asked.heavy)
            wanted = [RUNS[asked.only]] if asked.only else RUNS.values()
            rows = [found for run in wanted for found in run(site)]
    redis.kill()
    width = max(len(line[0]) for line in rows)
    for name, used, steadily, refused, rest in (HEADINGS, *rows):
        print(f"{name:<{width}}  {used:>8}  {steadily:>8}  {refused:>6}  {rest}")


if __name__ == "__main__":
    main()
