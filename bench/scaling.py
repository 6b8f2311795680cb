"""What a second worker brings with a slow provider, and a model of what comes after this machine.

The measured part runs a stack with one worker process and with two, at a provider of ten seconds a
call. The modelled part plays workers, Redis, PostgreSQL and the locks of a job as queues, with costs that
were measured: `COSTS` from `make bench`, what a permit costs Redis with many workers from here. It says how
many records a second come out, and what is busy; that nothing else stands in the way is its assumption.
"""

import argparse
import heapq
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import servers
from bench.service import AS_FAST_AS_IT_CAN, Service, prompts, running
from tests.support.servers import RedisServer

SLOW = 10.0  # seconds of a call
RECORDS_PER_CLAIM = 48
BUSY = 0.3  # of a server: what is less busy is not told
STEPS = (  # workers, jobs, cores of PostgreSQL
    (1, 1, 2),
    (10, 1, 8),
    (10, 10, 8),
    (100, 1, 32),
    (100, 20, 32),
    (1_000, 20, 64),
    (1_000, 200, 64),
)


@dataclass(frozen=True)
class Costs:
    """Milliseconds, on the machine of docs/performance.md."""

    slice_cpu: float = 1.45  # of a worker's core, a record: its call, claiming, writing
    database_cpu: float = 0.26  # of PostgreSQL's cores, a record
    control_cpu: float = 0.06  # of the control worker's core, a record
    idle_database_cpu: float = 1.5  # of PostgreSQL's cores, a second and worker: its beat, its looks
    claim_lock: float = 6.0  # that a claim holds its window
    write_lock: float = 3.0  # that a group of answers holds its job's counts, the commit included


COSTS = Costs()


@dataclass
class Server:
    """Something with so many places that serves one after the other."""

    places: int
    free_at: list[float] = field(default_factory=list)
    busy: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When what comes now and takes so long is done."""
        begins = now if len(self.free_at) < self.places else max(now, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, begins + seconds)
        self.busy += seconds
        return begins + seconds

    def use(self, seconds: float) -> float:
        return min(1.0, self.busy / seconds / self.places)


@dataclass(frozen=True)
class Outlook:
    """What a model run came to."""

    rate: float  # records a second
    use: dict[str, float]  # of each server, 0 to 1


def play(
    workers: int, jobs: int, latency: float, cores: int, permit: float, in_flight: int, seconds: float = 20.0
) -> Outlook:
    """Workers that share `jobs` jobs for so many seconds; `permit` is what one word costs Redis, in seconds.

    Each worker has rounds in hand: permits, a claim, the calls on its core, the provider's time, the write.
    """
    redis, database = Server(1), Server(cores)
    worker_cores = [Server(1) for _ in range(workers)]
    windows, counts = [Server(2) for _ in range(jobs)], [Server(1) for _ in range(jobs)]
    control = Server(max(1, jobs // 100))
    n, rounds = RECORDS_PER_CLAIM, max(1, in_flight // RECORDS_PER_CLAIM)
    database.busy += workers * COSTS.idle_database_cpu / 1000 * seconds
    # The state of each round: (when, number, worker, step); the number keeps equal times in order.
    order = 0
    agenda = [(0.0, place, place % workers, 0) for place in range(workers * rounds)]
    heapq.heapify(agenda)
    order = len(agenda)
    done = 0
    while agenda and agenda[0][0] < seconds:
        now, _, worker, step = heapq.heappop(agenda)
        job = worker % jobs
        if step == 0:
            now = redis.serve(now, permit)
        elif step == 1:
            held = windows[job].serve(now, COSTS.claim_lock / 1000)
            now = max(held, database.serve(now, n * COSTS.database_cpu * 0.4 / 1000))
        elif step == 2:
            now = worker_cores[worker].serve(now, n * COSTS.slice_cpu / 1000) + latency
        else:
            control.serve(now, n * COSTS.control_cpu / 1000)
            stored = database.serve(now, n * COSTS.database_cpu * 0.6 / 1000)
            now = max(stored, counts[job].serve(now, COSTS.write_lock / 1000))
            done += n
        order += 1
        heapq.heappush(agenda, (now, order, worker, (step + 1) % 4))
    use = {
        "workers": statistics.mean(core.use(seconds) for core in worker_cores),
        "Redis": redis.use(seconds),
        "PostgreSQL": database.use(seconds),
        "control": control.use(seconds),
        "windows": statistics.mean(window.use(seconds) for window in windows),
        "counts": statistics.mean(count.use(seconds) for count in counts),
    }
    return Outlook(done / seconds, use)


@contextmanager
def crowded_redis() -> Iterator[None]:
    server = RedisServer()
    os.environ["REDIS_URL"] = server.url
    server.start()
    try:
        yield
    finally:
        server.kill()


def permit_seconds(workers: int, words: int = 2_000) -> float:
    """What Redis's core is busy with one word of a slice, while so many workers hold seats of its job."""
    import redis

    from app.core.limits.limiter import CallTerms, Limiter
    from app.providers.client import RateLimits

    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.flushall()
    limiter = Limiter(os.environ["REDIS_URL"])
    limits = CallTerms("anthropic:bench", 1, RateLimits(requests=100_000_000), seats=10_000_000)
    for lease in range(workers):
        limiter.take(limits, lease, 1)
    client.config_resetstat()
    for lease in range(words):
        limiter.take(limits, lease % workers, RECORDS_PER_CLAIM, freed=RECORDS_PER_CLAIM)
    spent = client.info("commandstats")["cmdstat_evalsha"]
    return float(spent["usec"]) / spent["calls"] / 1e6


def slow_provider(workers: int, records: int) -> float:
    """Records a second between a fifth and four fifths of a job, at a provider of ten seconds a call."""
    wishes = {**AS_FAST_AS_IT_CAN, "BATCH_MAX_CONCURRENT_LLM_CALLS": "10000", "RECORDS_PER_TASK": "32"}
    with servers.provider(SLOW) as upstream, running(upstream, workers=workers, **wishes) as service:
        return _steady_rate(service, records)


def _steady_rate(service: Service, records: int) -> float:
    service.wait_for(service.submit(prompts(100)))  # from now on it is known what a call takes
    job = service.submit(prompts(records))
    times = []
    for share in (0.2, 0.8):
        while service.ended(job) < share * records:
            time.sleep(0.05)
        times.append((time.monotonic(), service.ended(job)))
    (began, first), (over, last) = times
    return (last - first) / (over - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="of the measured job; 0: model only")
    asked = parser.parse_args()
    if asked.records:
        one, two = (slow_provider(workers, asked.records * workers // 2) for workers in (1, 2))
        print(f"ten seconds a call: one worker {one:,.0f} records/s, two {two:,.0f}: {two / one:.2f} times")
    with crowded_redis():
        permits = {workers: permit_seconds(workers) for workers in (1, 10, 100, 1_000)}
    for workers, seconds in permits.items():
        print(f"one word to the limiter, {workers:,} workers: {seconds * 1e6:.0f} µs of Redis's core")
    print("| workers | jobs | call, s | PostgreSQL's cores | records/s | a day, millions | what is busy |")
    print("|---:|---:|---:|---:|---:|---:|---|")
    for latency, in_flight in ((0.0, 96), (3.0, 1_000)):
        for workers, jobs, cores in STEPS:
            seen = play(workers, jobs, latency, cores, permits[workers], in_flight)
            busy = ", ".join(f"{name} {share:.0%}" for name, share in seen.use.items() if share > BUSY)
            figures = f"{seen.rate:,.0f} | {seen.rate * 0.0864:,.0f} | {busy}"
            print(f"| {workers:,} | {jobs} | {latency:g} | {cores} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
