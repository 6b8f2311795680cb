"""Real faults, a real Prometheus, the very rules: somebody is woken, for the right reason, and no longer.

The rules are `FACTOR` times as quick as they are shipped: every `for` and every window of theirs.
"""

import pytest

from tests.support import boards
from tests.support.prometheus import Prometheus, prometheus
from tests.support.stack import Stack
from tests.support.web_process import WebProcess, web_process

FACTOR = 30
GROUP = "anthropic:haiku-4.5"
HELD, WORKERLESS = ("PenstockGroupHeld", GROUP), ("PenstockNoSliceWorkers", "")
# What this run has none of: a bound on memory, a request that fails, a webhook.
NOT_SEEN = {"Memory, of what it may have", "Requests that failed", "Attempts to deliver"}


pytestmark = [
    pytest.mark.parametrize("environment", ["postgresql"], indirect=True),
    pytest.mark.timeout(300),
]


def test_a_refused_account_and_a_killed_worker_are_told_until_they_are_mended(
    stack: Stack, upstream, tmp_path
) -> None:
    # Given a job of one worker, at a provider that fails now and then and refuses a record
    faults = [
        {"kind": "status", "status": 400, "matching": "Prompt 7"},
        {"kind": "status", "status": 500, "share": 0.05, "first_of_each": 1},
    ]
    upstream.configure(latency_ms=200, faults=faults)
    stack.environment |= {
        "ANTHROPIC_API_KEY": "first-key-of-all",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "1200",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "20",
    }
    stack.start()
    with (
        web_process(stack.environment, tmp_path) as web,
        prometheus(f"127.0.0.1:{web.port}", tmp_path, FACTOR) as watch,
    ):
        glance(web, stack)
        job = stack.prompts(300, model="claude-haiku-4-5")
        job.wait_until_ended(60)

        # When the account is refused, and then the worker killed
        upstream.configure(faults=[{"kind": "status", "status": 401}])
        watch.wait_for(lambda: watch.firing() == {HELD}, 40, "the refused account is told")
        stack.nodes[0].kill()
        watch.wait_for(lambda: watch.firing() == {HELD, WORKERLESS}, 40, "the dead worker is told")
        assert all(not any("error" in text for text in told.values()) for told in watch.told())

        # When there is a worker again, with a key that is accepted, then all is well
        upstream.configure(faults=[])
        stack.environment["ANTHROPIC_API_KEY"] = "second-key-of-all"
        stack.start_slices()
        glance(web, stack)
        watch.wait_for(lambda: watch.firing() == set(), 40, "nothing is told any more")
        job.wait_for("completed")

        # And nothing else was told meanwhile, and the board shows all of it
        assert watch.fired() == {HELD[0], WORKERLESS[0]}
        watch.wait_for(lambda: set(empty_panels(watch)) <= NOT_SEEN, 20, "every panel has something to show")


def glance(web: WebProcess, stack: Stack) -> None:
    assert web.get("/api/v1/jobs", stack.key).is_success


def empty_panels(watch: Prometheus) -> list[str]:
    """Those that had nothing to show at any time of the run."""
    return [
        panel["title"]
        for panel in boards.panels()
        if not any(watch.had(query) for query in boards.queries(panel, window="10s", whole="5m"))
    ]
