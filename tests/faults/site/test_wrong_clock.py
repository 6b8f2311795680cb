"""A worker whose clock is an hour wrong: rows have the database's time, and no clock decides who lives."""

import datetime as dt
from pathlib import Path

import pytest

from tests.faults.support.breakable_stack import Site, lease_of, process, stop

pytestmark = [pytest.mark.timeout(3600), pytest.mark.long]

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def test_workers_whose_clocks_are_wrong_ask_and_are_paid_like_any_other(
    fresh: Site, records, moments, figures
):
    # Given two workers, one an hour ahead and one an hour behind
    assert FAKETIME.exists(), "install it: `apt-get install libfaketime`, as `make faults` does"
    replace_by(fresh, "+1h", "-1h")

    # When they work on a job
    leases = [lease_of(process(node).pid) for node in fresh.slices]
    job = fresh.begin(records, next(moments))
    books = fresh.finish(job)

    # Then nobody was taken for dead, nothing was asked twice, and every time is the database's
    figures.note("one worker's clock an hour ahead, the other's behind", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)
    assert leases == [lease_of(process(node).pid) for node in fresh.slices]
    now = dt.datetime.now(dt.UTC)
    assert all(abs(now - attempt.ended_at) < dt.timedelta(minutes=10) for attempt in job.attempts())
    stop(*fresh.slices)


def replace_by(site: Site, *clocks: str) -> None:
    """Stop the slice workers, and start one for each clock."""
    stop(*site.slices)
    right = dict(site.environment)
    for wrong in clocks:
        site.environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": wrong, "DONT_FAKE_MONOTONIC": "1"}
        site.start_slices()
    site.environment.clear()
    site.environment.update(right)
