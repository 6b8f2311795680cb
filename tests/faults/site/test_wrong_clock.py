"""A worker whose clock is an hour wrong: rows have the database's time, and no clock decides who lives."""

import datetime as dt
from pathlib import Path

import pytest

from tests.faults.breaking import Site, held_by, lease_of, process
from tests.servers import wait_until

pytestmark = [pytest.mark.timeout(3600), pytest.mark.long]

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.mark.parametrize("wrong", ["+1h", "-1h"])
def test_a_worker_with_a_wrong_clock_asks_and_is_paid_like_any_other(
    fresh: Site, records, moments, figures, wrong
):
    # Given a worker whose clock is wrong, and no other
    assert FAKETIME.exists(), "install it: `apt-get install libfaketime`, as `make faults` does"
    for node in fresh.slices:
        process(node).terminate()
        process(node).wait(30)
    right = dict(fresh.environment)
    fresh.environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": wrong, "DONT_FAKE_MONOTONIC": "1"}
    skewed = process(fresh.start_slices())
    fresh.environment = right

    # When it works for longer than a lease needs to be found dead, with another beside it
    job = fresh.begin(records, next(moments))
    lease = lease_of(skewed.pid)
    wait_until(lambda: held_by(lease, job), what="it holds records")

    # Then it was never taken for dead, and every time in the ledger is the database's
    books = fresh.finish(job)
    figures.note(f"a worker's clock wrong by {wrong}", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)
    assert lease_of(skewed.pid) == lease
    now = dt.datetime.now(dt.UTC)
    assert all(abs(now - attempt.ended_at) < dt.timedelta(minutes=10) for attempt in job.attempts())
    skewed.terminate()
    skewed.wait(30)
