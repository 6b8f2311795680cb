"""Real faults, a real Prometheus, the very rules: somebody is woken, for the right reason, and no longer.

The rules are `FACTOR` times as quick as they are shipped: every `for` and every window of theirs.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.limits.limiter import limiter
from tests.support import boards
from tests.support.prometheus import Prometheus, prometheus
from tests.support.servers import RedisServer, wait_until
from tests.support.stack import Stack
from tests.support.upstream import Upstream
from tests.support.web_process import WebProcess, web_process

FACTOR = 60
GROUP = "anthropic:haiku-4.5"
CALLS = 'penstock_calls_total{outcome="answered"}'
HELD, WORKERLESS = ("PenstockGroupHeld", GROUP), ("PenstockNoSliceWorkers", "")
# What this run has none of: a bound on memory, a request that fails, a webhook.
NOT_SEEN = {"Memory, of what it may have", "Requests that failed", "Attempts to deliver"}


pytestmark = [
    pytest.mark.parametrize("environment", ["postgresql"], indirect=True),
    pytest.mark.timeout(300),
]


def test_a_refused_account_and_a_killed_worker_are_told_until_they_are_mended(
    stack: Stack, upstream: Upstream, tmp_path: Path
) -> None:
    # Given one worker, at a provider that fails now and then and refuses some records
    faults = [
        {"kind": "status", "status": 400, "matching": "Prompt 27"},
        {"kind": "status", "status": 500, "share": 0.1, "first_of_each": 1},
    ]
    upstream.configure(faults=faults)
    with watched(stack, upstream, tmp_path) as (web, watch):
        glance(web, stack)
        stack.prompts(40, model="claude-haiku-4-5").wait_for("completed")
        # What it counts after this is an increase to Prometheus; a first sample is none.
        watch.wait_for(lambda: watch.query(CALLS), 20, "the worker has handed over what it has counted")

        # When the account is refused in the next job, and then the worker killed
        upstream.configure(faults=[{"kind": "status", "status": 401}])
        job = stack.prompts(40, model="claude-haiku-4-5")
        wait_until(lambda: limiter().held(GROUP), what="the group is held")
        stack.nodes[0].kill()
        watch.wait_for(lambda: watch.firing() == {HELD, WORKERLESS}, 60, "both are told")
        assert all(not any("error" in text for text in told.values()) for told in watch.told())

        # When there is a worker again, with a key that is accepted, then all is well
        upstream.configure(faults=faults)
        stack.environment["ANTHROPIC_API_KEY"] = "second-key-of-all"
        stack.start_slices()
        glance(web, stack)
        watch.wait_for(lambda: watch.firing() == set(), 40, "nothing is told any more")
        job.wait_for("completed")

        # And nothing else was told meanwhile, and the board shows all of it
        assert watch.fired() == {HELD[0], WORKERLESS[0]}
        watch.wait_for(lambda: set(empty_panels(watch)) <= NOT_SEEN, 20, "no panel is empty")


@pytest.mark.long
def test_a_redis_that_is_full_or_away_is_told_part_by_part(
    stack: Stack, redis_server: RedisServer, upstream: Upstream, tmp_path: Path
) -> None:
    with watched(stack, upstream, tmp_path) as (_, watch):
        # When Redis takes no more
        limiter()._redis.config_set("maxmemory", "1mb")
        full = {("PenstockPartAway", part) for part in ("counts", "limiter")}
        watch.wait_for(lambda: watch.firing() == full, 60, "what cannot be written is told")

        # When it is killed
        redis_server.kill()

        # Then each part that needs it is told, and nothing that nobody can know
        try:
            away = {("PenstockPartAway", part) for part in ("broker", "counts", "limiter")}
            watch.wait_for(lambda: watch.firing() == away, 60, "the parts are told")
        finally:
            redis_server.start()

        # When it is back, empty
        watch.wait_for(lambda: watch.firing() == set(), 60, "nothing is told any more")
        assert watch.fired() == {"PenstockPartAway"}


@pytest.mark.long
def test_a_provider_that_is_overloaded_is_told_as_its_own_fault(
    stack: Stack, upstream: Upstream, tmp_path: Path
) -> None:
    with watched(stack, upstream, tmp_path) as (_, watch):
        # Given a job in mid-run
        job = stack.prompts(400, model="claude-haiku-4-5")
        job.wait_until_ended(50)

        # When the provider is overloaded for long
        upstream.configure(faults=[{"kind": "status", "status": 529}])
        outage = ("PenstockProviderOutage", GROUP)
        watch.wait_for(lambda: outage in watch.firing(), 90, "the outage is told")

        # Then it ends with the outage, and nobody was told to look for a fault here
        upstream.configure(faults=[])
        job.wait_for("completed", seconds=90)
        watch.wait_for(lambda: watch.firing() == set(), 90, "nothing is told any more")
        assert watch.fired() <= {outage[0], "PenstockProviderErrors"}


@pytest.mark.long
def test_a_killed_control_worker_is_told_while_slice_workers_stand_in(
    stack: Stack, upstream: Upstream, tmp_path: Path
) -> None:
    with watched(stack, upstream, tmp_path) as (_, watch):
        # When the control worker is killed, beat with it
        stack.nodes[-1].kill()

        # Then it is told once a slice worker stands in for it, and no more when there is another
        watch.wait_for(lambda: watch.firing() == {("PenstockBeatGone", "")}, 90, "it is told")
        stack.start(slice_workers=0)
        watch.wait_for(lambda: watch.firing() == set(), 60, "nothing is told any more")
        assert watch.fired() == {"PenstockBeatGone"}


@pytest.mark.long
def test_a_penstock_that_is_gone_is_told(stack: Stack, upstream: Upstream, tmp_path: Path) -> None:
    with watched(stack, upstream, tmp_path) as (web, watch):
        web.stop()
        watch.wait_for(lambda: watch.firing() == {("PenstockDown", "")}, 60, "it is told")


@contextmanager
def watched(stack: Stack, upstream: Upstream, folder: Path) -> Iterator[tuple[WebProcess, Prometheus]]:
    """One slice worker, a control worker, a web process, and a Prometheus that scrapes it."""
    stack.environment |= {
        "ANTHROPIC_API_KEY": "first-key-of-all",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "1200",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "20",
    }
    with ThreadPoolExecutor(1) as beside:
        workers = beside.submit(stack.start)
        with (
            web_process(stack.environment, folder) as web,
            prometheus(f"127.0.0.1:{web.port}", folder, FACTOR) as watch,
        ):
            workers.result()
            yield web, watch


def glance(web: WebProcess, stack: Stack) -> None:
    assert web.get("/api/v1/jobs", stack.key).is_success


def empty_panels(watch: Prometheus) -> list[str]:
    """Those that had nothing to show at any time of the run."""
    return [
        panel["title"]
        for panel in boards.panels()
        if not any(watch.had(query) for query in boards.queries(panel, window="10s", whole="5m"))
    ]
