"""A worker is told to stop (SIGTERM) in mid-job: a deploy."""

import time
from collections import Counter

import pytest

from tests.servers import wait_until


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_a_stopped_worker_lets_calls_end_closes_the_rest_in_time_and_gives_everything_back(stack, upstream):
    # Given a worker in mid-job whose grace is one second, at a provider of which some calls take far longer
    upstream.configure(latency_ms=1200, latency_sigma=0.6)
    stack.environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "100",
        "PENSTOCK_GRACE_SECONDS": "1",
    }
    stopped = stack.start().nodes[0]
    job = stack.submit([{"prompt": f"Prompt {n}"} for n in range(300)], model="claude-haiku-4-5")
    job.wait_until_ended(50)

    # When it is told to stop and another one is started
    stopped.container._container.process.terminate()
    wait_until(
        lambda: stopped.container._container.status == "exited", seconds=15, what="the worker has stopped"
    )
    assert job.statuses()["running"] == 0
    closed = [attempt for attempt in job.attempts() if attempt.outcome == "unconfirmed"]
    stack.start_slices()

    # Then what it closed stands as unconfirmed and is asked again, and nothing else is
    job.wait_for("completed")
    assert job.counts().succeeded == 300
    assert closed
    assert {attempt.error_type for attempt in closed} == {"stopping"}
    outcomes = Counter(attempt.outcome for attempt in job.attempts() if attempt.outcome != "unsent")
    assert outcomes == {"answered": 300, "unconfirmed": len(closed)}
    assert upstream.summary()["requests"] == 300 + len(closed)


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_worker_that_is_told_to_stop_again_and_again_ends_all_the_same(stack):
    # Given a worker that does nothing
    told = stack.start_slices().container._container.process

    # When an impatient supervisor sends it one SIGTERM after the other, some of them within the first one's
    over = time.monotonic() + 1
    while time.monotonic() < over and told.poll() is None:
        told.terminate()

    # Then it ends in order
    assert told.wait(30) == 0
