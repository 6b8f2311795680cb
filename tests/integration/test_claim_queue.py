"""Slices of one record, in one process: who has the turn claims for all that wait for theirs."""

import re
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from app.core.limits.limiter import limiter
from app.core.pipeline import scheduler
from app.core.worker import process
from models.session import in_transaction
from tasks import slice
from tests.support.front_door import Door, number_of
from tests.support.servers import wait_until
from tests.support.stack import redis_away

RECORDS = 20
CLAIM = re.compile("UPDATE record SET .*claimed_at")


@pytest.fixture
def here(environment):
    """This process as a worker's."""
    yield process.current()
    process.end_current()


def test_one_claims_for_all_that_wait_and_each_asks_one(here, statements):
    # Given as many slices as there are records, all of which wait for somebody who has the turn
    door = Door()
    with redis_away():
        job = door.submit(RECORDS)
    window = in_transaction(partial(scheduler.advance, job_id=number_of(job), held_for=0))[0]
    assert (window.slices, window.quota) == (RECORDS, 1)
    with ThreadPoolExecutor(RECORDS) as pool, statements() as sent:
        with here.served.serving(number_of(job), window.window_id) as queue, queue.turn(threading.Event()):
            summaries = start(pool, window)
            wait_until(lambda: len(queue) == RECORDS, what="all wait for their turn")

        # When that one has gone
        sums = [summary.result(60) for summary in summaries]

    # Then one claim brought all of them a record
    assert len([statement for statement in sent if CLAIM.match(statement)]) == 1
    assert Counter(str(told).partition(" · ")[0] for told in sums) == {"1 succeeded": RECORDS}
    assert door.job(job)["counts"]["succeeded"] == RECORDS


def test_a_slice_that_another_claimed_for_waits_for_no_permit(here):
    # Given a limit that gives so many slices their permits one after the other, and calls that last longer
    door = Door()
    operator = door.other(scopes=["operator"])
    operator.call("PUT", "/api/v1/limits/simulated", json={"requests_per_minute": 1_200})
    with redis_away():
        job = door.submit(RECORDS, params={"simulate": {"latency_ms": 60_000, "latency_sigma": 0}})
    window = in_transaction(partial(scheduler.advance, job_id=number_of(job), held_for=0))[0]

    # When all have theirs
    with ThreadPoolExecutor(RECORDS) as pool:
        summaries = start(pool, window)
        wait_until(lambda: here.load.in_flight(number_of(job)) == RECORDS, what="all records are claimed")

        # Then nobody is counted as waiting while their calls last: others of the group would wait for them
        wait_until(lambda: waiting(number_of(job)) == 0, what="none waits")
        assert not any(summary.done() for summary in summaries)
        here.stop(0)


def waiting(job_id: int) -> int:
    """Slices of the job that the limiter counts as waiting."""
    return int(limiter()._redis.hget("fair:simulated", f"a{job_id}") or 0)


def start(pool: ThreadPoolExecutor, window) -> list[Future]:
    return [
        pool.submit(slice.run_slice, window.window_id, window.epoch, window.quota) for _ in range(RECORDS)
    ]
