"""A deploy under load: every worker is told to stop, and new ones come."""

import time
from collections import Counter

import pytest

from tests.faults.support.breakable_stack import first_ends, process, stop
from tests.support.servers import wait_until

pytestmark = pytest.mark.timeout(3600)

GRACE, MARGIN = 3, 15  # seconds: what the site's calls have, and what a busy machine needs beyond


@pytest.mark.long
def test_a_deploy_lets_calls_end_closes_the_rest_and_asks_those_again(fresh, records, moments, figures):
    for moment in moments:
        # Given a job at a provider of which some calls outlast any grace
        job = fresh.begin(records, moment)
        fresh.upstream.configure(latency_ms=1500, latency_sigma=0.8)
        job.wait_until_ended(job.ended() + 1)

        # When every slice worker is told to stop
        told = [process(node) for node in fresh.slices]
        for worker in told:
            worker.terminate()
        began = time.monotonic()
        wait_until(
            lambda told=told: all(worker.poll() is not None for worker in told),
            seconds=GRACE + MARGIN,
            what="the workers are gone",
        )
        assert [worker.returncode for worker in told] == [0, 0]
        assert job.statuses()["running"] == 0
        gone = time.monotonic() - began

        # Then what was closed stands as unconfirmed, and new workers ask it again at once
        fresh.mend()
        first_ends(job, since=began)
        books = fresh.finish(job)
        figures.note("a deploy: SIGTERM to all workers, new ones", books, gone)
        calls = Counter((attempt.outcome, attempt.error_type) for attempt in job.attempts())
        assert calls.keys() - {("unsent", None)} <= {("answered", None), ("unconfirmed", "stopping")}


@pytest.mark.long
def test_a_new_provider_key_is_taken_worker_by_worker_and_nothing_is_lost(fresh, monkeypatch):
    # Given a job under way with a key that is to be revoked
    job = fresh.begin(2_000, 100)
    old = fresh.slices
    monkeypatch.setitem(fresh.environment, "ANTHROPIC_API_KEY", "new-key")

    # When each worker is replaced by one with the new key, and only then the old key is revoked
    for worker in old:
        fresh.start_slices()
        stop(worker)
    fresh.upstream.configure(latency_ms=600, latency_sigma=0.4, keys=["new-key"])

    # Then both were used, no call was lost or refused, and none was made twice
    books = fresh.finish(job)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)
    assert {seen["key"] for seen in books.entries.values()} == {"test-key", "new-key"}
    assert {attempt.error_type for attempt in job.attempts()} == {None}
